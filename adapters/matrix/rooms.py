"""Rooms: who reads along in them, the bot's own private ones, and those that it is invited to.

Who can read a room is asked of the homeserver just before something private is said there: what the last
sync told may have changed since (A5, A6).  Private is a room whose only members, joined or invited, are
the bot and that person, that nobody can join uninvited and nobody can read from outside.
"""

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from typing import Any

from nio.client.async_client import AsyncClient
from nio.events.account_data import UnknownAccountDataEvent
from nio.events.invite_events import InviteMemberEvent
from nio.events.room_events import RoomMemberEvent
from nio.responses import RoomSummary, SyncResponse
from nio.rooms import MatrixRoom

from adapters.matrix.answers import Limited, MatrixError, ask, call, path
from adapters.matrix.people import may_invite, server_of
from adapters.matrix.settings import Settings
from omnibot.errors import NoPrivateWay, NotDelivered, Refused

ENCRYPTION = {"algorithm": "m.megolm.v1.aes-sha2"}
JOIN_WITHIN = 8.0
"""Seconds that a private reply waits for somebody to accept the bot's invitation."""

_UNINVITED = frozenset({"public", "restricted", "knock_restricted"})
"""Join rules by which somebody may come in whom no member has let in."""

_TRIES = 4
_MOST_INVITES = 100
_REMEMBERED = 1000


@dataclass(frozen=True, slots=True)
class Room:
    """A room, as the homeserver tells of it at one moment."""

    joined: frozenset[str]
    invited: frozenset[str]
    closed: bool
    """Whether nobody comes in, or reads it, but whom a member has invited."""

    encrypted: bool

    def is_private(self, *people: str) -> bool:
        """Whether *people* are its only readers."""
        return self.closed and self.joined | self.invited == frozenset(people)


