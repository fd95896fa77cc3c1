"""All of Discord that there is: who and what, what happens there, who is shown it, and what the bot is told of it."""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from servers.discord.errors import refusal
from servers.discord.model import Attachment, Channel, Guild, Member, Message, Role, User
from servers.discord.wire import THREADS, USUAL, Changes, Clock, Intent, Json, Kind, Permission

_USER = re.compile(r"<@!?(\d+)>")
_ROLE = re.compile(r"<@&(\d+)>")
_EVERYONE = re.compile(r"@(everyone|here)\b")


EVERYBODY = Intent(0)


@dataclass(frozen=True, slots=True)
class Event:
    """Something the bot is told of."""

    name: str
    data: Json = field(repr=False)
    intent: Intent = EVERYBODY
    """Without which a session is not told; nothing is for everybody."""

    blanked: Json | None = field(default=None, repr=False)
    """What a session without the message content intent is told instead."""


@dataclass(frozen=True, slots=True)
class Shown:
    """What somebody's client has shown them once."""

    user: User
    message: Message
    content: str
    embeds: str
    components: str

    def __contains__(self, words: str) -> bool:
        return words in self.content or words in self.embeds or words in self.components


@dataclass(frozen=True, slots=True)
class Pings:
    """Whom a message really pings: what its text names, and its ``allowed_mentions`` let through."""

    users: tuple[User, ...] = ()
    roles: tuple[str, ...] = ()
    everyone: bool = False

    def __bool__(self) -> bool:
        return bool(self.users or self.roles or self.everyone)


