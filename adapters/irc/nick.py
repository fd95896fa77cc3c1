"""The bot's own nick: another one where it is taken, and the right one again as soon as it is free."""

from collections.abc import Callable
from math import inf

from adapters.irc.effects import Drop, Refused
from adapters.irc.isupport import Isupport
from adapters.irc.lines import Line
from adapters.irc.wire import Wire

FIRST_PAUSE = 15.0
LONGEST_PAUSE = 600.0
"""Seconds between two tries to get the nick back; the first ones are closer."""

_OLD_LIMIT = 9
"""Characters of a nick by RFC 1459."""

_TRIES = 12


class Nick:
    """Which nick the bot wants, has, and tries next."""

    def __init__(
        self, wire: Wire, isupport: Isupport, wanted: str, logged_in: Callable[[], bool], service: str
    ) -> None:
        """Want *wanted*; *logged_in* tells whether *service* knows the bot, and would free its nick for it."""
        self.current = ""
        """The nick on this connection; empty before the network gave one."""

        self.next_tick = inf
        self._wire = wire
        self._isupport = isupport
        self._wanted = wanted
        self._logged_in = logged_in
        self._service = service
        self._limit = len(wanted) + 2
        self._tries = 0
        self._held = False
        """Whether services hold the nick, rather than somebody using it."""

    @property
    def wanted(self) -> str:
        """The nick to have, as long as the network allows."""
        return self._wanted[: self._isupport.nick_limit or self._limit]

    def is_me(self, nick: str) -> bool:
        """Return whether *nick* is the bot's own just now."""
        return bool(self.current) and self._isupport.fold(nick) == self._isupport.fold(self.current)

    # ----------------------------------------------------------- register

    def introduce(self) -> None:
        """Ask for a nick; for the next one, if that was taken."""
        self._wire.send("NICK", self._candidate(), urgent=True)

    def _candidate(self) -> str:
        ending = ("", "_", "__")[self._tries] if self._tries < 3 else str(self._tries)
        return self._wanted[: max(self._limit - len(ending), 1)] + ending

    def taken(self, line: Line) -> None:
        """Go on after 433 (in use), 436 (collision), 437 (held) or 432 (erroneous)."""
        self._held = line.command == "437"
        if self.current:  # a try to get it back: the next one is set already
            return
        if line.command == "432":
            self._erroneous()
            return
        self._tries += 1
        if self._tries > _TRIES:
            self._wire.do(Drop(f"the nick {self._wanted} and {_TRIES} like it are all taken"))
        else:
            self.introduce()

    def _erroneous(self) -> None:
        if self._limit <= _OLD_LIMIT:
            cure = "Give this network another nick in the configuration: short, and of ASCII letters."
            self._wire.do(Refused(f"the network does not allow the nick {self._candidate()}", cure))
            return
        self._limit = _OLD_LIMIT  # too long, most likely: the server tells its limit only later
        self.introduce()

    def welcomed(self, nick: str) -> None:
        """Note the *nick* that the network gave."""
        self.current = nick
        self._tries = 0

    # ------------------------------------------------------------- regain

    def settle(self) -> None:
        """Look, once the network let the bot in, whether the nick is the right one; get it back if it is not."""
        if self.is_me(self.wanted):
            self.next_tick = inf
            self._tries = 0
            self._held = False
        elif self.next_tick == inf:
            self._tries = 0
            self.next_tick = self._wire.now + (1.0 if self._logged_in() else FIRST_PAUSE)

    def renamed(self, nick: str) -> None:
        """Note that the bot is called *nick* now, by its own wish or another's."""
        self.current = nick
        self.settle()

    def freed(self, nick: str) -> None:
        """Take the wanted nick, if it is *nick* that somebody just gave up."""
        if self.next_tick < inf and self._isupport.fold(nick) == self._isupport.fold(self.wanted):
            self.next_tick = self._wire.now

    def tick(self) -> None:
        """Try to get the nick back, when it is time."""
        if self._wire.now < self.next_tick or not self.current:
            return
        self._tries += 1
        self.next_tick = self._wire.now + min(FIRST_PAUSE * 2 ** min(self._tries, 10), LONGEST_PAUSE)
        if self._logged_in():  # the login proves who asks: no password goes anywhere
            # By turns, for services differ in which they have; a nick is never asked for once only.
            command = "RELEASE" if self._held else ("REGAIN", "GHOST")[self._tries % 2]
            self._wire.send("PRIVMSG", self._service, f"{command} {self.wanted}")
        self._wire.send("NICK", self.wanted)
