"""What Discord asks of a message that the bot sends or changes (Message, "Create Message" and "Embed Limits")."""

from collections.abc import Sequence
from dataclasses import dataclass

from servers.discord.calls import Call, Upload
from servers.discord.components import check_rows
from servers.discord.errors import invalid, items, number, refusal, text
from servers.discord.model import Attachment, Channel, Message, User
from servers.discord.wire import REPLY, Json, Permission
from servers.discord.world import Pings, World

TEXT_LIMIT = 2000
_SETTABLE = 1 << 2 | 1 << 12
"""SUPPRESS_EMBEDS and SUPPRESS_NOTIFICATIONS; EPHEMERAL is an interaction's."""

_PARTS = {"title": 256, "description": 4096, "footer.text": 2048, "author.name": 256}


@dataclass(frozen=True, slots=True)
class Draft:
    """What is to be said, checked; ``None`` is what is not mentioned, and stays in an edit."""

    content: str | None = None
    embeds: Sequence[Json] | None = None
    components: Sequence[Json] | None = None
    attachments: Sequence[Attachment] | None = None
    flags: int = 0
    nonce: str | int | None = None
    enforce_nonce: bool = False
    allowed: Json | None = None
    reference: Json | None = None

    @property
    def empty(self) -> bool:
        """Whether there is nothing in it."""
        return not ((self.content or "").strip() or self.embeds or self.components or self.attachments)

    def changes(self) -> Json:
        """Return what of a message it changes."""
        found = {
            "content": self.content,
            "embeds": self.embeds,
            "components": self.components,
            "attachments": self.attachments,
        }
        return {name: value for name, value in found.items() if value is not None}


def read(data: Json, files: Sequence[Upload], world: World, *, kept: Sequence[Attachment] = ()) -> Draft:
    """Return what *data* asks to say; *kept* are the attachments that are there already.

    Raises:
        ApiError: Discord would not take it.
    """
    content = data.get("content")
    if content is not None:
        text(content, "content", TEXT_LIMIT)
    elif "content" in data:
        content = ""
    nonce = data.get("nonce")
    if nonce is not None and not isinstance(nonce, int):
        text(nonce, "nonce", 25)
    flags = number(data.get("flags") or 0, "flags", 0, (1 << 31) - 1)
    if data.get("poll") is not None or data.get("sticker_ids"):
        raise AssertionError("polls and stickers are not what the stand-in knows")
    return Draft(
        content=content,
        embeds=_embeds(data["embeds"]) if "embeds" in data else None,
        components=check_rows(data["components"]) if "components" in data else None,
        attachments=_attachments(data, files, world, kept),
        flags=flags,
        nonce=nonce,
        enforce_nonce=bool(data.get("enforce_nonce")),
        allowed=_allowed(data.get("allowed_mentions")),
        reference=data.get("message_reference"),
    )


def say(world: World, channel: Channel, call: Call) -> Message:
    """Let the bot say in *channel* what *call* asks for.

    Raises:
        ApiError: it may not, or Discord would not take it.
    """
    _may_send(world, channel)
    draft = read(call.json, call.files, world)
    if draft.empty:
        raise refusal(50006)
    for given, permission in (draft.embeds, Permission.EMBED_LINKS), (draft.attachments, Permission.ATTACH_FILES):
        if given and not channel.may(world.bot, permission):
            raise refusal(50013)
    if draft.enforce_nonce and (there := _same(world, channel, draft.nonce)):
        return there
    more, answered = _reference(draft, channel, world)
    named, pings = allow(world, channel, draft, answered)
    message = world.post(
        channel,
        world.bot,
        draft.content or "",
        embeds=draft.embeds or (),
        components=draft.components or (),
        attachments=draft.attachments or (),
        flags=draft.flags & _SETTABLE,
        nonce=draft.nonce,
        mentions=named,
        mention_roles=pings.roles,
        mention_everyone=pings.everyone,
        **more,
    )
    world.pinged(message, pings)
    return message


def allow(world: World, channel: Channel, draft: Draft, answered: Message | None = None) -> tuple[list[User], Pings]:
    """Return who is in ``mentions``, and whom it pings: what ``allowed_mentions`` lets through (Allowed Mentions)."""
    named = world.named(draft.content or "", channel)
    allowed = draft.allowed
    author = answered.author if answered is not None and answered.author is not world.bot else None
    if allowed is None:
        users = [*named.users, *([author] if author and author not in named.users else [])]
        everyone = named.everyone and channel.may(world.bot, Permission.MENTION_EVERYONE)
        return users, Pings(tuple(users), named.roles, everyone)
    parse = allowed.get("parse") or ()
    users = [one for one in named.users if "users" in parse or one.id in map(str, allowed.get("users") or ())]
    roles = tuple(one for one in named.roles if "roles" in parse or one in map(str, allowed.get("roles") or ()))
    if author and allowed.get("replied_user") and author not in users:
        users.append(author)
    everyone = named.everyone and "everyone" in parse and channel.may(world.bot, Permission.MENTION_EVERYONE)
    return users, Pings(tuple(users), roles, everyone)


