"""A person links X by PIN, by redirect or by OAuth 2.0, and everything there is done in their own name.

X is a stand-in that was written from its documentation; its judge of signatures is not the bot's own.
"""

import re
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from journeys.walks import NOTHING, account_of, code_in, left, token_of, told
from omnibot.adapter import Limits
from omnibot.catalogue import ProviderSettings
from omnibot.identity import Identity
from omnibot.message import Channel
from omnibot.ports import free_port
from omnibot.provider import Secret
from omnibot.testing.bench import ADA, GRACE, MALLORY, Bench, Plan
from omnibot.testing.fakes import POOR, FakeAdapter
from servers.browser import HttpBrowser
from servers.standin import Fault
from servers.x import X

SKILLS = ("accounts", "help", "ping", "x")
PIN = re.compile(r'<kbd id="pin">(\d{7})</kbd>')
LINKED = "Linked X as **{}**. Not you, or not meant? Say `!undo`."


@pytest.fixture
async def x() -> AsyncIterator[X]:
    """X, at which an operator has an app."""
    async with X() as x:
        yield x


def known_to(x: X, tmp_path: Path, settings: ProviderSettings) -> Plan:
    """Return the plan of a bot that X sends browsers back to."""
    port = free_port()
    x.app.callbacks = (f"http://127.0.0.1:{port}/callback/x/default",)
    return Plan(tmp_path, skills=SKILLS, settings=(("x", settings),), port=port)


@pytest.fixture
def by_pin(tmp_path: Path, x: X) -> Plan:
    """A bot that has consumer key and secret: OAuth 1.0a."""
    key, secret = x.app.consumer_key, Secret(x.app.consumer_secret)
    return known_to(x, tmp_path, ProviderSettings(consumer_key=key, consumer_secret=secret, base=x.origin))


@pytest.fixture
def by_code(tmp_path: Path, x: X) -> Plan:
    """A bot that has client id and secret: OAuth 2.0."""
    client = ProviderSettings(x.app.client_id, Secret(x.app.client_secret), base=x.origin)
    return known_to(x, tmp_path, replace(client, authorize_url=f"{x.origin}/i/oauth2/authorize"))


@pytest.fixture
async def bench(by_pin: Plan) -> AsyncIterator[Bench]:
    """The bot with OAuth 1.0a."""
    async with Bench.open(by_pin) as bench:
        yield bench


@pytest.fixture
def room(bench: Bench) -> Channel:
    """A room with others in it."""
    return bench.network.room("ops", ADA, GRACE)


async def pin_shown(bench: Bench, login: str = "alice", speaker: Identity = ADA) -> str:
    """Walk from the link that *speaker* was sent to the PIN, as *login*."""
    async with HttpBrowser(login) as browser:
        page = await browser.walk(bench.link_for(speaker))
    found = PIN.search(page.text)

    assert found is not None, page.text
    return found[1]


async def link(bench: Bench, login: str = "alice", speaker: Identity = ADA) -> None:
    """Let *speaker* link by PIN the account *login*."""
    await bench.say("!t setupauth", speaker)
    answers = await bench.say(f"!t auth {await pin_shown(bench, login, speaker)}", speaker)

    assert [LINKED.format(login)] == answers


# ------------------------------------------------------------------- T1, T2: linking by PIN


@pytest.mark.row("T1")
@pytest.mark.row("T2")
@pytest.mark.parametrize("words", ["t setupauth", "t setup auth", "t set up auth", "x setupauth", "twitter Setup Auth"])
async def test_each_spelling_sends_the_link_to_the_person_alone(bench: Bench, room: Channel, words: str) -> None:
    """Said in a room, it is answered in private; the PIN links, and the answer names the account."""
    await bench.say(f"!{words}", ADA, room)
    public = list(bench.network.public_texts())
    answers = await bench.say(f"!t auth {await pin_shown(bench)}")

    assert ["I have answered you in private."] == public
    assert [LINKED.format("alice")] == answers


