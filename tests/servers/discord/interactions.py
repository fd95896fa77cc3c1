"""Interactions: how they reach the bot, and what it may answer (Interactions, "Receiving and Responding")."""

from dataclasses import dataclass, field
from secrets import token_urlsafe

from aiohttp import web

from servers.discord import drafts
from servers.discord.calls import Api, Call
from servers.discord.commands import IN_BOT_DM, IN_GUILD, IN_PRIVATE, STRING, check_choices
from servers.discord.components import check_modal
from servers.discord.errors import choice, items, refusal
from servers.discord.model import Channel, Message, User
from servers.discord.rest import change
from servers.discord.wire import CHAT_INPUT, DEFAULT, EPHEMERAL, LOADING, Json, Kind
from servers.discord.world import Event, World

COMMAND, COMPONENT, AUTOCOMPLETE, SUBMIT = 2, 3, 4, 5
SAY, DEFER, DEFER_UPDATE, UPDATE, CHOICES, MODAL = 4, 5, 6, 7, 8, 9

PATIENCE = 3.0
"""Seconds until an interaction has failed that nothing was answered to."""

LIFE = 15 * 60.0
"""Seconds for which an interaction's token is good."""

FOLLOW_UPS = 5
"""How many there may be where the application is installed by the person alone."""


@dataclass(eq=False)
class Interaction:
    """Something a person has done with the bot, and what has come of it."""

    id: str
    type: int
    user: User
    channel: Channel
    data: Json = field(repr=False)
    token: str = field(repr=False)
    time: float
    owners: Json
    """Who has installed the application (``authorizing_integration_owners``)."""

    message: Message | None = None
    """The message on which it was done, of a click or a modal that came by one."""

    response: int = 0
    """The type of the callback that it was answered with, or 0."""

    original: Message | None = None
    messages: list[Message] = field(default_factory=list)
    """Everything that was said in answer: the original response, and followups."""

    modal: Json | None = field(default=None, repr=False)
    choices: list[Json] | None = None
    follow_ups: int = 0

    @property
    def context(self) -> int:
        """Where it was done: in a guild, in a DM with the bot, or in another private channel."""
        if self.channel.guild is not None:
            return IN_GUILD
        return IN_BOT_DM if self.channel.type is Kind.DM else IN_PRIVATE


