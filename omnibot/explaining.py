"""``omnibot check --as``: who may use a command where, and which line of the configuration says so.

Nothing runs for it and nobody is asked: it is the decision that the bot would make, made from the same
configuration by the same `omnibot.policy`.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from omnibot.adapter import Fold
from omnibot.command import Command, Commands
from omnibot.config import Settings
from omnibot.errors import ConfigError, Problem, UserError
from omnibot.identity import Assurance, Guest, Identity, Speaker
from omnibot.message import Channel
from omnibot.policy import Decision, Policy, Room, Rule, rule_names
from omnibot.skill import Skill

_GUEST = "(guest)"
_PRIVATE = "(private)"


@dataclass(frozen=True, slots=True)
class _Form:
    """What a network's ids look like; patterns may have ``*`` and ``?`` anywhere in them."""

    pattern: re.Pattern[str]
    what: str
    example: str


_PEOPLE: Mapping[str, _Form] = {
    "discord": _Form(re.compile(r"[0-9*?]+"), "people are numbers on Discord", "123456789"),
    "irc": _Form(re.compile(r"[^ ,:#&][^ ,:]*"), "people are known by their services account", "alice"),
    "matrix": _Form(
        re.compile(r"(?=.*[:*])[@*?].*"), "Matrix ids have @ and the name of a homeserver", "@alice:example.org"
    ),
}
"""By adapter."""

_ROOMS: Mapping[str, _Form] = {
    "discord": _Form(re.compile(r"[0-9*?]+"), "rooms go by their ids, which are numbers", "123456789"),
    "irc": _Form(re.compile(r"[#&+!*?].*"), "channels begin with #", "#team"),
    "matrix": _Form(re.compile(r"[!*?].*"), "rooms go by their ids, which begin with !", "!abc:example.org"),
}
"""By adapter."""


@dataclass(frozen=True, slots=True)
class Explained:
    """What is decided, and why."""

    allowed: bool
    """Whether it is, however the message is vouched for."""

    lines: tuple[str, ...]


def explain(
    settings: Settings,
    skills: Sequence[Skill],
    who: str,
    line: str,
    where: str = "",
    level: str = "",
    folds: Mapping[str, Fold] | None = None,
) -> Explained:
    """Tell whether *who*, ``network:subject``, may say *line* in *where*: a room's id, empty for in private.

    *skills* are what *settings* name; *level* is how the message is vouched for, ``account`` or ``strong``,
    empty for either way; *folds* are those of the networks' adapters.

    Raises:
        ConfigError: the skills do not go together.
        UserError: there is no such network, or no such command.
    """
    speaker = _speaker(settings, who)
    channel = _channel(settings, speaker, where)
    command = _command(skills, line, settings.prefix)
    policy = Policy(settings.policy, settings.admins, settings.rooms, folds)
    decided = {one: policy.decide(speaker, one, command, channel) for one in _levels(speaker, level)}
    if len(set(decided.values())) == 1 and not level:  # however it is vouched for: once is enough
        decided = dict(list(decided.items())[:1])
        vouched = ""
    else:
        vouched = ", vouched for as {}"
    place = "in private" if channel.private else f"in {channel.network}:{channel.id}"
    lines: list[str] = []
    for assurance, decision in decided.items():
        how = vouched.format(assurance.name.lower()) if assurance else ""
        says = f"{who}, {place}{how}: {settings.prefix}{command.name} (skill {command.skill})"
        lines += [f"{'allowed' if decision.allowed else 'denied '}  {says}", *_because(decision)]
        others = [one for one in policy.about(speaker, assurance, command, channel) if one is not decision.by]
        lines += [f"         also fits: {_rule(one)}" for one in others]
    if policy.discreet(channel):
        room = next(one for one in policy.rooms(channel) if one.discreet)
        lines.append(f"         answers go in private: {_room(room)}")
    return Explained(all(one.allowed for one in decided.values()), tuple(lines))


