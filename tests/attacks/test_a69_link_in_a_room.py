"""A69, our own link said in a room.

Somebody says a `/l/` link where others read it, by mistake or to have it clicked; or sends it to a
victim, who asks the bot about it in private.

What must hold: wherever the bot hears one of its links from anybody but the one it was sent to, alone,
the link is burnt and the bot says why.  Its page then says so too, and whoever asked is told.
The owner may say it in their own private chat.

What remains: a link passed on where the bot does not hear.
"""

import pytest

from adapters.matrix import speech
from attacks.helpers import audited, ends, fetch
from omnibot.demo.browser import Browser
from omnibot.linking.confirming import Confirming
from omnibot.message import Message
from omnibot.testing.bench import ADA, GRACE, MALLORY, Bench

BURNT = "it is burnt now"


async def _blind(self: Confirming, message: Message) -> bool:
    return False


def blind(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Confirming, "spot", _blind)


@pytest.mark.attack("A69", sabotage=blind)
@pytest.mark.parametrize("text", ["{}", "look: {} !!", "<{}>", "[here]({})", "> {}", "!ping {}", "`{}`"])
async def test_a_link_said_in_a_room_is_burnt(bench: Bench, text: str) -> None:
    """However it is wrapped, the room hears that it is burnt, its page opens no more, and the asker hears why."""
    await bench.say("!notes", MALLORY)
    link = bench.link_for(MALLORY)
    room = bench.network.room("general", ADA, GRACE, MALLORY)

    said = await bench.say(text.format(link), MALLORY, room)

    assert 1 == len([one for one in said if BURNT in one])
    assert [("refused", "seen")] == await ends(bench)
    assert 410 == (await fetch(link)).status
    assert "where others can read it" in bench.network.private_texts(MALLORY)[-1]
    assert "was not run" in bench.network.private_texts(MALLORY)[-1]
    assert [{"instance": "default", "provider": "demo", "reason": "seen"}] == await audited(bench, "link.refused")


@pytest.mark.attack("A69", sabotage=blind)
async def test_somebody_elses_link_is_burnt_in_private_too(bench: Bench) -> None:
    """A victim who shows the bot the link that Mallory sent them has ended it."""
    await bench.say("!link demo", MALLORY)
    link = bench.link_for(MALLORY)

    said = await bench.say(f"what is {link}", GRACE)

    assert 1 == len([one for one in said if BURNT in one])
    assert [("refused", "seen")] == await ends(bench)


def words_alone(patch: pytest.MonkeyPatch) -> None:
    """Look at nothing but what was said."""
    patch.setattr(speech, "_shown", lambda content: "")


@pytest.mark.attack("A69", sabotage=words_alone)
@pytest.mark.parametrize(
    "formatted", ['<a href="{}">the minutes</a>', "<A HREF = '{}'>x</A>", "see {} there", "<p><a href={}>x</a>"]
)
@pytest.mark.parametrize("instead", ["/l/", "&#x2F;l&#47;", f"&#{'0' * 5000}47;l/", "/%6c/"])
async def test_a_link_behind_other_words_is_burnt(bench: Bench, formatted: str, instead: str) -> None:
    """As Matrix clients show it: the words beside it say nothing of it."""
    await bench.say("!link demo", MALLORY)
    link = bench.link_for(MALLORY)
    room = bench.network.room("general", ADA, GRACE, MALLORY)
    content = {
        "msgtype": "m.text",
        "body": "the minutes",
        "format": "org.matrix.custom.html",
        "formatted_body": formatted.format(link.replace("/l/", instead)),
    }
    heard = speech.hear({"type": "m.room.message", "content": content}, speech.Me("@bot:hs.test", ()))
    assert heard is not None
    before = len(bench.network.said)
    await bench.network.hear(heard.text, MALLORY, room, shown=heard.shown)
    await bench.settle()
    said = [one.reply.text for one in bench.network.said[before:]]

    assert 1 == len([one for one in said if BURNT in one])
    assert [("refused", "seen")] == await ends(bench)


@pytest.mark.attack("A69", sabotage=blind)
async def test_a_browser_under_way_gets_no_further(bench: Bench) -> None:
    """Who had opened the link before it was said in the room cannot finish either."""
    await bench.say("!link demo", MALLORY)
    link = bench.link_for(MALLORY)
    async with Browser() as victim:
        await victim.open(link)
        await victim.press("Continue")
        await bench.say(link, MALLORY, bench.network.room("general", MALLORY, GRACE))
        await bench.consent(victim, "victim")

    assert "" == victim.code
    assert [("refused", "seen")] == await ends(bench)


@pytest.mark.attack("A69")
async def test_its_owner_may_say_it_in_private(bench: Bench) -> None:
    """Ada's own link, said to the bot alone, stays good; so does one that merely looks alike in a room."""
    await bench.say("!link demo")
    link = bench.link_for()
    other = link[:-4] + "AAAA"
    room = bench.network.room("general", ADA, GRACE)

    await bench.say(link)
    said = await bench.say(other, MALLORY, room)

    assert [] == said
    assert [("open", "")] == await ends(bench)
    assert 200 == (await fetch(link)).status
