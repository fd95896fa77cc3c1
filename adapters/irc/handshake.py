"""From the first line to the welcome: capabilities, login to services, Strict Transport Security.

Sources: IRCv3 "Capability Negotiation" 302, "SASL Authentication" 3.2, "Strict Transport Security".
``CAP LS 302`` is the very first line.  Over TLS nick and user follow at once; over a plain connection they
wait until the server has shown its capabilities, for it may want the bot to come back over TLS.
"""

from collections.abc import Callable
from math import inf

from adapters.irc.effects import Drop, Refused, Upgrade
from adapters.irc.lines import Line, is_word
from adapters.irc.nick import Nick
from adapters.irc.sasl import Exchange, SaslError, mechanism
from adapters.irc.settings import Settings
from adapters.irc.sts import Sts
from adapters.irc.wire import Wire

WANTED = (
    "account-notify",
    "account-tag",
    "batch",
    "cap-notify",
    "chghost",
    "echo-message",
    "extended-join",
    "invite-notify",
    "labeled-response",
    "message-tags",
    "multi-prefix",
    "server-time",
    "setname",
)
"""What is asked for where it is offered; ``sasl`` as well, by who is to log in.  ``sts`` is never asked for."""

REGISTRATION_TIME = 60.0
"""Seconds from the connection to the welcome."""

SASL_TIME = 30.0
"""Seconds for an answer of the services."""

SILENT_CAP_TIME = 5.0
"""Seconds after which a server that says nothing to CAP has none."""

_MAX_OFFERED = 500

_SASL_FAILED = {
    "902": "the nick is locked",
    "904": "services did not accept the name and password, key or certificate",
    "905": "the answer was too long for the network",
    "908": "the network does not have that mechanism",
}


