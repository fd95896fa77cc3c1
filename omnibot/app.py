"""From a configuration to a running bot, and to its orderly end.

One event loop runs the core, the listener and every network's adapter under its own
supervisor.  SIGINT and SIGTERM end it: the adapters first, then the commands under way,
then the upkeep, the audit, and the database last.
"""

import asyncio
import logging
import os
import resource
import signal
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from omnibot import control
from omnibot.adapter import Adapter
from omnibot.administration import Admin
from omnibot.catalogue import SHIPPED, Instances, load_catalogue
from omnibot.config import Findings, NetworkSettings, Settings, adapter_options
from omnibot.control import Control, NotRunning, Say
from omnibot.core import Core, Options
from omnibot.datadir import DataDir, InUse
from omnibot.errors import ConfigError, Problem, UserError
from omnibot.registry import find_adapter, find_skills
from omnibot.skill import Skill
from omnibot.supervisor import Supervisor
from omnibot.vault import Keyring

log = logging.getLogger(__name__)

_GRACE = 10.0


@dataclass(frozen=True, slots=True)
class Parts:
    """What a configuration names, found and checked; nothing of it runs yet."""

    settings: Settings
    instances: Instances
    skills: Sequence[Skill]
    adapters: Mapping[str, tuple[Callable[..., Adapter], BaseModel]]
    """Class and options of each network's adapter."""

    logins: Mapping[str, str] = field(default_factory=dict)
    """For each network with ``confirm: login``, the instance where people sign in."""


def find_parts(settings: Settings) -> Parts:
    """Find everything that *settings* names.

    Raises:
        ConfigError: some of it is not there, or does not fit; every problem is in it.
    """
    findings = Findings(settings.source)
    adapters: dict[str, Any] = {}
    instances: Any = None
    skills: Any = ()
    with findings:
        instances = find_instances(settings)
    with findings:
        skills = find_skills(settings.skills, settings.skills_dir, where=settings.source.where("skills"))
    for network in settings.networks.values():
        with findings:
            adapters[network.name] = _adapter(network, settings)
    logins: Mapping[str, str] = {}
    with findings:
        logins = find_logins(settings, instances) if instances is not None else {}
    findings.raise_any()
    return Parts(settings, instances, skills, adapters, logins)


def find_instances(settings: Settings) -> Instances:
    """Find the services that *settings* name.

    Raises:
        ConfigError: some of it is not there, or does not fit.
    """
    folders = [SHIPPED, *([settings.catalogue_dir] if settings.catalogue_dir else [])]
    return Instances(
        load_catalogue(*folders), settings.providers, settings.source.document, address=settings.public_url or ""
    )


def find_logins(settings: Settings, instances: Instances) -> dict[str, str]:
    """Return, for each network whose links are confirmed by a login, the ``provider@instance`` to sign in to.

    Raises:
        ConfigError: there is none, or it cannot be used; every problem is in it.
    """
    found: dict[str, str] = {}
    problems: list[Problem] = []
    for network in settings.networks.values():
        if network.confirm != "login":
            continue
        where, key = settings.source.where("networks", network.name, "confirm"), f"networks.{network.name}.confirm"
        logins = instances.identifying(network.adapter)
        if settings.public_url is None:
            cure = "Add public_url, or leave confirm out."
            problems.append(Problem(where, key, "login needs an address for browsers to come back to", cure))
        if len(logins) == 1:
            found[network.name] = logins[0]
        else:
            problems.append(Problem(where, key, *_no_login(network.adapter, logins, instances)))
    if problems:
        raise ConfigError(*problems)
    return found


def _no_login(adapter: str, logins: Sequence[str], instances: Instances) -> tuple[str, str]:
    """Return what is wrong with the *logins* for the people of *adapter*, of which there is not one, and a cure."""
    if logins:
        return f"login could be any of {', '.join(logins)}", "Keep one of them."
    known = instances.could_identify(adapter)
    if not known:
        return f"login is not possible: no service tells who people of {adapter} are", "Leave confirm out."
    back = f"PUBLIC_URL/callback/{known[0]}/default"
    cure = f"Register the bot there, with the redirect address {back}, and add client_id and client_secret."
    return f"login needs providers.{known[0]}, with a client", cure


def _adapter(network: NetworkSettings, settings: Settings) -> tuple[Callable[..., Adapter], BaseModel]:
    where = settings.source.where("networks", network.name, "adapter")
    module = find_adapter(network.adapter, where=where, key=f"networks.{network.name}.adapter")
    return module.Adapter, adapter_options(network, module.Settings, settings.source)


def read_keyring(path: Path) -> Keyring:
    """Return the keys in *path*, which may be a credential that systemd hands over.

    Raises:
        ConfigError: they cannot be used.
    """
    return Keyring.load(path, credential=str(path.parent) == os.environ.get("CREDENTIALS_DIRECTORY"))


def load_keyring(path: Path) -> Keyring:
    """Return the keys in *path*, which may be a credential that systemd hands over.

    Without a usable key file the bot runs all the same, and refuses what needs a key (docs/security.md).
    """
    try:
        return read_keyring(path)
    except ConfigError as error:
        for one in error.problems:
            log.error("%s: %s. Until then no account can be linked or used. %s", one.where, one.what, one.cure)
        return Keyring()


