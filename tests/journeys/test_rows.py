"""What older software of this kind did, row by row; and what it did wrong is not done here."""

import re
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import aiohttp
import pytest

from journeys.walks import (
    NOTHING,
    account_of,
    authorise,
    callback,
    calls,
    code_in,
    flows,
    heading,
    left,
    link,
    token_of,
    told,
)
from omnibot.adapter import Limits
from omnibot.catalogue import ProviderSettings
from omnibot.demo.browser import Browser
from omnibot.demo.provider import DemoClient, DemoProvider, TokenCall
from omnibot.identity import Identity
from omnibot.message import Channel
from omnibot.pages import ENDED_WORDS
from omnibot.pages.words import FLOW_WORDS
from omnibot.provider import Secret
from omnibot.testing.bench import ADA, GRACE, Bench, Plan
from omnibot.testing.fakes import POOR, FakeAdapter
from servers.browser import HttpBrowser
from servers.processes import OidcServer

IRC_LINE = Limits(text=400, unit="bytes", lines=4)
"""What is left of an IRC line for the words."""


# ---------------------------------------------------------------- T: authentication by chat


@pytest.mark.row("T2")
async def test_the_answer_names_the_account(bench: Bench) -> None:
    """Whose account it is, and how to undo it: not "you have authenticated"."""
    await bench.say("!link oidc")
    answers = await bench.say(f"!confirm {await authorise(bench, 'bob')}")

    assert ["Linked OpenID Connect as **bob**. Not you, or not meant? Say `!undo`."] == answers


@pytest.mark.row("T6")
async def test_a_new_nick_is_the_same_person(bench: Bench, oidc: OidcServer) -> None:
    """Accounts belong to whom the network vouches for, whatever they are called today."""
    await link(bench)
    renamed = replace(ADA, display="Countess of Lovelace")
    answers = await bench.say("!api oidc GET /me", renamed)

    assert '"user": "alice"' in answers[0]
    assert ["api call=GET /api/me user=alice"] == calls(oidc)


@pytest.mark.row("T6")
async def test_the_same_nick_is_not_the_same_person(bench: Bench, oidc: OidcServer) -> None:
    """Who merely is called like the owner is asked to link an account of their own."""
    await link(bench)
    namesake = Identity("fake", "u-77", "", ADA.name)
    answers = await bench.say("!api oidc GET /me", namesake)
    listed = await bench.say("!accounts", namesake)

    assert answers[0].startswith("To connect **OpenID Connect**")
    assert ["You have linked nothing yet. `!link SERVICE` begins."] == listed
    assert [] == calls(oidc)


@pytest.mark.row("T6")
async def test_a_name_given_out_again_is_not_the_same_person(bench: Bench, oidc: OidcServer) -> None:
    """An account that was dropped and registered anew has another epoch, and opens nothing."""
    first = Identity("fake", "ada", "2024-01-01", "Ada")
    second = Identity("fake", "ada", "2025-06-01", "Ada")
    await link(bench, "alice", first)
    answers = await bench.say("!api oidc GET /me", second)

    assert answers[0].startswith("To connect **OpenID Connect**")
    assert [] == calls(oidc)


@pytest.mark.row("T7")
@pytest.mark.row("T8")
@pytest.mark.row("T10")
async def test_the_interrupted_command_runs_as_the_person(bench: Bench, oidc: OidcServer, room: Channel) -> None:
    """Linking begins by itself and goes through the browser; then the service's own log finds the person's name."""
    await bench.say("!api oidc GET /me", ADA, room)
    before = calls(oidc)
    answers = await bench.say(f"!confirm {await authorise(bench)}")

    assert "Running what you asked for: `!api oidc GET /me`" in answers[0]
    assert '"user": "alice"' in answers[1]
    assert ([], ["api call=GET /api/me user=alice"]) == (before, calls(oidc))


@pytest.mark.row("T")
async def test_no_token_lies_about(bench: Bench, oidc: OidcServer) -> None:
    """An old defect: tokens in the clear.  Neither database nor write-ahead log, nor chat, has any."""
    await link(bench)
    await bench.say("!api oidc GET /me")
    token = await token_of(bench)
    found = [
        path.name
        for path in sorted(bench.plan.directory.rglob("*"))
        if path.is_file() and any(one.encode() in path.read_bytes() for one in (token.access, token.refresh))
    ]

    assert [] == found
    assert not [text for text in bench.network.texts() if token.access in text or token.refresh in text]


