"""A person links an instance of Mastodon that nobody registered the bot at, and acts there in their own name.

The instance is a stand-in that was written from Mastodon's documentation.
"""

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from journeys.walks import NOTHING, code_in, left, token_of, told
from omnibot.catalogue import ProviderSettings
from omnibot.http import Http
from omnibot.identity import Identity
from omnibot.message import Channel
from omnibot.testing.bench import ADA, GRACE, Bench, Plan
from omnibot.wire import Answer, Request
from servers.browser import HttpBrowser
from servers.mastodon import Mastodon
from servers.standin import Fault

SKILLS = ("accounts", "help", "mastodon", "ping")
HOST = "social.example.org"
POST = "POST /api/v1/statuses"
BOOST = "POST /api/v1/statuses/{id}/reblog"
LIKE = "POST /api/v1/statuses/{id}/favourite"
DELETE = "DELETE /api/v1/statuses/{id}"


@pytest.fixture
async def server() -> AsyncIterator[Mastodon]:
    """An instance."""
    async with Mastodon() as server:
        yield server


@pytest.fixture
def plan(tmp_path: Path, server: Mastodon) -> Plan:
    """A bot whose operator named that instance, and registered nothing there."""
    return Plan(tmp_path, skills=SKILLS, settings=(("mastodon", ProviderSettings(base=server.origin)),))


@pytest.fixture
async def bench(plan: Plan) -> AsyncIterator[Bench]:
    """That bot."""
    async with Bench.open(plan) as bench:
        yield bench


@pytest.fixture
def room(bench: Bench) -> Channel:
    """A room with others in it."""
    return bench.network.room("ops", ADA, GRACE)


async def allowed(bench: Bench, login: str = "alice", speaker: Identity = ADA) -> list[str]:
    """Walk from the link that *speaker* was sent to the code, as *login*; say it, and return what is answered."""
    async with HttpBrowser(login) as browser:
        code = code_in((await browser.walk(bench.link_for(speaker))).text)
    return await bench.say(f"!confirm {code}", speaker)


async def link(bench: Bench, server: Mastodon, login: str = "alice", speaker: Identity = ADA) -> None:
    """Let *speaker* link the account *login*, with all that the skill may ask for."""
    await bench.say("!m post Linked.", speaker)
    await allowed(bench, login, speaker)
    await bench.say("!m favourite 1000", speaker)
    await allowed(bench, login, speaker)
    server.statuses.clear()
    server.record.clear()


@pytest.mark.row("T8")
@pytest.mark.row("T10")
async def test_the_bot_registers_itself_and_the_interrupted_post_is_the_persons(
    bench: Bench, server: Mastodon, room: Channel
) -> None:
    """One application, however many link; the instance's own record finds each of them."""
    await bench.say("!m post Hello from the room", ADA, room)
    answers = await allowed(bench, "alice")
    await bench.say("!m post And from Grace", GRACE)
    await allowed(bench, "bob", GRACE)
    first = next(iter(server.statuses.values()))

    assert answers[0].startswith("Linked Mastodon as **alice**.")
    assert f"Posted as **alice**: <{server.origin}/@alice/{first.id}>" == answers[1]
    assert ["omnibot"] == [one.name for one in server.apps.values()]
    assert ["alice", "bob"] == server.doers(POST)


@pytest.mark.row("T10")
async def test_visibility_and_warning_are_as_was_said(bench: Bench, server: Mastodon) -> None:
    """Left out, the account's own setting counts."""
    await link(bench, server)
    plain = await bench.say("!m post For everybody")
    private = await bench.say('!toot post --visibility private --warning "ends of films" He *dies* & <b>')
    direct = await bench.say("!mastodon post @bob psst --visibility direct")
    said = [(one.text, one.visibility, one.spoiler) for one in server.statuses.values()]

    assert [
        ("For everybody", "public", ""),
        ("He *dies* & <b>", "private", "ends of films"),
        ("@bob psst", "direct", ""),
    ] == said
    assert plain[0].startswith("Posted as **alice**: <")
    assert private[0].startswith("Posted as **alice**, for your followers: <")
    assert direct[0].startswith("Posted as **alice**, for those it mentions: <")


async def test_a_number_is_good_still_when_it_wanted_more_rights(bench: Bench, server: Mastodon) -> None:
    """The account is linked anew for that, and is the one whose list was shown; somebody else was shown none."""
    await bench.say("!m post Linked.")
    await allowed(bench)
    server.write("bob", "Here I am")
    await bench.say("!m timeline public")
    await bench.say("!m favourite 1")
    answers = await allowed(bench)
    await bench.say("!m favourite 1", GRACE)
    other = await allowed(bench, "alice", GRACE)

    assert "is a favourite of yours" in answers[-1]
    assert "is a favourite of yours" not in other[-1]