@pytest.mark.row("T1")
async def test_it_works_again_to_link_anew(bench: Bench, x: X) -> None:
    """A second time the old account gives way to what is authorised now."""
    await link(bench)
    x.revoke_all("alice")
    await link(bench)
    answers = await bench.say("!t tweet Back again")

    assert answers[0].startswith("Posted as **alice**")
    assert ["alice"] == x.doers("POST /2/tweets")


@pytest.mark.row("T2")
async def test_a_pin_counts_once(bench: Bench, x: X) -> None:
    """A wrong one ends the link; said in a room, it is refused and tried nowhere."""
    await bench.say("!t setupauth")
    pin = await pin_shown(bench)
    wrong = await bench.say(f"!t auth {'0000000' if pin != '0000000' else '1111111'}")
    late = await bench.say(f"!t auth {pin}")

    assert "takes none twice" in wrong[0]
    assert "I wait for no PIN" in late[0]
    assert NOTHING == await left(bench)
    assert {} == x.access


@pytest.mark.row("T2")
async def test_a_pin_in_a_room_is_refused(bench: Bench, room: Channel, x: X) -> None:
    """Before anything is done with it, and it is not repeated."""
    await bench.say("!t setupauth")
    pin = await pin_shown(bench)
    before = len(x.requests)
    answers = await bench.say(f"!t auth {pin}", ADA, room)

    assert before == len(x.requests)
    assert not [text for text in answers if pin in text]
    assert {} == x.access


@pytest.mark.row("T6")
async def test_a_pin_counts_for_the_one_who_asked(bench: Bench, x: X) -> None:
    """Somebody else who says it links nothing, and it is still good."""
    await bench.say("!t setupauth")
    pin = await pin_shown(bench)
    stolen = await bench.say(f"!t auth {pin}", MALLORY)

    assert "I wait for no PIN" in stolen[0]
    assert [LINKED.format("alice")] == await bench.say(f"!t auth {pin}")


@pytest.mark.row("T1")
async def test_without_a_public_address_the_pin_is_the_way(by_pin: Plan, x: X) -> None:
    """The link is X's own then, and it comes in private as well."""
    async with Bench.open(replace(by_pin, public=False)) as bench:
        await bench.say("!x timeline", ADA, bench.network.room("ops", ADA, GRACE))
        url = bench.link_for()
        answers = await bench.say(f"!t auth {await pin_shown(bench)}")
        public = bench.network.public_texts()

    assert url.startswith(f"{x.origin}/oauth/authorize?oauth_token=")
    assert answers[0].startswith("Linked X as **alice**.")
    assert "Your timeline is empty." == answers[1]
    assert not [text for text in public if "http" in text]


# ------------------------------------------------------------------ T7, T8, T9: other ways


@pytest.mark.row("T7")
@pytest.mark.row("T8")
@pytest.mark.row("T10")
async def test_an_unlinked_command_starts_the_redirect_and_then_runs(bench: Bench, x: X, room: Channel) -> None:
    """OAuth 1.0a in the browser, the code in the chat, and the interrupted post is posted by the person."""
    await bench.say("!t tweet Hello from the room", ADA, room)
    before = list(x.requests)
    async with HttpBrowser("bob") as browser:
        code = code_in((await browser.walk(bench.link_for())).text)
    answers = await bench.say(f"!t auth {code}")

    assert [] == before
    assert answers[0].startswith("Linked X as **bob**.")
    assert answers[1].startswith("Posted as **bob**: <https://x.com/bob/status/")
    assert ["bob"] == x.doers("POST /2/tweets")


@pytest.mark.row("T7")
async def test_refused_there_nothing_is_linked(bench: Bench, x: X) -> None:
    """The page says so, and so does the bot."""
    await bench.say("!link x --by page")
    async with HttpBrowser("alice") as browser:
        page = await browser.walk(bench.link_for(), refuse="Cancel")

    assert page.url.startswith(bench.link_for().partition("/l/")[0])
    assert NOTHING == await left(bench)
    assert {} == x.access