@pytest.mark.row("T")
async def test_errors_are_told_to_the_person_and_end_nothing(bench: Bench, oidc: OidcServer) -> None:
    """Old defects: errors on the console only, and an API error that ends the process."""
    await link(bench)
    oidc.fault(path="/api/", status=500, body={"errors": [{"message": "s3cret"}]})
    answers = await bench.say("!api oidc GET /me")

    assert ["OpenID Connect is out of order (status 500). Try again in a while."] == answers
    assert ["pong"] == await bench.say("!ping")
    assert '"user": "alice"' in (await bench.say("!api oidc GET /me"))[0]


@pytest.mark.row("T")
async def test_an_unlinked_command_calls_nobody(bench: Bench, oidc: OidcServer, room: Channel) -> None:
    """Old defects: commands before linking that call the service without a token; the link in a public room."""
    await bench.say("!api oidc GET /me", ADA, room)

    assert [] == oidc.log_lines()
    assert [] == [text for text in bench.network.public_texts() if "/l/" in text or "http" in text]
    assert [False, True] == sorted(said.reply.link is not None for said in bench.network.said)
    assert [] == [said for said in bench.network.said if said.reply.link and not said.channel.private]


@pytest.mark.row("T")
async def test_a_link_never_goes_to_a_room(bench: Bench, oidc: OidcServer, room: Channel) -> None:
    """Where there is no private way it is kept, the room says how to get it, and then it comes."""
    bench.network.close_dms(ADA)
    await bench.say("!api oidc GET /me", ADA, room)
    before = list(bench.network.texts())
    bench.network.open_dms(ADA)
    await bench.say("!ping", ADA)

    assert 1 == len(before)
    assert "I cannot reach you in private. Open a private conversation with me" in before[0]
    assert bench.link_for() in bench.network.private_texts(ADA)[-1] or any(
        said.reply.link and said.reply.link.url == bench.link_for() for said in bench.network.said
    )
    assert '"user": "alice"' in (await bench.say(f"!confirm {await authorise(bench)}"))[1]


# ------------------------------------------------------------- B: authentication by browser

CLUB = """\
title: Chess club
scopes:
  notes:read: read your games
base_scopes: [notes:read]
server:
  issuer: "{base}"
  authorize_url: "{base}/authorize"
  token_url: "{base}/token"
  revoke_url: "{base}/revoke"
whoami: {path: /api/me, id: id, login: login, name: name}
"""


@pytest.mark.row("B1")
async def test_a_service_is_one_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, unused_tcp_port: int) -> None:
    """A page of YAML makes a service that people can link, call and unlink; no code knows of it."""
    (tmp_path / "catalogue").mkdir()
    (tmp_path / "catalogue" / "club.yaml").write_text(CLUB, "utf-8")
    monkeypatch.setattr("omnibot.testing.bench.SHIPPED", tmp_path / "catalogue")
    back = f"http://127.0.0.1:{unused_tcp_port}/callback/club/default"
    async with DemoProvider([DemoClient("omnibot", "club-secret", (back,))]) as club:
        settings = ProviderSettings("omnibot", Secret("club-secret"), base=club.origin)
        plan = Plan(tmp_path, settings=(("club", settings),), port=unused_tcp_port)
        async with Bench.open(plan) as bench, Browser() as browser:
            await bench.say("!api club GET /api/me")
            await bench.authorise(browser, bench.link_for())
            answers = await bench.say(f"!confirm {browser.code}")
            await bench.say("!unlink club")
            await bench.core.revoking.work()

    assert answers[0].startswith("Linked Chess club as **ada**.")
    assert '"login": "ada"' in answers[1]
    assert {"ada"} == {call.user for call in club.calls}
    assert ["ada"] == list(dict.fromkeys(club.revoked))


