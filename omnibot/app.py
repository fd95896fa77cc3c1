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
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

from pydantic import BaseModel

from omnibot import control
from omnibot.adapter import Adapter, Fold
from omnibot.administration import Admin, Live
from omnibot.catalogue import SHIPPED, Instances, load_catalogue
from omnibot.config import Findings, NetworkSettings, Settings, adapter_options
from omnibot.control import Control, NotRunning, Say
from omnibot.core import Core, Options
from omnibot.datadir import DataDir, InUse
from omnibot.errors import ConfigError, Problem, UserError
from omnibot.explaining import strays
from omnibot.markup import printable
from omnibot.registry import find_adapter, find_skills
from omnibot.reloading import Reloading
from omnibot.service import tell_systemd
from omnibot.skill import Skill
from omnibot.supervisor import Supervisor
from omnibot.threads import in_thread
from omnibot.vault import Keyring

log = logging.getLogger(__name__)

_GRACE = 10.0
_FOR_LINKS = ("omnibot.http", "authlib.oauth2.rfc6749.parameters", "authlib.oauth2.rfc7636", "markdown_it")


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

    strays: Sequence[Problem] = ()
    """Rules and rooms that name nothing there is, and so forbid nothing."""

    folds: Mapping[str, Fold] = field(default_factory=dict)
    """By network, how its names are compared where several spellings are one."""


def find_parts(settings: Settings) -> Parts:
    """Find everything that *settings* names.

    Raises:
        ConfigError: some of it is not there, or does not fit; every problem is in it.
    """
    findings = Findings(settings.source)
    adapters: dict[str, Any] = {}
    folds: dict[str, Fold] = {}
    instances: Any = None
    skills: Any = ()
    with findings:
        instances = find_instances(settings)
    with findings:
        skills = find_skills(settings.skills, settings.skills_dir, where=settings.source.where("skills"))
    for network in settings.networks.values():
        with findings:
            module = _adapter(network, settings)
            adapters[network.name] = module.Adapter, adapter_options(network, module.Settings, settings.source)
            if fold := getattr(module, "fold", None):
                folds[network.name] = fold
    logins: Mapping[str, str] = {}
    with findings:
        logins = find_logins(settings, instances) if instances is not None else {}
    findings.raise_any()
    return Parts(settings, instances, skills, adapters, logins, tuple(strays(settings, skills)), folds)


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


def _adapter(network: NetworkSettings, settings: Settings) -> ModuleType:
    where = settings.source.where("networks", network.name, "adapter")
    return find_adapter(network.adapter, where=where, key=f"networks.{network.name}.adapter")


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


def _warm() -> None:
    """Load what the first link would load on the loop: for a tenth of a second nobody else would be answered."""
    for name in _FOR_LINKS:
        import_module(name)


