"""What may be said by one interaction, for the quarter of an hour that its token is good for.

Discord wants an answer within three seconds, be it that one is being made (a *deferral*).  Whether others
read a deferred answer is settled then, and the first thing said after it takes that over, whatever is
asked for.  So before something is said to one person alone after a deferral that all see, that gets an answer
without content, which is deleted afterwards; and nothing goes out before Discord has told of a message for
that person, which is changed into it, that nobody else is shown it.
"""

import asyncio
import io
import logging
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any, Final, NamedTuple

import discord

from adapters.discord.answers import ANSWERED, ENDED, ENOUGH, FAILURES, Pause
from omnibot.errors import NoPrivateWay, NotDelivered
from omnibot.message import Channel, File

LIFE = 870.0
"""Seconds for which something is said by an interaction: its token ends after 900."""

_NOBODY: Final = discord.AllowedMentions.none()
_OTHER_WAY: Final = frozenset({401, 403, 404})
"""Statuses after which something else than the interaction may still do."""


class Gone(Exception):
    """Nothing more can be said by that interaction; what was to be said was not."""


class Shown(NamedTuple):
    """A message, and whether only the one person reads it."""

    id: str
    hidden: bool


@dataclass(frozen=True, slots=True)
class Letter:
    """One message as it is to be sent; it can be sent again."""

    content: str = ""
    embed: discord.Embed | None = None
    file: File | None = None
    view: discord.ui.View | None = None

    def new(self) -> dict[str, Any]:
        """Return what discord.py takes for a new message."""
        said: dict[str, Any] = {"allowed_mentions": _NOBODY}
        if self.content:
            said["content"] = self.content
        if self.embed is not None:
            said["embed"] = self.embed
        if self.file is not None:
            said["file"] = self._upload(self.file)
        if self.view is not None:
            said["view"] = self.view
        return said

    def over(self) -> dict[str, Any]:
        """Return what discord.py takes to make this of a message, whatever it was before."""
        return {
            "content": self.content or None,
            "embeds": [] if self.embed is None else [self.embed],
            "attachments": [] if self.file is None else [self._upload(self.file)],
            "view": self.view,
            "allowed_mentions": _NOBODY,
        }

    @staticmethod
    def _upload(file: File) -> discord.File:
        return discord.File(io.BytesIO(file.data), filename=file.name)


_ASIDE: Final = Letter("The answer is for one person alone.")
_FOLLOWS: Final = Letter("I have an answer for you alone …")


class _State(Enum):
    NEW = auto()
    DEFERRED = auto()
    ANSWERED = auto()
    ENDED = auto()


