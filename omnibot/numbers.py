"""What the numbers of a list mean, to the person who was shown it.

It is kept in memory alone, and gone at a restart: whoever says a number then is asked for a list first.
"""

from collections import OrderedDict
from collections.abc import Callable, Sequence

from omnibot.errors import UserError

type Owner = tuple[str, ...]
"""Whose list it is, of what: identity, skill, account and the list's name."""

_MOST_CHARACTERS = 4_000_000
_MOST_THINGS = 1000
_LONGEST = 1000
"""Characters of one thing; with a longer one, the list ends."""


class Numbers:
    """The last list of each owner; those that were shown longest ago are forgotten first.

    Invariant: a number means what its own owner was shown, or nothing.
    """

    def __init__(self, most: int = _MOST_CHARACTERS) -> None:
        """Keep *most* characters, over all lists."""
        self._most = most
        self._size = 0
        self._lists: OrderedDict[Owner, tuple[str, ...]] = OrderedDict()

    def keep(self, owner: Owner, things: Sequence[str]) -> None:
        """Let the numbers from 1 on mean *things* to *owner*, in place of what they meant before."""
        kept = tuple(things[:_MOST_THINGS])
        kept = kept[: next((at for at, one in enumerate(kept) if len(one) > _LONGEST), len(kept))]
        self._drop(owner)
        self._lists[owner] = kept
        self._size += _size(owner, kept)
        while self._size > self._most:
            self._drop(next(iter(self._lists)))

    def meant(self, owner: Owner, number: int) -> str:
        """Return what *number* means to *owner*.

        Raises:
            UserError: nothing.
        """
        things = self._lists.get(owner)
        if not things:
            raise UserError("I have shown you no list whose numbers I remember. Ask for the list first.")
        if not 1 <= number <= len(things):
            raise UserError(f"The list that I showed you last has no number {number}; it ends with {len(things)}.")
        return things[number - 1]

    def forget(self, concerns: Callable[[Owner], bool]) -> None:
        """Forget the lists of every owner that *concerns* says yes to."""
        for owner in [one for one in self._lists if concerns(one)]:
            self._drop(owner)

    def _drop(self, owner: Owner) -> None:
        if owner in self._lists:
            self._size -= _size(owner, self._lists.pop(owner))


def _size(owner: Owner, things: Sequence[str]) -> int:
    """Return about how many characters that takes; a list and a thing count a little by themselves."""
    return 200 + sum(map(len, owner)) + sum(len(one) + 60 for one in things)