async def test_a_lost_answer_posts_nothing_twice(bench: Bench, server: Mastodon) -> None:
    """It is asked for again with the same key; the same words in another message are another post."""
    await link(bench, server)
    server.fault(Fault("/api/v1/statuses", 502, "gone", late=True))
    lost = await bench.say("!m post Once")
    first = [one.text for one in server.statuses.values()]
    again = await bench.say("!m post Once")

    assert ["Once"] == first
    assert lost[0].startswith("Posted as **alice**")
    assert again[0].startswith("Posted as **alice**")
    assert 2 == len(server.statuses)


@pytest.mark.row("T10")
async def test_boosts_and_favourites_by_number_and_by_address(bench: Bench, server: Mastodon) -> None:
    """A number is of the person's own last list; what is shown is words, whatever markup it came in."""
    await link(bench, server)
    old = server.write("bob", "Look: https://example.org/a/very/long/address/that/is/cut @carol & <i>\n\nnext")
    server.write("carol", "The end", spoiler="ends of films")
    listed = await bench.say("!m timeline")
    boosted = await bench.say("!m boost 2")
    liked = await bench.say(f"!m fav {server.origin}/@bob/{old.id}")
    foreign = await bench.say("!m boost 2", GRACE)
    unknown = await bench.say("!m boost 3")
    lines = listed[0].split("\n")

    assert 2 == len(lines)
    assert lines[0].startswith("1\\. ")
    assert lines[0].endswith(f"@carol: [ends of films] [read it there]({server.origin}/@carol/{int(old.id) + 1})")
    assert lines[1].endswith(r"@bob: Look: https://example.org/a/very/long/address/that/is/cut @carol & \<i> next")
    assert boosted[0].startswith("Boosted @bob's post: Look:")
    assert "is a favourite of yours" in liked[0]
    assert (["alice"], ["alice"]) == (server.doers(BOOST), server.doers(LIKE))
    assert foreign[0].startswith("To connect **Mastodon**")
    assert "has no number 3" in unknown[0]


@pytest.mark.row("T10")
async def test_search_and_deleting_the_latest(bench: Bench, server: Mastodon) -> None:
    """Posts, people and tags; the latest post goes once the person has said yes."""
    await link(bench, server, "bob")
    server.write("bob", "an old #lamp")
    server.write("bob", "a new lamp")
    server.write("alice", "alice's lamp")
    found = await bench.say("!m search lamp")
    people = await bench.say("!m search alice")
    asked = await bench.say("!m delete my last")
    done = await bench.say("yes")

    assert ["- #lamp", "alice's lamp", "a new lamp", "an old #lamp"] == [
        line if line.startswith("-") else line.partition(": ")[2] for line in found[0].split("\n")
    ]
    assert people[0].startswith("- @alice, Alice Test")
    assert ["Delete this? a new lamp"] == asked
    assert ["Deleted: a new lamp"] == done
    assert ["an old #lamp", "alice's lamp"] == [one.text for one in server.statuses.values()]
    assert ["bob"] == server.doers(DELETE)


class Elsewhere(Http):
    """The internet, in which the stand-in is ``https://social.example.org``."""

    def __init__(self, server: Mastodon) -> None:
        super().__init__()
        self.server = server
        self.origins: set[frozenset[str]] = set()
        self.private: set[bool] = set()

    async def send(
        self,
        request: Request,
        *,
        origins: frozenset[str],
        private: bool,
        timeout: float = 20.0,  # noqa: ASYNC109 - the client's own signature
        limit: int = 1_048_576,
    ) -> Answer:
        assert request.url.startswith(f"https://{HOST}/")
        self.origins.add(origins)
        self.private.add(private)
        moved = replace(request, url=request.url.replace(f"https://{HOST}", self.server.origin, 1))
        only = frozenset({self.server.origin})
        return await super().send(moved, origins=only, private=True, timeout=timeout, limit=limit)


