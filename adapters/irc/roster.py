"""Who is where, and which services account each nick has just now.

It serves only to find where a person can be reached in private, and whether they can read a channel.  Who
*says* something is told by the account on that very message and by nothing in here.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass

MAX_USERS = 100_000
"""How many in the bot's channels are noted; others are strangers, whoever they share a channel with."""

MAX_STRANGERS = 1000
"""How many who share no channel with the bot are remembered, by the last word from them."""


@dataclass(slots=True)
class User:
    """Somebody, as they are seen just now."""

    nick: str
    user: str = ""
    host: str = ""
    account: str | None = None
    """Folded; empty: not logged in; None: not known."""

    channels: int = 0
    """How many of the bot's channels they are in."""

    login: int = 0
    """Counts how often another account, or the same anew, was noted."""

    anew: bool = False
    """Whether they were seen to log in, and not only to be logged in."""

    epoch: str | None = None
    """When the account was registered, as services told since that login; None: not asked yet."""

    told: float = 0.0
    """When they told, by a clock that never goes back."""


class Roster:
    """Users by folded nick, and the folded nicks in each folded channel.

    Whoever is in one of the bot's channels is among the users, up to `MAX_USERS`; whoever is not is a stranger.
    """

    def __init__(self, fold: Callable[[str], str]) -> None:
        """Begin empty; names are compared by *fold*."""
        self._fold = fold
        self._users: dict[str, User] = {}
        self._strangers: OrderedDict[str, User] = OrderedDict()
        self._channels: dict[str, set[str]] = {}

    # ------------------------------------------------------------- asking

    def user(self, nick: str) -> User | None:
        """Return who is called *nick*; None where nobody is known by that."""
        folded = self._fold(nick)
        return self._users.get(folded) or self._strangers.get(folded)

    def in_channel(self, nick: str, channel: str) -> bool:
        """Return whether *nick* is in *channel*."""
        return self._fold(nick) in self._channels.get(self._fold(channel), ())

    def members(self, channel: str) -> list[str]:
        """Return the nicks in *channel*, as they are shown."""
        return [self._users[nick].nick for nick in self._channels.get(self._fold(channel), ())]

    def inside(self, channel: str) -> bool:
        """Return whether the bot is in *channel*."""
        return self._fold(channel) in self._channels

    def nicks(self, account: str) -> list[str]:
        """Return the nicks that are logged in to the folded *account* just now, as they are shown.

        Those who share a channel with the bot come first: of them the network tells when they log out.
        """
        return [user.nick for user in self._everybody() if account and user.account == account]

    def present(self, account: str, channel: str) -> bool:
        """Return whether somebody logged in to the folded *account* is in *channel*."""
        members = self._channels.get(self._fold(channel), ())
        return any(account and self._users[nick].account == account for nick in members)

    def watched(self, nick: str) -> bool:
        """Return whether *nick* shares a channel with the bot."""
        return self._fold(nick) in self._users

    def _everybody(self) -> Iterator[User]:
        yield from self._users.values()
        yield from reversed(self._strangers.values())

    # ----------------------------------------------------------- learning

    def joined(self, nick: str, channel: str) -> None:
        """Note *nick* in *channel*."""
        folded = self._fold(nick)
        user = self._users.get(folded)
        if user is None:
            if len(self._users) >= MAX_USERS:
                return
            user = self._users[folded] = self._strangers.get(folded) or User(nick)
            self._strangers.pop(folded, None)
            user.account = user.epoch = None  # somebody else may have the nick by now: nobody told of it
        members = self._channels.setdefault(self._fold(channel), set())
        if folded not in members:
            members.add(folded)
            user.channels += 1

    def parted(self, nick: str, channel: str) -> None:
        """Note that *nick* is no longer in *channel*."""
        self._leave(self._fold(nick), self._fold(channel))

    def closed(self, channel: str) -> None:
        """Note that the bot is no longer in *channel*, and sees nobody there."""
        folded = self._fold(channel)
        for nick in list(self._channels.get(folded, ())):
            self._leave(nick, folded)
        self._channels.pop(folded, None)

    def opened(self, channel: str) -> None:
        """Note that the bot is in *channel*; who is there has yet to be told."""
        self.closed(channel)
        self._channels[self._fold(channel)] = set()

    def gone(self, nick: str) -> None:
        """Note that *nick* has left the network."""
        folded = self._fold(nick)
        self._strangers.pop(folded, None)
        if self._users.pop(folded, None):
            for members in self._channels.values():
                members.discard(folded)

    def renamed(self, nick: str, to: str) -> None:
        """Note that *nick* is called *to* now."""
        old, new = self._fold(nick), self._fold(to)
        if old != new:
            self.gone(to)  # nobody can take a nick that is in use: whoever is remembered by it has left
        for users in (self._users, self._strangers):
            if old in users:
                users[new] = users.pop(old)
                users[new].nick = to
        for members in self._channels.values():
            if old in members:
                members.remove(old)
                members.add(new)

    def logged_in(self, nick: str, account: str, *, anew: bool = False) -> None:
        """Note the folded *account* of *nick*, perhaps seen to log in *anew*; empty for none.

        Somebody who is not known yet becomes a stranger.
        """
        folded = self._fold(nick)
        user = self._users.get(folded)
        if user is None:
            user = self._strangers.setdefault(folded, User(nick))
            self._strangers.move_to_end(folded)
            while len(self._strangers) > MAX_STRANGERS:
                self._strangers.popitem(last=False)
        if anew or account != user.account:
            user.account, user.anew, user.epoch = account, anew, None
            user.login += 1

    def doubt(self) -> None:
        """Forget who is logged in to what: for a while nobody told when that changed."""
        for user in self._everybody():
            user.account = user.epoch = None

    def moved(self, nick: str, user: str, host: str) -> None:
        """Note the *user* and *host* of *nick*."""
        if known := self.user(nick):
            known.user, known.host = user, host

    def _leave(self, nick: str, channel: str) -> None:
        members = self._channels.get(channel, set())
        if nick not in members:
            return
        members.remove(nick)
        user = self._users[nick]
        user.channels -= 1
        if not user.channels:
            del self._users[nick]  # the network tells nothing of them any more