def strays(settings: Settings, skills: Sequence[Skill]) -> Iterator[Problem]:
    """Give the rules that name no command there is, and patterns that fit nobody or no room: they forbid nothing."""
    commands = [command for skill in skills for command in skill.commands]
    for number, rule in enumerate(settings.policy):
        if not any(rule_names(rule.command, one) for one in commands):
            cure = "Write a command's words, `api *`, or skill:NAME. `!help` lists the commands."
            what = f'"{rule.command}" names no command of the skills there are'
            yield Problem(rule.at, f"policy.{number}.command", what, cure)
        if problem := _unfit(settings, rule.who, _PEOPLE):
            yield Problem(rule.at, f"policy.{number}.who", *problem)
        if problem := _unfit(settings, rule.channel, _ROOMS):
            yield Problem(rule.at, f"policy.{number}.in", *problem)
    known = {one.name for one in skills}
    for room in settings.rooms:
        if unknown := sorted((room.skills or frozenset()) - known):
            what, cure = f"there is no skill {', '.join(unknown)}", f"There are: {', '.join(sorted(known))}."
            yield Problem(room.at, f"rooms.{room.channel}.skills", what, cure)
        if problem := _unfit(settings, room.channel, _ROOMS):
            yield Problem(room.at, f"rooms.{room.channel}", *problem)
    for number, admin in enumerate(settings.admins):
        if problem := _unfit(settings, admin, _PEOPLE):
            yield Problem(settings.source.where("admins", number), f"admins.{number}", *problem)


def _unfit(settings: Settings, pattern: str, forms: Mapping[str, _Form]) -> tuple[str, str] | None:
    """Return what is wrong with *pattern* if it fits nothing on the networks it names, and a cure."""
    network, _, place = pattern.partition(":")
    if not place or place in (_GUEST, _PRIVATE):
        return None
    meant = [one.adapter for one in settings.networks.values() if fnmatchcase(one.name, network)]
    if not meant or not all(one in forms and forms[one].pattern.fullmatch(place) is None for one in meant):
        return None
    form = forms[meant[0]]
    what = f'"{pattern}" fits nobody' if forms is _PEOPLE else f'"{pattern}" fits no room'
    return f"{what} there: {form.what}", f"Write {network}:{form.example}."


def _speaker(settings: Settings, who: str) -> Speaker:
    network, _, subject = who.partition(":")
    _known(settings, network, who)
    if not subject:
        raise UserError(f"Whom do you mean by {who}? Write network:subject, as {network}:alice, or {network}:{_GUEST}.")
    return Guest(network, _GUEST) if subject == _GUEST else Identity.named(who)


def _channel(settings: Settings, speaker: Speaker, where: str) -> Channel:
    network, _, place = where.partition(":")
    if network not in settings.networks:
        network, place = speaker.network, where  # the room alone; a Matrix room's id has a colon of its own
    if network != speaker.network:
        raise UserError(f"{where} is not on {speaker.network}, where {speaker.name} speaks.")
    if place in ("", _PRIVATE):
        return Channel(network, _PRIVATE, private=True)
    return Channel(network, place)


def _known(settings: Settings, network: str, said: str) -> None:
    if network not in settings.networks:
        known = ", ".join(settings.networks)
        raise UserError(f"{said} is on no network of the configuration. There are: {known}.")


def _command(skills: Sequence[Skill], line: str, prefix: str) -> Command:
    book = Commands()
    try:
        for skill in skills:
            for command in skill.commands:
                book.add(command)
        for skill in skills:
            for alias in skill.aliases:
                book.alias(alias, skill.name)
    except ValueError as error:
        raise ConfigError(Problem("", "skills", str(error), "Leave one of them out.")) from None
    said = line.strip().removeprefix(prefix).strip()
    call = book.find(said)
    if call is None:
        near = " or ".join(f"{prefix}{one}" for one in book.nearest(said))
        raise UserError(f"There is no command {line}." + (f" Did you mean {near}?" if near else ""))
    return call.command


def _levels(speaker: Speaker, level: str) -> list[Assurance | None]:
    if isinstance(speaker, Guest):
        return [None]
    return [Assurance[level.upper()]] if level else list(Assurance)


def _because(decision: Decision) -> Iterator[str]:
    if decision.by is not None:
        closed = not decision.allowed and isinstance(decision.by, Rule) and decision.by.effect == "allow"
        shown = _rule(decision.by) if isinstance(decision.by, Rule) else _room(decision.by)
        yield f"         by {shown}" + (", which allows it to others alone" if closed else "")
    elif decision.allowed:
        yield "         no rule and no room speaks of it"
    if decision.why:
        yield f"         they are told: {decision.why}"


def _rule(rule: Rule) -> str:
    where = "" if rule.channel == "*" else f", in {rule.channel}"
    level = "" if rule.level is None else f", level {rule.level.name.lower()}"
    return f"{rule.at}: {rule.effect} {rule.who}, {rule.command}{where}{level}"


def _room(room: Room) -> str:
    skills = "" if room.skills is None else f", skills {', '.join(sorted(room.skills)) or 'none'}"
    return f"{room.at}: room {room.channel}{skills}" + (", answers private" if room.discreet else "")