class Live:
    """One interaction.  All but `end` is to be called under its *lock*, which keeps what is said in order."""

    def __init__(
        self, interaction: discord.Interaction, place: Channel, *, hidden: bool, pause: Pause, log: logging.Logger
    ) -> None:
        """Say things by *interaction*, which speaks in *place*: *hidden*, if only its user reads there."""
        self.place = place
        self.hidden = hidden
        self.id = str(interaction.id)
        self.user = str(interaction.user.id)
        self.channel = str(interaction.channel_id)
        self.lock = asyncio.Lock()
        self._interaction = interaction
        self.pause = pause
        self._log = log
        self._state = _State.NEW
        self._born = asyncio.get_running_loop().time()

    @property
    def alone(self) -> bool:
        """Whether it stands in the conversation with the bot, where there is nobody to hide from."""
        return self.place.private and not self.hidden

    @property
    def is_good(self) -> bool:
        """Whether something can still be said by it."""
        return self._state is not _State.ENDED and asyncio.get_running_loop().time() - self._born < LIFE

    @property
    def may_embed(self) -> bool:
        """Whether embeds are shown there."""
        allowed = self._interaction.app_permissions
        return self._interaction.guild_id is None or allowed.administrator or allowed.embed_links

    @property
    def may_attach(self) -> bool:
        """Whether files are shown there."""
        allowed = self._interaction.app_permissions
        return self._interaction.guild_id is None or allowed.administrator or allowed.attach_files

    # -- saying ------------------------------------------------------------------------

    async def say(self, letter: Letter, *, hidden: bool) -> str:
        """Say *letter*, *hidden*: to its user alone; return the id of the message.

        Raises:
            Gone: nothing can be said by it, or not like that.
            NoPrivateWay: Discord showed it to others, where it is gone again.
            DiscordException, ClientError, OSError: Discord does not take it, or does not answer.
        """
        with self._good():
            shown = await self._say(letter, hidden)
        if hidden and not shown.hidden:  # Discord's documentation rules that out
            self._log.error("Discord showed to others what it was told to show to one person")
            await self._withdraw(shown.id)
            self._state = _State.ENDED
            raise NoPrivateWay("Discord does not hide what is said there")
        return shown.id

    async def edit(self, message: str, letter: Letter) -> None:
        """Make *letter* of a *message* that was said by it; raises as `say` does."""
        with self._good():
            await self._interaction.followup.edit_message(int(message), **letter.over())

    async def delete(self, message: str) -> None:
        """Take back a *message* that was said by it; raises as `say` does."""
        with self._good():
            await self._interaction.followup.delete_message(int(message))

    @contextmanager
    def _good(self) -> Iterator[None]:
        if not self.is_good:
            raise Gone
        try:
            yield
        except discord.HTTPException as error:
            if error.code in ENDED:
                self._state = _State.ENDED
            if error.code in ENDED or error.code == ENOUGH or error.status in _OTHER_WAY:
                raise Gone from None
            raise

    async def _say(self, letter: Letter, hidden: bool) -> Shown:
        if self._state is _State.NEW:
            return await self._respond(letter, hidden)
        if self._state is _State.DEFERRED:
            return await self._resolve(letter, hidden)
        return await self._follow(letter, hidden)

    async def _respond(self, letter: Letter, hidden: bool) -> Shown:
        try:
            response = await self._interaction.response.send_message(**letter.new(), ephemeral=hidden)
        except discord.HTTPException as error:
            if error.code != ANSWERED:
                raise
            return await self._respond_again(letter, hidden)
        self._state = _State.ANSWERED
        if isinstance(response.resource, discord.InteractionMessage):
            return _shown(response.resource)
        return Shown(str(response.message_id), response.is_ephemeral())

    async def _respond_again(self, letter: Letter, hidden: bool) -> Shown:
        """Go on where Discord has an answer already: one of ours, after which the connection broke.

        Only once Discord has told which one it is, that is settled: it may be a promise that all see.
        """
        try:
            first = await self._interaction.original_response()
        except discord.NotFound:
            unsure = hidden and not self.hidden
            shown = await (self._follow_alone(letter) if unsure else self._follow(letter, hidden))
            self._state = _State.ANSWERED
            return shown
        if first.flags.loading:
            self._state = _State.DEFERRED
            return await self._resolve(letter, hidden)
        self._state = _State.ANSWERED
        if letter.content and first.content == letter.content and first.flags.ephemeral == hidden:
            return _shown(first)
        return await self._follow(letter, hidden)

    async def _resolve(self, letter: Letter, hidden: bool) -> Shown:
        """Say *letter* where an answer was promised."""
        if hidden and not self.hidden:
            return await self._turn_aside(letter)
        message = await self._interaction.edit_original_response(**letter.over())
        self._state = _State.ANSWERED
        return _shown(message)

    async def _turn_aside(self, letter: Letter) -> Shown:
        """Say *letter* to one person where an answer to all was promised."""
        await self._interaction.edit_original_response(**_ASIDE.over())
        self._state = _State.ANSWERED
        try:
            return await self._follow_alone(letter)
        finally:
            with suppress(NotDelivered), self._quiet():  # what was said stays said
                await self._interaction.delete_original_response()

    async def _follow_alone(self, letter: Letter) -> Shown:
        """Say *letter* once Discord has told that nobody else is shown what it will stand in.

        Raises:
            Gone: others are; it was not said.
        """
        first = await self._follow(_FOLLOWS, hidden=True)
        if not first.hidden:
            await self._withdraw(first.id)
            self._state = _State.ENDED
            raise Gone
        await self._interaction.followup.edit_message(int(first.id), **letter.over())
        return first

    async def _follow(self, letter: Letter, hidden: bool) -> Shown:
        message = await self._interaction.followup.send(**letter.new(), ephemeral=hidden, wait=True)
        return _shown(message)

    async def _withdraw(self, message: str) -> None:
        try:
            await self._interaction.followup.delete_message(int(message))
        except discord.NotFound:
            pass
        except FAILURES as error:
            self._log.error("what was shown to others could not be deleted (%s)", type(error).__name__)

    # -- without words -----------------------------------------------------------------

    async def defer(self) -> None:
        """Promise an answer, unless there is one."""
        if self._state is _State.NEW and self.is_good:
            with self._quiet():
                await self._interaction.response.defer(ephemeral=self.hidden, thinking=True)
                self._state = _State.DEFERRED

    async def acknowledge(self, content: str | None) -> None:
        """Take the buttons away from the message that was clicked on; *content*, if any, stands there then."""
        said: dict[str, Any] = {"view": None} if content is None else {"view": None, "content": content}
        with self._quiet():
            await self._interaction.response.edit_message(**said, allowed_mentions=_NOBODY)
            self._state = _State.ANSWERED

    async def finish(self) -> None:
        """Take back the promise of an answer that nobody gave; say nothing more."""
        if self._state is _State.DEFERRED:
            with self._quiet():
                await self._interaction.delete_original_response()
        self._state = _State.ENDED

    @contextmanager
    def _quiet(self) -> Iterator[None]:
        """Within, what fails is logged: somebody waits for an answer, and gets it some other way."""
        try:
            self.pause.check()
            yield
        except discord.HTTPException as error:
            self.pause.note(error)
            if error.code in ENDED:
                self._state = _State.ENDED
            self._log.debug("an interaction was not answered (%s, code %s)", error.status, error.code)
        except FAILURES as error:
            self._log.debug("an interaction was not answered (%s)", type(error).__name__)


def _shown(message: discord.Message) -> Shown:
    return Shown(str(message.id), message.flags.ephemeral)