@pytest.mark.row("B2")
async def test_a_service_that_is_not_configured_is_not_there(bench: Bench) -> None:
    """The catalogue knows it, the operator did not name it: nobody can link it."""
    assert ["I do not know that service. I know: oidc."] == await bench.say("!link demo")
    assert ["I do not know that service. I know: oidc."] == await bench.say("!api demo GET /api/me")
    assert [] == await flows(bench)


@pytest.fixture
async def servers() -> AsyncIterator[tuple[DemoProvider, DemoProvider]]:
    """The same kind of service at two addresses."""
    async with DemoProvider([]) as work, DemoProvider([]) as club:
        yield work, club


@pytest.fixture
async def both(
    tmp_path: Path, servers: tuple[DemoProvider, DemoProvider], unused_tcp_port: int
) -> AsyncIterator[Bench]:
    """A bot that is registered at each of them, under a name and at an address of its own."""
    instances = {}
    for name, server in zip(("work", "club"), servers, strict=True):
        back = f"http://127.0.0.1:{unused_tcp_port}/callback/demo/{name}"
        server.register(DemoClient(f"bot-at-{name}", f"{name}-secret", (back,)))
        instances[name] = ProviderSettings(f"bot-at-{name}", Secret(f"{name}-secret"), server.origin)
    plan = Plan(tmp_path, settings=(("demo", ProviderSettings(instances=instances)),), port=unused_tcp_port)
    async with Bench.open(plan) as bench:
        yield bench


async def link_at(bench: Bench, instance: str, login: str) -> str:
    await bench.say(f"!link demo@{instance}")
    async with Browser() as browser:
        await bench.authorise(browser, bench.link_for(), login)
        (answer,) = await bench.say(f"!confirm {browser.code}")
    return answer


@pytest.mark.row("B3")
@pytest.mark.row("B4")
@pytest.mark.row("B")
async def test_each_instance_has_its_own_client_and_callback(
    both: Bench, servers: tuple[DemoProvider, DemoProvider]
) -> None:
    """Registered twice, linked twice, called by name; an old defect: the last one configured wins.

    The servers compare redirect addresses letter by letter, so each was given its own.
    """
    answers = [await link_at(both, "work", "ada"), await link_at(both, "club", "lovelace")]
    work = await both.say("!api demo@work GET /api/me")
    club = await both.say("!api demo@club GET /api/me")

    assert answers[0].startswith("Linked Demo notes (work) as **ada**.")
    assert answers[1].startswith("Linked Demo notes (club) as **lovelace**.")
    assert ('"login": "ada"' in work[0], '"login": "lovelace"' in club[0]) == (True, True)
    assert [TokenCall("code", "bot-at-work", "ada", True)] == servers[0].exchanges
    assert [TokenCall("code", "bot-at-club", "lovelace", True)] == servers[1].exchanges
    assert {"ada"} == {call.user for call in servers[0].calls}
    assert {"lovelace"} == {call.user for call in servers[1].calls}


@pytest.mark.row("B4")
async def test_an_answer_at_the_other_instances_address_is_thrown_away(
    both: Bench, servers: tuple[DemoProvider, DemoProvider]
) -> None:
    """It is a mix-up, whoever made it: the code goes to neither server."""
    await both.say("!link demo@work")
    async with Browser(stop=callback(both)) as browser:
        await both.authorise(browser, both.link_for())
        assert browser._session is not None
        wrong = browser.url.replace("/callback/demo/work", "/callback/demo/club")
        async with browser._session.get(wrong) as answer:
            status, text = answer.status, await answer.text()

    assert (400, True) == (status, "The wrong service answered" in text)
    assert "came from somewhere else, and it has ended" in told(both)[-1]
    assert ([], []) == (servers[0].exchanges, servers[1].exchanges)


@pytest.mark.row("B6")
async def test_an_attempt_has_a_cookie_of_its_own(bench: Bench, oidc: OidcServer) -> None:
    """Not a session: one for each link, which no script reads and no other site sends along with a form."""
    async with HttpBrowser("alice") as browser:
        for speaker in (ADA, GRACE):
            await bench.say("!link oidc", speaker)
            page = await browser.open(bench.link_for(speaker))
            await browser.press(page, "Continue", stop=oidc.issuer)
        cookies = [one for one in browser.session.cookie_jar if one.key.startswith("ob-")]

    assert [("/", True, "Lax")] * 2 == [(one["path"], bool(one["httponly"]), one["samesite"]) for one in cookies]
    assert 2 == len({one.key for one in cookies})
    assert {row["id"] for row in await bench.rows("SELECT id FROM flows")} == {one.key[3:] for one in cookies}


