"""Who may use which command, where.

A decision takes four steps, and the first that forbids is the last: is it an admins' command; does the
room have the command's skill (`Room`); do the operator's rules allow it (`Rule`), where deny goes before
allow; is the speaker vouched for as the command wants (`Command.minimum`), on a network that is the one
it was.

People are ``network:subject``, with an epoch ``network:subject#epoch``; whoever nobody vouches for is
``network:(guest)``, so that no nick can ever match somebody's rule.  Rooms are ``network:id``, and every
private conversation is ``network:(private)``.  Rooms go by the network's own ids, never by what they are
called: a name can be given to any room.

Where a network takes several spellings of a name for one (`omnibot.adapter.Fold`), what forbids is compared
as widely as any network of that kind compares, and what allows as narrowly: no spelling escapes a denial,
and none is given what somebody else was allowed.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fnmatch import translate
from functools import lru_cache
from typing import Literal

from omnibot.adapter import Fold
from omnibot.command import Command
from omnibot.errors import Denied
from omnibot.identity import Assurance, Guest, Identity, Speaker
from omnibot.message import Channel

SKILL = "skill:"
"""What stands before the name of a skill in `Rule.command`: all of its commands are meant."""

_NOT_ALLOWED = "The operator of this bot does not allow you that command."


@dataclass(frozen=True, slots=True)
class Rule:
    """One line of the operator's policy."""

    who: str
    """Glob over ``network:subject``."""

    command: str
    """Glob over the command's words, ``api *``; or ``skill:`` and a glob over the skill's name."""

    effect: Literal["allow", "deny"]
    channel: str = "*"
    """Glob over ``network:id`` of the room it is said in; ``network:(private)`` for private."""

    level: Assurance | None = None
    """Allow: only what is vouched for at least so strongly.  Deny: only what is vouched for at most so."""

    at: str = field(default="", compare=False)
    """File and line where it is written: ``config.yaml:41``."""


@dataclass(frozen=True, slots=True)
class Room:
    """What the operator says of some rooms; it takes away, and gives nothing."""

    channel: str
    """Glob over ``network:id``."""

    skills: frozenset[str] | None = None
    """The skills there are there; None: all."""

    discreet: bool = False
    """Whether every answer is given in private."""

    at: str = field(default="", compare=False)
    """File and line where it is written."""


@dataclass(frozen=True, slots=True)
class Decision:
    """Whether a command may be used, and by what that was decided."""

    allowed: bool
    why: str = ""
    """What the speaker is told; empty where it is allowed."""

    by: Rule | Room | None = None
    """What decided; None: no rule and no room had a say."""

    hidden: bool = False
    """Whether it is the operator who forbids it: then help does not speak of it, and nobody is offered it."""


class Policy:
    """Decides; says why not in words for the speaker."""

    def __init__(
        self,
        rules: Sequence[Rule] = (),
        admins: Sequence[str] = (),
        rooms: Sequence[Room] = (),
        folds: Mapping[str, Fold] | None = None,
    ) -> None:
        """Follow *rules* and *rooms*; *admins* are qualified identities, compared exactly.

        *folds* tell, by network, how names are compared where several spellings are one.
        """
        self._rules = tuple(rules)
        self._rooms = tuple(rooms)
        self._folds = dict(folds or {})
        self.admins = tuple(map(self._spelled, map(Identity.named, admins)))
        """The identities that the operator named, as their networks spell them."""

        self._admins = frozenset(self.admins)
        self._distrusted: set[str] = set()
        self._naming: dict[tuple[str, tuple[str, ...]], tuple[Rule, ...]] = {}

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
        return self._spelled(identity) in self._admins

    def check(self, speaker: Speaker, assurance: Assurance | None, command: Command, channel: Channel) -> None:
        """Return if *speaker*, vouched for as *assurance* says, may use *command* in *channel*.

        Raises:
            Denied: with the reason, for the speaker.
        """
        decision = self.decide(speaker, assurance, command, channel)
        if not decision.allowed:
            raise Denied(decision.why)

    def allows(self, speaker: Speaker, assurance: Assurance | None, command: Command, channel: Channel) -> bool:
        """Whether `check` would return."""
        return self.decide(speaker, assurance, command, channel).allowed

    def hides(self, speaker: Speaker, assurance: Assurance | None, command: Command, channel: Channel) -> bool:
        """Whether *command* is not spoken of to *speaker* in *channel*: the operator keeps it from them there."""
        return self.decide(speaker, assurance, command, channel).hidden

    def decide(self, speaker: Speaker, assurance: Assurance | None, command: Command, channel: Channel) -> Decision:
        """Return whether *speaker*, vouched for as *assurance* says, may use *command* in *channel*, and why."""
        if command.admin and not (isinstance(speaker, Identity) and self.is_admin(speaker)):
            return Decision(False, f"`{command.name}` is for the admins of this bot.", hidden=True)
        if self._rules or self._rooms:
            decision = self._ruled(speaker, assurance, command, channel)
            if not decision.allowed:
                return decision
        else:
            decision = _ALLOWED
        if command.linked or command.minimum is not None or command.admin:
            why = _lacking(speaker, assurance, command)
            if not why and not self.trusts(speaker.network):
                why = f"{speaker.network} is not the network it was, so I act for nobody there."
            if why:
                return Decision(False, why)
        return decision

    def discreet(self, channel: Channel) -> bool:
        """Whether the operator wants no answers in *channel* that others can read."""
        if not self._rooms or channel.private:
            return False
        return any(one.discreet for one in self.rooms(channel))

    def rooms(self, channel: Channel) -> Iterator[Room]:
        """Give what the operator says of *channel*, in the order of the file."""
        places, fold = _places(channel), self._folds.get(channel.network)
        return (one for one in self._rooms if _any(places, one.channel, fold))

    def about(
        self, speaker: Speaker, assurance: Assurance | None, command: Command, channel: Channel
    ) -> Iterator[Rule]:
        """Give the rules that speak of all four, in the order of the file."""
        places, there = _places(channel), self._folds.get(channel.network)
        fold = self._folds.get(speaker.network)
        for one in self._that_name(command):
            wide = one.effect == "deny"
            if _reaches(one, assurance) and _any(places, one.channel, there, wide) and _is_about(one, speaker, fold):
                yield one

    def _ruled(self, speaker: Speaker, assurance: Assurance | None, command: Command, channel: Channel) -> Decision:
        for room in self.rooms(channel):
            if room.skills is not None and command.skill not in room.skills:
                where = "in private" if channel.private else "in this room"
                return Decision(False, f"`{command.name}` is not to be used {where}.", room, hidden=True)
        said = list(self.about(speaker, assurance, command, channel))
        for one in said:
            if one.effect == "deny":
                return Decision(False, _NOT_ALLOWED, one, hidden=True)
        if said:
            return Decision(True, by=said[0])
        closing = next((one for one in self._that_name(command) if one.effect == "allow"), None)
        return _ALLOWED if closing is None else Decision(False, _NOT_ALLOWED, closing, hidden=True)

    def _spelled(self, identity: Identity) -> Identity:
        """Return *identity* as its network spells it, whoever wrote it."""
        fold = self._folds.get(identity.network)
        return identity if fold is None else replace(identity, subject=fold(identity.subject, wide=False))

    def _that_name(self, command: Command) -> tuple[Rule, ...]:
        """Return the rules that name *command*, looked up once for each: there are few commands, and many messages."""
        key = (command.skill, command.path)
        if key not in self._naming:
            self._naming[key] = tuple(one for one in self._rules if rule_names(one.command, command))
        return self._naming[key]