class App:
    """A running bot."""

    def __init__(self, parts: Parts, core: Core) -> None:
        """Speak on the networks of *parts* with *core*."""
        self.core = core
        self._parts = parts
        self._stop = asyncio.Event()

    @classmethod
    async def run(cls, parts: Parts) -> None:
        """Run the bot of *parts* until it is told to stop, or its last network has ended.

        Raises:
            ConfigError: the data directory, the database or the listener's port cannot be used.
        """
        settings = parts.settings
        harden()
        async with AsyncExitStack() as stack:
            held = DataDir.hold(settings.data_dir)
            stack.callback(held.release)
            core = await Core.open(options(parts, load_keyring(settings.key_file)))
            stack.push_async_callback(core.close, _GRACE)
            app = cls(parts, core)
            with _signals(app._stop):
                await core.start()  # what a crash interrupted ends before a browser can come back to it
                await app._take_orders(stack)
                await app._listen(stack)
                await app._speak()

    async def _take_orders(self, stack: AsyncExitStack) -> None:
        """Let the command line of this machine reach the bot."""
        settings = self._parts.settings
        server = Control(settings.data_dir, Admin(self.core, settings.key_file, running=True).perform)
        await server.start()
        stack.push_async_callback(server.stop)

    async def _listen(self, stack: AsyncExitStack) -> None:
        """Start the listener, where there is anything to link."""
        settings = self._parts.settings
        if not self._parts.instances.names() and settings.public_url is None:
            return
        from omnibot.web import Listener

        host, port = settings.listen
        listener = Listener(
            self.core.browser,
            public_url=settings.public_url,
            host=host,
            port=port,
            trusted_proxies=[str(one) for one in settings.trusted_proxies],
            health=self.health,
        )
        await listener.start()
        stack.push_async_callback(listener.stop)

    async def _speak(self) -> None:
        """Run every adapter under its supervisor until all have ended or the bot is told to stop."""
        supervisors = [self._supervisor(network) for network in self._parts.adapters]
        tasks = [asyncio.create_task(one.run(), name=f"network {one.network}") for one in supervisors]
        stopping = asyncio.create_task(self._stop.wait(), name="stop")
        ended = asyncio.create_task(_all(tasks), name="networks")
        try:
            await asyncio.wait([ended, stopping], return_when=asyncio.FIRST_COMPLETED)
            if ended.done():
                await self.core.dispatcher.settle()
        finally:
            for task in (*tasks, ended, stopping):
                task.cancel()
            await asyncio.gather(*tasks, ended, stopping, return_exceptions=True)

    def _supervisor(self, network: str) -> Supervisor:
        make, settings = self._parts.adapters[network]
        return self.core.add_network(network, make(self.core.tools(network), settings))

    def health(self) -> dict[str, object]:
        """Return what ``/healthz`` says: no name of a person, no secret."""
        networks = {one.network: one.state for one in self.core.supervisors}
        return {"networks": networks, "vault": "locked" if self.core.keyring.locked else "open"}


def options(parts: Parts, keyring: Keyring) -> Options:
    """Return what the core of *parts* is built from."""
    settings = parts.settings
    return Options(
        data_dir=settings.data_dir,
        keyring=keyring,
        instances=parts.instances,
        skills=parts.skills,
        prefix=settings.prefix,
        public_url=settings.public_url,
        logins=parts.logins,
        paste_port=settings.paste_port,
        timeout=settings.command_timeout,
        admins=settings.admins,
        rules=settings.policy,
    )


async def administer(settings: Settings, op: str, args: Mapping[str, Any], say: Say) -> Any:
    """Do *op* to the bot of *settings*: through its socket where it runs, else on its data alone.

    Raises:
        OmnibotError: it was refused, or the data cannot be used; the text says why.
    """
    try:
        held = DataDir.hold(settings.data_dir)
    except InUse:
        try:
            return await control.ask(settings.data_dir, op, args, say)
        except NotRunning:
            raise UserError(
                f"Another omnibot works on {settings.data_dir} and does not listen: it is starting or ending, or is "
                "another command. Try again in a moment."
            ) from None
    async with AsyncExitStack() as stack:
        stack.callback(held.release)
        harden()
        parts = Parts(settings, find_instances(settings), (), {})
        core = await Core.open(options(parts, load_keyring(settings.key_file)))
        stack.push_async_callback(core.close)
        return await Admin(core, settings.key_file, running=False).perform(op, args, say)


async def ask_running(settings: Settings, op: str) -> Any:
    """Let the running bot do *op*; None if it does not run.

    The lock is not touched: a bot that is just starting would find its folder held.

    Raises:
        UserError: it would not, or could not.
    """
    try:
        return await control.ask(settings.data_dir, op, {}, lambda _: None)
    except NotRunning:
        return None


def harden() -> None:
    """Let no core file of this process be written, and no other process of this user look into it (A38)."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(4, 0, 0, 0, 0)  # PR_SET_DUMPABLE
    os.umask(0o077)


async def _all(tasks: Sequence[asyncio.Task[None]]) -> None:
    for ended in await asyncio.gather(*tasks, return_exceptions=True):
        if isinstance(ended, Exception):
            log.error("a network ended in a way it must not", exc_info=ended)


@contextmanager
def _signals(stop: asyncio.Event) -> Iterator[None]:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    try:
        yield
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)