@pytest.mark.row("B7")
@pytest.mark.row("B")
async def test_a_link_is_for_who_asked_and_for_once(bench: Bench) -> None:
    """An old defect: anybody may bind any user's id by naming it.  Here an address names a ticket, and nobody."""
    await bench.say("!link oidc")
    address = bench.link_for()
    root, _, ticket = address.rpartition("/l/")
    async with HttpBrowser("mallory", "pw-bob") as browser:
        named = await browser.open(f"{root}/auth?channel=fake&userId=u-1")
        guessed = await browser.open(f"{root}/l/{'A' * len(ticket)}")
        asked = await browser.open(f"{address}?userId=u-2&subject=u-2&person=u-2")
    code = await authorise(bench)
    async with HttpBrowser("bob") as browser:
        used = await browser.walk(address)
    answers = await bench.say(f"!confirm {code}")

    assert (404, 404, 200, 410) == (named.status, guessed.status, asked.status, used.status)
    assert ("u-1" in asked.text, "u-2" in asked.text) == (True, False)
    assert 43 == len(ticket)  # 256 bits
    assert answers[0].startswith("Linked OpenID Connect as **alice**.")
    assert ADA == (await account_of(bench)).linked_by
    assert None is await bench.core.people.find(GRACE)


@pytest.mark.row("B7")
async def test_a_link_is_not_in_the_database(bench: Bench) -> None:
    """Who reads it cannot open links that are under way: tickets, states and cookies are hashes there."""
    await bench.say("!link oidc")
    address = bench.link_for()
    async with HttpBrowser("alice") as browser:
        await browser.walk(address, stop=callback(bench))
        cookies = [one.value for one in browser.session.cookie_jar if one.key.startswith("ob-")]
    secrets = [address.rpartition("/")[2], *cookies]
    stored = b"".join(path.read_bytes() for path in (bench.plan.directory / "data").iterdir() if path.is_file())

    assert 2 == len(secrets)
    assert [] == [one for one in secrets if one.encode() in stored]


@pytest.mark.row("B8")
async def test_the_profile_is_kept_with_the_account(both: Bench, servers: tuple[DemoProvider, DemoProvider]) -> None:
    """Login, name and picture; `accounts` and `whoami` show whose account it is, and with which rights."""
    await link_at(both, "work", "ada")
    account = await account_of(both)
    listed = await both.say("!accounts")
    (whoami,) = await both.say("!whoami")

    avatar = f"{servers[0].origin}/avatar/ada.svg"
    assert ("ada", "Ada", avatar) == (account.login, account.name, account.avatar)
    assert ["- `demo@work` Demo notes (work) as **ada**: notes:read"] == listed
    assert whoami.startswith("You are **Ada**, known to me as fake:u-1.")
    assert whoami.endswith(listed[0])


@pytest.mark.row("B9")
async def test_the_last_page_has_the_code_and_may_be_closed(bench: Bench) -> None:
    """It says what to do with the code and to whom, needs no script, and says that it may be closed."""
    await bench.say("!link oidc")
    async with HttpBrowser("alice") as browser:
        page = await browser.walk(bench.link_for())
        code = code_in(page.text)
        await bench.say(f"!confirm {code}")
        linked = await browser.open(page.url)

    assert ("One step left", "OpenID Connect is connected") == (heading(page), heading(linked))
    assert f"confirm {code}" in page.text
    assert "<script" not in page.text + linked.text
    assert ("may close this page" in page.text, "may close this page" in linked.text) == (True, True)


@pytest.mark.row("B10")
async def test_each_reason_has_a_page_of_its_own() -> None:
    """Every page says in its own words what happened, and whether anything was connected."""
    words = [*FLOW_WORDS.values(), *(one for code, one in ENDED_WORDS.items() if code not in FLOW_WORDS)]

    assert len(words) == len({(one.title, one.text) for one in words}) == len({one.text for one in words})
    assert [] == [one.title for one in words if not one.cure]


