"""A question has one answer: of who was asked, where they were asked, vouched for no less."""

import asyncio
from dataclasses import replace

import pytest

from omnibot import dialogs as module
from omnibot.dialogs import Cancelled, Dialogs
from omnibot.identity import Assurance, Guest
from omnibot.message import Channel, Message
from omnibot.testing.bench import ADA, GRACE

ROOM, OTHER, DM = Channel("fake", "ops"), Channel("fake", "other"), Channel("fake", "dm", private=True)
ASKED = Message("fake", "1", ADA, ROOM, "!ask", 0.0, Assurance.STRONG)


@pytest.fixture
def dialogs() -> Dialogs:
    return Dialogs()


async def asking(dialogs: Dialogs, message: Message = ASKED, *, private: bool = False) -> asyncio.Task[Message]:
    task = asyncio.create_task(dialogs.wait(message, private=private))
    await asyncio.sleep(0)
    return task


def said(**changes: object) -> Message:
    return replace(ASKED, id="2", text="yes", **changes)  # type: ignore[arg-type]


async def test_the_answer_is_the_next_message(dialogs: Dialogs) -> None:
    """Once; then nobody is being asked."""
    task = await asking(dialogs)
    waiting = bool(dialogs)
    first, second = dialogs.offer(said()), dialogs.offer(said())
    answer = await task

    assert (True, True, False) == (waiting, first, second)
    assert "yes" == answer.text
    assert not dialogs


@pytest.mark.parametrize(
    "message",
    [
        said(speaker=GRACE),
        said(speaker=Guest("fake", "u-1")),
        said(speaker=replace(ADA, epoch="later")),
        said(channel=OTHER),
        said(channel=DM),
        said(assurance=Assurance.ACCOUNT),
        said(assurance=None),
    ],
)
async def test_what_is_no_answer_is_not_taken(dialogs: Dialogs, message: Message) -> None:
    """Another's, from elsewhere, or vouched for less; the question goes on waiting."""
    task = await asking(dialogs)
    taken = dialogs.offer(message)
    waits = not task.done()
    dialogs.offer(said())
    await task

    assert (False, True) == (taken, waits)


async def test_a_private_question_is_answered_in_any_private_channel(dialogs: Dialogs) -> None:
    """Not in the room it came from."""
    task = await asking(dialogs, private=True)

    assert not dialogs.offer(said())
    assert dialogs.offer(said(channel=DM))
    assert "yes" == (await task).text


async def test_a_guests_answer_is_as_unvouched_for_as_the_question(dialogs: Dialogs) -> None:
    """More would be no harm."""
    guest = replace(ASKED, speaker=Guest("fake", "bob"), assurance=None)
    task = await asking(dialogs, guest)

    assert dialogs.offer(replace(guest, text="yes"))
    assert "yes" == (await task).text


async def test_a_new_command_cancels_where_it_was_said(dialogs: Dialogs) -> None:
    """In a room the room's question, in private that and the private one."""
    room, dm, private = await asking(dialogs), await asking(dialogs, replace(ASKED, channel=DM)), None
    private = await asking(dialogs, private=True)
    dialogs.cancel(said(channel=OTHER))
    await asyncio.sleep(0)
    untouched = [task.done() for task in (room, dm, private)]
    dialogs.cancel(said())
    await asyncio.sleep(0)
    in_room = [task.done() for task in (room, dm, private)]
    dialogs.cancel(said(channel=DM))
    done = await asyncio.gather(room, dm, private, return_exceptions=True)

    assert [False] * 3 == untouched
    assert [True, False, False] == in_room
    assert [Cancelled] * 3 == [type(one) for one in done]


async def test_a_second_question_in_one_place_cancels_the_first(dialogs: Dialogs) -> None:
    """There is one at a time; the answer is the second's."""
    first, second = await asking(dialogs), await asking(dialogs)
    dialogs.offer(said())

    assert "yes" == (await second).text
    with pytest.raises(Cancelled):
        await first
    assert not dialogs


async def test_a_pick_may_come_before_the_receipt_of_the_question(dialogs: Dialogs) -> None:
    """Of who is asked, for this question; what is typed so early was not said to it."""
    with dialogs.asking("q1"):
        open_already = bool(dialogs)
        taken = [
            dialogs.offer(said(picks="q1", speaker=GRACE)),
            dialogs.offer(said(picks="q1", channel=OTHER)),
            dialogs.offer(said(picks="q0")),
            dialogs.offer(said()),
            dialogs.offer(said(picks="q1")),
        ]
        async with asyncio.timeout(1):
            answer = await dialogs.wait(ASKED, private=False, question="q1")

    assert open_already
    assert [True, True, False, False, True] == taken
    assert said(picks="q1") == answer
    assert not dialogs
    assert not dialogs.offer(said(picks="q1"))


async def test_anothers_pick_is_early_no_longer_once_the_question_waits(dialogs: Dialogs) -> None:
    """They are told that it is not theirs to answer."""
    with dialogs.asking("q1"):
        task = asyncio.create_task(dialogs.wait(ASKED, private=False, question="q1"))
        await asyncio.sleep(0)
        taken = [dialogs.offer(said(picks="q1", speaker=GRACE)), dialogs.offer(said(picks="q1"))]
        await task

    assert [False, True] == taken


async def test_picks_that_come_early_are_not_kept_without_bound(dialogs: Dialogs) -> None:
    """Whoever reads a question in a room can press its buttons."""
    with dialogs.asking("q1"):
        assert 10 == sum(dialogs.offer(said(picks="q1", speaker=GRACE)) for _ in range(50))


async def test_nothing_for_two_minutes_cancels(dialogs: Dialogs, monkeypatch: pytest.MonkeyPatch) -> None:
    """And then nobody is being asked."""
    assert 120.0 == module.ANSWER_SECONDS

    monkeypatch.setattr(module, "ANSWER_SECONDS", 0.001)
    with pytest.raises(Cancelled):
        await dialogs.wait(ASKED, private=False)
    assert not dialogs
    assert not dialogs.offer(said())


async def test_who_stops_asking_leaves_nothing_behind(dialogs: Dialogs) -> None:
    """As when the command is stopped at the end of the bot."""
    task = await asking(dialogs)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert not dialogs
    assert not dialogs.offer(said())


async def test_a_cancelled_question_is_no_error_that_a_skill_catches() -> None:
    """`except Exception` must not go on as if there had been an answer."""
    assert not issubclass(Cancelled, Exception)


async def test_an_answer_to_a_question_that_has_just_ended_is_none(dialogs: Dialogs) -> None:
    """The two came at the same moment."""
    task = await asking(dialogs)
    dialogs.cancel(said())

    assert not dialogs.offer(said())
    dialogs.cancel(said())
    with pytest.raises(Cancelled):
        await task
