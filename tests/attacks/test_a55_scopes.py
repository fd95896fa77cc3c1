"""A55: a service grants more than was asked for, or less.

More is more to lose than the person agreed to on our page; less, and a command does what it cannot or says
something that nobody understands.

What must hold: of more, the person is told which; or the link is refused, where the operator says so
(`extra_scopes: refuse`): the token goes back, nothing is linked, and page and person say why.  Of less, the person
is told at once, and a command that needs what is missing does not run: it says which service wants more, and asks
for that.  What was granted, and not what was asked for, is what counts.

What remains: a server that says one thing and does another; and keys, which open everything, as their page says.
"""

from dataclasses import replace

import pytest

from attacks.helpers import ends, stored
from omnibot.accounts import Account
from omnibot.catalogue import SHIPPED, Instances, ProviderSettings, load_catalogue
from omnibot.demo.browser import Browser
from omnibot.demo.provider import DemoClient, DemoProvider
from omnibot.linking import browser as linking_browser
from omnibot.ports import free_port
from omnibot.provider import Secret
from omnibot.testing.bench import ADA, PASTE_PORT, Bench, Plan

MORE = "Demo notes granted more than I asked for: notes:write."
BOTH = ("notes:read", "notes:write")


def strict(plan: Plan, provider: DemoProvider, *, public: bool = True, extra: str = "refuse") -> Plan:
    """Return *plan* for an operator who says what becomes of a link with more than was asked for."""
    port = free_port()
    where = f"http://127.0.0.1:{port if public else PASTE_PORT}"
    provider.register(DemoClient("omnibot", "demo-secret", (f"{where}/callback/demo/default",)))
    said = ProviderSettings("omnibot", Secret("demo-secret"), provider.origin, extra_scopes=extra)  # type: ignore[arg-type]
    return replace(plan, provider=None, settings=(("demo", said),), port=port, public=public)


def unsaid(patch: pytest.MonkeyPatch) -> None:
    """Take the scopes that were asked for, as if they had been granted."""
    made = linking_browser._account

    def asked(flow, token, *more):  # type: ignore[no-untyped-def]
        return replace(made(flow, token, *more), scopes=flow.scopes)

    patch.setattr(linking_browser, "_account", asked)


@pytest.mark.attack("A55", sabotage=unsaid)
async def test_more_than_was_asked_for_is_said(bench: Bench, provider: DemoProvider) -> None:
    """With its names, and the list of accounts has them."""
    provider.grant_scopes = BOTH
    await bench.say("!link demo")
    async with Browser() as browser:
        await bench.authorise(browser, bench.link_for())
        said = await bench.say(f"!confirm {browser.code}")
    listed = await bench.say("!accounts")

    assert MORE in said[0]
    assert "notes:write" in listed[0]


def lenient(patch: pytest.MonkeyPatch) -> None:
    """Take every link, whatever the operator says."""
    get = Instances.get

    def warn(self, *names):  # type: ignore[no-untyped-def]
        return replace(get(self, *names), extra_scopes="warn")

    ready = Instances.ready

    async def warn_ready(self, *args):  # type: ignore[no-untyped-def]
        return replace(await ready(self, *args), extra_scopes="warn")

    patch.setattr(Instances, "get", warn)
    patch.setattr(Instances, "ready", warn_ready)


@pytest.mark.attack("A55", sabotage=lenient)
async def test_an_operator_may_refuse_more(plan: Plan, provider: DemoProvider) -> None:
    """Nothing is linked, the token goes back, and page and person are told; the parked command is not run."""
    provider.grant_scopes = BOTH
    async with Bench.open(strict(plan, provider)) as bench:
        await bench.say("!notes")
        async with Browser() as browser:
            await bench.authorise(browser, bench.link_for())
            page, status = browser.text, browser.status
        await bench.settle()
        await bench.core.revoking.work()
        left, ended = await stored(bench), await ends(bench)
        told = bench.network.private_texts(ADA)

    assert 403 == status
    assert "More than was asked for" in page
    assert "It is being given back, and nothing was connected." in page
    assert [] == left
    assert [("refused", "extra_scopes")] == ended
    assert ["ada"] == provider.revoked
    assert "granted your link more than I asked for, which this bot's operator does not take" in told[-1]
    assert "`!notes` was not run" in told[-1]