@pytest.mark.row("B10")
@pytest.mark.parametrize(
    ("query", "title"),
    [
        ("", "Nothing to go on"),
        ("code=x", "Nothing to go on"),
        ("code=x&state=", "Nothing to go on"),
        ("code=x&state=x&state=y", "Nothing to go on"),
        ("error=access_denied", "Nothing to go on"),
        ("code=x&state=nobodys", "No such link"),
    ],
)
async def test_a_strange_callback_gets_a_readable_page(bench: Bench, query: str, title: str) -> None:
    """Status 400, nothing of what came repeated, nothing stored."""
    async with HttpBrowser("alice") as browser:
        page = await browser.open(f"{callback(bench)}oidc/default?{query}")

    assert (400, title) == (page.status, heading(page))
    assert NOTHING == await left(bench)


@pytest.mark.row("B")
@pytest.mark.parametrize(
    ("path", "body"),
    [("/token", {}), ("/token", {"access_token": None, "token_type": "Bearer"}), ("/me", {}), ("/me", {"sub": None})],
)
async def test_nothing_undefined_is_stored(bench: Bench, oidc: OidcServer, path: str, body: dict[str, object]) -> None:
    """An old defect: storing `undefined` after an error.  An answer without a token, or without an owner, is none."""
    oidc.fault(path=path, status=200, body=body)
    await bench.say("!link oidc")
    async with HttpBrowser("alice") as browser:
        page = await browser.walk(bench.link_for())
    await bench.core.revoking.work()

    assert (502, "The service took it back") == (page.status, heading(page))
    assert NOTHING == await left(bench)
    assert ["You have linked nothing yet. `!link SERVICE` begins."] == await bench.say("!accounts")


@pytest.fixture
async def networks(plan: Plan) -> AsyncIterator[Bench]:
    """A bot on a network that can do everything, and on one that can only say lines."""
    irc = FakeAdapter("irc", capabilities=POOR, limits=IRC_LINE)
    async with Bench.open(replace(plan, networks=(FakeAdapter(), irc))) as bench:
        yield bench


IRC_ADA = Identity("irc", "ada", "", "ada")


@pytest.mark.row("B11")
async def test_a_link_is_a_button_or_an_address(networks: Bench) -> None:
    """A button where there are buttons; elsewhere the address stands in the text."""
    await networks.say("!link oidc", ADA)
    await networks.say("!link oidc", IRC_ADA)
    rich, irc = (adapter.said[-1] for adapter in networks.networks)

    assert rich.reply.link is not None
    assert rich.reply.link.url not in rich.text
    assert f"Connect OpenID Connect: {networks.link_for(IRC_ADA)}" in irc.pieces


@pytest.mark.row("B12")
async def test_a_link_fits_one_irc_line(networks: Bench) -> None:
    """Whole in one line of 400 bytes, alone with its label; and it leads where it should."""
    await networks.say("!api oidc GET /me", IRC_ADA)
    said = networks.networks[1].said[-1]
    lines = [line for line in said.pieces if networks.link_for(IRC_ADA) in line]
    answers = await networks.say(f"!confirm {await authorise(networks, 'alice', IRC_ADA)}", IRC_ADA)

    assert 1 == len(lines)
    assert re.fullmatch(r"Connect OpenID Connect: http://127\.0\.0\.1:\d+/l/[\w-]{43}", lines[0])
    assert max(len(line.encode()) for line in said.pieces) <= 400
    assert answers[0].startswith("Linked OpenID Connect as **alice**.")


@pytest.mark.row("B7")
async def test_previews_open_a_link_and_change_nothing(bench: Bench) -> None:
    """What chat programs fetch to show a preview is not what a person presses."""
    await bench.say("!link oidc")
    async with aiohttp.ClientSession(headers={"User-Agent": "Discordbot/2.0"}) as session:
        for method in ("GET", "HEAD") * 3:
            async with session.request(method, bench.link_for()) as answer:
                assert 200 == answer.status

    assert (await bench.say(f"!confirm {await authorise(bench)}"))[0].startswith("Linked OpenID Connect as **alice**.")