class Interactions:
    """Every interaction there was, in `all`, and the routes by which they are answered."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.all = list[Interaction]()

    def routes(self, api: Api) -> list[web.RouteDef]:
        """Return the routes; the token in an address is what allows to use it."""
        hook = "/webhooks/{app}/{token}"
        one = hook + "/messages/{message}"
        return [
            api.route("POST", "/interactions/{id}/{token}/callback", self.respond, "none"),
            api.route("POST", hook, self.follow_up, "none"),
            api.route("GET", one, self.get_message, "none"),
            api.route("PATCH", one, self.edit_message, "none"),
            api.route("DELETE", one, self.delete_message, "none"),
        ]

    def begin(
        self, kind: int, user: User, channel: Channel, data: Json, owners: Json, message: Message | None = None
    ) -> Interaction:
        """Tell the bot of an interaction, for which no intent is needed."""
        clock = self._world.clock
        one = Interaction(clock.snowflake(), kind, user, channel, data, token_urlsafe(48), clock.now(), owners, message)
        self.all.append(one)
        self._world.emit(Event("INTERACTION_CREATE", self._wire(one)))
        return one

    def is_late(self, one: Interaction) -> bool:
        """Return whether "This interaction failed" is shown: nothing was answered in time."""
        return not one.response and self._world.clock.now() - one.time > PATIENCE

    # ------------------------------------------------------------------ requests

    async def respond(self, call: Call) -> Json | None:
        """Create Interaction Response, of which there is one, within three seconds."""
        one = next((one for one in self.all if one.id == call.params["id"]), None)
        if one is None or one.token != call.params["token"] or self.is_late(one):
            raise refusal(10062)
        if one.response:
            raise refusal(40060)
        kind = call.json.get("type")
        choice(kind, "type", _allowed(one))
        data = call.json.get("data") or {}
        inner = Call(call.params, call.query, data, call.files)
        if kind in (SAY, DEFER):
            self._say(one, inner, deferred=kind == DEFER)
        elif kind == MODAL:
            one.modal = check_modal(data)
        elif kind == CHOICES:
            one.choices = items(data.get("choices"), "data.choices", 25)
            check_choices(one.choices, "data.choices", _focused(one.data))
        else:
            one.original = one.message
            if kind == UPDATE and one.message is not None:
                change(self._world, one.message, inner)
        one.response = int(str(kind))
        self._world.changes.notify()
        return _responded(one) if call.query.get("with_response") in ("1", "true", "True") else None

    async def follow_up(self, call: Call) -> Json:
        """Create Followup Message; directly after a deferral it takes the deferred message's place.

        "The ephemeral flag will be ignored, and the value you provided in the initial defer response will be
        preserved, as an existing message's ephemeral state cannot be changed."
        """
        one = self._alive(call)
        if not one.response:
            raise refusal(10015)
        if one.original is not None and one.original.thinking and not one.original.deleted:
            self._edit(one.original, call)
            return one.original.wire()
        if "0" not in one.owners and one.follow_ups >= FOLLOW_UPS:
            raise refusal(40094)
        one.follow_ups += 1
        message = self._say(one, call, deferred=False)
        return message.wire()

    async def get_message(self, call: Call) -> Json:
        """Get Original Interaction Response, and Get Followup Message."""
        return self._message(call).wire()

    async def edit_message(self, call: Call) -> Json:
        """Edit Original Interaction Response, and Edit Followup Message."""
        message = self._message(call)
        self._edit(message, call)
        return message.wire()

    async def delete_message(self, call: Call) -> None:
        """Delete Original Interaction Response, and Delete Followup Message."""
        self._world.delete(self._message(call))

    # ------------------------------------------------------------------- messages

    def _say(self, one: Interaction, call: Call, *, deferred: bool) -> Message:
        world = self._world
        draft = drafts.read(call.json, call.files, world)
        if draft.empty and not deferred:
            raise refusal(50006)
        named, pings = drafts.allow(world, one.channel, draft)
        ephemeral = draft.flags & EPHEMERAL
        metadata: Json = {"id": one.id, "type": one.type, "user": one.user.wire()}
        message = world.post(
            one.channel,
            world.bot,
            "" if deferred else draft.content or "",
            embeds=draft.embeds or (),
            components=draft.components or (),
            attachments=draft.attachments or (),
            flags=ephemeral | (LOADING if deferred else 0),
            type=CHAT_INPUT if one.type == COMMAND and not one.messages else DEFAULT,
            mentions=named,
            mention_roles=pings.roles,
            mention_everyone=pings.everyone,
            webhook_id=world.application_id,
            application_id=world.application_id,
            interaction=metadata | {"authorizing_integration_owners": one.owners},
            only_for=one.user if ephemeral else None,
        )
        one.messages.append(message)
        if not one.response:
            one.original = message
        if not ephemeral:
            world.pinged(message, pings)
        return message

    def _edit(self, message: Message, call: Call) -> None:
        """Change *message*; a deferred one becomes the answer, and is not called edited."""
        change(self._world, message, call, answering=message.thinking)

    def _alive(self, call: Call) -> Interaction:
        one = next((one for one in self.all if one.token == call.params["token"]), None)
        if one is None or call.params["app"] != self._world.application_id:
            raise refusal(10015)
        if self._world.clock.now() - one.time > LIFE:
            raise refusal(50027)
        return one

    def _message(self, call: Call) -> Message:
        one = self._alive(call)
        if not one.response:
            raise refusal(10015)
        wanted = call.params["message"]
        there = [*one.messages, *([one.message] if one.message else [])]
        found = one.original if wanted == "@original" else next((each for each in there if each.id == wanted), None)
        if found is None or found.deleted:
            raise refusal(10008)
        return found

    def _wire(self, one: Interaction) -> Json:
        world = self._world
        guild = one.channel.guild
        shown: Json = {
            "id": one.id,
            "application_id": world.application_id,
            "type": one.type,
            "token": one.token,
            "version": 1,
            "data": one.data,
            "channel_id": one.channel.id,
            "channel": one.channel.wire(world.bot),
            "app_permissions": str(int(one.channel.permissions(world.bot) or one.channel.permissions(one.user))),
            "locale": "en-US",
            "entitlements": [],
            "authorizing_integration_owners": one.owners,
            "context": one.context,
            "attachment_size_limit": 10 * 1024 * 1024,
        }
        if one.message is not None:
            shown["message"] = one.message.wire()
        if guild is None:
            return shown | {"user": one.user.wire()}
        shown["guild"] = {"id": guild.id, "locale": "en-US", "features": []}
        shown |= {"guild_id": guild.id, "guild_locale": "en-US"}
        permissions = str(int(one.channel.permissions(one.user)) & (1 << 53) - 1)
        return shown | {"member": {**guild.members[one.user.id].wire(), "permissions": permissions}}


def _allowed(one: Interaction) -> tuple[int, ...]:
    """Return the types of callback that *one* may be answered with (Interaction Callback Type)."""
    if one.type == AUTOCOMPLETE:
        return (CHOICES,)
    if one.type == COMMAND:
        return (SAY, DEFER, MODAL)
    if one.type == COMPONENT:
        return (SAY, DEFER, DEFER_UPDATE, UPDATE, MODAL)
    return (SAY, DEFER, DEFER_UPDATE, UPDATE) if one.message is not None else (SAY, DEFER)


def _focused(data: Json) -> int:
    for option in data.get("options") or ():
        if option.get("focused"):
            return int(option["type"])
        if "options" in option:
            return _focused(option)
    return STRING


def _responded(one: Interaction) -> Json:
    shown: Json = {"id": one.id, "type": one.type, "channel_id": one.channel.id}
    resource: Json = {"type": one.response}
    if one.response in (SAY, DEFER, UPDATE) and one.original is not None:
        shown["response_message_id"] = one.original.id
        shown["response_message_loading"] = one.original.thinking
        shown["response_message_ephemeral"] = one.original.ephemeral
        resource["message"] = one.original.wire()
    return {"interaction": shown, "resource": resource}