class App:
    """A running bot."""

    def __init__(self, parts: Parts, core: Core) -> None:
        """Speak on the networks of *parts* with *core*."""
        self.core = core
        self._parts = parts
        self._stop = asyncio.Event()
        self._networks: dict[str, asyncio.Task[None]] = {}
        self._reconnecting = asyncio.Lock()

    @classmethod
    async def run(cls, parts: Parts) -> None:
        """Run the bot of *parts* until it is told to stop, or its last network has ended.

        Raises:
            ConfigError: the data directory, the database or the listener's port cannot be used.
        """
        settings = parts.settings
        for one in parts.strays:
            log.warning("%s: %s: %s. %s", one.where, one.key, one.what, one.cure)
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
                await app._show_metrics(stack)
                tell_systemd("READY=1")
                await app._speak()
                tell_systemd("STOPPING=1")

    async def _take_orders(self, stack: AsyncExitStack) -> None:
        """Let the command line of this machine reach the bot."""
        settings = self._parts.settings
        live = Live(self.reconnect, Reloading(self.core, settings.skills_dir))
        admin = Admin(self.core, settings.key_file, running=True, live=live)
        self.core.administer = admin.in_chat
        server = Control(settings.data_dir, admin.perform)
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
            ready=self.ready,
            prove=self.core.probe.answer,
        )
        await listener.start()
        stack.push_async_callback(listener.stop)
        warming = asyncio.create_task(in_thread(_warm), name="warming")
        stack.callback(warming.cancel)

    async def _show_metrics(self, stack: AsyncExitStack) -> None:
        """Let Prometheus read what is counted, where the operator wants that."""
        if self._parts.settings.metrics is None:
            return
        from omnibot.metrics import Metrics

        metrics = Metrics(self.core)
        await metrics.start(*self._parts.settings.metrics)
        stack.push_async_callback(metrics.stop)

    async def _speak(self) -> None:
        """Run every adapter under its supervisor until all have ended or the bot is told to stop."""
        for supervisor in [self._supervisor(network) for network in self._parts.adapters]:
            self._run(supervisor)
        stopping = asyncio.create_task(self._stop.wait(), name="stop")
        try:
            while not stopping.done() and (running := [one for one in self._networks.values() if not one.done()]):
                await asyncio.wait([*running, stopping], return_when=asyncio.FIRST_COMPLETED)
            if not stopping.done():
                await self.core.dispatcher.settle()
        finally:
            for task in (*self._networks.values(), stopping):
                task.cancel()
            await asyncio.gather(*self._networks.values(), stopping, return_exceptions=True)

    def _run(self, supervisor: Supervisor) -> None:
        name = supervisor.network
        self._networks[name] = task = asyncio.create_task(supervisor.run(), name=f"network {name}")
        task.add_done_callback(_tell_failure)

    async def reconnect(self, network: str) -> None:
        """End the connection to *network*, if there is one, and connect anew at once; the others do not notice.

        Raises:
            UserError: there is no such network.
        """
        supervisor = next((one for one in self.core.supervisors if one.network == network), None)
        if supervisor is None:
            known = ", ".join(one.network for one in self.core.supervisors)
            raise UserError(f'No network is called "{printable(network)}". There are: {known}.')
        async with self._reconnecting:
            before = self._networks[network]
            ended = asyncio.create_task(_ended(before), name=f"the end of {network}")
            self._networks[network] = ended  # the bot does not end meanwhile, where it is the only one
            before.cancel()
            await ended
            self._run(supervisor)

    def _supervisor(self, network: str) -> Supervisor:
        make, settings = self._parts.adapters[network]
        return self.core.add_network(network, make(self.core.tools(network), settings))

    def health(self) -> dict[str, object]:
        """Return what ``/healthz`` says: no name of a person, no secret."""
        networks = {one.network: one.state for one in self.core.supervisors}
        return {"networks": networks, "vault": "locked" if self.core.keyring.locked else "open"}

    def ready(self, network: str = "") -> dict[str, object] | None:
        """Return what ``/readyz`` says of the bot, or of it on one *network*; None where there is no such network.

        Ready is who is connected to every network, trusts it, has its keys, and can write what it accepts.
        """
        found = [one for one in self.core.supervisors if network in ("", one.network)]
        if network and not found:
            return None
        locked, trouble = self.core.keyring.locked, self.core.database.in_trouble
        trusts = self.core.policy.trusts
        states = {
            one.network: "distrusted" if one.state == "ready" and not trusts(one.network) else one.state
            for one in found
        }
        ready = bool(found) and set(states.values()) == {"ready"} and not locked and not trouble
        return {
            "ready": ready,
            "networks": states,
            "vault": "locked" if locked else "open",
            "storage": "in trouble" if trouble else "writable",
        }


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
        rooms=settings.rooms,
        folds=parts.folds,
        limits=settings.limits,
        keep_audit=settings.keep_audit,
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


def _tell_failure(network: asyncio.Task[None]) -> None:
    if not network.cancelled() and network.exception() is not None:
        log.error("a network ended in a way it must not", exc_info=network.exception())


async def _ended(network: asyncio.Task[None]) -> None:
    await asyncio.wait([network])


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
