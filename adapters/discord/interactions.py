"""What comes by Discord's own interface: slash commands, buttons, menus, forms.

Each becomes a message, as if it had been typed, and leaves a `Live` behind, by which what answers it is said.
What has to be answered within three seconds is, without anybody's doing.
"""

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from typing import Any, Final, NamedTuple

import discord
from discord import app_commands

from adapters.discord import components, places
from adapters.discord.answers import Pause, translated
from adapters.discord.hearing import who
from adapters.discord.live import LIFE, Gone, Letter, Live
from adapters.discord.menu import Menu
from omnibot.command import Command, compose
from omnibot.errors import NotSent
from omnibot.identity import Assurance
from omnibot.markup import MarkdownRenderer
from omnibot.message import Message

DEFER_AFTER = 1.5
"""Seconds after which Discord is told that an answer is being made: it waits for three."""

_MOST_LIVE = 2000
_MOST_SAID = 4000
_MOST_ASIDE = 200
_LONGEST = 2000
_NOBODY: Final = discord.AllowedMentions.none()
_RENDERER: Final = MarkdownRenderer()

_ALONE = Letter("Here nobody else reads along.")
_FOREIGN = "That is for somebody else."
_OLD_BUTTON = "That button does nothing any longer."
_OLD_COMMAND = "I no longer have that command. Reload Discord (Ctrl+R) to see the ones that I have."
_NOTHING = "There was nothing in it."

type _First = Callable[[Live], Awaitable[object]]


class _Kept(NamedTuple):
    live: Live
    timers: tuple[asyncio.TimerHandle, ...]