_ALLOWED = Decision(True)


def rule_names(pattern: str, command: Command) -> bool:
    """Whether *pattern*, as `Rule.command` is written, names *command*."""
    if pattern.startswith(SKILL):
        return _matches(command.skill, pattern.removeprefix(SKILL))
    return _matches(command.name, pattern) or _matches(f"{command.name} ", pattern)


def _is_about(rule: Rule, speaker: Speaker, fold: Fold | None) -> bool:
    """Whether *rule* is about *speaker*.

    A rule that names no epoch forbids in every epoch, and allows only where there is none: an
    account that was dropped and registered anew inherits no right (A25).
    """
    wide = rule.effect == "deny"
    if isinstance(speaker, Guest):
        return _matches(f"{speaker.network}:(guest)", rule.who, fold, wide)
    plain = f"{speaker.network}:{speaker.subject}"
    return _matches(str(speaker), rule.who, fold, wide) or (wide and _matches(plain, rule.who, fold, wide))


def _reaches(rule: Rule, assurance: Assurance | None) -> bool:
    """Whether *rule* speaks of messages that are vouched for as *assurance* says."""
    if rule.level is None:
        return True
    if rule.effect == "deny":
        return assurance is None or assurance <= rule.level
    return assurance is not None and assurance >= rule.level


def _places(channel: Channel) -> tuple[str, ...]:
    """Return what *channel* is called in patterns: a thread goes by its channel, too.

    So does an answer that only one person reads in a channel (Discord), which is private besides.
    """
    here = f"{channel.network}:{'(private)' if channel.private else channel.id}"
    return (here, *(f"{channel.network}:{one}" for one in channel.within)) if channel.within else (here,)


def _any(names: Iterable[str], pattern: str, fold: Fold | None, wide: bool = True) -> bool:
    return pattern == "*" or any(_matches(one, pattern, fold, wide) for one in names)


def _matches(name: str, pattern: str, fold: Fold | None = None, wide: bool = True) -> bool:
    if fold is None:
        return _compiled(pattern).match(name) is not None
    return _compiled(_folded(fold, pattern, wide)).match(fold(name, wide=wide)) is not None


@lru_cache(10_000)
def _folded(fold: Fold, pattern: str, wide: bool) -> str:
    return fold(pattern, wide=wide)


@lru_cache(10_000)
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(translate(pattern.replace("[", "[[]")))


def _lacking(speaker: Speaker, assurance: Assurance | None, command: Command) -> str:
    """Return what *command* lacks of *speaker*, in words for them; nothing if nothing."""
    if isinstance(speaker, Guest) or assurance is None:
        return (
            f"`{command.name}` needs to know who you are, and {speaker.network} does not vouch for you. "
            "Log in to its account services first, then try again."
        )
    if command.minimum is not None and assurance < command.minimum:
        return f"`{command.name}` needs a stronger proof of who you are than {speaker.network} gives."
    return ""
