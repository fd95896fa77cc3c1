"""A skill is held to the tightest network's limits when it loads, not when somebody uses it."""

import inspect
import logging
from collections.abc import Callable
from typing import Any

import pytest

from omnibot.api import AccountView
from omnibot.follower import FollowContext, Progress
from omnibot.identity import Assurance
from omnibot.message import Channel, Message, Reply
from omnibot.skill import Context, LinkedContext, Skill
from omnibot.testing.bench import ADA


def function(name: str, doc: str | None = "Do it.") -> Callable[..., Any]:
    """A handler of that name and docstring."""

    async def handler(ctx: Context) -> str:
        return ""

    handler.__name__, handler.__doc__ = name, doc
    return handler


def paths(skill: Skill) -> list[str]:
    return [one.name for one in skill.commands]


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("issue_new", "gh issue new"),
        ("issue", "gh issue"),
        ("gh", "gh"),
        ("two__words", "gh two-words"),
        ("print_", "gh print"),
        ("_list", "gh list"),
        ("v2", "gh v2"),
    ],
)
def test_a_functions_name_is_its_words(name: str, path: str) -> None:
    """An underscore is a blank, two are a dash; the skill's own name is the bare word."""
    skill = Skill("gh")
    skill.command(function(name))

    assert [path] == paths(skill)


def test_a_bare_skills_functions_stand_alone() -> None:
    """Without the skill's word."""
    skill = Skill("accounts", bare=True)
    skill.command(function("link"))
    skill.command(function("link_all"))

    assert ["link", "link all"] == paths(skill)


def test_a_skill_with_a_dash_has_a_bare_word_too() -> None:
    """Functions cannot have dashes."""
    skill = Skill("home-assistant")
    skill.command(function("home_assistant"))
    skill.command(function("lights"))

    assert ["home-assistant", "home-assistant lights"] == paths(skill)


def test_a_declared_function_stays_what_it_is() -> None:
    """It can be called in a test, or by another."""
    skill, one, two = Skill("x"), function("one"), function("two")

    assert one is skill.command(one)
    assert two is skill.command(cooldown=1.0)(two)
    assert function("three") is not skill.linked("demo")(function("three"))


@pytest.mark.parametrize("word", ["", "Gh", "g h", "gh!", "ü", "x" * 33, "a_b"])
def test_a_skills_words_are_small_and_plain(word: str) -> None:
    """Its name and its aliases."""
    with pytest.raises(ValueError, match=r"is not a word of \[a-z0-9-\], 1 to 32 long"):
        Skill(word)
    with pytest.raises(ValueError, match=r"is not a word of \[a-z0-9-\], 1 to 32 long"):
        Skill("gh", aliases=("ok", word))


def test_a_skill_has_its_name_and_aliases() -> None:
    """Up to 32 letters."""
    skill = Skill("x" * 32, aliases=["a", "b-2"])

    assert ("x" * 32, ("a", "b-2"), []) == (skill.name, skill.aliases, skill.commands)


@pytest.mark.parametrize("name", ["one_two_three", "Ünicode", "x" * 33])
def test_a_command_has_at_most_three_plain_words(name: str) -> None:
    """The skill's own counts."""
    with pytest.raises(ValueError, match=r"skill gh, command `.*`: at most 3 words"):
        Skill("gh").command(function(name))


@pytest.mark.parametrize("doc", [None, "", ".", "x" * 101, "\n\n"])
def test_a_summary_is_one_short_line(doc: str | None) -> None:
    """Discord shows 100 characters."""
    with pytest.raises(ValueError, match="first line must be 1 to 100 characters"):
        Skill("gh").command(function("x", doc))


def test_a_summary_of_a_hundred_is_fine() -> None:
    """The full stop does not count."""
    skill = Skill("gh")
    skill.command(function("x", "y" * 100 + "."))

    assert "y" * 100 == skill.commands[0].summary


def test_twenty_five_commands_stand_under_one_word() -> None:
    """And no more; under another word there is room again."""
    skill = Skill("gh")
    for number in range(25):
        skill.command(function(f"c{number}"))
    with pytest.raises(ValueError, match="more than 25 commands under one word"):
        skill.command(function("c25"))
    for number in range(25):
        skill.command(function(f"c0_d{number}"))
    with pytest.raises(ValueError, match="more than 25 commands under one word"):
        skill.command(function("c0_d25"))

    assert 50 == len(skill.commands)


