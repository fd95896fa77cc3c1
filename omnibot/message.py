"""What is heard, what is to be said, and what was said.

All of it is frozen plain data that survives JSON (`dump`, `load_message`): a message may
wait in the database until its speaker has linked an account.  It names its network and
never holds an adapter; live handles stay inside the adapter, found again by message id.
"""

import json
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any

from omnibot.identity import Assurance, Guest, Identity, Speaker

STALE_AFTER = 120.0
"""Seconds after which a message is too old to be acted on, by the network's own stamp."""


class Origin(StrEnum):
    """Who is behind a message, as the network shows it."""

    PERSON = "person"
    SELF = "self"
    BOT = "bot"
    WEBHOOK = "webhook"
    GHOST = "ghost"
    """Somebody a bridge speaks for: the network vouches for the bridge, not for them."""


@dataclass(frozen=True, slots=True)
class Channel:
    """Where something is said."""

    network: str
    id: str
    """The network's own id; opaque."""

    private: bool = False
    """Whether the speaker and the bot are its only readers, as far as was known on hearing."""

    name: str = ""
    """What people call it: ``#ops``."""

    within: tuple[str, ...] = field(default=(), compare=False)
    """Ids of the channels it is part of, as a thread is: what the operator says of those holds here, too."""

    def __str__(self) -> str:
        """Return the name people know it by."""
        return self.name or self.id


@dataclass(frozen=True, slots=True)
class Message:
    """Something heard."""

    network: str
    id: str
    """The network's own id, or one the adapter made; unique on that network."""

    speaker: Speaker
    channel: Channel
    text: str = field(repr=False)
    """What was said, formatting codes removed; the address to the bot removed where *addressed*."""

    at: float
    """Unix seconds, by the network's stamp where it has one."""

    assurance: Assurance | None = None
    """How strongly this very message was vouched for; None for a guest."""

    addressed: bool = False
    """Whether the bot was mentioned by name, replied to, or spoken to through its own interface."""

    origin: Origin = Origin.PERSON
    edit: bool = False
    """Whether this changes an earlier message rather than saying something new."""

    picks: str = ""
    """The `Reply.question` that was answered by a button, from a menu or in a form; *text* is the choice's number,
    or what was typed.  Such a message answers that question or nothing: it is never a command."""

    unkept: bool = False
    """Whether the network keeps no record of it, not even for its speaker: it was typed into a form."""

    shown: str = field(default="", repr=False)
    """What clients show in the place of *text*, where that may hold other links; it is looked through for ours, and
    never run."""


@dataclass(frozen=True, slots=True)
class Private:
    """A target: this identity, with no other reader.

    The adapter finds the way (ephemeral answer, direct message, query) or raises
    `NoPrivateWay`.  *near* is the message being answered; None when the bot speaks first.
    """

    identity: Identity
    near: Message | None = None


@dataclass(frozen=True, slots=True)
class Link:
    """An address to open, shown as a button where the network has them."""

    label: str
    url: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Form:
    """One line to fill in where nobody else reads it and no record is kept: a code, a key.

    A button opens it where the network has forms; elsewhere the words tell what to type.  What is
    typed comes as a `Message` in private, with *command* before it.
    """

    label: str
    """What the button says."""

    field: str
    """What is to be typed."""

    command: str = ""
    """The command that what is typed is for, without the prefix: ``confirm``; none for a pasted address."""


@dataclass(frozen=True, slots=True)
class File:
    """A picture, or another file, to show along with words."""

    name: str
    kind: str
    """Its media type (RFC 6838), for example ``image/png``."""

    data: bytes = field(repr=False)

    @property
    def is_picture(self) -> bool:
        """Whether people see it where it is said, rather than a name to click on."""
        return self.kind in ("image/png", "image/jpeg", "image/gif", "image/webp")


@dataclass(frozen=True, slots=True)
class Reply:
    """Something to say, in Markdown; data in it has been through `markup.escape`."""

    text: str
    choices: tuple[str, ...] = ()
    """Answers to pick from: buttons where the network has them, numbers where not."""

    link: Link | None = None
    answers: Message | None = None
    """What it answers, for threading, addressing and live handles."""

    file: File | None = None
    """What is shown beside the words; where the network has no way to, the words tell so."""

    form: Form | None = None
    """What may be typed as an answer; only in a private reply, and beside words that tell how without it."""

    question: str = ""
    """Names the question that *choices* answer, so that a button of an old one answers no new one."""

    opens: Identity | None = None
    """Who may open a private place here, by a button that is theirs alone: something waits for them.
    Pressing it comes as an empty `Message` in private; a network without such places shows nothing."""

    @property
    def sign(self) -> str:
        """The sign, such as a thumb, if that is all it says: a network with reactions needs no message for it."""
        text = self.text.strip()
        alone = not (self.choices or self.link or self.file or self.form or self.opens) and 0 < len(text) <= 8
        return text if alone and not any(one.isalnum() or one.isspace() or one.isascii() for one in text) else ""


@dataclass(frozen=True, slots=True)
class Sent:
    """Something said: what an adapter needs to change or retract it."""

    network: str
    channel: str
    id: str
    """The id of the last piece, where the reply had to be split."""

    here: bool = False
    """Whether a private reply was shown right where it was asked for, to that person alone."""


def why_deaf(message: Message, now: float) -> str | None:
    """Return why *message* may not run a command, or None if it may.

    The one place where edits, own lines, other bots, webhooks, bridge ghosts and old
    events are dropped (A28, A30); every adapter feeds it.
    """
    if message.origin is not Origin.PERSON:
        return f"spoken by a {message.origin}"
    if message.edit:
        return "an edit"
    if now - message.at > STALE_AFTER:
        return "too old"
    if message.at - now > STALE_AFTER:
        return "from the future"
    return None


def unquoted(text: str) -> str:
    """Return *text* without the lines that quote somebody (A31)."""
    if ">" not in text:
        return text
    return "\n".join(line for line in text.split("\n") if not line.lstrip().startswith(">"))


def dump(message: Message) -> str:
    """Return *message* as JSON; `load_message` gives it back equal."""
    return json.dumps(asdict(message) | {"speaker": _dump_speaker(message.speaker)}, separators=(",", ":"))


def load_message(text: str) -> Message:
    """Return the message that `dump` wrote.

    Raises:
        ValueError: *text* is not such a message.
    """
    try:
        raw = json.loads(text)
        return Message(
            network=raw["network"],
            id=raw["id"],
            speaker=_load_speaker(raw["speaker"]),
            channel=_load_channel(raw["channel"]),
            text=raw["text"],
            at=float(raw["at"]),
            assurance=None if raw["assurance"] is None else Assurance(raw["assurance"]),
            addressed=bool(raw["addressed"]),
            origin=Origin(raw["origin"]),
            edit=bool(raw["edit"]),
            picks=str(raw.get("picks", "")),
            unkept=bool(raw.get("unkept", False)),
            shown=str(raw.get("shown", "")),
        )
    except (AttributeError, KeyError, TypeError) as error:
        raise ValueError("not a stored message") from error


def _load_channel(raw: dict[str, Any]) -> Channel:
    return Channel(**(raw | {"within": tuple(raw.get("within", ()))}))


def _dump_speaker(speaker: Speaker) -> dict[str, str]:
    return {"kind": "identity" if isinstance(speaker, Identity) else "guest", **asdict(speaker)}


def _load_speaker(raw: dict[str, str]) -> Speaker:
    fields = {key: value for key, value in raw.items() if key != "kind"}
    return Identity(**fields) if raw["kind"] == "identity" else Guest(**fields)