@pytest.mark.row("T7")
@pytest.mark.row("T10")
async def test_oauth_2_where_the_operator_has_that(by_code: Plan, x: X) -> None:
    """`t setupauth` takes the way there is; the token is renewed, and a person is found in X's own record."""
    async with Bench.open(by_code) as bench:
        x.clock = bench.clock
        await bench.say("!t setupauth")
        async with HttpBrowser("carol") as browser:
            code = code_in((await browser.walk(bench.link_for())).text)
        linked = await bench.say(f"!t auth {code}")
        bench.clock.pass_(7300)
        posted = await bench.say("!t tweet Two hours on")
        token = await token_of(bench)
        cleared = await bench.say("!t clear my credentials")
        await bench.core.revoking.work()

    assert [LINKED.format("carol")] == linked
    assert posted[0].startswith("Posted as **carol**")
    assert [("carol", "oauth2")] == [(one.login, one.by) for one in x.record if one.what == "POST /2/tweets"]
    assert "POST /2/oauth2/revoke" in x.requests
    assert token.refresh not in x.bearers
    assert "carol" in cleared[0]


@pytest.mark.row("T7")
async def test_a_public_client_of_oauth_2_names_itself(by_code: Plan, x: X) -> None:
    """An app without a secret: its name goes into the body, at the exchange, at a renewal and at the end."""
    x.app.client_secret = ""
    ((name, settings),) = by_code.settings
    plan = replace(by_code, settings=((name, replace(settings, client_secret=None)),))
    async with Bench.open(plan) as bench:
        x.clock = bench.clock
        await bench.say("!t setupauth")
        async with HttpBrowser("alice") as browser:
            code = code_in((await browser.walk(bench.link_for())).text)
        await bench.say(f"!t auth {code}")
        bench.clock.pass_(7300)
        posted = await bench.say("!t tweet Hello")
        await bench.say("!t clear my credentials")
        await bench.core.revoking.work()

    assert posted[0].startswith("Posted as **alice**")
    assert ["alice"] == x.doers("revoke refresh")


@pytest.mark.row("T9")
async def test_pasted_back_where_there_is_no_public_address(by_code: Plan, x: X) -> None:
    """OAuth 2.0 without one: what the address bar shows in the end is pasted, and links at once."""
    pasted = "http://127.0.0.1:9/callback/x/default"
    x.app.callbacks = (pasted,)
    async with Bench.open(replace(by_code, public=False)) as bench:
        await bench.say("!t setup auth")
        async with HttpBrowser("alice") as browser:
            end = await browser.walk(bench.link_for(), stop=pasted)
        answers = await bench.say(end.url)
        posted = await bench.say("!t tweet Pasted")

    assert answers[0].startswith("Linked X as **alice**.")
    assert posted[0].startswith("Posted as **alice**")


# -------------------------------------------------------------------- T3, T4, T5: acting