def test_a_bare_skill_may_have_more() -> None:
    """Its commands are each a word of their own."""
    skill = Skill("many", bare=True)
    for number in range(30):
        skill.command(function(f"c{number}"))

    assert 30 == len(skill.commands)


def test_a_command_has_at_most_twenty_five_parameters() -> None:
    """Discord's limit again."""

    async def handler(ctx: Context) -> str:
        """Do it."""
        return ""

    context = inspect.Parameter("ctx", inspect.Parameter.POSITIONAL_OR_KEYWORD)
    options = [inspect.Parameter(f"o{n}", inspect.Parameter.KEYWORD_ONLY, default=0) for n in range(26)]
    handler.__signature__ = inspect.Signature([context, *options])  # type: ignore[attr-defined]
    handler.__annotations__ = {one.name: int for one in options}

    with pytest.raises(ValueError, match="more than 25 parameters"):
        Skill("gh").command(handler)


# ------------------------------------------------------------------------------------------ linked


def test_a_command_may_have_further_spellings() -> None:
    """After the skill's word, of any number of words; a bare skill's stand alone."""
    skill, bare = Skill("x"), Skill("tools", bare=True)

    @skill.linked("x", also=("setup auth", "set up auth now"))
    async def setupauth(ctx: LinkedContext) -> None:
        """Begin."""

    @bare.command(also=("good bye",))
    async def bye(ctx: Context) -> None:
        """End."""

    assert (("x", "setup", "auth"), ("x", "set", "up", "auth", "now")) == skill.commands[0].also
    assert (("good", "bye"),) == bare.commands[0].also


@pytest.mark.parametrize("also", [("Setup Auth",), ("set_up",), ("twice", "twice"), ("begin",), ("",)])
def test_a_further_spelling_is_plain_words_and_another(also: tuple[str, ...]) -> None:
    """Small words, at least one, and neither the path itself nor the same again."""
    skill = Skill("tools", bare=True)

    async def begin(ctx: Context) -> None:
        """Begin."""

    with pytest.raises(ValueError, match="a further spelling"):
        skill.command(also=also)(begin)


def test_a_linked_command_names_its_providers() -> None:
    """In the order they are asked for; private and vouched for unless it says otherwise."""
    skill = Skill("gh")
    skill.linked("github", "x", scopes=["repo"], effect="destroy")(function("wipe"))
    command = skill.commands[0]

    assert (("github", "x"), ("repo",), "destroy") == (command.providers, command.scopes, command.effect)
    assert ("private", Assurance.ACCOUNT, True) == (command.answer, command.minimum, command.linked)


def test_scopes_may_be_named_for_each_provider() -> None:
    """Else they are the first's; for a provider that the command does not name there are none."""
    skill = Skill("notes")
    skill.linked("github", "x", scopes={"x": ["write"]})(function("tell"))
    skill.linked("github", "x", scopes=["repo"])(function("read"))
    skill.linked(by="service", scopes=["all"])(_called)
    tell, read, call = skill.commands

    assert [(), ("write",), ()] == [tell.scopes_of(one) for one in ("github", "x", "other")]
    assert [("repo",), ()] == [read.scopes_of(one) for one in ("github", "x")]
    assert ("all",) == call.scopes_of("github")
    with pytest.raises(ValueError, match="scopes are named for y"):
        skill.linked("github", scopes={"y": ["write"]})


async def _called(ctx: LinkedContext, service: str) -> None:
    """Call it."""


def test_an_unlinked_command_is_for_everybody() -> None:
    """It answers where it was asked."""
    skill = Skill("gh")
    skill.command(function("x"))
    skill.command(minimum=Assurance.STRONG, answer="private", effect="destroy", cooldown=5, timeout=1)(function("y"))
    one, two = skill.commands

    assert ("channel", None, "read", 0.0, None, False) == (
        one.answer,
        one.minimum,
        one.effect,
        one.cooldown,
        one.timeout,
        one.linked,
    )
    assert ("private", Assurance.STRONG, "destroy", 5, 1) == (
        two.answer,
        two.minimum,
        two.effect,
        two.cooldown,
        two.timeout,
    )


