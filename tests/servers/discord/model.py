"""What is on Discord: users, guilds, channels and messages, and how each looks on the wire."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from servers.discord.wire import (
    DEFAULT,
    EPHEMERAL,
    LOADING,
    THREADS,
    USUAL,
    Json,
    Kind,
    Permission,
)

NOTHING = Permission(0)


@dataclass(eq=False)
class User:
    """Somebody, or a bot (User Object)."""

    id: str
    username: str
    global_name: str | None = None
    bot: bool = False
    dms_open: bool = True
    """Whether the bot may write to them, where they share a guild."""

    installed: bool = False
    """Whether they have the bot's application as a user install."""

    def wire(self) -> Json:
        """Return the user object."""
        return {
            "id": self.id,
            "username": self.username,
            "discriminator": "0",
            "global_name": self.global_name,
            "avatar": None,
            "bot": self.bot,
            "system": False,
            "public_flags": 0,
        }


@dataclass(eq=False)
class Role:
    """A role; `managed_for` is the bot whose own it is."""

    id: str
    name: str
    permissions: Permission = NOTHING
    managed_for: str = ""

    def wire(self) -> Json:
        """Return the role object."""
        return {
            "id": self.id,
            "name": self.name,
            "color": 0,
            "colors": {"primary_color": 0, "secondary_color": None, "tertiary_color": None},
            "hoist": False,
            "position": 0,
            "permissions": str(int(self.permissions)),
            "managed": bool(self.managed_for),
            "mentionable": False,
            "flags": 0,
            **({"tags": {"bot_id": self.managed_for}} if self.managed_for else {}),
        }


@dataclass(eq=False)
class Member:
    """A user in a guild."""

    user: User
    joined_at: str
    roles: list[str] = field(default_factory=list)
    nick: str | None = None

    def wire(self, *, user: bool = True) -> Json:
        """Return the guild member object, which in a message comes without its *user*."""
        return {
            **({"user": self.user.wire()} if user else {}),
            "nick": self.nick,
            "avatar": None,
            "roles": self.roles,
            "joined_at": self.joined_at,
            "premium_since": None,
            "deaf": False,
            "mute": False,
            "flags": 0,
            "pending": False,
            "communication_disabled_until": None,
        }


@dataclass(eq=False)
class Guild:
    """A server of Discord's, as people say."""

    id: str
    name: str
    owner: User
    roles: dict[str, Role] = field(default_factory=dict)
    members: dict[str, Member] = field(default_factory=dict)
    channels: dict[str, "Channel"] = field(default_factory=dict)
    """Threads too."""

    def base(self, user: User) -> Permission:
        """Return what *user* may by their roles (Permissions, "Permission Hierarchy")."""
        found = self.roles[self.id].permissions
        for role in self.members[user.id].roles:
            found |= self.roles[role].permissions
        return ~Permission(0) if found & Permission.ADMINISTRATOR or user is self.owner else found

    def wire(self, bot: User) -> Json:
        """Return what GUILD_CREATE tells *bot*, which without other intents is itself of the members."""
        seen = [one for one in self.channels.values() if one.visible_to(bot)]
        return {
            "id": self.id,
            "name": self.name,
            "icon": None,
            "owner_id": self.owner.id,
            "member_count": len(self.members),
            "features": [],
            "emojis": [],
            "stickers": [],
            "roles": [role.wire() for role in self.roles.values()],
            "channels": [one.wire() for one in seen if one.type not in THREADS],
            "threads": [one.wire() for one in seen if one.type in THREADS],
            "members": [self.members[bot.id].wire()],
            "preferred_locale": "en-US",
            "unavailable": False,
        }


