"""A link that does not come to its end says so, on the page and in chat, and leaves nothing behind."""

import pytest

from journeys.walks import NOTHING, account_of, authorise, code_in, flows, heading, left
from omnibot.message import Channel
from omnibot.testing.bench import ADA, GRACE, Bench
from servers.browser import HttpBrowser
from servers.processes import OidcServer


@pytest.mark.row("B10")
async def test_no_at_the_provider(bench: Bench, oidc: OidcServer) -> None:
    """The page and the chat both know that it was the person's own no; the command was not run."""
    await bench.say("!api oidc GET /me")
    async with HttpBrowser("alice") as browser:
        page = await browser.walk(bench.link_for(), refuse="Cancel")
    told = bench.network.private_texts(ADA)[-1]

    assert (403, "You said no") == (page.status, heading(page))
    assert told.startswith("You refused at OpenID Connect: nothing is linked.")
    assert "`!api oidc GET /me` was not run" in told
    assert [("refused", "denied")] == await flows(bench)
    assert NOTHING == await left(bench)
    assert not [line for line in oidc.log_lines() if line.startswith("grant")]


async def test_no_on_our_own_page(bench: Bench, oidc: OidcServer) -> None:
    """Nobody comes to the provider, and who asked is told."""
    await bench.say("!link oidc")
    async with HttpBrowser("alice") as browser:
        page = await browser.walk(bench.link_for(), refuse="Refuse")

    assert (200, "Refused") == (page.status, heading(page))
    assert "refused it" in bench.network.private_texts(ADA)[-1]
    assert ([("refused", "refused")], []) == (await flows(bench), oidc.log_lines())


async def test_a_mistyped_code_may_be_typed_again(bench: Bench) -> None:
    """Case, dashes and spaces do not matter; a wrong code does no harm yet."""
    await bench.say("!link oidc")
    code = await authorise(bench)
    wrong = await bench.say("!confirm BBBB-CCCC")
    right = await bench.say(f"!confirm {code.replace('-', ' ').lower()}")

    assert ["That code is not one I am waiting for from you. Look at the page again, or ask for a new link."] == wrong
    assert right[0].startswith("Linked OpenID Connect as **alice**.")


async def test_five_wrong_codes_end_it(bench: Bench, oidc: OidcServer) -> None:
    """The right one is worth nothing then, the page says why, and the token goes back."""
    await bench.say("!link oidc")
    async with HttpBrowser("alice") as browser:
        page = await browser.walk(bench.link_for())
        for _ in range(5):
            await bench.say("!confirm BBBB-CCCC")
        late = await bench.say(f"!confirm {code_in(page.text)}")
        page = await browser.open(page.url)
    await bench.core.revoking.work()

    assert "not one I am waiting for" in late[0]
    assert "Too many wrong codes" == heading(page)
    assert any(text.startswith("Too many wrong codes: your") for text in bench.network.private_texts(ADA))
    assert NOTHING == await left(bench)
    assert [line for line in oidc.log_lines() if line.startswith("grant.revoked")]


async def test_a_code_has_its_time(bench: Bench, oidc: OidcServer) -> None:
    """After ten minutes it is no code any more; the page, the chat and the provider are told."""
    await bench.say("!api oidc GET /me")
    async with HttpBrowser("alice") as browser:
        page = await browser.walk(bench.link_for())
        bench.clock.pass_(601)
        late = await bench.say(f"!confirm {code_in(page.text)}")
        page = await browser.open(page.url)
    await bench.core.upkeep.sweep()
    await bench.core.revoking.work()

    assert "not one I am waiting for" in late[0]
    assert "Too late" == heading(page)
    assert (
        "Your OpenID Connect link has run out. `!api oidc GET /me` was not run" in bench.network.private_texts(ADA)[-1]
    )
    assert [("expired", "expired")] == await flows(bench)
    assert NOTHING == await left(bench)
    assert [line for line in oidc.log_lines() if line.startswith("grant.revoked")]


