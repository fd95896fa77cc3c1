"""`ping` answers everybody, at once."""

from omnibot.identity import Guest
from omnibot.testing.bench import Bench


async def test_it_answers(bench: Bench) -> None:
    """Whoever asks, wherever."""
    room = bench.network.room("ops")

    assert ["pong"] == await bench.say("!ping")
    assert ["pong"] == await bench.say("!ping", Guest("fake", "bob"), room)


async def test_it_takes_nothing(bench: Bench) -> None:
    """More is too much."""
    said = await bench.say("!ping pong")

    assert ["I do not know what to do with `pong`. Usage: `!ping`"] == said
