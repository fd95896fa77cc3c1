"""What a bot asks of Discord by REST: channels, messages, users and guilds (the Resources of the documentation)."""

from aiohttp import web

from servers.discord import drafts
from servers.discord.calls import Api, Call
from servers.discord.errors import refusal
from servers.discord.gateway import Gateway
from servers.discord.model import Channel, Guild, Message, User
from servers.discord.oauth import OAuth
from servers.discord.wire import LOADING, THREADS, Json, Kind, Permission
from servers.discord.world import Pings, World


class Rest:
    """Handles the bot's requests; each handler's name says which."""

    def __init__(self, world: World, gateway: Gateway, oauth: OAuth) -> None:
        self._world = world
        self._gateway = gateway
        self._oauth = oauth

    def routes(self, api: Api) -> list[web.RouteDef]:
        """Return the routes."""
        message = "/channels/{channel}/messages/{message}"
        return [
            api.route("GET", "/gateway/bot", self.get_gateway),
            api.route("GET", "/oauth2/applications/@me", self.get_application),
            api.route("GET", "/applications/@me", self.get_application),
            api.route("POST", "/users/@me/channels", self.create_dm),
            api.route("GET", "/users/@me", self.get_me, "bearer"),
            api.route("GET", "/users/@me/guilds", self.get_guilds),
            api.route("GET", "/users/{user}", self.get_user),
            api.route("GET", "/guilds/{guild}", self.get_guild),
            api.route("GET", "/guilds/{guild}/roles", self.get_roles),
            api.route("GET", "/guilds/{guild}/channels", self.get_channels),
            api.route("GET", "/guilds/{guild}/members/{user}", self.get_member),
            api.route("GET", "/channels/{channel}", self.get_channel),
            api.route("GET", "/channels/{channel}/thread-members/{user}", self.get_thread_member),
            api.route("POST", "/channels/{channel}/typing", self.type),
            api.route("GET", "/channels/{channel}/messages", self.get_messages),
            api.route("POST", "/channels/{channel}/messages", self.create_message),
            api.route("GET", message, self.get_message),
            api.route("PATCH", message, self.edit_message),
            api.route("DELETE", message, self.delete_message),
            api.route("PUT", message + "/reactions/{emoji}/@me", self.react),
        ]

    # --------------------------------------------------------- application, users

    async def get_gateway(self, call: Call) -> Json:
        """Get Gateway Bot."""
        limit = {"total": 1000, "remaining": 1000, "reset_after": 0, "max_concurrency": 1}
        return {"url": self._gateway.url, "shards": 1, "session_start_limit": limit}

    async def get_application(self, call: Call) -> Json:
        """Get Current Application."""
        world = self._world
        return {
            "id": world.application_id,
            "name": world.bot.username,
            "icon": None,
            "description": "",
            "bot_public": False,
            "bot_require_code_grant": False,
            "verify_key": "0" * 64,
            "owner": world.guild.owner.wire(),
            "team": None,
            "flags": self._gateway.application_flags(),
            "bot": world.bot.wire(),
            "summary": "",
        }

    async def get_me(self, call: Call) -> Json:
        """Get Current User: who authorised the token, or the bot."""
        if call.bearer:
            return self._oauth.owner(call.bearer, "identify").wire()
        return self._world.bot.wire()

    async def get_guilds(self, call: Call) -> list[Json]:
        """Get Current User Guilds."""
        guilds = (one for one in self._world.guilds.values() if self._world.bot.id in one.members)
        shown = {"icon": None, "owner": False}
        bot = self._world.bot
        return [{"id": one.id, "name": one.name, **shown, "permissions": str(int(one.base(bot)))} for one in guilds]

    async def get_user(self, call: Call) -> Json:
        """Get User."""
        return self._user(call.params["user"]).wire()

    async def create_dm(self, call: Call) -> Json:
        """Create DM, which is made even where nothing can be sent."""
        user = self._world.users.get(str(call.json.get("recipient_id")))
        if user is None or user.bot:
            raise refusal(50033 if user is None else 50007)
        return self._world.dm(user).wire(self._world.bot)

    # -------------------------------------------------------------------- guilds

    async def get_guild(self, call: Call) -> Json:
        """Get Guild."""
        whole = self._guild(call).wire(self._world.bot)
        parts = ("channels", "threads", "members", "member_count", "unavailable")
        return {name: value for name, value in whole.items() if name not in parts}

    async def get_roles(self, call: Call) -> list[Json]:
        """Get Guild Roles."""
        return [one.wire() for one in self._guild(call).roles.values()]

    async def get_channels(self, call: Call) -> list[Json]:
        """Get Guild Channels, which has no threads."""
        channels = self._guild(call).channels.values()
        return [one.wire() for one in channels if one.type not in THREADS]

    async def get_member(self, call: Call) -> Json:
        """Get Guild Member."""
        guild = self._guild(call)
        user = self._user(call.params["user"])
        if user.id not in guild.members:
            raise refusal(10007)
        return guild.members[user.id].wire()

    # ------------------------------------------------------------------ channels

    async def get_channel(self, call: Call) -> Json:
        """Get Channel."""
        return self._channel(call).wire(self._world.bot)

    async def get_thread_member(self, call: Call) -> Json:
        """Get Thread Member, which is 404 for who is not in it."""
        channel = self._channel(call)
        if channel.type not in THREADS:
            raise refusal(10003)
        if call.params["user"] not in channel.people:
            raise refusal(10007)
        return {"id": channel.id, "user_id": call.params["user"], "join_timestamp": self._world.clock.iso(), "flags": 0}

    async def type(self, call: Call) -> None:
        """Trigger Typing Indicator."""
        channel = self._channel(call)
        if not channel.may(self._world.bot, Permission.SEND_MESSAGES):
            raise refusal(50013)
        self._world.type(channel, self._world.bot)

    # ------------------------------------------------------------------ messages

    async def get_messages(self, call: Call) -> list[Json]:
        """Get Channel Messages, newest first."""
        channel = self._channel(call)
        if not channel.may(self._world.bot, Permission.READ_MESSAGE_HISTORY):
            return []
        before = int(call.query.get("before", 1 << 63))
        after = int(call.query.get("after", 0))
        found = [
            one
            for one in channel.messages.values()
            if not (one.deleted or one.ephemeral) and after < int(one.id) < before
        ]
        limit = int(call.query.get("limit", 50))
        found = found[:limit] if "after" in call.query else found[-limit:]
        return [self._shown(one) for one in reversed(found)]

    async def create_message(self, call: Call) -> Json:
        """Create Message."""
        return drafts.say(self._world, self._channel(call), call).wire()

    async def get_message(self, call: Call) -> Json:
        """Get Channel Message."""
        message = self._message(call)
        if not message.channel.may(self._world.bot, Permission.READ_MESSAGE_HISTORY):
            raise refusal(50013)
        return self._shown(message)

    async def edit_message(self, call: Call) -> Json:
        """Edit Message, which is for one's own."""
        message = self._message(call)
        if message.author is not self._world.bot:
            raise refusal(50005)
        change(self._world, message, call)
        return message.wire()

    async def delete_message(self, call: Call) -> None:
        """Delete Message, of others with MANAGE_MESSAGES."""
        message = self._message(call)
        if message.author is not self._world.bot:
            if message.channel.type is Kind.DM:
                raise refusal(50003)
            if not message.channel.may(self._world.bot, Permission.MANAGE_MESSAGES):
                raise refusal(50013)
        self._world.delete(message)

    async def react(self, call: Call) -> None:
        """Create Reaction."""
        message = self._message(call)
        if not message.channel.may(self._world.bot, Permission.READ_MESSAGE_HISTORY | Permission.ADD_REACTIONS):
            raise refusal(50013)
        emoji = call.params["emoji"]
        if emoji.isascii():
            raise refusal(10014)
        self._world.react(message, self._world.bot, emoji)

    # ------------------------------------------------------------------- finding

    def _channel(self, call: Call) -> Channel:
        channel = self._world.channels.get(call.params["channel"])
        if channel is None:
            raise refusal(10003)
        if not channel.visible_to(self._world.bot):
            raise refusal(50001)
        return channel

    def _message(self, call: Call) -> Message:
        return self._world.find(self._channel(call), call.params["message"])

    def _user(self, user_id: str) -> User:
        user = self._world.users.get(user_id)
        if user is None:
            raise refusal(10013)
        return user

    def _guild(self, call: Call) -> Guild:
        guild = self._world.guilds.get(call.params["guild"])
        if guild is None:
            raise refusal(10004)
        if self._world.bot.id not in guild.members:
            raise refusal(50001)
        return guild

    def _shown(self, message: Message) -> Json:
        """Return *message* as REST shows it: content goes by what the application has, not by the session's intents."""
        bot = self._world.bot
        return message.wire("" if self._gateway.may_read else bot.id)


def change(world: World, message: Message, call: Call, *, answering: bool = False) -> None:
    """Change *message* as *call* asks; if *answering*, that is the answer that was deferred, and no edit.

    Raises:
        ApiError: Discord would not take it.
    """
    draft = drafts.read(call.json, call.files, world, kept=message.attachments)
    changes = draft.changes()
    left = {name: changes.get(name, getattr(message, name)) for name in ("embeds", "components", "attachments")}
    if not (changes.get("content", message.content).strip() or any(left.values())):
        raise refusal(50006)
    pings = Pings()
    if "content" in changes:
        changes["mentions"], pings = drafts.allow(world, message.channel, draft, message.referenced)
        changes |= {"mention_roles": pings.roles, "mention_everyone": pings.everyone}
    if answering:
        changes["flags"] = message.flags & ~LOADING
        if not message.ephemeral:
            world.pinged(message, pings)
    world.change(message, edited=not answering, **changes)
