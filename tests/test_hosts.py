"""Hosts that people name: nothing goes there before an admin allows it, and nothing after one refuses it."""

import logging
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from attacks.helpers import audited
from linking.steps import ends, told
from named_hosts import HOST, NO_HOST, WAITS, Anywhere, decided, flows_begun, linked, planned, statuses
from omnibot import hosts as hosts_module
from omnibot.demo.browser import Browser
from omnibot.errors import KeyMissing, UserError
from omnibot.hostname import LONGEST, ascii_host, readable
from omnibot.hosts import OPEN_SECONDS
from omnibot.identity import Identity
from omnibot.testing.bench import ADA, GRACE, MALLORY, Bench, Plan
from omnibot.vault import Keyring

NAMED = f"redmine@{HOST}"


@pytest.fixture
def service() -> Anywhere:
    """A Redmine at every host."""
    return Anywhere()


@pytest.fixture
def plan(tmp_path: Path, service: Anywhere) -> Plan:
    """A bot that asks Grace, its admin, about every host."""
    return planned(tmp_path, service)


@pytest.fixture
async def bench(plan: Plan) -> AsyncIterator[Bench]:
    async with Bench.open(plan) as bench:
        yield bench


# ---------------------------------------------------------------------------------------- their names


@pytest.mark.parametrize(
    ("said", "host"),
    [
        ("redmine.example.org", "redmine.example.org"),
        ("Redmine.EXAMPLE.org.", "redmine.example.org"),
        ("B\u00fccher.example", "xn--bcher-kva.example"),
        ("bu\u0308cher.example", "xn--bcher-kva.example"),
        ("xn--bcher-kva.example", "xn--bcher-kva.example"),
        ("fa\u00df.example", "xn--fa-hia.example"),
        ("\uff47itlab\u3002com", "gitlab.com"),
        ("git\u200blab.com", "gitlab.com"),
        ("jenk\u0456ns.corp", "xn--jenkns-svf.corp"),
        ("1.2.3.example", "1.2.3.example"),
        (f"{'a' * (LONGEST - 3)}.de", f"{'a' * (LONGEST - 3)}.de"),
    ],
)
def test_a_host_has_one_spelling(said: str, host: str) -> None:
    """However it is written; IDNA 2008, where the sharp s is a letter of its own."""
    assert host == ascii_host(said)
    assert host == ascii_host(host)


NOT_HOSTS = """
localhost redmine 127.0.0.1 127.1 2130706433 0x7f000001 0x7f.1 0177.0.0.1 1.0x \uff11\uff12\uff17.0.0.1
127\u30020\u30020\u30021
::1 [::1] ::ffff:127.0.0.1 [::ffff:7f00:1] fe80::1%eth0 a.example:443 a.example:25 user@a.example user:pw@a.example
https://a.example a.example/ a.example/x a.example?x a.example#x a..example .example -a.example a-.example
a_b.example xn--zzzzzz.example xn--a.example \u2615.example a%2eexample a\\b.example a\u2024example \u2488example
"""


@pytest.mark.parametrize(
    "said", [*NOT_HOSTS.split(), "", ".", "a b.example", "a.example\n", "a" * 64 + ".de", "a." * 32 + "b"]
)
def test_what_is_no_host(said: str) -> None:
    """Addresses of digits in any spelling, ports, paths, users, single labels, and what IDNA forbids."""
    with pytest.raises(ValueError):
        ascii_host(said)


def test_a_name_too_long_is_not_even_mapped() -> None:
    """Mapping costs more than in proportion."""
    with pytest.raises(ValueError, match="too long"):
        ascii_host("\u00fc" * 100_000 + ".example")


def test_what_a_host_reads_is_told_where_it_differs() -> None:
    """In its own letters."""
    assert ("b\u00fccher.example", "") == (readable("xn--bcher-kva.example"), readable(HOST))


# --------------------------------------------------------------------------------------------- asking