@pytest.mark.row("T3")
@pytest.mark.row("T10")
async def test_search_gives_a_line_per_hit(bench: Bench, x: X) -> None:
    """When, who and what; markup in a post does nothing, and X knows who searched."""
    await link(bench, "bob")
    x.write("alice", "The foo is *done*\n# really <@1> [x](http://evil.example)")
    x.write("carol", "nothing here")
    x.write("carol", "more foo")
    answers = await bench.say("!t search foo")
    nothing = await bench.say("!t search quux")

    assert 1 == len(answers)
    lines = answers[0].split("\n")
    assert [r"@carol: more foo", r"@alice: The foo is \*done\* # really \<@1> \[x\](http://evil.example)"] == [
        line.partition(" ")[2] for line in lines
    ]
    assert all(re.match(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\.000Z ", line) for line in lines)
    assert ["Nothing in the last seven days for quux."] == nothing
    assert ["bob", "bob"] == x.doers("GET /2/tweets/search/recent")


@pytest.mark.row("T3")
async def test_hits_are_split_for_a_network_of_short_lines(by_pin: Plan, x: X) -> None:
    """On IRC a hit is a line, and none is longer than a line may be; no sign of it is markup."""
    irc = FakeAdapter("irc", capabilities=POOR, limits=Limits(text=400, unit="bytes", lines=20))
    speaker = Identity("irc", "ada", "", "ada")
    async with Bench.open(replace(by_pin, networks=(irc,))) as bench:
        await link(bench, "alice", speaker)
        for number in range(6):
            x.write("bob", f"*foo* {number} {'ü' * 120}")
        await bench.say("!t search foo", speaker)
        said = irc.said[-1]

    assert [f"@bob: *foo* {number} {'ü' * 120}" for number in (5, 4, 3, 2, 1, 0)] == [
        line.partition(" ")[2] for piece in said.pieces for line in piece.split("\n")
    ]
    assert max(len(piece.encode()) for piece in said.pieces) <= 400


@pytest.mark.row("T4")
@pytest.mark.row("T10")
async def test_a_tweet_is_the_persons_and_the_answer_leads_to_it(bench: Bench, x: X) -> None:
    """Letters beyond ASCII and signs of OAuth's own included."""
    await link(bench, "bob")
    text = 'Ünïcode & 100 % + {ok}, "quoted" 🦊'
    answers = await bench.say(f"!t tweet {text}")
    (post,) = x.posts.values()

    assert [f"Posted as **bob**: <https://x.com/bob/status/{post.id}>"] == answers
    assert ("bob", text) == (post.login, post.text)
    assert [("bob", "oauth1", text)] == [(one.login, one.by, one.text) for one in x.record if one.text == text]


@pytest.mark.row("T5")
@pytest.mark.row("T10")
async def test_cleared_credentials_are_gone_here_and_there(bench: Bench, x: X) -> None:
    """X is asked to end the token, by the person's own signature; the next command asks for a link."""
    await link(bench)
    (token,) = x.access
    answers = await bench.say("!t clear my credentials")
    await bench.core.revoking.work()
    after = await bench.say("!t timeline")

    assert "alice" in answers[0]
    assert NOTHING["accounts"] == (await left(bench))["accounts"]
    assert token not in x.access
    assert ["alice"] == x.doers("POST /1.1/oauth/invalidate_token.json")
    assert after[0].startswith("To connect **X**")


@pytest.mark.row("T6")
@pytest.mark.row("T10")
async def test_each_acts_as_themselves(bench: Bench, x: X) -> None:
    """Two people, two accounts; a namesake has neither."""
    await link(bench, "alice", ADA)
    await link(bench, "bob", GRACE)
    await bench.say("!t tweet from Ada", ADA)
    await bench.say("!t tweet from Grace", GRACE)
    namesake = await bench.say("!t tweet from nobody", Identity("fake", "u-77", "", ADA.name))

    assert [("alice", "from Ada"), ("bob", "from Grace")] == [(one.login, one.text) for one in x.posts.values()]
    assert namesake[0].startswith("To connect **X**")


async def test_reading_and_taking_back(bench: Bench, x: X) -> None:
    """Timeline, mentions, and the latest post deleted once the person has said yes."""
    await link(bench)
    old, latest = x.write("alice", "first"), x.write("alice", "second")
    x.write("bob", "hi @alice")
    timeline = await bench.say("!t timeline")
    mentions = await bench.say("!t mentions")
    asked = await bench.say("!t delete my last")
    done = await bench.say("yes")

    assert ["hi @alice", "second", "first"] == [line.partition(": ")[2] for line in timeline[0].split("\n")]
    assert ["hi @alice"] == [line.partition(": ")[2] for line in mentions[0].split("\n")]
    assert ["Delete this? second"] == asked
    assert ["Deleted: second"] == done
    assert (True, False) == (old.id in x.posts, latest.id in x.posts)
    assert ["alice"] == x.doers("DELETE /2/tweets/{id}")


# ------------------------------------------------------------------------ old defects


@pytest.mark.row("T")
async def test_no_token_lies_about(bench: Bench, x: X) -> None:
    """An old defect: tokens in the clear.  None is in any file, nor its secret, nor in chat."""
    await link(bench)
    await bench.say("!t tweet Hello")
    token = await token_of(bench)
    secrets = (token.access, token.secret, x.app.consumer_secret)
    files = [path for path in sorted(bench.plan.directory.rglob("*")) if path.is_file()]

    assert x.access[token.access][0] == token.secret
    assert [] == [path.name for path in files if any(one.encode() in path.read_bytes() for one in secrets)]
    assert not [text for text in bench.network.texts() if any(one in text for one in secrets)]


@pytest.mark.row("T")
@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (Fault("/2/tweets", 500, {"errors": ["s3cret"]}), "X is out of order (status 500)."),
        (Fault("/2/tweets", 402, {"title": "CreditsDepleted", "detail": "s3cret"}), "no credits left"),
        (Fault("/2/tweets", 403, {"detail": "s3cret"}), "X does not allow you that."),
        (Fault("/2/tweets", 403, "s3cret: not even JSON"), "X does not allow you that."),
        (Fault("/2/tweets", 400, [1, 2]), "X did not understand that."),
        (Fault("/2/tweets", 200, {"errors": [{"detail": "s3cret"}]}), "in a way that I do not understand"),
    ],
)
async def test_errors_are_told_to_the_person_and_end_nothing(bench: Bench, x: X, fault: Fault, words: str) -> None:
    """Old defects: errors on the console only, and an API error that ends the process."""
    await link(bench)
    x.fault(fault)
    answers = await bench.say("!t tweet Hello")

    assert 1 == len(answers)
    assert words in answers[0]
    assert "s3cret" not in answers[0]
    assert ["pong"] == await bench.say("!ping")
    assert (await bench.say("!t tweet Hello"))[0].startswith("Posted as **alice**")