class Rooms:
    """The rooms of one account."""

    def __init__(
        self, client: AsyncClient, settings: Settings, log: logging.Logger, reachable: Callable[[str], None]
    ) -> None:
        """Know none yet; *reachable* is told of people who have accepted the bot's invitation."""
        self._client = client
        self._reachable = reachable
        self._settings = settings
        self._log = log
        self._direct: dict[str, list[str]] = {}
        """The account's own ``m.direct``: rooms, by the person they are for."""

        self._heard: OrderedDict[str, str] = OrderedDict()
        """In which room somebody last spoke to the bot in private, by MXID."""

        self._joining: dict[tuple[str, str], asyncio.Event] = {}
        self._opening: dict[str, asyncio.Task[str]] = {}
        self._answers: dict[str, asyncio.Task[object]] = {}
        self._followed: set[str] = set()
        self._members: dict[str, set[str]] = {}
        """Who is in a room, for those of which the homeserver was asked; kept up by each sync."""

        self._moves = 0
        """How often somebody came or went."""

    async def load(self) -> None:
        """Learn which rooms are whose.

        Raises:
            Refused, MatrixError, OSError, TimeoutError: the homeserver does not say.
        """
        try:
            self.told(await call(self._client, "GET", self._direct_path()))
        except MatrixError as error:
            if error.code != "M_NOT_FOUND":
                raise

    def told(self, direct: Mapping[str, Any]) -> None:
        """Take in the content of ``m.direct``."""
        self._direct = {
            person: [room for room in rooms if isinstance(room, str)]
            for person, rooms in direct.items()
            if isinstance(rooms, list)
        }

    async def close(self) -> None:
        """Stop whatever is under way."""
        tasks = [*self._opening.values(), *self._answers.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def synced(self, response: SyncResponse) -> None:
        """Take what concerns rooms and their members from *response*, which nio has taken already."""
        for event in response.account_data_events:
            if isinstance(event, UnknownAccountDataEvent) and event.type == "m.direct":
                self.told(event.content)
        for room, info in response.rooms.join.items():
            if info.timeline.limited:  # with members told of lazily, who left meanwhile may not be
                self._members.pop(room, None)
            for one in (*info.state, *info.timeline.events):
                if isinstance(one, RoomMemberEvent):
                    self._member(room, one.state_key, one.membership)
            successor = self._client.rooms[room].replacement_room if room in self._client.rooms else None
            if successor and successor not in self._client.rooms and successor not in self._followed:
                self._followed.add(successor)
                self._follow(room, successor)
        for room in response.rooms.leave:
            self._members.pop(room, None)
            self._client.rooms.pop(room, None)
        self._client.invited_rooms.clear()  # nio keeps for good what was declined
        for room, invitation in response.rooms.invite.items():
            for event in invitation.invite_state:
                if _invites(event, self._client.user_id):
                    self._invited(room, event.sender, direct=event.content.get("is_direct") is True)

    def _member(self, room: str, person: str, membership: str) -> None:
        self._moves += 1
        known = self._members.get(room)
        if membership == "join":
            if known is not None:
                known.add(person)
            joined = self._joining.pop((room, person), None)
            if joined is not None:
                joined.set()
            if room in self._direct.get(person, ()):
                self._reachable(person)
        elif known is not None:
            known.discard(person)

    # -- who reads along ---------------------------------------------------------------

    async def members(self, room: str) -> frozenset[str]:
        """Return who is in *room*, as the last sync told.

        Raises:
            Refused, MatrixError, OSError, TimeoutError: the homeserver does not say.
        """
        while (known := self._members.get(room)) is None:
            before = self._moves
            said = await call(self._client, "GET", path("rooms", room, "joined_members"))
            joined = said.get("joined")
            if before == self._moves:  # or the answer may be older than what a sync told meanwhile
                self._members[room] = set(joined) if isinstance(joined, dict) else set()
        return frozenset(known)

    async def look(self, room: str) -> Room:
        """Ask the homeserver who is in *room* now.

        Raises:
            NotDelivered: it does not say: the bot is not in there, say.
        """
        try:
            found = _room(await ask(self._client, "GET", path("rooms", room, "state")))
        except Limited as error:
            raise NotDelivered(str(error), retryable=True) from None
        except MatrixError as error:
            raise NotDelivered(str(error), retryable=error.status >= 500 or not error.status) from None
        except Refused as error:
            raise NotDelivered(str(error), retryable=False) from None
        except (OSError, TimeoutError) as error:
            raise NotDelivered(f"the homeserver does not answer ({type(error).__name__})", retryable=True) from None
        if found.encrypted:
            self._client.encrypted_rooms.add(room)  # the sync that tells so may be under way
        return found

    async def count(self, room: str) -> None:
        """See that `seems_private` can tell of *room*.

        With members loaded lazily, a sync that has a position tells how many there are only when that changes.

        Raises:
            Refused, MatrixError, OSError, TimeoutError: the homeserver does not say.
        """
        known = self._client.rooms.get(room)
        if known is None or len(known.users) > 2 or _is_counted(known):
            return
        try:
            said = await call(self._client, "GET", path("rooms", room, "members", not_membership=["leave"]))
        except MatrixError as error:
            if error.status in (403, 404):  # the bot has just left
                return
            raise
        found = _room(said.get("chunk"))
        for person in found.joined | found.invited:
            known.add_member(person, None, None, person in found.invited)
        known.update_summary(RoomSummary(len(found.invited), len(found.joined), []))

    async def is_in(self, person: str, room: str) -> bool:
        """Ask the homeserver whether *person* is in *room* now.

        Raises:
            Refused, MatrixError, OSError, TimeoutError: it does not say.
        """
        try:
            said = await call(self._client, "GET", path("rooms", room, "state", "m.room.member", person))
        except MatrixError as error:
            if error.status in (403, 404):  # the bot is not in there, or they never were
                return False
            raise
        return said.get("membership") == "join"

    def seems_private(self, room: str, person: str) -> bool:
        """Whether *person* and the bot were alone in *room* at the last sync."""
        known = self._client.rooms.get(room)
        return (
            known is not None
            and known.joined_count + known.invited_count == 2
            and person in known.users
            and known.join_rule not in _UNINVITED
            and known.history_visibility != "world_readable"
        )

    def heard(self, room: str, person: str) -> None:
        """Note that *person* spoke to the bot in *room*, in private."""
        self._heard[person] = room
        self._heard.move_to_end(person)
        if len(self._heard) > _REMEMBERED:
            self._heard.popitem(last=False)

    async def private(self, person: str, near: str | None, *, invite: bool) -> str:
        """Return a room in which *person* is the only reader besides the bot, at this moment.

        That is the room *near* if it is one, or else another; if there is none, one is made where *invite*
        says so, and the person is waited for.

        Raises:
            NoPrivateWay: there is none, or they have yet to accept the invitation.
            NotDelivered: the homeserver does not answer.
        """
        pending = ""
        for room in self._candidates(person, near):
            try:
                found = await self.look(room)
            except NotDelivered as error:
                if error.retryable:
                    raise
                continue
            if not found.is_private(self._client.user_id, person):
                continue
            if person in found.joined:
                return room
            pending = pending or room
        if not invite:
            raise NoPrivateWay(f"{person} and the bot have no room to themselves")
        room = pending or await self._open(person)
        await self._joined(room, person)
        found = await self.look(room)  # they took their time, and others may have come
        if person not in found.joined or not found.is_private(self._client.user_id, person):
            raise NoPrivateWay(f"{person} and the bot are not alone in the room they were invited to")
        return room

    def _candidates(self, person: str, near: str | None) -> list[str]:
        """Return the rooms that may be private for *person*, likeliest first, and no more than are worth asking."""
        found = [near] if near is not None else []
        found += [self._heard[person]] if person in self._heard else []
        found += reversed(self._direct.get(person, ()))
        found += [room for room in self._client.rooms if self.seems_private(room, person)]  # of their own making, say
        known = [room for room in dict.fromkeys(found) if room in self._client.rooms or room in self._direct_rooms()]
        return known[:4]

    def _direct_rooms(self) -> set[str]:
        return {room for rooms in self._direct.values() for room in rooms}

    # -- the bot's own private rooms ---------------------------------------------------

    async def _open(self, person: str) -> str:
        """Make a room for *person* and the bot, once, however many replies wait for it; return its id."""
        opening = self._opening.get(person)
        if opening is None:
            opening = self._opening[person] = asyncio.create_task(self._made(person), name="a private room is made")
            opening.add_done_callback(lambda _: self._opening.pop(person, None))
        return await asyncio.shield(opening)

    async def _made(self, person: str) -> str:
        wanted = {
            "preset": "private_chat",
            "visibility": "private",
            "is_direct": True,
            "invite": [person],
            "initial_state": _own_state(encrypted=self._settings.encryption),
            "power_level_content_override": {"invite": 100, "state_default": 100},
        }
        try:
            said = await call(self._client, "POST", path("createRoom"), wanted)
            room = str(said["room_id"])
            self._direct.setdefault(person, []).append(room)
            await call(self._client, "PUT", self._direct_path(), self._direct)
        except Limited as error:
            raise NotDelivered(str(error), retryable=True) from None
        except (MatrixError, KeyError) as error:
            raise NoPrivateWay(f"no private room could be made ({error})") from None
        return room

    def _direct_path(self) -> str:
        return path("user", self._client.user_id, "account_data", "m.direct")

    async def _joined(self, room: str, person: str) -> None:
        """Wait a while until *person* has accepted the invitation to *room*.

        Raises:
            NoPrivateWay: they have not yet; *reachable* is told when they have.
        """
        joined = self._joining.setdefault((room, person), asyncio.Event())
        known = self._client.rooms.get(room)
        if known is not None and person in known.users and person not in known.invited_users:
            self._joining.pop((room, person)).set()
            return  # they were faster than the answer by which the room was made, or looked at
        try:
            async with asyncio.timeout(JOIN_WITHIN):
                await joined.wait()
        except TimeoutError:
            raise NoPrivateWay(f"{person} has yet to accept the bot's invitation") from None

    # -- invitations -------------------------------------------------------------------

    def _invited(self, room: str, inviter: str, *, direct: bool) -> None:
        """Accept or decline, in the background, the invitation of *inviter* to *room*, which may be for them alone."""
        if may_invite(self._settings, inviter):
            where = path("join", room, via=[server_of(inviter) or ""])
            self._answering(room, self._follow_to(room, where, inviter if direct else ""))
        else:
            self._answering(room, self._answer(path("rooms", room, "leave"), "declined"))

    async def _follow_to(self, room: str, where: str, person: str) -> None:
        """Go to *room* at *where*, and remember that it was made for *person*, unless that is empty."""
        if await self._answer(where, "followed") and person and room not in self._direct.get(person, ()):
            self._direct.setdefault(person, []).append(room)
            try:
                await call(self._client, "PUT", self._direct_path(), self._direct)
            except (MatrixError, Refused, OSError, TimeoutError) as error:
                self._log.debug("whom a room is for could not be kept: %s", error)

    def _answering(self, room: str, answer: Coroutine[Any, Any, object]) -> None:
        if room in self._answers or len(self._answers) >= _MOST_INVITES:
            answer.close()
        else:
            task = asyncio.create_task(answer, name="an invitation is answered")
            self._answers[room] = task
            task.add_done_callback(lambda _: self._answers.pop(room, None))

    def _follow(self, old: str, new: str) -> None:
        """Go on, in the background, in the room that takes the place of *old*: its own administrators said so."""
        self._log.info("a room was replaced by another, and the bot goes along")
        servers = {server for server in map(server_of, self._client.rooms[old].users) if server}
        self._answering(new, self._answer(path("join", new, via=sorted(servers)[:3]), "followed"))

    async def _answer(self, where: str, what: str) -> bool:
        """Answer at *where*; return whether the homeserver took it."""
        for attempt in range(_TRIES):
            try:
                await call(self._client, "POST", where, {})
            except Limited as limit:
                await asyncio.sleep(limit.seconds)
            except (MatrixError, OSError, TimeoutError) as error:
                self._log.debug("an invitation could not be answered: %s", error)
                if attempt < _TRIES - 1:
                    await asyncio.sleep(2.0**attempt)
            except Refused:
                return False
            else:
                self._log.info("%s an invitation", what)
                return True
        return False


def _invites(event: object, me: str) -> bool:
    """Whether *event* is the one that invites *me*; the state of an invitation tells of others as well."""
    return isinstance(event, InviteMemberEvent) and (event.membership, event.state_key) == ("invite", me)


def _is_counted(known: MatrixRoom) -> bool:
    return known.summary is not None and known.summary.joined_member_count is not None


def _room(state: Any) -> Room:
    """Return the room that has *state*, the answer to ``GET /rooms/{roomId}/state``."""
    people: dict[str, set[str]] = {"join": set(), "invite": set()}
    rule, visible, encrypted, expected = "invite", "shared", False, False
    for event in state if isinstance(state, list) else ():
        kind, key, content = event.get("type"), event.get("state_key"), event.get("content") or {}
        if kind == "m.room.member":
            people.setdefault(str(content.get("membership")), set()).add(str(key))
        elif kind == "m.room.third_party_invite" and content:
            expected = True  # whoever has that address comes in, even if who invited them has left
        elif kind == "m.room.encryption":
            encrypted = True
        elif key:
            continue  # only what has an empty key is in force: anything can stand beside it
        elif kind == "m.room.join_rules":
            rule = str(content.get("join_rule"))
        elif kind == "m.room.history_visibility":
            visible = str(content.get("history_visibility"))
    closed = rule not in _UNINVITED and visible != "world_readable" and not expected
    return Room(frozenset(people["join"]), frozenset(people["invite"]), closed, encrypted)


def _own_state(*, encrypted: bool) -> list[dict[str, Any]]:
    state: list[dict[str, Any]] = [
        {"type": "m.room.history_visibility", "state_key": "", "content": {"history_visibility": "joined"}},
        {"type": "m.room.guest_access", "state_key": "", "content": {"guest_access": "forbidden"}},
    ]
    if encrypted:
        state.append({"type": "m.room.encryption", "state_key": "", "content": ENCRYPTION})
    return state