async def test_a_host_is_asked_for(bench: Bench, service: Anywhere) -> None:
    """The admins hear of it in private, with the command; the person is told; nothing begins."""
    said = await bench.say("!link redmine@B\u00fccher.example")

    hers = (
        "An admin of this bot has to allow `xn--bcher-kva.example` first, and has been asked. "
        "I tell you when it is decided; then say `!link redmine@xn--bcher-kva.example` again."
    )
    admins = (
        "Ada (fake:u-1) would like to link redmine at `xn--bcher-kva.example`, which reads `b\u00fccher.example`. "
        "I do not go there before you allow it. If you know whose it is, say "
        "`omnibot instances allow redmine@xn--bcher-kva.example` on my machine; if not, "
        "`omnibot instances refuse redmine@xn--bcher-kva.example`."
    )

    assert [hers] == [one for one in said if "has been asked" in one]
    assert [admins] == told(bench, GRACE)
    assert 0 == await flows_begun(bench)
    assert [] == service.asked
    assert [{"provider": "redmine", "host": "xn--bcher-kva.example"}] == await audited(bench, "host.asked")


async def test_admins_hear_of_a_host_once(bench: Bench) -> None:
    """However often, by however many and in whatever spelling it is asked for."""
    for name in (HOST, HOST.upper(), f"{HOST}."):
        for speaker in (ADA, MALLORY):
            said = await bench.say(f"!link redmine@{name}", speaker)
            assert [WAITS] == [one[: len(WAITS)] for one in said if one.startswith("An admin")]

    assert 1 == len(bench.network.private_texts(GRACE))
    assert {NAMED: "asked"} == statuses(bench.core.hosts)


async def test_admins_hear_of_it_again_after_a_restart(plan: Plan) -> None:
    """If it is asked for again: a crash may have swallowed what they were told."""
    async with Bench.open(plan) as bench:
        await bench.say(f"!link {NAMED}")
    async with Bench.open(plan) as bench:
        before = bench.network.private_texts(GRACE)
        await bench.say(f"!link {NAMED}")

        assert [] == before
        assert 1 == len(bench.network.private_texts(GRACE))


async def test_a_command_asks_as_well(bench: Bench, service: Anywhere) -> None:
    """Of somebody who has no account; it is not parked."""
    said = await bench.say(f"!api {NAMED} GET /issues.json")

    assert [WAITS] == [one[: len(WAITS)] for one in said if one.startswith("An admin")]
    assert [] == await bench.rows("SELECT id FROM waiting")
    assert [] == service.asked


async def test_without_admins_the_log_says_how_to_decide(
    tmp_path: Path, service: Anywhere, caplog: pytest.LogCaptureFixture
) -> None:
    """There is nobody else to be told."""
    async with Bench.open(planned(tmp_path, service, admin=None)) as bench:
        await bench.say(f"!link {NAMED}")

    assert [f"somebody asks for {NAMED}; to decide: omnibot instances allow {NAMED}"] == [
        one.getMessage() for one in caplog.records if one.name == "omnibot.hosts"
    ]


async def test_one_speaker_asks_for_five_at_a_time(bench: Bench) -> None:
    """A50: the admins hear of no more; a decision makes room."""
    for number in range(5):
        await bench.say(f"!link redmine@r{number}.example")
    more = await bench.say("!link redmine@r5.example")
    other = await bench.say("!link redmine@r5.example", MALLORY)
    await decided(bench, "redmine@r0.example", "refused")
    again = await bench.say("!link redmine@r6.example")

    assert ["You have named several servers that no admin has decided on yet. Wait for that."] == more
    assert any("`r5.example` first" in one for one in other)
    assert any("`r6.example` first" in one for one in again)
    assert 7 == len(bench.network.private_texts(GRACE))


