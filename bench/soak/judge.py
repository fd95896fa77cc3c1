"""What must hold in the end, whatever went wrong: compares what people were told with what the service holds."""

from collections import Counter
from collections.abc import Iterator, Sequence

from bench.soak.chaos import Trouble
from bench.soak.people import Order, Person
from omnibot.demo.provider import DemoProvider


def broken(people: Sequence[Person], service: DemoProvider, trouble: Trouble) -> list[str]:
    """Return what does not hold; nothing, where all is well.

    A command that had begun when the bot was killed may have been done or not, and nobody is told: beyond that
    everything that was said is answered, if only when the network is back.  Each person's commands run one after the
    other, so a kill can leave one of each person without an answer.
    """
    return [*_crossed(people, service), *_twice(people, service), *_told_wrongly(people, service),
            *lost(people, trouble)]  # fmt: skip


def _crossed(people: Sequence[Person], service: DemoProvider) -> Iterator[str]:
    """Whether anybody acted as somebody else."""
    for person in people:
        yield from (f"{person.name} was told: {text}" for text in person.wrong)
        for text in service.notes(person.login):
            if not text.startswith(f"{person.name}-"):
                yield f"{text} was written as {person.login}"


def _twice(people: Sequence[Person], service: DemoProvider) -> Iterator[str]:
    """Whether anything was done twice."""
    counted = Counter(text for person in people for text in service.notes(person.login))
    return (f"{text} was written {number} times" for text, number in counted.items() if number > 1)


def _told_wrongly(people: Sequence[Person], service: DemoProvider) -> Iterator[str]:
    """Whether what people were told is true."""
    for person in people:
        notes = set(service.notes(person.login))
        for order in person.orders:
            if order.outcome == "written" and order.note not in notes:
                yield f"{order.note} was said to be written, and is not there"
            if order.outcome == "not run" and order.note in notes:
                yield f"{order.note} was said not to have been run, and is there"


def lost(people: Sequence[Person], trouble: Trouble) -> Iterator[str]:
    """Give what was left without an answer, and had not begun when the bot was killed."""
    for person in people:
        silent = [order for order in person.orders if order.outcome in ("silent", "waiting")]
        kept, spare = (
            person.later,
            [kill for kill in trouble.kills if any(_was_waiting(order, kill) for order in silent)],
        )
        for order in silent:
            kill = next((kill for kill in spare if _was_waiting(order, kill)), None)
            if kill is None and kept:
                kept -= 1
            elif kill is None:
                yield f"{order.note} was never answered"
            else:
                spare.remove(kill)


def _was_waiting(order: Order, moment: float) -> bool:
    return order.asked <= moment <= (order.ended or float("inf"))