@pytest.mark.parametrize(("providers", "by"), [((), ""), (("demo",), "service")])
def test_a_linked_command_says_whose_account_in_one_way(providers: tuple[str, ...], by: str) -> None:
    """By name or by a parameter; not both, and not neither."""
    with pytest.raises(ValueError, match="names its providers, or `by` a parameter, not both"):
        Skill("gh").linked(*providers, by=by)


def test_the_parameter_that_names_a_provider_is_one() -> None:
    """A misspelt one would be found by the first person who uses it."""

    async def api(ctx: LinkedContext, service: str) -> str:
        """Call it."""
        return ""

    skill = Skill("api")
    skill.linked(by="service")(api)
    with pytest.raises(ValueError, match="no parameter is called servise"):
        Skill("api").linked(by="servise")(api)

    assert "service" == skill.commands[0].provider_from


def test_what_cannot_be_typed_is_refused_when_it_loads() -> None:
    """As the signature's reader says."""

    async def handler(ctx: Context, things: list[str]) -> str:
        """Do it."""
        return ""

    with pytest.raises(TypeError, match="cannot be typed in a chat"):
        Skill("gh").command(handler)


# ---------------------------------------------------------------------------------------- contexts


class FakeTurn:
    """What stands behind a context."""

    def __init__(self) -> None:
        self.said: list[tuple[Reply, bool]] = []
        self.asked: list[tuple[str, tuple[str, ...], bool]] = []
        self.answer = "yes"
        self.commands: list[Any] = []
        self.desk: Any = object()

    async def say(self, reply: Reply, *, private: bool) -> None:
        self.said.append((reply, private))

    async def ask(self, question: str, choices: Any, *, private: bool) -> str:
        self.asked.append((question, tuple(choices), private))
        return self.answer

    def confirmed(self) -> None:
        """Nothing waits for it."""

    async def invoke(self, name: str, args: Any) -> object:
        return name, args

    def visible(self) -> list[Any]:
        return self.commands


def context(turn: Any) -> Context:
    skill = Skill("gh")
    skill.command(function("x"))
    message = Message("fake", "1", ADA, Channel("fake", "c"), "!gh x", 0.0)
    return Context(message, skill.commands[0], "!", logging.getLogger("x"), turn)


async def test_a_context_passes_on_what_a_handler_wants() -> None:
    """Words become a reply; a confirmation is a choice of two."""
    turn = FakeTurn()
    ctx = context(turn)
    turn.commands.append(ctx.command)
    await ctx.say("hi", private=True)
    await ctx.say(Reply("there"))
    answers: list[object] = [await ctx.ask("What?"), await ctx.choose("Which?", ["a", "b"], private=True)]
    answers.append(await ctx.confirm("Sure?"))
    turn.answer = "no"
    answers.append(await ctx.confirm("Sure?"))

    assert [(Reply("hi"), True), (Reply("there"), False)] == turn.said
    assert ["yes", "yes", True, False] == answers
    assert [
        ("What?", (), False),
        ("Which?", ("a", "b"), True),
        ("Sure?", ("yes", "no"), False),
        ("Sure?", ("yes", "no"), False),
    ] == turn.asked
    assert ("ping", {"n": 1}) == await ctx.invoke("ping", n=1)
    assert [ctx.command] == ctx.commands()
    assert turn.desk is ctx.accounts


async def test_a_linked_context_has_the_first_providers_api() -> None:
    """And the others' by name."""

    class FakeApi:
        account = AccountView("demo", "default", "Demo", "ada", "ada", "", "", "active", True, "fake:u-1", (), (), 0.0)

    apis: Any = {"demo": FakeApi(), "x": object()}
    ctx = context(FakeTurn())
    linked = LinkedContext(ctx.message, ctx.command, "!", ctx.log, ctx._turn, apis)

    assert apis["demo"] is linked.api
    assert "ada" == linked.account.login
    assert apis["x"] is linked.apis["x"]
    assert not hasattr(ctx, "api")