@pytest.mark.attack("A55", sabotage=lenient)
async def test_what_is_pasted_is_refused_as_well(plan: Plan, provider: DemoProvider) -> None:
    """There the answer says so."""
    provider.grant_scopes = BOTH
    async with Bench.open(strict(plan, provider, public=False)) as bench:
        await bench.say("!link demo")
        async with Browser(stop=f"http://127.0.0.1:{PASTE_PORT}") as browser:
            await bench.consent(await browser.open(bench.link_for()))
            said = await bench.say(browser.url)
        await bench.core.revoking.work()
        left = await stored(bench)

    assert [
        "The service granted more than I asked for, which this bot's operator does not take. It is given back, "
    ] == [one.partition("and nothing")[0] for one in said]
    assert [] == left
    assert ["ada"] == provider.revoked


@pytest.mark.attack("A55")
@pytest.mark.parametrize("extra", ["refuse", "warn"])
@pytest.mark.parametrize("granted", [None, ("notes:read",), ()])
async def test_who_grants_what_was_asked_for_or_less_is_linked(
    plan: Plan, provider: DemoProvider, extra: str, granted: tuple[str, ...] | None
) -> None:
    """Less is no reason to refuse."""
    provider.grant_scopes = granted
    async with Bench.open(strict(plan, provider, extra=extra)) as bench:
        await bench.link()

        assert ["active"] == await stored(bench)


@pytest.mark.attack("A55", sabotage=lenient)
async def test_refusing_does_not_cut_the_link_that_is_there(plan: Plan, provider: DemoProvider) -> None:
    """A70: the same account, linked before in order, goes on working; what came now is merely not kept."""
    async with Bench.open(strict(plan, provider)) as bench:
        await bench.link()
        provider.grant_scopes = BOTH
        await bench.say("!link demo")
        async with Browser() as browser:
            await bench.authorise(browser, bench.link_for())
        await bench.core.revoking.work()
        works = await bench.say("!notes")
        left = await stored(bench)

    assert ["You have no notes."] == works
    assert ["active"] == left
    assert [] == provider.revoked


def ignored(patch: pytest.MonkeyPatch) -> None:
    """Let every command run, whatever was granted."""
    patch.setattr(Account, "allows", lambda *_: True)


@pytest.mark.attack("A55", sabotage=ignored)
async def test_less_than_was_asked_for_is_said_and_asked_for(bench: Bench, provider: DemoProvider) -> None:
    """At once, on the page and in chat; the command that needs it does not run, and says so."""
    provider.grant_scopes = ("notes:read",)
    await bench.say("!notes add hello")
    async with Browser() as browser:
        await bench.authorise(browser, bench.link_for())
        page = browser.text
        said = await bench.say(f"!confirm {browser.code}")
    assert "`notes add` needs more rights at Demo notes than you gave: notes:write." in said[1]
    provider.grant_scopes = None
    async with Browser() as browser:
        await bench.authorise(browser, bench.link_for())
        asked = await bench.say(f"!confirm {browser.code}")

    assert "notes:write" in page
    assert "Demo notes did not grant: notes:write; what needs it will not work." in said[0]
    assert "Running what you asked for: `!notes add hello`" in asked[0]
    assert ["hello"] == provider.notes("ada")


@pytest.mark.attack("A55", sabotage=ignored)
async def test_a_command_names_the_scope_that_is_missing(bench: Bench, provider: DemoProvider) -> None:
    """Linked for reading, it is told what writing wants; the page of the new link names it with its reason."""
    await bench.link()
    before = len(provider.calls)
    said = await bench.say("!notes add hello")
    async with Browser() as browser:
        page = (await browser.open(bench.link_for())).text

    assert "`notes add` needs more rights at Demo notes than you gave: notes:write." in said[0]
    assert "write and delete your notes notes:write" in page
    assert before == len(provider.calls)
    assert [] == provider.notes("ada")


@pytest.mark.attack("A55")
def test_an_instance_takes_the_rule_from_around_it() -> None:
    """Or has its own."""
    around = ProviderSettings(
        "omnibot",
        instances={
            "a": "https://a.example",
            "b": ProviderSettings(issuer="https://b.example", extra_scopes="warn"),
        },
        extra_scopes="refuse",
    )
    made = Instances(load_catalogue(SHIPPED), {"oidc": around})

    assert ("refuse", "warn") == (made.get("oidc@a").extra_scopes, made.get("oidc@b").extra_scopes)