class Interactions:
    """The interactions of one connection, while something can be said by them."""

    def __init__(self, network: str, prefix: str, menu: Callable[[], Menu], log: logging.Logger) -> None:
        """Hear for *network*, whose commands begin with *prefix* and stand in *menu*."""
        self.pause = Pause()
        self._network = network
        self._prefix = prefix
        self._menu = menu
        self._log = log
        self._kept: OrderedDict[str, _Kept] = OrderedDict()
        self._said: OrderedDict[str, str] = OrderedDict()
        """The interaction by which a message was said, by the message's id."""

        self._aside: set[asyncio.Task[None]] = set()
        self._closed = False

    async def take(self, interaction: discord.Interaction) -> Message | None:
        """Return what *interaction* says; None if that is nothing for anybody but Discord.

        It never waits: what is to be answered at once is answered besides.
        """
        known = isinstance(interaction.user, discord.User | discord.Member)
        if not known or self._closed or str(interaction.id) in self._kept:
            return None
        data: Mapping[str, Any] = dict(interaction.data or {})
        match interaction.type:
            case discord.InteractionType.application_command:
                return self._command(interaction, data)
            case discord.InteractionType.autocomplete:
                self._spawn(self._complete(interaction, data))
            case discord.InteractionType.component:
                return self._click(interaction, data)
            case discord.InteractionType.modal_submit:
                return self._form(interaction, data)
        return None

    def of(self, message_id: str) -> Live | None:
        """Return what the message of that id came by, while something can be said by it."""
        kept = self._kept.get(message_id)
        return kept.live if kept is not None and kept.live.is_good else None

    def latest(self, user: str) -> Live | None:
        """Return what *user* did last, while something can be said by it."""
        mine = (kept.live for kept in reversed(self._kept.values()) if kept.live.user == user)
        return next((live for live in mine if live.is_good), None)

    def said(self, live: Live, message_id: str) -> None:
        """Note that the message of that id was said by *live*."""
        self._said[message_id] = live.id
        if len(self._said) > _MOST_SAID:
            self._said.popitem(last=False)

    def behind(self, message_id: str) -> Live | None:
        """Return what the bot said the message of that id by, while it can be changed by that."""
        return self.of(self._said.get(message_id, ""))

    async def close(self) -> None:
        """Take back every promise of an answer; answer nothing more."""
        self._closed = True
        kept, self._kept = list(self._kept.values()), OrderedDict()
        self._said.clear()
        for one in kept:
            _cancel(one)
        await asyncio.gather(*self._aside, *(_locked(one.live, Live.finish) for one in kept), return_exceptions=True)

    # -- hearing -----------------------------------------------------------------------

    def _command(self, interaction: discord.Interaction, data: Mapping[str, Any]) -> Message | None:
        found = self._menu().find(data)
        if found is None:
            return self._tell(interaction, _OLD_COMMAND)
        command, values, selector = found
        try:
            text = compose(command, values, selector, self._prefix, self._menu().book)
        except ValueError as error:
            return self._tell(interaction, str(error))
        return self._begin(interaction, text, hidden=answers_in_private(command))

    def _click(self, interaction: discord.Interaction, data: Mapping[str, Any]) -> Message | None:
        message, part = interaction.message, components.read(str(data.get("custom_id", "")))
        if message is None or part is None or not _is_own(interaction, message):
            return self._tell(interaction, _OLD_BUTTON)
        if part.asker != str(interaction.user.id):
            return self._tell(interaction, _FOREIGN)
        label = components.label_of(message, data)
        match part:
            case components.Pick():
                number = part.number or str((data.get("values") or [""])[0])
                words = _picked(message.content, label)
                return self._begin(
                    interaction,
                    number,
                    hidden=message.flags.ephemeral,
                    picks=part.question,
                    first=lambda live: live.acknowledge(words),
                )
            case components.Fill():
                self._spawn(self._open(interaction, components.form(str(part), label, part.field)))
            case components.Answer():
                self._spawn(self._open(interaction, components.form(str(part), label, "Your answer")))
            case components.Open():
                return self._begin(
                    interaction, "", hidden=True, first=lambda live: live.say(_ALONE, hidden=not live.alone)
                )
        return None

    def _form(self, interaction: discord.Interaction, data: Mapping[str, Any]) -> Message | None:
        part, message = components.read(str(data.get("custom_id", ""))), interaction.message
        if part is None or part.asker != str(interaction.user.id):
            return self._tell(interaction, _FOREIGN)
        value = components.typed(data)
        if not value:
            return self._tell(interaction, _NOTHING)
        match part:
            case components.Fill():
                text = f"{self._prefix}{part.command} {value}" if part.command else value
                return self._begin(interaction, text, hidden=True, unkept=True)
            case components.Answer():
                hidden = message is None or message.flags.ephemeral
                first: _First | None = None if message is None else lambda live: live.acknowledge(None)
                return self._begin(interaction, value, hidden=hidden, picks=part.question, unkept=True, first=first)
        return None

    def _begin(
        self,
        interaction: discord.Interaction,
        text: str,
        *,
        hidden: bool,
        picks: str = "",
        unkept: bool = False,
        first: _First | None = None,
    ) -> Message | None:
        """Keep *interaction*, answer it by *first* or in good time, and return its message."""
        hidden = hidden and not places.is_alone(interaction)
        place = places.of(self._network, interaction, hidden=hidden)
        if place is None:
            return self._tell(interaction, "I cannot tell where this is.")
        live = Live(interaction, place, hidden=hidden, pause=self.pause, log=self._log)
        self._keep(live, None if first is None else _locked(live, first))
        return Message(
            network=self._network,
            id=live.id,
            speaker=who(self._network, interaction.user),
            channel=place,
            text=text,
            at=interaction.created_at.timestamp(),
            assurance=Assurance.STRONG,
            addressed=True,
            picks=picks,
            unkept=unkept,
        )

    # -- keeping -----------------------------------------------------------------------

    def _keep(self, live: Live, first: Coroutine[Any, Any, None] | None) -> None:
        loop = asyncio.get_running_loop()
        self._kept[live.id] = _Kept(
            live,
            (
                loop.call_later(DEFER_AFTER, lambda: self._spawn(_locked(live, Live.defer))),
                loop.call_later(LIFE, lambda: self._drop(live.id)),
            ),
        )
        if first is not None:
            self._spawn(first)
        if len(self._kept) > _MOST_LIVE:
            self._drop(next(iter(self._kept)))

    def _drop(self, name: str) -> None:
        kept = self._kept.pop(name, None)
        if kept is not None:
            _cancel(kept)
            self._spawn(_locked(kept.live, Live.finish))

    # -- answering at once -------------------------------------------------------------

    async def _complete(self, interaction: discord.Interaction, data: Mapping[str, Any]) -> None:
        found = self._menu().complete(data)
        choices = [app_commands.Choice(name=one["name"], value=one["value"]) for one in found]
        with translated(self.pause):
            await interaction.response.autocomplete(choices)

    async def _open(self, interaction: discord.Interaction, form: discord.ui.Modal) -> None:
        with translated(self.pause):
            await interaction.response.send_modal(form)

    def _tell(self, interaction: discord.Interaction, words: str) -> Message | None:
        """Say *words* to whoever did that, and nothing to the bot."""
        self._spawn(self._say(interaction, words))
        return None

    async def _say(self, interaction: discord.Interaction, words: str) -> None:
        with translated(self.pause):
            await interaction.response.send_message(words, ephemeral=True, allowed_mentions=_NOBODY)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Do *work* besides, unless too much of that is under way."""
        if self._closed or len(self._aside) >= _MOST_ASIDE:
            work.close()
            return
        # It begins now, so that a lock it takes is taken before anything else is said.
        task = asyncio.eager_task_factory(asyncio.get_running_loop(), self._logged(work))
        if not task.done():
            self._aside.add(task)
            task.add_done_callback(self._aside.discard)

    async def _logged(self, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        except (NotSent, Gone) as error:
            self._log.debug("an interaction was not answered: %s", error)
        except Exception as error:  # noqa: BLE001 - somebody pressed something: that must end nothing else
            self._log.warning("an interaction was not answered (%s)", type(error).__name__)


def answers_in_private(command: Command) -> bool:
    """Whether all that *command* answers is for the one person who gave it."""
    about_them = command.minimum is not None and not command.linked
    return command.answer == "private" or about_them or bool(command.secret)


async def _locked(live: Live, work: _First) -> None:
    async with live.lock:
        with translated(live.pause):
            await work(live)


def _cancel(kept: _Kept) -> None:
    for timer in kept.timers:
        timer.cancel()


def _is_own(interaction: discord.Interaction, message: discord.Message) -> bool:
    """Whether *message*, which was clicked on, is the bot's: Discord says so."""
    me = interaction.client.user
    return message.application_id == interaction.application_id or (me is not None and message.author.id == me.id)


def _picked(content: str, label: str) -> str | None:
    """Return what stands in a question's message once *label* was picked; None if that does not fit."""
    words = f"{content}\n→ **{_RENDERER.text(label)}**".strip()
    return words if label and len(words) <= _LONGEST else None