@pytest.mark.row("T")
async def test_what_x_refuses_is_said_in_words(bench: Bench, x: X) -> None:
    """The same again, an app that may only read, a limit that is spent, and credits."""
    await link(bench)
    await bench.say("!t tweet Hello")
    again = await bench.say("!t tweet Hello")
    x.app.writes = False
    reads = await bench.say("!t tweet Hello again")
    x.app.writes = True
    x.limits["POST /2/tweets"] = 1
    limit = await bench.say("!t tweet Hello again")
    x.credits = 0
    broke = await bench.say("!t search foo")

    assert ["You have posted just that already, and X takes nothing twice."] == again
    assert "may only read" in reads[0]
    assert re.fullmatch(r"X asks you to slow down\. Try again in \d+ seconds\.", limit[0])
    assert "no credits left" in broke[0]


@pytest.mark.row("T")
@pytest.mark.parametrize("words", ["t tweet Hello", "t search foo", "t timeline", "t mentions", "t delete my last"])
async def test_an_unlinked_command_calls_nobody(bench: Bench, x: X, room: Channel, words: str) -> None:
    """Old defects: commands before linking that call the service with no token, and the link in a public room."""
    await bench.say(f"!{words}", ADA, room)

    assert [] == x.requests
    assert told(bench)[0].startswith("To connect **X**")
    assert [] == [text for text in bench.network.public_texts() if "/l/" in text or "http" in text]
    assert [] == [said for said in bench.network.said if said.reply.link and not said.channel.private]


@pytest.mark.row("T")
async def test_a_permission_taken_back_at_x_asks_for_a_new_link(bench: Bench, x: X) -> None:
    """And the command runs when that is done."""
    await link(bench)
    x.revoke_all("alice")
    asked = await bench.say("!t tweet Still here?")
    async with HttpBrowser("alice") as browser:
        code = code_in((await browser.walk(bench.link_for())).text)
    answers = await bench.say(f"!t auth {code}")

    assert "X" in asked[0]
    assert answers[-1].startswith("Posted as **alice**")
    assert "active" == (await account_of(bench)).status
