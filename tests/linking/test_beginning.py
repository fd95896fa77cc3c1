"""A link goes to the person who asked, in private, and to nobody and nowhere else."""

from dataclasses import replace

import pytest

from linking.steps import PASTED, all_flows, audited, ends, told, two_instances
from omnibot.catalogue import ProviderSettings
from omnibot.demo.browser import Browser
from omnibot.demo.provider import DemoProvider
from omnibot.identity import Assurance
from omnibot.linking.beginning import redirect_uri, service
from omnibot.message import Channel
from omnibot.provider import Secret
from omnibot.testing.bench import ADA, GRACE, Bench, Plan


async def test_a_command_without_its_account_is_answered_with_a_private_link(bench: Bench, room: Channel) -> None:
    """The room learns that there is one, and no more."""
    said = await bench.say("!notes", channel=room)
    link = bench.link_for()

    assert 2 == len(said)
    assert link.startswith(f"http://127.0.0.1:{bench.plan.port}/l/")
    assert 1 == len(bench.network.texts(room))
    assert "in private" in bench.network.texts(room)[0]
    assert "/l/" not in bench.network.texts(room)[0]
    assert "After that I run what you asked for: `!notes`" in told(bench)[0]
    assert [{"instance": "default", "provider": "demo", "way": "redirect"}] == await audited(bench, "link.begun")


async def test_in_private_nothing_is_said_beside_the_link(bench: Bench) -> None:
    """There is no other place to speak of."""
    assert 1 == len(await bench.say("!link demo"))


async def test_a_flow_remembers_how_it_began(bench: Bench, room: Channel) -> None:
    """Who asked, where, by which command, and how strongly they were vouched for."""
    await bench.network.hear("!notes add a secret text", ADA, room, assurance=Assurance.ACCOUNT)
    await bench.settle()
    await bench.say("!link demo", GRACE)
    first, second = await all_flows(bench)

    assert ("Ada", "#ops", "notes add") == (first.asked.display, first.asked.where, first.asked.command)
    assert (Assurance.ACCOUNT, ("notes:read", "notes:write")) == (first.assurance, first.scopes)
    assert ("Grace", "", "") == (second.asked.display, second.asked.where, second.asked.command)
    assert (Assurance.STRONG, ("notes:read",)) == (second.assurance, second.scopes)
    assert (600.0, 1200.0) == (first.ticket_until - first.created, first.until - first.created)


async def test_who_cannot_be_reached_in_private_is_told_where_the_link_waits(bench: Bench, room: Channel) -> None:
    """A5: it is given when they speak in private, as long as it is good."""
    bench.network.close_dms(ADA)
    said = await bench.say("!notes", channel=room)
    bench.network.open_dms(ADA)
    await bench.say("hello?")

    assert 1 == len(said)
    assert "I cannot reach you in private" in said[0]
    assert "/l/" not in "".join(bench.network.texts(room))
    assert bench.link_for().startswith("http://127.0.0.1")


async def test_a_link_that_waited_too_long_is_not_given(bench: Bench, room: Channel) -> None:
    """It would open nothing any more."""
    bench.network.close_dms(ADA)
    await bench.say("!notes", channel=room)
    bench.network.open_dms(ADA)
    bench.clock.pass_(601)
    await bench.say("hello?")

    with pytest.raises(LookupError):
        bench.link_for()


async def test_a_second_command_says_again_where_the_link_waits(bench: Bench, room: Channel) -> None:
    """As long as it has not been given."""
    bench.network.close_dms(ADA)
    await bench.say("!notes", channel=room)
    waits = await bench.say("!notes", channel=room)
    bench.network.open_dms(ADA)
    await bench.say("hello?")
    given = await bench.say("!notes", channel=room)

    assert "your link for Demo notes is waiting there" in waits[0]
    assert "Use the link I sent you for Demo notes" in given[0]


async def test_links_are_not_asked_for_without_end(bench: Bench) -> None:
    """Twenty in ten minutes: each is a row, and a page that somebody may be sent."""
    said = [(await bench.say("!link demo"))[-1] for _ in range(21)]
    bench.clock.pass_(601)
    later = await bench.say("!link demo")

    assert all("To connect" in one for one in said[:20])
    assert "You have asked for many links. Use the last one, or wait ten minutes." == said[20]
    assert "To connect" in later[0]


async def test_a_second_command_points_to_the_open_link(bench: Bench) -> None:
    """One live flow for one service; the first command is the one that waits."""
    await bench.say("!notes")
    said = await bench.say("!notes add x")
    flow = (await all_flows(bench))[0]

    assert ["Use the link I sent you for Demo notes, or `!link demo` for a new one."] == said
    assert ("notes", ("notes:read",)) == (flow.asked.command, flow.scopes)
    assert 1 == len(await bench.rows("SELECT * FROM waiting"))


async def test_a_command_meanwhile_points_to_the_code(bench: Bench, browser: Browser) -> None:
    """Once the browser shows one."""
    await bench.say("!notes")
    await bench.authorise(browser, bench.link_for())
    said = await bench.say("!notes")

    assert 1 == len(said)
    assert "Your browser shows a code for Demo notes: type it to me in private" in said[0]


async def test_an_explicit_link_replaces_the_open_one(bench: Bench, browser: Browser) -> None:
    """A9: the older is dead; what waited for it waits for the new one, which asks for all that it needs."""
    await bench.say("!notes add for later")
    old = bench.link_for()
    said = await bench.say("!link demo")
    await browser.open(old)
    new = bench.link_for()
    gone = browser.status
    await bench.authorise(browser, new)
    answers = await bench.say(f"!confirm {browser.code}")

    assert old != new
    assert 1 == len(said)
    assert "After that I run what you asked for: `!notes add for later`" in said[0]
    assert 410 == gone
    assert [("refused", "replaced"), ("linked", "")] == await ends(bench)
    assert ["for later"] == bench.provider.notes("ada")
    assert answers[0].startswith("Linked Demo notes as **ada**")
    assert ["Note 1 is written as **ada**."] == answers[1:]