class Handshake:
    """One connection's."""

    def __init__(
        self, wire: Wire, settings: Settings, nick: Nick, sts: Sts, *, secure: bool, wall: Callable[[], float]
    ) -> None:
        """Register as *nick* over a connection that is TLS if *secure*; *wall* tells Unix time."""
        self.enabled: set[str] = set()
        """The capabilities in force."""

        self.registered = False
        self.authenticated = False
        """Whether services know the bot."""

        self._wire, self._settings, self._nick, self._sts = wire, settings, nick, sts
        self._secure, self._wall = secure, wall
        self._offered: dict[str, str] = {}
        self._listing: dict[str, str] = {}
        self._listed = False
        self._introduced = False
        self._ended = False
        self._asked: list[set[str]] = []
        """What each CAP REQ under way asks for."""

        self._exchange: Exchange | None = None
        self._without_login = False
        self._welcome_by = wire.now + REGISTRATION_TIME
        self._introduce_by = inf if secure else wire.now + SILENT_CAP_TIME
        self._sasl_by = inf

    def begin(self) -> None:
        """Send the first lines."""
        self._wire.send("CAP", "LS", "302", urgent=True)
        if self._secure:
            self._introduce()

    def _introduce(self) -> None:
        if self._introduced or not self._wire.open:
            return
        self._introduced = True
        self._introduce_by = inf
        if self._settings.password:
            self._wire.send("PASS", self._settings.password.value, urgent=True)
        self._nick.introduce()
        self._wire.send("USER", self._settings.username, "0", "*", self._settings.realname, urgent=True)

    # -------------------------------------------------------------- timers

    @property
    def next_tick(self) -> float:
        """When something is overdue."""
        return min(self._introduce_by, self._sasl_by, inf if self.registered else self._welcome_by)

    def tick(self) -> None:
        """Go on, or give up, where the server said nothing."""
        now = self._wire.now
        if now >= self._introduce_by:
            self._introduce()
        if now >= self._sasl_by:
            self._stop_sasl()
            self._no_login("services did not answer the login")
            self._maybe_end()
        if not self.registered and now >= self._welcome_by:
            self._wire.do(Drop(f"no welcome within {REGISTRATION_TIME:.0f} seconds"))

    # ------------------------------------------------------- capabilities

    def cap(self, line: Line) -> None:
        """Take a CAP."""
        more = line.param(2) == "*" and len(line.params) > 3
        words = line.param(3 if more else 2).split() if len(line.params) > 2 else []
        match line.param(1).upper():
            case "LS":
                self._list(words, more)
            case "NEW":
                self._offer(_with_values(words))
            case "DEL":
                self._withdraw({word.partition("=")[0] for word in words})
            case "ACK":
                self._acknowledged(words)
            case "NAK":
                self._refused(words)

    def no_cap(self) -> None:
        """Go on with a server that does not know CAP, or that request (421, 410)."""
        self._introduce()
        self._asked.clear()
        self._maybe_end()

    def not_registered(self) -> None:
        """Take 451, with which old servers answer to CAP before anything else."""
        self._introduce()

    def _list(self, words: list[str], more: bool) -> None:
        if len(self._listing) < _MAX_OFFERED:
            self._listing |= _with_values(words)
        if more:
            return
        found, self._listing = self._listing, {}
        self._listed = True
        self._offer(found)
        self._introduce()
        self._maybe_end()

    def _offer(self, found: dict[str, str]) -> None:
        if "sts" in found and self._strict(found["sts"]):
            return
        if len(self._offered) < _MAX_OFFERED:
            self._offered |= found
        under_way = set().union(*self._asked)
        wanted = [name for name in WANTED if name in found and name not in self.enabled | under_way]
        sasl_due = self._settings.sasl and not self.authenticated and not self._exchange
        if sasl_due and "sasl" in found and "sasl" not in under_way:
            if "sasl" in self.enabled:  # it came back with other mechanisms
                self._log_in()
            else:
                wanted.append("sasl")
        if wanted:
            self._ask(wanted)

    def _strict(self, value: str) -> bool:
        """Follow the server's STS policy; return whether the connection ends by it."""
        if self._secure:
            for effect in self._sts.learn(value, self._wall()):
                self._wire.do(effect)
            return False
        port = self._sts.upgrade(value)
        if port is not None:
            self._wire.do(Upgrade(port))
        return port is not None

    def _ask(self, names: list[str]) -> None:
        self._asked.append(set(names))
        self._wire.send("CAP", "REQ", " ".join(names), urgent=True)

    def _withdraw(self, names: set[str]) -> None:
        names.discard("sts")  # the specification: a policy ends by its duration only
        self.enabled -= names
        for name in names:
            self._offered.pop(name, None)

    def _acknowledged(self, words: list[str]) -> None:
        for word in words:
            name = word.lstrip("-~=")
            asked = [one for one in self._asked if name in one]
            if word.startswith("-"):
                self.enabled.discard(name)
            elif asked:
                self.enabled.add(name)
                asked[0].discard(name)
                if name == "sasl":
                    self._log_in()
        self._asked = [one for one in self._asked if one]
        self._maybe_end()

    def _refused(self, words: list[str]) -> None:
        """A group is refused as a whole: ask for each by itself then, to have what can be had."""
        names = set(words)
        group = next((one for one in self._asked if one & names), self._asked[0] if self._asked and not names else None)
        if group is None:
            return
        self._asked.remove(group)
        if len(group) > 1:
            for name in sorted(group):
                self._ask([name])
        self._maybe_end()

    def _maybe_end(self) -> None:
        """End the negotiation when nothing is under way."""
        if self._asked or self._exchange or self._ended or self.registered or not self._listed:
            return
        if not self._login_settled:
            self._no_login("the network offers no login just now")
        if not self._wire.open:
            return
        self._ended = True
        self._wire.send("CAP", "END", urgent=True)

    # ---------------------------------------------------------------- SASL

    @property
    def _login_settled(self) -> bool:
        return self._settings.sasl is None or self.authenticated or self._without_login

    def _no_login(self, why: str) -> None:
        """Do without a login, or come back later: services may be down, and will not be for ever."""
        if self._settings.require_sasl and not self.registered:
            self._wire.say(f"{why}: staying away until that is mended, for require_sasl is on")
            self._wire.do(Drop(why))
        else:
            self._go_without(why)

    def _go_without(self, why: str) -> None:
        self._without_login = True
        self._wire.say(f"{why}: going on without a login")

    def _log_in(self) -> None:
        options = self._settings.sasl
        if options is None or self.authenticated or self._exchange is not None:
            return
        offered = [name.upper() for name in self._offered.get("sasl", "").split(",") if name]
        if offered and options.mechanism not in offered:
            self._login_failed(f"the network logs in by {', '.join(offered)[:100]} and not by {options.mechanism}")
            return
        self._exchange = Exchange(mechanism(options))
        self._sasl_by = self._wire.now + SASL_TIME
        self._wire.send("AUTHENTICATE", options.mechanism, urgent=True)

    def authenticate(self, line: Line) -> None:
        """Take a challenge."""
        if self._exchange is None:
            return
        self._sasl_by = self._wire.now + SASL_TIME
        try:
            chunks = self._exchange.feed(line.param(0))
        except SaslError as error:
            self._wire.send("AUTHENTICATE", "*", urgent=True)
            self._login_failed(str(error))
            return
        for chunk in chunks:
            self._wire.send("AUTHENTICATE", chunk, urgent=True)

    def logged_in(self, line: Line) -> None:
        """Take 903 (success) or 907 (already)."""
        if self._exchange is None:
            return
        if line.command == "903" and not self._exchange.done:
            self._login_failed("the server told of success before it proved that it knows the password")
            return
        self._stop_sasl()
        self.authenticated = True
        self._maybe_end()

    def logged_out(self) -> None:
        """Take 901."""
        self.authenticated = False

    def sasl_failed(self, line: Line) -> None:
        """Take 902, 904, 905, 906 or 908.

        By 906 servers tell that services are gone: the bot itself breaks off no login that it goes on with.
        """
        if self._exchange is None:
            return
        if line.command != "906":
            self._login_failed(_SASL_FAILED[line.command])
            return
        self._stop_sasl()
        self._no_login("services broke the login off")
        self._maybe_end()

    def _login_failed(self, why: str) -> None:
        self._stop_sasl()
        if self._settings.require_sasl and not self.registered:
            cure = "Correct sasl in the configuration of this network, or set require_sasl: false."
            self._wire.do(Refused(f"the login failed: {why}", cure))
            return
        self._go_without(f"the login failed: {why}")
        self._maybe_end()

    def _stop_sasl(self) -> None:
        self._exchange = None
        self._sasl_by = inf

    # ------------------------------------------------------------- welcome

    def unknown_command(self, line: Line) -> None:
        """Take 421: some command of ours is not known here."""
        match line.param(1).upper():
            case "CAP":
                self.no_cap()
            case "AUTHENTICATE" if self._exchange is not None:
                self._login_failed("the network knows no login")

    def welcomed(self, line: Line) -> None:
        """Take 001."""
        nick = line.param(0)
        if self.registered or not is_word(nick):
            return
        self._stop_sasl()
        if self._settings.sasl and self._settings.require_sasl and not self.authenticated:
            cure = "Remove sasl from the configuration of this network, or set require_sasl: false."
            self._wire.do(Refused("the network lets nobody log in while connecting", cure))
            return
        self.registered = True
        self._introduced = True
        self._introduce_by = inf
        self._nick.welcomed(nick)


def _with_values(words: list[str]) -> dict[str, str]:
    """Return capabilities, each with its value: the first, where one comes twice."""
    found: dict[str, str] = {}
    for word in words:
        name, _, value = word.partition("=")
        found.setdefault(name, value)
    return found