def _may_send(world: World, channel: Channel) -> None:
    bot = world.bot
    if not channel.visible_to(bot):
        raise refusal(50001)
    if channel.guild is not None:
        if not channel.may(bot, Permission.SEND_MESSAGES):
            raise refusal(50013)
        return
    other = next(one for one in channel.people.values() if one is not bot)
    if not other.installed and not world.mutual(other):
        raise refusal(50278)
    if not other.dms_open:
        raise refusal(50007)


def _same(world: World, channel: Channel, nonce: str | int | None) -> Message | None:
    """Return what the bot said with that nonce in the past few minutes (Create Message, ``enforce_nonce``)."""
    if nonce is None:
        return None
    since = world.clock.now() - 180
    for message in reversed(channel.messages.values()):
        if message.author is world.bot and message.nonce == nonce and world.said_at[message.id] >= since:
            return message
    return None


def _reference(draft: Draft, channel: Channel, world: World) -> tuple[Json, Message | None]:
    asked = draft.reference
    if asked is None:
        return {}, None
    if asked.get("type", 0) != 0:
        raise AssertionError("the stand-in's bot does not forward")
    if str(asked.get("channel_id", channel.id)) != channel.id:
        raise invalid("message_reference", "REPLIES_CANNOT_REPLY_TO_DIFFERENT_CHANNEL", "It is in another channel.")
    if not channel.may(world.bot, Permission.READ_MESSAGE_HISTORY):
        raise refusal(160002)
    found = channel.messages.get(str(asked.get("message_id")))
    if found is None or found.deleted or found.ephemeral:
        if asked.get("fail_if_not_exists", True):
            raise invalid("message_reference", "MESSAGE_REFERENCE_UNKNOWN_MESSAGE", "Unknown message")
        return {}, None
    reference = {"type": 0, "channel_id": channel.id, "message_id": found.id}
    reference |= {"guild_id": channel.guild.id} if channel.guild else {}
    return {"type": REPLY, "reference": reference, "referenced": found}, found


def _embeds(given: object) -> Sequence[Json]:
    embeds = items(given, "embeds", 10)
    total = 0
    for at, embed in enumerate(embeds):
        where = f"embeds.{at}"
        for path, most in _PARTS.items():
            total += len(_part(embed, path, f"{where}.{path}", most))
        for number_, one in enumerate(items(embed.get("fields"), f"{where}.fields", 25)):
            total += len(text(one.get("name"), f"{where}.fields.{number_}.name", 256, 1))
            total += len(text(one.get("value"), f"{where}.fields.{number_}.value", 1024, 1))
        embed.setdefault("type", "rich")
    if total > 6000:
        raise invalid("embeds", "MAX_EMBED_SIZE_EXCEEDED", "Embed size exceeds maximum size of 6000")
    return embeds


def _part(embed: Json, path: str, where: str, most: int) -> str:
    found: object = embed
    for name in path.split("."):
        found = found.get(name) if isinstance(found, dict) else None
    return text("" if found is None else found, where, most)


def _attachments(
    data: Json, files: Sequence[Upload], world: World, kept: Sequence[Attachment]
) -> Sequence[Attachment] | None:
    if "attachments" not in data and not files:
        return None
    described = items(data.get("attachments"), "attachments", 10)
    if "attachments" not in data:
        described = [*({"id": one.id} for one in kept), *({"id": one.number} for one in files)]
    by_number = {str(one.number): one for one in files}
    by_id = {one.id: one for one in kept}
    found = list[Attachment]()
    for at, one in enumerate(described):
        there = by_id.get(str(one.get("id")))
        upload = by_number.get(str(one.get("id")))
        if there is not None:
            found.append(there)
        elif upload is not None:
            name = text(one.get("filename") or upload.filename, f"attachments.{at}.filename", 1024, 1)
            made = world.clock.snowflake()
            found.append(Attachment(made, name, upload.data, one.get("description"), upload.content_type))
        else:
            raise invalid(f"attachments.{at}.id", "ATTACHMENT_NOT_FOUND", "There is no such file.")
    world.files |= {one.id: one for one in found}
    return found


def _allowed(given: object) -> Json | None:
    if given is None:
        return None
    if not isinstance(given, dict):
        raise invalid("allowed_mentions", "DICT_TYPE_CONVERT", "Only dictionaries may be used in a DictType")
    parse = given.get("parse") or []
    for kind in ("users", "roles"):
        if kind in parse and given.get(kind):
            message = f'parse:["{kind}"] and {kind}: [ids...] are mutually exclusive.'
            raise invalid("allowed_mentions", "MESSAGE_ALLOWED_MENTIONS_PARSE_EXCLUSIVE", message)
    return given