@dataclass(eq=False)
class Channel:
    """Where messages are: in a guild, a thread, a DM or a group."""

    id: str
    type: Kind
    name: str = ""
    guild: Guild | None = None
    parent: "Channel | None" = None
    people: dict[str, User] = field(default_factory=dict)
    """Of a DM or a group, both or all who are in it; of a private thread, its members."""

    allowed: dict[str, Permission] = field(default_factory=dict)
    """What overwrites grant, by the id of a role or a user."""

    denied: dict[str, Permission] = field(default_factory=dict)
    messages: dict[str, "Message"] = field(default_factory=dict)
    """All of them, deleted and ephemeral ones too."""

    def deny(self, who: User | Role, what: Permission) -> None:
        """Take *what* from somebody here; who is connected is not told."""
        self.denied[who.id] = self.denied.get(who.id, Permission(0)) | what

    def permissions(self, user: User) -> Permission:
        """Return what *user* may here (Permissions, "Permission Overwrites")."""
        if self.guild is None:
            return USUAL if user.id in self.people else Permission(0)
        if user.id not in self.guild.members:
            return Permission(0)
        if self.parent is not None:
            return self._thread_permissions(user, self.parent.permissions(user))
        found = self.guild.base(user)
        if found & Permission.ADMINISTRATOR:
            return found
        roles = self.guild.members[user.id].roles
        for group in ([self.guild.id], roles, [user.id]):
            for one in group:
                found &= ~self.denied.get(one, Permission(0))
            for one in group:
                found |= self.allowed.get(one, Permission(0))
        return found if found & Permission.VIEW_CHANNEL else Permission(0)

    def may(self, user: User, what: Permission) -> bool:
        """Return whether *user* may do all of *what* here."""
        return self.permissions(user) & what == what

    def visible_to(self, user: User) -> bool:
        """Return whether *user* can see this."""
        return self.may(user, Permission.VIEW_CHANNEL)

    def readers(self) -> list[User]:
        """Return everybody who can see what is said here."""
        if self.guild is None:
            return list(self.people.values())
        return [member.user for member in self.guild.members.values() if self.visible_to(member.user)]

    def _thread_permissions(self, user: User, found: Permission) -> Permission:
        """Return what *user* may in this thread: a private one is its members' (Threads, "Permissions")."""
        private = self.type is Kind.PRIVATE_THREAD
        if private and user.id not in self.people and not found & Permission.MANAGE_THREADS:
            return Permission(0)
        sending = bool(found & Permission.SEND_MESSAGES_IN_THREADS)
        return found | Permission.SEND_MESSAGES if sending else found & ~Permission.SEND_MESSAGES

    def wire(self, viewer: User | None = None) -> Json:
        """Return the channel object; of a DM or a group, the recipients are all but the *viewer*."""
        shown: Json = {"id": self.id, "type": int(self.type), "last_message_id": None}
        if self.guild is None:
            shown["recipients"] = [one.wire() for one in self.people.values() if one is not viewer]
            return {**shown, "name": self.name or None} if self.type is Kind.GROUP else shown
        shown |= {"name": self.name, "guild_id": self.guild.id, "rate_limit_per_user": 0}
        if self.parent is not None:
            return shown | self._thread()
        overwrites = [
            {
                "id": one,
                "type": 0 if one in self.guild.roles else 1,
                "allow": str(int(self.allowed.get(one, 0))),
                "deny": str(int(self.denied.get(one, 0))),
            }
            for one in sorted({*self.allowed, *self.denied})
        ]
        return shown | {
            "position": 0,
            "parent_id": None,
            "topic": None,
            "nsfw": False,
            "permission_overwrites": overwrites,
        }

    def _thread(self) -> Json:
        assert self.parent is not None
        assert self.guild is not None
        return {
            "parent_id": self.parent.id,
            "owner_id": self.guild.owner.id,
            "message_count": len(self.messages),
            "member_count": len(self.people),
            "thread_metadata": {
                "archived": False,
                "auto_archive_duration": 1440,
                "archive_timestamp": "2026-01-01T00:00:00+00:00",
                "locked": False,
                "invitable": True,
            },
        }


