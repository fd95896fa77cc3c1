"""Who may use which command.

First what a command wants of a message (`minimum`), then the operator's rules, deny
before allow.  Rules name identities as ``network:subject`` with ``*`` and ``?``; a guest
is ``network:(guest)``, so that no nick can ever match somebody's rule.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Literal

from omnibot.command import Command
from omnibot.errors import Denied
from omnibot.identity import Assurance, Guest, Identity, Speaker


@dataclass(frozen=True, slots=True)
class Rule:
    """One line of the operator's policy."""

    who: str
    """Glob over ``network:subject``."""

    command: str
    """Glob over the command's words: ``api *``."""

    effect: Literal["allow", "deny"]


class Policy:
    """Decides; says why not in words for the speaker."""

    def __init__(self, rules: Sequence[Rule] = (), admins: Sequence[str] = ()) -> None:
        """Follow *rules*; *admins* are qualified identities, compared exactly."""
        self._rules = tuple(rules)
        self._admins = frozenset(admins)
        self._distrusted: set[str] = set()

    def distrust(self, network: str) -> None:
        """Refuse what acts as people on *network*: it is not the one it was (A65)."""
        self._distrusted.add(network)

    def trusts(self, network: str) -> bool:
        """Whether people known on *network* are who they were."""
        return network not in self._distrusted

    def trust(self, network: str) -> None:
        """Take `distrust` back."""
        self._distrusted.discard(network)

    def is_admin(self, identity: Identity) -> bool:
        """Whether the operator named *identity* as an admin."""
        return str(identity) in self._admins

    def check(self, speaker: Speaker, assurance: Assurance | None, command: Command) -> None:
        """Return if *speaker*, vouched for as *assurance* says, may use *command*.

        Raises:
            Denied: with the reason, for the speaker.
        """
        if command.linked or command.minimum is not None:
            _check_minimum(speaker, assurance, command)
            if not self.trusts(speaker.network):
                raise Denied(f"{speaker.network} is not the network it was, so I act for nobody there.")
        if self._rules and not self._allowed(speaker, command):
            raise Denied("The operator of this bot does not allow you that command.")

    def allows(self, speaker: Speaker, assurance: Assurance | None, command: Command) -> bool:
        """Whether `check` would return."""
        try:
            self.check(speaker, assurance, command)
        except Denied:
            return False
        return True

    def _allowed(self, speaker: Speaker, command: Command) -> bool:
        said = {one.effect for one in self._rules if _is_about(one, speaker) and _names(one.command, command)}
        return "deny" not in said and ("allow" in said or not self._closed(command))

    def _closed(self, command: Command) -> bool:
        """Whether some rule allows *command* by name: then it is for those alone."""
        return any(one.effect == "allow" and _names(one.command, command) for one in self._rules)


def _is_about(rule: Rule, speaker: Speaker) -> bool:
    """Whether *rule* is about *speaker*.

    A rule that names no epoch forbids in every epoch, and allows only where there is none: an
    account that was dropped and registered anew inherits no right (A25).
    """
    if isinstance(speaker, Guest):
        return _matches(f"{speaker.network}:(guest)", rule.who)
    plain = f"{speaker.network}:{speaker.subject}"
    return _matches(str(speaker), rule.who) or (rule.effect == "deny" and _matches(plain, rule.who))


def _matches(name: str, pattern: str) -> bool:
    return fnmatchcase(name, pattern.replace("[", "[[]"))


def _names(pattern: str, command: Command) -> bool:
    return _matches(command.name, pattern) or _matches(f"{command.name} ", pattern)


def _check_minimum(speaker: Speaker, assurance: Assurance | None, command: Command) -> None:
    if isinstance(speaker, Guest) or assurance is None:
        raise Denied(
            f"`{command.name}` needs to know who you are, and {speaker.network} does not vouch for you. "
            "Log in to its account services first, then try again."
        )
    if command.minimum is not None and assurance < command.minimum:
        raise Denied(f"`{command.name}` needs a stronger proof of who you are than {speaker.network} gives.")
