"""A message as a person's client shows it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from servers.discord import components
from servers.discord.model import Channel, Message, User
from servers.discord.wire import Json


@dataclass(frozen=True, slots=True)
class Button:
    """A button; a link has a `url` and no `custom_id`."""

    label: str
    custom_id: str = ""
    url: str = ""
    style: int = 1
    disabled: bool = False


@dataclass(frozen=True, slots=True)
class Option:
    """What can be picked from a select."""

    label: str
    value: str
    description: str = ""


@dataclass(frozen=True, slots=True)
class Select:
    """A select, and its options in order."""

    custom_id: str
    options: Sequence[Option] = ()
    placeholder: str = ""
    disabled: bool = False


@dataclass(frozen=True, slots=True)
class Seen:
    """A message as it is shown just now."""

    id: str
    channel: Channel = field(repr=False)
    author: User = field(repr=False)
    content: str
    embeds: Sequence[Json] = ()
    buttons: Sequence[Button] = ()
    selects: Sequence[Select] = ()
    files: Mapping[str, bytes] = field(default_factory=dict)
    """The bytes of each file, by its name."""

    ephemeral: bool = False
    """Whether this person alone sees it."""

    edited: bool = False
    deleted: bool = False
    thinking: bool = False
    """Whether it says "… is thinking": an answer that was deferred, and has not come."""

    reply_to: str = ""
    """The message that it replies to."""

    reactions: Sequence[tuple[str, str]] = ()
    """Emoji and who: the user's id."""

    @property
    def text(self) -> str:
        """Everything to be read in it: content, and titles, descriptions and fields of embeds."""
        parts = [self.content]
        for embed in self.embeds:
            parts += [str(embed.get("title") or ""), str(embed.get("description") or "")]
            for one in embed.get("fields") or ():
                parts += [str(one["name"]), str(one["value"])]
            parts.append(str((embed.get("footer") or {}).get("text") or ""))
        return "\n".join(filter(None, parts))

    @property
    def labels(self) -> list[str]:
        """The labels of its buttons, in order."""
        return [one.label for one in self.buttons]

    @property
    def links(self) -> list[str]:
        """The addresses of its link buttons, in order."""
        return [one.url for one in self.buttons if one.url]

    def button(self, label: str) -> Button:
        """Return the button with that label."""
        found = [one for one in self.buttons if one.label == label]
        assert found, f"there is no button {label!r}, only {self.labels}"
        return found[0]


def seen(message: Message) -> Seen:
    """Return what whoever can see *message* is shown."""
    every = list(components.walk(message.components))
    return Seen(
        id=message.id,
        channel=message.channel,
        author=message.author,
        content=message.content,
        embeds=message.embeds,
        buttons=[_button(one) for one in every if one["type"] == components.BUTTON],
        selects=[_select(one) for one in every if one["type"] == components.SELECT],
        files={one.filename: one.data for one in message.attachments},
        ephemeral=message.ephemeral,
        edited=message.edited_timestamp is not None,
        deleted=message.deleted,
        thinking=message.thinking,
        reply_to=message.reference["message_id"] if message.reference and message.type == 19 else "",
        reactions=tuple(message.reactions),
    )


def _button(one: Json) -> Button:
    return Button(
        label=one.get("label") or "",
        custom_id=one.get("custom_id") or "",
        url=one.get("url") or "",
        style=one["style"],
        disabled=bool(one.get("disabled")),
    )


def _select(one: Json) -> Select:
    options = [Option(each["label"], each["value"], each.get("description") or "") for each in one.get("options") or ()]
    return Select(one["custom_id"], options, one.get("placeholder") or "", bool(one.get("disabled")))