async def test_replacing_tells_nobody(bench: Bench) -> None:
    """Whoever asked knows."""
    await bench.say("!link demo")
    said = await bench.say("!link demo")

    assert 1 == len(said)
    assert "To connect **Demo notes**" in said[0]


async def test_a_pending_account_that_is_replaced_goes_back(bench: Bench, browser: Browser) -> None:
    """Its token is revoked; the code that the browser shows is dead."""
    await bench.say("!link demo")
    await bench.authorise(browser, bench.link_for())
    code = browser.code
    await bench.say("!link demo")

    assert [] == await bench.rows("SELECT * FROM accounts")
    assert "not one I am waiting for" in (await bench.say(f"!confirm {code}"))[0]


async def test_a_link_that_has_run_out_is_in_nobodys_way(bench: Bench) -> None:
    """Even before it is swept away."""
    await bench.say("!notes")
    first = bench.link_for()
    bench.clock.pass_(601)
    said = await bench.say("!notes")

    assert "To connect **Demo notes**" in said[0]
    assert first != bench.link_for()


async def test_each_person_has_links_of_their_own(bench: Bench) -> None:
    """One's open link is not another's."""
    await bench.say("!notes")
    said = await bench.say("!notes", GRACE)

    assert "To connect **Demo notes**" in said[0]
    assert bench.link_for(ADA) != bench.link_for(GRACE)


async def test_an_account_says_which_instance_it_is_for(plan: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two addresses are two services, each with a flow; and not without end."""
    monkeypatch.setattr("omnibot.linking.beginning._MOST_LIVE_FLOWS", 1)
    async with two_instances(plan) as (bench, _, _):
        which = await bench.say("!link demo")
        unknown = await bench.say("!link demo@moon")
        first = await bench.say("!link demo@home")
        again = await bench.say("!link demo@home")
        second = await bench.say("!link demo@work")
        open_ = await bench.say("!notes@home")

    assert "demo@home" in which[0]
    assert "demo@work" in which[0]
    assert "I do not know that demo." in unknown[0]
    assert "To connect **Demo notes (home)**" in first[0]
    assert "To connect **Demo notes (home)**" in again[0]
    assert ["You have too many links open. Finish one, or wait until they run out."] == second
    assert [
        "Use the link I sent you for Demo notes (home), or `!link demo@home` for a new one. Then say this once more."
    ] == open_


@pytest.mark.parametrize("said", ["!link moon", "!link"])
async def test_what_cannot_be_linked_is_told(bench: Bench, said: str) -> None:
    """And nothing begins."""
    answers = await bench.say(said)

    assert 1 == len(answers)
    assert [] == await all_flows(bench)


async def test_a_service_that_does_not_describe_itself_cannot_be_linked_now(bench: Bench) -> None:
    """It is said, no flow is left behind, and the next try works."""
    bench.provider.fail("/.well-known", status=503, times=None)
    failed = await bench.say("!notes")
    left = await all_flows(bench)
    bench.provider.clear_faults()
    worked = await bench.say("!notes")

    assert 1 == len(failed)
    assert failed[0].startswith("Demo notes ")
    assert [] == left
    assert "To connect **Demo notes**" in worked[0]


# ------------------------------------------------------------------------------ without an address


async def test_without_a_public_address_the_providers_own_page_is_sent(plan: Plan) -> None:
    """With who asks and for what, and how to go on; the verifier is boxed, the state stored as a hash."""
    async with Bench.open(replace(plan, public=False)) as bench:
        said = await bench.say("!notes")
        url = bench.link_for()
        flow = (await all_flows(bench))[0]

    assert url.startswith(f"{bench.provider.origin}/authorize?")
    assert "Only go on if you asked for it" in said[0]
    assert "**Ada**" in said[0]
    assert "(notes:read)" in said[0]
    assert "`!notes`" in said[0]
    assert ("paste", PASTED, None) == (flow.way, flow.redirect_uri, flow.ticket_hash)
    assert flow.ticket_until == flow.until == flow.created + 1200.0
    assert flow.verifier


async def test_a_sensitive_service_is_not_linked_by_pasting(plan: Plan, provider: DemoProvider) -> None:
    """Unless the operator wrote the exception; it says what they can do."""
    settings = ProviderSettings("omnibot", Secret("demo-secret"), provider.origin, paste=False)
    async with Bench.open(replace(plan, provider=None, settings=(("demo", settings),), public=False)) as bench:
        said = await bench.say("!link demo")
        left = await all_flows(bench)

    assert ["Demo notes cannot be linked while this bot has no public address. Its operator can set `public_url`."] == (
        said
    )
    assert [] == left


def test_the_redirect_address_comes_from_the_configuration_alone(bench: Bench) -> None:
    """A16: the public address, or loopback as the service's catalogue entry wants it."""
    instance = bench.core.options.instances.get("demo")
    named = replace(instance, name="work", provider=replace(instance.provider, loopback="localhost"))

    assert "https://bot.example/callback/demo/default" == redirect_uri(instance, "https://bot.example", 9)
    assert "http://127.0.0.1:9/callback/demo/default" == redirect_uri(instance, None, 9)
    assert "http://localhost:7/callback/demo/work" == redirect_uri(named, None, 7)
    assert ("demo", "demo@work") == (service(instance), service(named))