# ---------------------------------------------------------------------------------------- followers


async def looks(ctx: FollowContext, thing: str, *, deep: bool = False) -> Progress:
    """A follower."""
    return Progress(thing)


def test_a_follower_is_known_by_its_name() -> None:
    """That is how it is found again after a restart."""
    skill = Skill("gh")
    follower = skill.follower(every=30)(looks)

    assert [follower] == skill.followers
    assert ("gh", "looks", 30) == (follower.skill, follower.name, follower.every)
    assert "looks" in repr(follower)


@pytest.mark.parametrize("every", [0, 1.9, 601, float("nan")])
def test_a_follower_looks_neither_too_often_nor_too_seldom(every: float) -> None:
    """From two seconds to ten minutes."""
    with pytest.raises(ValueError, match="looks every 2 to 600 seconds"):
        Skill("gh").follower(every=every)


def test_what_cannot_be_a_follower() -> None:
    """Two of one name, one that is not async, one whose arguments `follow` has taken."""
    skill = Skill("gh")
    skill.follower()(looks)

    async def greedy(ctx: FollowContext, lasting: float) -> Progress:
        return Progress("")

    def still(ctx: FollowContext) -> Progress:
        return Progress("")

    with pytest.raises(ValueError, match="two followers are called looks"):
        skill.follower()(looks)
    with pytest.raises(TypeError, match="still is no async function"):
        skill.follower()(still)  # type: ignore[arg-type]  # which is the mistake
    with pytest.raises(TypeError, match="no argument called lasting"):
        skill.follower()(greedy)
    assert 1 == len(skill.followers)


def test_equal_arguments_are_written_alike() -> None:
    """So that the same follow again can be told."""
    follower = Skill("gh").follower()(looks)

    assert '{"deep":true,"thing":"x"}' == follower.arguments({"thing": "x", "deep": True})
    assert follower.arguments({"deep": True, "thing": "x"}) == follower.arguments({"thing": "x", "deep": True})


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"thing": "x", "other": 1},
        {"thing": object()},
        {"thing": ("a",)},
        {"thing": {1: "a"}},
        {"thing": float("nan")},
        {"thing": "x" * 3000},
        {"thing": b"x"},
    ],
)
def test_arguments_survive_json_or_are_refused(given: dict[str, object]) -> None:
    """They may have to wait in the database."""
    with pytest.raises(TypeError):
        Skill("gh").follower()(looks).arguments(given)


async def test_following_goes_to_the_turn() -> None:
    """With the account of the provider that was named, else of the first."""

    class FollowingTurn(FakeTurn):
        def __init__(self) -> None:
            super().__init__()
            self.followed: list[tuple[object, ...]] = []
            self.follows: Any = object()

        async def follow(self, *what: object) -> None:
            self.followed.append(what)

    turn, apis = FollowingTurn(), {"demo": object(), "x": object()}
    ctx = context(turn)
    linked = LinkedContext(ctx.message, ctx.command, "!", ctx.log, ctx._turn, apis)  # type: ignore[arg-type]
    follower = Skill("gh").follower()(looks)
    await linked.follow(follower, "it", thing="x")
    await linked.follow(follower, "it", provider="x", lasting=5, thing="y")

    assert turn.follows is ctx.follows
    assert [
        (apis["demo"], ctx.command, follower, "it", '{"thing":"x"}', 3600.0),
        (apis["x"], ctx.command, follower, "it", '{"thing":"y"}', 5),
    ] == turn.followed


@pytest.mark.parametrize(
    ("title", "lasting"),
    [("", 60), ("x" * 201, 60), ("a\nb", 60), ("it", 0), ("it", -1), ("it", 604801), ("it", float("nan"))],
)
async def test_a_follow_has_a_title_and_an_end(title: str, lasting: float) -> None:
    """One line, and seven days at most."""
    ctx = context(FakeTurn())
    linked = LinkedContext(ctx.message, ctx.command, "!", ctx.log, ctx._turn, {"demo": object()})  # type: ignore[dict-item]

    with pytest.raises(ValueError):
        await linked.follow(Skill("gh").follower()(looks), title, lasting=lasting, thing="x")
