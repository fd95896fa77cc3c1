"""People on Discord, for tests: what they say, what they do, and what they are shown of the bot."""

from collections.abc import Callable, Sequence

import pytest

from servers.discord import components
from servers.discord.acts import Act
from servers.discord.commands import IN_BOT_DM, IN_GUILD, IN_PRIVATE, fill
from servers.discord.interactions import AUTOCOMPLETE, COMMAND, COMPONENT
from servers.discord.model import Attachment, Channel, Guild, Message, User
from servers.discord.server import DiscordServer
from servers.discord.sight import Seen, seen
from servers.discord.wire import DEFAULT, LIMIT, REPLY, THREADS, Json, Kind, Permission

type Wanted = Callable[[Seen], bool] | str
"""A message that is wanted: what it is like, or words in its text."""


class Person:
    """Somebody on Discord; where no channel is named, they are in the first guild's ``general``.

    What they do happens at once, as far as Discord is concerned; what the bot makes of it is waited for
    by `until` and `hear`.
    """

    def __init__(self, server: DiscordServer, user: User) -> None:
        self.server = server
        self.user = user
        self._world = server.world
        self._heard = set[str]()

    def __repr__(self) -> str:
        return f"<Person {self.user.username} {self.user.id}>"

    @property
    def id(self) -> str:
        """The user's id."""
        return self.user.id

    @property
    def mention(self) -> str:
        """What mentions them."""
        return f"<@{self.user.id}>"

    @property
    def dm(self) -> Channel:
        """Their DM with the bot."""
        return self._world.dm(self.user)

    # -------------------------------------------------------------------- saying

    def say(
        self,
        text: str,
        where: Channel | None = None,
        *,
        reply_to: Message | Seen | str | None = None,
        ping: bool = True,
        files: Sequence[tuple[str, bytes]] = (),
        embeds: Sequence[Json] = (),
    ) -> Message:
        """Say *text*; a reply mentions whom it replies to, unless *ping* is off."""
        channel = where or self.server.general
        self._may_say(channel)
        named = self._world.named(text, channel)
        mentions = list(named.users)
        reply: Json = {}
        if reply_to is not None:
            answered = channel.messages[reply_to if isinstance(reply_to, str) else reply_to.id]
            if ping and answered.author not in mentions and answered.author is not self.user:
                mentions.append(answered.author)
            reply = {"type": REPLY, "referenced": answered, "reference": self._reference(answered)}
        return self._world.post(
            channel,
            self.user,
            text,
            mentions=mentions,
            mention_roles=named.roles,
            mention_everyone=named.everyone,
            attachments=[Attachment(self._world.clock.snowflake(), *one) for one in files],
            embeds=embeds,
            **reply,
        )

    def tell(self, text: str) -> Message:
        """Say *text* to the bot, in their DM."""
        return self.say(text, self.dm)

    def ask(self, text: str, where: Channel | None = None) -> Message:
        """Say *text* with the bot's mention before it."""
        return self.say(f"<@{self.server.bot.id}> {text}", where)

    def edit(self, message: Message, text: str) -> None:
        """Make *text* of what they have said."""
        assert message.author is self.user
        named = self._world.named(text, message.channel)
        self._world.change(message, content=text, mentions=list(named.users), mention_roles=named.roles)

    def delete(self, message: Message) -> None:
        """Take back what they have said."""
        assert message.author is self.user
        self._world.delete(message)

    def forward(self, message: Message, where: Channel | None = None) -> Message:
        """Forward *message*: its text is in a snapshot, and not the new message's own (Message Snapshot)."""
        channel = where or self.server.general
        self._may_say(channel)
        parts = ("type", "content", "embeds", "attachments", "timestamp", "edited_timestamp", "flags", "components")
        whole = message.wire()
        snapshot = {"message": {name: whole[name] for name in parts}}
        reference = {**self._reference(message), "type": 1}
        return self._world.post(channel, self.user, type=DEFAULT, reference=reference, snapshots=[snapshot])

    def webhook(self, text: str, where: Channel | None = None) -> Message:
        """Let a webhook that has their name say *text*; it has an id of its own."""
        channel = where or self.server.general
        hook = User(self._world.clock.snowflake(), self.user.username, bot=True)
        named = self._world.named(text, channel)
        return self._world.post(channel, hook, text, webhook_id=hook.id, mentions=list(named.users))

    def type(self, where: Channel | None = None) -> None:
        """Begin to type."""
        self._world.type(where or self.server.general, self.user)

    def react(self, message: Message | Seen, emoji: str) -> None:
        """React to *message*."""
        self._world.react(
            message.channel.messages[message.id] if isinstance(message, Seen) else message, self.user, emoji
        )

    # -------------------------------------------------------------- interactions

    def slash(self, command: str, where: Channel | None = None, /, **values: object) -> Act:
        """Use ``/command``, where *command* has the words of its subcommand too, and *values* are its options."""
        return self._command(COMMAND, command, where, values, "")

    def complete(self, command: str, where: Channel | None = None, /, *, focused: str, **values: object) -> Act:
        """Type at the option *focused* of ``/command``: `Act.choices` has what is offered."""
        values.setdefault(focused, "")
        return self._command(AUTOCOMPLETE, command, where, values, focused)

    def click(self, message: Message | Seen, label: str) -> Act:
        """Click the button with that *label*."""
        there = self._there(message)
        button = seen(there).button(label)
        assert button.custom_id, f"{label!r} is a link, to {button.url}"
        assert not button.disabled, f"{label!r} is disabled"
        data = {"component_type": components.BUTTON, "custom_id": button.custom_id}
        return self.interact(COMPONENT, there.channel, data, there)

    def pick(self, message: Message | Seen, *labels: str) -> Act:
        """Pick the options with those *labels* from the select that has them."""
        there = self._there(message)
        for select in seen(there).selects:
            values = {one.label: one.value for one in select.options}
            if values.keys() >= set(labels):
                assert not select.disabled, "the select is disabled"
                picked = [values[label] for label in labels]
                data = {"component_type": components.SELECT, "custom_id": select.custom_id, "values": picked}
                return self.interact(COMPONENT, there.channel, data, there)
        raise AssertionError(f"there is no select with {labels}: {seen(there).selects}")

    def interact(self, kind: int, where: Channel, data: Json, message: Message | None = None) -> Act:
        """Do something by an interaction of that *kind*; nothing is checked here."""
        guild = where.guild
        owners: Json = {}
        if guild is not None and self.server.bot.id in guild.members:
            owners["0"] = guild.id
        elif where.type is Kind.DM and self._world.mutual(self.user):
            owners["0"] = "0"
        if self.user.installed:
            owners["1"] = self.user.id
        if message is not None and message.interaction:
            owners = message.interaction["authorizing_integration_owners"]
        return Act(self, self.server.interactions.begin(kind, self.user, where, data, owners, message))

    def _command(self, kind: int, command: str, where: Channel | None, values: Json, focused: str) -> Act:
        channel = where or self.server.general
        assert channel.may(self.user, Permission.USE_APPLICATION_COMMANDS), "commands are not for them there"
        name, *words = command.split()
        guild = channel.guild.id if channel.guild else ""
        context = IN_GUILD if guild else IN_BOT_DM if channel.type is Kind.DM else IN_PRIVATE
        if channel.guild is not None:
            invited = self.server.bot.id in channel.guild.members
        else:
            invited = channel.type is Kind.DM and self._world.mutual(self.user)
        found = self.server.commands.find(name, guild, context, invited=invited, installed=self.user.installed)
        return self.interact(kind, channel, fill(found, words, values, focused))

    def _there(self, message: Message | Seen) -> Message:
        there = message.channel.messages[message.id]
        assert self.can_see(there), f"{self.user.username} does not see it"
        return there

    # ---------------------------------------------------------------- being there

    def close_dms(self) -> None:
        """Let the bot write to them no more."""
        self.user.dms_open = False

    def open_dms(self) -> None:
        """Let the bot write to them again."""
        self.user.dms_open = True

    def join(self, guild: Guild | None = None) -> None:
        """Join the guild."""
        self._world.join(self.user, guild)

    def leave(self, guild: Guild | None = None) -> None:
        """Leave the guild."""
        self._world.leave(self.user, guild)

    def install(self) -> None:
        """Install the bot's application for themselves, so that its commands are there everywhere."""
        self.user.installed = True

    # -------------------------------------------------------------------- seeing

    def sees(self, where: Channel | None = None) -> list[Seen]:
        """Return what they see of the bot just now, in order, in one channel or everywhere."""
        channels = self._world.channels.values() if where is None else [where]
        found = [one for channel in channels for one in channel.messages.values() if self.can_see(one)]
        return [seen(one) for one in sorted(found, key=lambda one: int(one.id))]

    def was_shown(self, words: str) -> bool:
        """Return whether they have ever been shown *words* by the bot: deleted and changed messages count too."""
        bot = self.server.bot
        return any(words in one for one in self._world.shown if one.user is self.user and one.message.author is bot)

    async def until(self, wanted: Wanted, where: Channel | None = None, *, within: float = LIMIT) -> Seen:
        """Return the last message of the bot's that is as *wanted*, once they see one."""

        def found() -> Seen | None:
            return next((one for one in reversed(self.sees(where)) if _is(one, wanted)), None)

        seen_ = await self._world.changes.until(found, lambda: self._sight(where), within)
        assert seen_ is not None
        return seen_

    async def hear(self, wanted: Wanted = "", where: Channel | None = None, *, within: float = LIMIT) -> Seen:
        """Return the next message of the bot's that is as *wanted*, and that this has not returned yet.

        One that is still "thinking" is not ready to be heard.
        """

        def found() -> Seen | None:
            new = (one for one in self.sees(where) if one.id not in self._heard and not one.thinking)
            return next((one for one in new if _is(one, wanted)), None)

        heard = await self._world.changes.until(found, lambda: self._sight(where), within)
        assert heard is not None
        self._heard.add(heard.id)
        return heard

    def look(self, message: Message | Seen) -> Seen:
        """Return how *message* is shown now, even if it is deleted."""
        return seen(message.channel.messages[message.id] if isinstance(message, Seen) else message)

    def _sight(self, where: Channel | None) -> str:
        shown = "\n".join(f"  {one}" for one in self.sees(where)[-20:])
        return f"{self.user.username} sees\n{shown}"

    def can_see(self, message: Message) -> bool:
        """Return whether *message* is the bot's, and is shown to them now."""
        if message.author is not self.server.bot or message.deleted:
            return False
        if message.only_for is not None:
            return message.only_for is self.user
        channel = message.channel
        return channel.id in self._world.channels and channel.visible_to(self.user)

    def _may_say(self, channel: Channel) -> None:
        assert channel.may(self.user, Permission.SEND_MESSAGES), f"{self.user.username} may not write there"
        if channel.type is Kind.DM:
            assert self._world.mutual(self.user) or self.user.installed, "they share no guild with the bot"
        if channel.type in THREADS:
            channel.people.setdefault(self.user.id, self.user)

    def _reference(self, message: Message) -> Json:
        guild = message.channel.guild
        found: Json = {"type": 0, "channel_id": message.channel.id, "message_id": message.id}
        return found | ({"guild_id": guild.id} if guild else {})


def _is(one: Seen, wanted: Wanted) -> bool:
    return wanted in one.text if isinstance(wanted, str) else wanted(one)


class DiscordPeople:
    """Brings people to the stand-in."""

    def __init__(self, server: DiscordServer) -> None:
        self._server = server

    def come(self, *names: str, guild: Guild | None = None, stranger: bool = False, bot: bool = False) -> list[Person]:
        """Register whoever is named, and let them into the *guild*, unless they are *stranger* to it.

        A *bot* among them is another bot.
        """
        users = [self._server.world.make_user(name, bot=bot) for name in names]
        if not stranger:
            for user in users:
                self._server.world.join(user, guild)
        return [Person(self._server, user) for user in users]


@pytest.fixture
def discord_people(discord_server: DiscordServer) -> DiscordPeople:
    """Brings people to Discord: ``ada, grace = discord_people.come("ada", "grace")``."""
    return DiscordPeople(discord_server)