async def test_any_instance_that_a_person_names(plan: Plan, server: Mastodon) -> None:
    """The bot registers there, sends the person there, and nothing goes anywhere else."""
    internet = Elsewhere(server)
    settings = (("mastodon", ProviderSettings(instances={"*": "any"})),)
    async with Bench.open(replace(plan, settings=settings, http=lambda: internet)) as bench:
        await bench.say(f"!mastodon@{HOST} post From afar")
        async with HttpBrowser("carol") as browser:
            page = await browser.open(bench.link_for())
            away = await browser.press(page, "Continue", stop=f"https://{HOST}/")
            end = await browser.walk(away.url.replace(f"https://{HOST}", server.origin, 1))
        answers = await bench.say(f"!confirm {code_in(end.text)}")
        listed = await bench.say(f"!m@{HOST} timeline local")

    assert answers[0].startswith(f"Linked Mastodon ({HOST}) as **carol**.")
    assert answers[1].startswith("Posted as **carol**")
    assert "From afar" in listed[0]
    assert ["carol"] == server.doers(POST)
    assert ({frozenset({f"https://{HOST}"})}, {False}) == (internet.origins, internet.private)


# ------------------------------------------------------------------------ old defects


@pytest.mark.row("T")
@pytest.mark.parametrize("words", ["m post Hello", "m search foo", "m timeline", "m boost 1", "m delete my last"])
async def test_an_unlinked_command_calls_nobody(bench: Bench, server: Mastodon, room: Channel, words: str) -> None:
    """Old defects: commands before linking that call the service with no token, and the link in a public room."""
    await bench.say(f"!{words}", ADA, room)

    assert [] == [one for one in server.requests if one != "POST /api/v1/apps"]
    assert told(bench)[0].startswith("To connect **Mastodon**")
    assert [] == [text for text in bench.network.public_texts() if "/l/" in text or "http" in text]
    assert [] == [said for said in bench.network.said if said.reply.link and not said.channel.private]


@pytest.mark.row("T")
async def test_no_token_lies_about(bench: Bench, server: Mastodon) -> None:
    """An old defect: tokens in the clear.  Neither the person's nor the application's secret is in any file."""
    await link(bench, server)
    (app,) = server.apps.values()
    secrets = ((await token_of(bench)).access, app.client_secret)
    files = [path for path in sorted(bench.plan.directory.rglob("*")) if path.is_file()]

    assert secrets[0] in server.tokens
    assert [] == [path.name for path in files if any(one.encode() in path.read_bytes() for one in secrets)]
    assert not [text for text in bench.network.texts() if any(one in text for one in secrets)]


@pytest.mark.row("T")
@pytest.mark.parametrize(
    ("status", "words"),
    [
        (422, "Mastodon did not take that: empty, or longer than it takes"),
        (403, "Mastodon does not allow you that."),
        (500, "Mastodon is out of order (status 500)."),
    ],
)
async def test_errors_are_told_to_the_person_and_end_nothing(
    bench: Bench, server: Mastodon, status: int, words: str
) -> None:
    """Old defects: errors on the console only, and an API error that ends the process."""
    await link(bench, server)
    server.fault(Fault("/api/v1/statuses", status, {"error": "s3cret"}, times=2 if status >= 500 else 1))
    answers = await bench.say("!m post Hello")

    assert 1 == len(answers)
    assert answers[0].startswith(words)
    assert "s3cret" not in answers[0]
    assert ["pong"] == await bench.say("!ping")
    assert (await bench.say("!m post Hello"))[0].startswith("Posted as **alice**")


@pytest.mark.row("T")
async def test_a_spent_limit_says_when(bench: Bench, server: Mastodon) -> None:
    """Mastodon tells it as a date; what is private does not boost, and what is not there is said so."""
    await link(bench, server)
    private = server.write("alice", "mine", "private")
    await bench.say("!m timeline")
    boost = await bench.say("!m boost 1")
    gone = await bench.say(f"!m fav {int(private.id) + 7}")
    server.periods["paging"] = (1, 900)
    limit = await bench.say("!m timeline")

    assert boost[0].startswith("Mastodon does not allow you that.")
    assert ["Mastodon knows no such post, or does not show it to you."] == gone
    assert limit[0].startswith("Mastodon asks you to slow down. Try again in ")


@pytest.mark.row("T5")
@pytest.mark.row("T10")
async def test_unlinked_is_revoked_there(bench: Bench, server: Mastodon) -> None:
    """The instance's own record has it."""
    await link(bench, server)
    answers = await bench.say("!unlink mastodon")
    await bench.core.revoking.work()

    assert "alice" in answers[0]
    assert NOTHING == await left(bench)
    assert "alice" in server.doers("POST /oauth/revoke")
    assert not [one for one in server.tokens.values() if "write:favourites" in one.scopes]