async def test_a_link_has_its_time(bench: Bench) -> None:
    """A link that nobody opened ends after ten minutes, and a new one can be had."""
    await bench.say("!link oidc")
    old = bench.link_for()
    bench.clock.pass_(601)
    async with HttpBrowser("alice") as browser:
        page = await browser.open(old)
    await bench.say("!link oidc")
    code = await authorise(bench)
    answers = await bench.say(f"!confirm {code}")

    assert (410, "Too late") == (page.status, heading(page))
    assert old != bench.link_for()
    assert answers[0].startswith("Linked OpenID Connect as **alice**.")


async def test_a_code_said_in_a_room_stays_good(bench: Bench, room: Channel) -> None:
    """It is refused there, the room is told nothing about it, and in private it works."""
    await bench.say("!link oidc")
    code = await authorise(bench)
    await bench.say(f"!confirm {code}", ADA, room)
    told = bench.network.private_texts(ADA)[-1]
    answers = await bench.say(f"!confirm {code}")

    assert "Say your code to me in private, not where others read it" in told
    assert ["I have answered you in private."] == bench.network.public_texts()
    assert answers[0].startswith("Linked OpenID Connect as **alice**.")


async def test_a_code_is_for_who_asked(bench: Bench, oidc: OidcServer) -> None:
    """Somebody else who speaks it gets no account, but a warning; the link ends and the token goes back."""
    await bench.say("!link oidc")
    async with HttpBrowser("alice") as browser:
        page = await browser.walk(bench.link_for())
        answers = await bench.say(f"!confirm {code_in(page.text)}", GRACE)
        page = await browser.open(page.url)
    await bench.core.revoking.work()

    assert any("belongs to a link that Ada (fake:u-1) asked for, not you" in text for text in answers)
    assert "was spoken by somebody else" in bench.network.private_texts(ADA)[-1]
    assert "Somebody else had the code" == heading(page)
    assert NOTHING == await left(bench)
    assert [line for line in oidc.log_lines() if line.startswith("grant.revoked")]


async def test_a_wrong_password_is_the_providers_business(bench: Bench) -> None:
    """Logging in may fail and be tried again, in the same browser and with the same link."""
    await bench.say("!link oidc")
    async with HttpBrowser("alice", "pw-of-somebody-else") as browser:
        page = await browser.walk(bench.link_for())
        failed = page.status, await flows(bench)
        browser.password = "pw-alice"
        page = await browser.walk(bench.link_for())
        answers = await bench.say(f"!confirm {code_in(page.text)}")

    assert (401, [("open", "")]) == failed
    assert answers[0].startswith("Linked OpenID Connect as **alice**.")
    assert "active" == (await account_of(bench)).status


async def test_a_link_that_was_used_says_so(bench: Bench) -> None:
    """Opened again after the way was gone to its end, it offers nothing."""
    await bench.say("!link oidc")
    old = bench.link_for()
    await bench.say(f"!confirm {await authorise(bench)}")
    async with HttpBrowser("bob") as browser:
        page = await browser.walk(old)

    assert (410, "Used already", []) == (page.status, heading(page), page.buttons)


async def test_a_new_link_ends_the_old_one(bench: Bench) -> None:
    """`!link` again replaces what was begun, also when it was begun in a browser already."""
    await bench.say("!link oidc")
    async with HttpBrowser("alice") as browser:
        page = await browser.walk(bench.link_for())
        old = code_in(page.text)
        await bench.say("!link oidc")
        page = await browser.open(page.url)
    late = await bench.say(f"!confirm {old}")
    answers = await bench.say(f"!confirm {await authorise(bench)}")

    assert "Replaced" == heading(page)
    assert "not one I am waiting for" in late[0]
    assert answers[0].startswith("Linked OpenID Connect as **alice**.")