class World:
    """Has one bot, `bot`, and one guild to begin with, `guild`, where it is and where ``general`` is."""

    def __init__(self, emit: Callable[[Event], None], base: str, changes: Changes) -> None:
        self.emit = emit
        self.base = base
        """The address of the attachments' host."""

        self.clock = Clock()
        self.changes = changes
        self.users = dict[str, User]()
        self.guilds = dict[str, Guild]()
        self.channels = dict[str, Channel]()
        self.shown = list[Shown]()
        """Everything that anybody was ever shown, in order."""

        self.pings = list[tuple[Message, Pings]]()
        """Each message of the bot's that pinged somebody."""

        self.typing = list[tuple[Channel, User]]()
        """Each time that somebody's typing was shown."""

        self.said_at = dict[str, float]()
        """The time of each message, by its id."""

        self.files = dict[str, Attachment]()
        """Everything that was ever uploaded, by its id."""

        self.application_id = self.clock.snowflake()
        self.bot = self.make_user("omnibot", bot=True)
        self.guild = self.make_guild("lab")
        self.general = self.make_channel("general")

    # --------------------------------------------------------------------- who

    def make_user(self, name: str, *, bot: bool = False) -> User:
        """Register somebody; their display name is *name*, capitalised."""
        user = User(self.clock.snowflake(), name, None if bot else name.capitalize(), bot)
        self.users[user.id] = user
        return user

    def make_guild(self, name: str) -> Guild:
        """Make a guild with an owner of its own, where the bot is, with its managed role."""
        owner = self.make_user(f"owner-of-{name}")
        guild = Guild(self.clock.snowflake(), name, owner)
        guild.roles[guild.id] = Role(guild.id, "@everyone", USUAL)
        self.guilds[guild.id] = guild
        self.join(owner, guild, tell=False)
        self.join(self.bot, guild, tell=False)
        role = Role(self.clock.snowflake(), self.bot.username, managed_for=self.bot.id)
        guild.roles[role.id] = role
        guild.members[self.bot.id].roles.append(role.id)
        self.emit(Event("GUILD_CREATE", guild.wire(self.bot), Intent.GUILDS))
        return guild

    def bot_role(self, guild: Guild | None = None) -> Role:
        """Return the bot's managed role, which is what some clients mention instead of the bot."""
        roles = (guild or self.guild).roles.values()
        return next(role for role in roles if role.managed_for == self.bot.id)

    def join(self, user: User, guild: Guild | None = None, *, tell: bool = True) -> None:
        """Let *user* into the guild."""
        guild = guild or self.guild
        member = guild.members[user.id] = Member(user, self.clock.iso())
        if tell:
            data = {**member.wire(), "guild_id": guild.id}
            self.emit(Event("GUILD_MEMBER_ADD", data, Intent.GUILD_MEMBERS))

    def leave(self, user: User, guild: Guild | None = None) -> None:
        """Take *user* out of the guild; the bot too, which is told so."""
        guild = guild or self.guild
        del guild.members[user.id]
        if user is self.bot:
            self.emit(Event("GUILD_DELETE", {"id": guild.id}, Intent.GUILDS))
        else:
            data = {"guild_id": guild.id, "user": user.wire()}
            self.emit(Event("GUILD_MEMBER_REMOVE", data, Intent.GUILD_MEMBERS))

    def mutual(self, user: User) -> bool:
        """Return whether *user* and the bot share a guild."""
        return any({user.id, self.bot.id} <= guild.members.keys() for guild in self.guilds.values())

    # ------------------------------------------------------------------- where

    def make_channel(self, name: str, guild: Guild | None = None, *, hidden: bool = False) -> Channel:
        """Make a text channel; a *hidden* one is seen by nobody but the owner, until `Channel.allowed` says so."""
        guild = guild or self.guild
        channel = Channel(self.clock.snowflake(), Kind.TEXT, name, guild)
        if hidden:
            channel.deny(guild.roles[guild.id], Permission.VIEW_CHANNEL)
        return self._add(channel, "CHANNEL_CREATE")

    def make_thread(self, parent: Channel, name: str, *members: User, private: bool = False) -> Channel:
        """Make a thread under *parent*; a private one is seen by its *members* alone."""
        kind = Kind.PRIVATE_THREAD if private else Kind.PUBLIC_THREAD
        people = {one.id: one for one in members}
        return self._add(Channel(self.clock.snowflake(), kind, name, parent.guild, parent, people), "THREAD_CREATE")

    def make_group(self, *members: User, name: str = "") -> Channel:
        """Make a group DM; the bot is not in it, nor can it be."""
        return self._add(Channel(self.clock.snowflake(), Kind.GROUP, name, people={one.id: one for one in members}))

    def dm(self, user: User) -> Channel:
        """Return the DM of *user* with the bot, which is always the same."""
        for one in self.channels.values():
            if one.type is Kind.DM and user.id in one.people:
                return one
        people = {user.id: user, self.bot.id: self.bot}
        return self._add(Channel(self.clock.snowflake(), Kind.DM, people=people))

    def remove(self, channel: Channel) -> None:
        """Delete *channel*."""
        del self.channels[channel.id]
        if channel.guild is not None:
            del channel.guild.channels[channel.id]
            name = "THREAD_DELETE" if channel.type in THREADS else "CHANNEL_DELETE"
            self.emit(Event(name, channel.wire(), Intent.GUILDS))

    def _add(self, channel: Channel, event: str = "") -> Channel:
        self.channels[channel.id] = channel
        if channel.guild is not None:
            channel.guild.channels[channel.id] = channel
            if channel.visible_to(self.bot):
                self.emit(Event(event, channel.wire(), Intent.GUILDS))
        return channel

    # ---------------------------------------------------------------- messages

    def post(self, channel: Channel, author: User, content: str = "", **more: Any) -> Message:
        """Let *author* say something; *more* is what `Message` has.  Nothing is checked here."""
        message = Message(self.clock.snowflake(), channel, author, self.clock.iso(), content, base=self.base, **more)
        channel.messages[message.id] = message
        self.said_at[message.id] = self.clock.now()
        self._show(message)
        self.tell("MESSAGE_CREATE", message)
        return message

    def change(self, message: Message, *, edited: bool = True, **what: Any) -> None:
        """Change *what* of a message, and show it again."""
        for name, value in what.items():
            setattr(message, name, value)
        if edited:
            message.edited_timestamp = self.clock.iso()
        self._show(message)
        self.tell("MESSAGE_UPDATE", message)

    def delete(self, message: Message) -> None:
        """Take *message* away from everybody who saw it."""
        message.deleted = True
        data = {"id": message.id, "channel_id": message.channel.id}
        if message.channel.guild is not None and not message.ephemeral:
            data["guild_id"] = message.channel.guild.id
        if self._reaches_bot(message):
            self.emit(Event("MESSAGE_DELETE", data, _intent(message)))
        self.changes.notify()

    def tell(self, event: str, message: Message) -> None:
        """Tell the bot of *message*, if it can see it.

        An ephemeral one comes without ``guild_id`` and by the intent of DMs (Gateway Events, Message Create).
        """
        if not self._reaches_bot(message):
            return
        around: Json = {}
        guild = message.channel.guild
        if guild is not None and not message.ephemeral:
            around["guild_id"] = guild.id
            member = guild.members.get(message.author.id)
            around |= {"member": member.wire(user=False)} if member and not message.webhook_id else {}
        blanked = message.wire(self.bot.id) | around
        self.emit(Event(event, message.wire() | around, _intent(message), blanked))

    def react(self, message: Message, user: User, emoji: str) -> None:
        """Let *user* react with *emoji*, a character or so."""
        if (emoji, user.id) in message.reactions:
            return
        message.reactions.append((emoji, user.id))
        guild = message.channel.guild
        data: Json = {
            "user_id": user.id,
            "channel_id": message.channel.id,
            "message_id": message.id,
            "message_author_id": message.author.id,
            "emoji": {"id": None, "name": emoji},
            "burst": False,
            "type": 0,
        }
        if guild is not None:
            data |= {"guild_id": guild.id, "member": guild.members[user.id].wire()}
        intent = Intent.GUILD_REACTIONS if guild else Intent.DIRECT_REACTIONS
        if self._reaches_bot(message):
            self.emit(Event("MESSAGE_REACTION_ADD", data, intent))
        self.changes.notify()

    def type(self, channel: Channel, user: User) -> None:
        """Show that *user* is typing."""
        self.typing.append((channel, user))
        guild = channel.guild
        data: Json = {"channel_id": channel.id, "user_id": user.id, "timestamp": int(self.clock.now())}
        if guild is not None:
            data |= {"guild_id": guild.id, "member": guild.members[user.id].wire()}
        if channel.visible_to(self.bot):
            self.emit(Event("TYPING_START", data, Intent.GUILD_TYPING if guild else Intent.DIRECT_TYPING))
        self.changes.notify()

    def find(self, channel: Channel, message_id: str) -> Message:
        """Return a message that everybody there can see.

        Raises:
            ApiError: 10008, there is none.
        """
        message = channel.messages.get(message_id)
        if message is None or message.deleted or message.ephemeral:
            raise refusal(10008)
        return message

    # ---------------------------------------------------------------- mentions

    def named(self, content: str, channel: Channel) -> Pings:
        """Return whom *content* names."""
        users = (self.users.get(one) for one in dict.fromkeys(_USER.findall(content)))
        roles = channel.guild.roles if channel.guild else {}
        named = tuple(one for one in dict.fromkeys(_ROLE.findall(content)) if one in roles)
        return Pings(tuple(filter(None, users)), named, bool(_EVERYONE.search(content)))

    def pinged(self, message: Message, pings: Pings) -> None:
        """Record whom a message of the bot's pings."""
        if pings:
            self.pings.append((message, pings))

    def _reaches_bot(self, message: Message) -> bool:
        if message.channel.type is Kind.GROUP:
            return False
        return message.channel.visible_to(self.bot)

    def _show(self, message: Message) -> None:
        readers: Iterable[User] = [message.only_for] if message.only_for else message.channel.readers()
        for user in readers:
            texts = message.content, repr(message.embeds), repr(message.components)
            self.shown.append(Shown(user, message, *texts))
        self.changes.notify()


def _intent(message: Message) -> Intent:
    direct = message.channel.guild is None or message.ephemeral
    return Intent.DIRECT_MESSAGES if direct else Intent.GUILD_MESSAGES