async def test_all_together_ask_for_two_hundred(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """A50: or many identities would flood the admins; what was asked already is still answered."""
    monkeypatch.setattr(hosts_module, "_MOST_OPEN_IN_ALL", 3)
    for number in range(3):
        await bench.say(f"!link redmine@r{number}.example", Identity("fake", f"n-{number}"))
    said = await bench.say("!link redmine@r3.example")
    known = await bench.say("!link redmine@r1.example")

    assert ["Too many servers wait for an admin's decision. Speak to this bot's operator."] == said
    assert any("`r1.example` first" in one for one in known)
    assert 3 == len(statuses(bench.core.hosts))


async def test_what_nobody_decides_on_lapses(bench: Bench) -> None:
    """After thirty days it makes room, and the admins may be asked once more."""
    for number in range(5):
        await bench.say(f"!link redmine@r{number}.example")
    bench.clock.pass_(OPEN_SECONDS + 1)
    said = await bench.say("!link redmine@r0.example")

    assert any("`r0.example` first" in one for one in said)
    assert 6 == len(bench.network.private_texts(GRACE))
    assert {"redmine@r0.example": "asked"} == statuses(bench.core.hosts)
    assert 1 == len(await bench.rows("SELECT host FROM hosts"))


async def test_at_most_twenty_are_told_of_one_host(bench: Bench) -> None:
    """Who comes later finds out by asking."""
    for number in range(25):
        await bench.say(f"!link {NAMED}", Identity("fake", f"n-{number}"))

    assert 20 == len(bench.core.hosts.all()[0].asked_by)


CROOKED = ("127.0.0.1", "0x7f.1", "redmine.example.org:8443", "ada@redmine.example.org", "[::1]", "localhost")


@pytest.mark.parametrize("name", CROOKED)
async def test_what_is_no_host_is_not_asked_for(bench: Bench, name: str) -> None:
    """One sentence for all of it (A20)."""
    said = await bench.say(f"!link redmine@{name}")

    assert [NO_HOST] == said
    assert {} == statuses(bench.core.hosts)


async def test_without_a_host_it_is_said_how(bench: Bench) -> None:
    """There is none to be meant."""
    assert ["Which one? Name its host, as in `redmine@redmine.example.org`."] == await bench.say("!link redmine")


# ------------------------------------------------------------------------------------------- deciding


async def test_who_asked_is_told_and_can_link(bench: Bench, service: Anywhere) -> None:
    """All of them; requests then go to that host over https, and to public addresses only."""
    for speaker in (ADA, MALLORY):
        await bench.say(f"!link {NAMED}", speaker)
    await decided(bench, HOST)
    news = f"`{HOST}` is allowed now: say `!link {NAMED}` to link it."
    said = await bench.say(f"!link {NAMED} key-of-ada")

    assert [news] * 2 == [bench.network.private_texts(one)[-1] for one in (MALLORY,)] + [
        one for one in bench.network.private_texts(ADA) if one == news
    ]
    assert said[0].startswith(f"Linked Redmine ({HOST}) as **ada**.")
    assert [f"{HOST}/users/current.json"] == service.asked
    assert ({False}, {frozenset({f"https://{HOST}"})}) == (service.private, service.origins)
    assert (("allowed", ()),) == tuple((one.status, one.asked_by) for one in bench.core.hosts.all())


async def test_what_was_linked_works_after_a_restart(plan: Plan, service: Anywhere) -> None:
    """Decisions and accounts are read again."""
    async with Bench.open(plan) as bench:
        await linked(bench)
    async with Bench.open(plan) as bench:
        said = await bench.say(f"!api {NAMED} GET /users/current.json")

        assert ["id-ada" in one for one in said] == [True]
        assert f"redmine@{HOST}" in (await bench.say("!accounts"))[0]


async def test_an_account_is_found_in_any_spelling(bench: Bench) -> None:
    """Of its host; nothing is asked for."""
    await linked(bench, "xn--bcher-kva.example")
    used = await bench.say("!api redmine@B\u00fccher.example GET /users/current.json")
    gone = await bench.say("!unlink redmine@b\u00fccher.example")

    assert "id-ada" in used[0]
    assert gone[0].startswith("Redmine (xn--bcher-kva.example) as **ada** is unlinked")
    assert {"redmine@xn--bcher-kva.example": "allowed"} == statuses(bench.core.hosts)


async def test_a_channel_can_be_about_a_host(plan: Plan) -> None:
    """In whatever spelling an admin says it."""
    async with Bench.open(plan) as bench:
        room = bench.network.room("dev", ADA, GRACE)
        await decided(bench, "redmine@b\u00fccher.example")
        said = await bench.say("!use redmine@B\u00fccher.example channel", GRACE, room)
        wanted = await bench.say("!api redmine GET /issues.json", ADA, room)

        assert any("`redmine` now means Redmine (xn--bcher-kva.example)" in one for one in said)
        assert any("xn--bcher-kva.example" in one for one in wanted)


async def test_a_refused_host_is_refused(bench: Bench, service: Anywhere) -> None:
    """Who asked is told; who asks again is told the same, and the admins are left in peace."""
    await bench.say(f"!link {NAMED}")
    await decided(bench, HOST, "refused")
    said = await bench.say(f"!link {NAMED} key-of-ada")
    words = f"An admin of this bot has refused `{HOST}`, so I do not go there."

    assert [words] == said
    assert words in bench.network.private_texts(ADA)[:-1]
    assert 1 == len(bench.network.private_texts(GRACE))
    assert [] == service.asked


async def test_accounts_at_a_host_that_was_refused_later_stop(bench: Bench, service: Anywhere) -> None:
    """With a clear sentence; they are listed, and can be unlinked."""
    await linked(bench)
    await decided(bench, NAMED, "refused")
    asked = len(service.asked)
    used, listed = await bench.say(f"!api {NAMED} GET /issues.json"), await bench.say("!accounts")
    gone, left = await bench.say(f"!unlink {NAMED}"), await bench.say("!accounts")

    assert [f"An admin of this bot has refused `{HOST}`, so I do not go there."] == used
    assert f"`{NAMED}`" in listed[0]
    assert gone[0].startswith(f"{NAMED} as **ada** is unlinked")
    assert left[0].startswith("You have linked nothing yet.")
    assert asked == len(service.asked)


async def test_links_under_way_to_a_refused_host_end(bench: Bench, service: Anywhere) -> None:
    """Its page says so, also to the browser that had gone on; no key is taken."""
    await decided(bench, NAMED)
    await bench.say(f"!link {NAMED}")
    link = bench.link_for()
    async with Browser() as gone_on, Browser() as late:
        await gone_on.open(link)
        await gone_on.press("Continue")
        asked_for_key = gone_on.text
        await decided(bench, NAMED, "refused")
        await gone_on.press("", key="key-of-ada")
        await late.open(link)

        assert "API key" in asked_for_key
        assert (410, 410) == (gone_on.status, late.status)
    assert [] == service.asked
    assert f"An admin of this bot has refused that server, so your {NAMED} link has ended." in "".join(
        bench.network.private_texts(ADA)
    )


async def test_a_key_that_comes_just_as_its_host_is_refused_goes_nowhere(bench: Bench, service: Anywhere) -> None:
    """Before the links under way there have been ended: this one ends then, and says so."""
    await decided(bench, NAMED)
    await bench.say(f"!link {NAMED}")
    async with Browser() as browser:
        await browser.open(bench.link_for())
        await browser.press("Continue")
        await bench.core.hosts.decide(NAMED, "refused")
        await browser.press("", key="key-of-ada")
        await bench.settle()

        assert 410 == browser.status
    assert [] == service.asked
    assert [("refused", "host_refused")] == await ends(bench)


async def test_the_undo_button_outlives_the_host(bench: Bench) -> None:
    """Whoever authorised in a browser can still say that it was not them."""
    await decided(bench, NAMED)
    await bench.say(f"!link {NAMED}")
    async with Browser() as browser:
        await browser.open(bench.link_for())
        await browser.press("Continue")
        await browser.press("", key="key-of-ada")
        await bench.say(f"!confirm {browser.code}")
        await decided(bench, NAMED, "refused")
        await browser.press("not me")

        assert 200 == browser.status
    assert [] == await bench.rows("SELECT id FROM accounts")


async def test_a_code_for_a_refused_host_links_nothing(bench: Bench) -> None:
    """Even where the link has not been ended."""
    await decided(bench, NAMED)
    await bench.say(f"!link {NAMED}")
    async with Browser() as browser:
        await browser.open(bench.link_for())
        await browser.press("Continue")
        await browser.press("", key="key-of-ada")
        await bench.core.hosts.decide(NAMED, "refused")
        said = await bench.say(f"!confirm {browser.code}")

    assert [f"An admin of this bot has refused `{HOST}`, so I do not go there."] == said
    assert [{"status": "pending"}] == await bench.rows("SELECT status FROM accounts")


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ("127.0.0.1", '"127.0.0.1" is not a host.'),
        ("https://a.example", '"https://a.example" is not a host.'),
        ("oidc@a.example", 'People may name no servers of "oidc". They may of: redmine.'),
    ],
)
async def test_what_cannot_be_decided(bench: Bench, said: str, words: str) -> None:
    """It says what would do."""
    with pytest.raises(UserError) as caught:
        await bench.core.hosts.decide(said, "allowed")

    assert str(caught.value).startswith(words)
    assert {} == statuses(bench.core.hosts)


