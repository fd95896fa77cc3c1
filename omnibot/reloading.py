"""Skills of a running bot: loaded, taken out, and loaded anew after their file has changed.

What a skill has registered is replaced in one step of the loop: its commands with their further
spellings and aliases, its followers, the numbers of its lists, its cooldowns, and the menus that
networks make of commands.  A module that does not import, or whose words another skill has,
changes nothing.  Commands that are under way end with the code they began with.

What a module has done beyond that cannot be undone from here: threads that it started, patches
to other modules.  A restart can.
"""

import asyncio
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import Any

from omnibot.core import Core
from omnibot.errors import ConfigError, UserError
from omnibot.markup import printable
from omnibot.registry import import_anew
from omnibot.skill import Skill
from omnibot.threads import TooManyThreadsError, in_thread

_IMPORT_SECONDS = 30.0
_NOT_SKILLS = frozenset({"omnibot", "adapters"})


class Reloading:
    """Changes which skills a bot has; the configuration decides again at its next start."""

    def __init__(self, core: Core, skills_dir: Path | None = None) -> None:
        """Change the skills of *core*; *skills_dir* holds the operator's own files."""
        self._core = core
        self._skills_dir = skills_dir
        self._one_by_one = asyncio.Lock()
        self._importing: asyncio.Future[list[Skill]] = asyncio.get_running_loop().create_future()
        self._importing.set_result([])

    def listed(self) -> list[dict[str, Any]]:
        """Return what is loaded, by name."""
        return [
            {
                "name": one.name,
                "module": one.module,
                "aliases": list(one.aliases),
                "commands": len(one.commands),
                "followers": len(one.followers),
            }
            for one in sorted(self._core.skills, key=lambda one: one.name)
        ]

    async def load(self, name: str) -> dict[str, Any]:
        """Load the module called *name*, as it would stand in the configuration; return the skills it declares.

        Raises:
            UserError: it is loaded, cannot be, or has words that another skill has.
        """
        if name.partition(".")[0] in _NOT_SKILLS:  # importing these anew would be the end of the bot
            raise UserError(f'"{printable(name)}" is no skill.')
        async with self._one_by_one:
            if any(name in (one.name, one.module) for one in self._core.skills):
                raise UserError(f'The skill "{printable(name)}" is loaded. To take up what has changed: reload.')
            return self._taken(self._core.skills, await self._imported(name))

    async def unload(self, name: str) -> dict[str, Any]:
        """Take the skill *name* out; return it.

        Raises:
            UserError: there is none.
        """
        async with self._one_by_one:  # what is being loaded anew just now would come back
            gone = self._known(name)
            self._core.take_skills([one for one in self._core.skills if one is not gone])
            return {"skills": [gone.name], "commands": 0}

    async def reload(self, name: str) -> dict[str, Any]:
        """Import the module of the skill *name* anew; return the skills that it declares now.

        Raises:
            UserError: there is none, it cannot be imported, or has words that another skill has.
        """
        async with self._one_by_one:
            module = self._known(name).module
            fresh = await self._imported(module)
            return self._taken([one for one in self._core.skills if one.module != module], fresh)

    def _known(self, name: str) -> Skill:
        for one in self._core.skills:
            if name in (one.name, one.module):
                return one
        known = ", ".join(sorted(one.name for one in self._core.skills))
        raise UserError(f'No skill called "{printable(name)}" is loaded. There are: {known}.')

    async def _imported(self, module: str) -> list[Skill]:
        if not self._importing.done():
            raise UserError("An earlier module is still being imported. If that does not end: restart the bot.")
        self._importing = asyncio.ensure_future(in_thread(partial(import_anew, module, self._skills_dir)))
        try:
            async with asyncio.timeout(_IMPORT_SECONDS):
                return await asyncio.shield(self._importing)
        except ConfigError as error:
            raise UserError(_said(error)) from None
        except TooManyThreadsError:
            raise UserError("Too much is stuck in threads already. Restart the bot.") from None
        except TimeoutError:
            raise UserError(
                f'"{printable(module)}" was not imported within {_IMPORT_SECONDS:.0f} seconds. Nothing has changed, '
                "and nothing else can be loaded until that ends."
            ) from None

    def _taken(self, others: Iterable[Skill], fresh: Iterable[Skill]) -> dict[str, Any]:
        """Let the bot have *others* and *fresh*.

        Raises:
            UserError: they do not go together; nothing has changed.
        """
        others, fresh = list(others), list(fresh)
        if twice := {one.name for one in others}.intersection(one.name for one in fresh):
            raise UserError(f'Another module declares the skill "{min(twice)}" as well. Nothing has changed.')
        try:
            self._core.take_skills([*others, *fresh])
        except ConfigError as error:
            raise UserError(f"{_said(error)} Nothing has changed.") from None
        return {"skills": [one.name for one in fresh], "commands": sum(len(one.commands) for one in fresh)}


def _said(error: ConfigError) -> str:
    return " ".join(printable(str(problem)) for problem in error.problems)