@dataclass(frozen=True, slots=True)
class Attachment:
    """A file with a message."""

    id: str
    filename: str
    data: bytes = field(repr=False)
    description: str | None = None
    content_type: str = "application/octet-stream"

    def wire(self, base: str) -> Json:
        """Return the attachment object; its address is under *base*."""
        url = f"{base}/attachments/{self.id}/{self.filename}"
        return {
            "id": self.id,
            "filename": self.filename,
            "size": len(self.data),
            "url": url,
            "proxy_url": url,
            "content_type": self.content_type,
            **({"description": self.description} if self.description else {}),
        }


@dataclass(eq=False)
class Message:
    """A message, and all that has become of it."""

    id: str
    channel: Channel
    author: User
    timestamp: str
    content: str = ""
    embeds: Sequence[Json] = ()
    components: Sequence[Json] = ()
    attachments: Sequence[Attachment] = ()
    type: int = DEFAULT
    flags: int = 0
    reference: Json | None = None
    referenced: "Message | None" = None
    snapshots: Sequence[Json] = ()
    mentions: Sequence[User] = ()
    mention_roles: Sequence[str] = ()
    mention_everyone: bool = False
    nonce: str | int | None = None
    edited_timestamp: str | None = None
    deleted: bool = False
    webhook_id: str | None = None
    application_id: str | None = None
    interaction: Json | None = None
    """What the message is the answer to (Message Interaction Metadata)."""

    only_for: User | None = None
    """Who alone sees it, if it is ephemeral."""

    reactions: list[tuple[str, str]] = field(default_factory=list)
    """Emoji and the user's id."""

    base: str = ""
    """The address of the attachments' host."""

    @property
    def ephemeral(self) -> bool:
        """Whether one person alone sees it."""
        return bool(self.flags & EPHEMERAL)

    @property
    def thinking(self) -> bool:
        """Whether it is a deferred answer that has not come yet."""
        return bool(self.flags & LOADING)

    def open_to(self, bot: str) -> bool:
        """Return whether *bot* may read it without the message content intent (Gateway, "Message Content Intent")."""
        mentioned = bot in {one.id for one in self.mentions}
        return self.channel.type is Kind.DM or self.author.id == bot or mentioned

    def wire(self, blank_for: str = "") -> Json:
        """Return the message object, without what the bot *blank_for* must not read."""
        shown: Json = {
            "id": self.id,
            "channel_id": self.channel.id,
            "author": self.author.wire(),
            "content": self.content,
            "timestamp": self.timestamp,
            "edited_timestamp": self.edited_timestamp,
            "tts": False,
            "mention_everyone": self.mention_everyone,
            "mentions": [one.wire() for one in self.mentions],
            "mention_roles": list(self.mention_roles),
            "attachments": [one.wire(self.base) for one in self.attachments],
            "embeds": list(self.embeds),
            "components": list(self.components),
            "pinned": False,
            "type": self.type,
            "flags": self.flags,
        }
        shown |= {} if self.nonce is None else {"nonce": self.nonce}
        shown |= {"webhook_id": self.webhook_id} if self.webhook_id else {}
        shown |= {"application_id": self.application_id} if self.application_id else {}
        shown |= {"interaction_metadata": self.interaction} if self.interaction else {}
        shown |= {"message_reference": self.reference} if self.reference else {}
        shown |= {"message_snapshots": list(self.snapshots)} if self.snapshots else {}
        if self.type == 19:
            gone = self.referenced is None or self.referenced.deleted
            shown["referenced_message"] = None if gone or not self.referenced else self.referenced.wire(blank_for)
        if blank_for and not self.open_to(blank_for):
            shown |= {"content": "", "embeds": [], "attachments": [], "components": []}
            if self.snapshots:
                shown["message_snapshots"] = [{"message": _blank(one["message"])} for one in self.snapshots]
        return shown


def _blank(snapshot: Json) -> Json:
    return {**snapshot, "content": "", "embeds": [], "attachments": [], "components": []}