async def test_an_admin_can_decide_before_anybody_asks(bench: Bench) -> None:
    """By the host in its own letters; one service is meant where there is but one."""
    decided_on = await bench.core.hosts.decide("B\u00fccher.example", "allowed")

    assert "redmine@xn--bcher-kva.example" == decided_on.name
    assert [{"provider": "redmine", "host": "xn--bcher-kva.example"}] == await audited(bench, "host.allowed")


async def test_a_bot_without_such_services_has_nothing_to_decide(tmp_path: Path) -> None:
    """It says how to have some."""
    async with Bench.open(Plan(tmp_path)) as bench:
        with pytest.raises(UserError, match="`instances: ask` lets them"):
            await bench.core.hosts.decide(HOST, "allowed")


# ------------------------------------------------------------------------------------ `any`, and both


async def test_any_asks_nobody(tmp_path: Path, service: Anywhere) -> None:
    """And keeps nothing, apart from what an admin refuses."""
    async with Bench.open(planned(tmp_path, service, {"*": "any"})) as bench:
        said = await bench.say(f"!link {NAMED} key-of-ada")
        rows = await bench.rows("SELECT * FROM hosts")
        await decided(bench, "evil.example", "refused")
        refused = await bench.say("!link redmine@evil.example")

        assert said[0].startswith(f"Linked Redmine ({HOST}) as **ada**.")
        assert [] == rows
        assert ["An admin of this bot has refused `evil.example`, so I do not go there."] == refused
        assert [] == bench.network.private_texts(GRACE)


async def test_named_instances_beside_hosts(tmp_path: Path, service: Anywhere) -> None:
    """The operator's own go by their names, also from people who know only the address; those may be private."""
    own = {"work": "https://tracker.corp.example", "*": "ask"}
    async with Bench.open(planned(tmp_path, service, own)) as bench:
        alone = await bench.say("!link redmine key-of-ada")
        by_address = await bench.say("!link redmine@Tracker.corp.example")
        other = await bench.say(f"!link {NAMED}")
        typo = await bench.say("!link redmine@wrok")

        assert alone[0].startswith("Linked Redmine (work) as **ada**.")
        assert {True} == service.private
        assert ["That is `redmine@work` here."] == by_address
        assert any(one.startswith(WAITS) for one in other)
        assert typo[0].startswith('I do not know that redmine. Did you mean "work"?')


# ----------------------------------------------------------------------------------------------- rows


async def test_a_row_that_somebody_else_wrote_counts_for_nothing(plan: Plan, caplog: pytest.LogCaptureFixture) -> None:
    """It is logged and audited; the host can be asked for, and decided on, anew."""
    async with Bench.open(plan) as bench:
        await bench.say(f"!link {NAMED}")
        async with bench.core.database.transaction() as tx:
            await tx.execute("UPDATE hosts SET status = 'allowed'")
    caplog.clear()
    async with Bench.open(plan) as bench:
        known = statuses(bench.core.hosts)
        said = await bench.say(f"!link {NAMED}")
        await decided(bench, NAMED)

        assert {} == known
        assert any(one.startswith(WAITS) for one in said)
        assert {NAMED: "allowed"} == statuses(bench.core.hosts)
        assert [{"table": "hosts", "why": "Tampered"}] == await audited(bench, "vault.refused")
    assert [logging.ERROR] == [one.levelno for one in caplog.records if one.name == "omnibot.hosts"]
    async with Bench.open(plan) as bench:
        assert {NAMED: "allowed"} == statuses(bench.core.hosts)


async def test_without_its_key_nothing_is_known_and_nothing_kept(plan: Plan) -> None:
    """A36: also nobody is told that an admin was asked."""
    async with Bench.open(plan) as bench:
        await decided(bench, NAMED)
    (plan.directory / "omnibot.key").unlink()
    async with Bench.open(plan) as bench:
        assert {} == statuses(bench.core.hosts)
        with pytest.raises(KeyMissing):
            await bench.core.hosts.admit(ADA, "redmine", HOST)
        assert [] == bench.network.private_texts(GRACE)
    assert Keyring.load(plan.directory / "omnibot.key").ids


async def test_a_forgotten_person_asks_for_nothing(bench: Bench) -> None:
    """What others ask for as well stays; nobody's name is kept for a host that was decided on."""
    await bench.say(f"!link {NAMED}")
    await bench.say("!link redmine@both.example")
    await bench.say("!link redmine@both.example", MALLORY)
    async with bench.core.database.transaction() as tx:
        await bench.core.hosts.forget(tx, ADA)

    assert {"redmine@both.example": "asked"} == statuses(bench.core.hosts)
    assert [{"host": "both.example", "asked_by": '[["fake", "u-666", ""]]'}] == await bench.rows(
        "SELECT host, asked_by FROM hosts"
    )
