"""The parts of a bot and how they fit together, whatever networks it speaks on.

`Core.open` builds every service in the order of the layers, gives each what it needs, and
holds nothing that a service could ask for more.  `omnibot run`, `omnibot demo` and the test
bench all stand on it.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omnibot.adapter import Adapter, Fold, Tools
from omnibot.audit import Audit
from omnibot.catalogue import Instances
from omnibot.clients import Clients
from omnibot.command import Commands
from omnibot.database import Database
from omnibot.defaults import Defaults
from omnibot.delivery import Delivery
from omnibot.dispatcher import Dispatcher
from omnibot.erased import Ledger
from omnibot.errors import ConfigError, KeyMissing, Problem, UserError, VaultError
from omnibot.following import Follows
from omnibot.hosts import Hosts
from omnibot.identity import Identity
from omnibot.intake import Intake, restored_at
from omnibot.limits import UNLIMITED, Limits, Rates
from omnibot.linking.beginning import Beginning, redirect_uri
from omnibot.linking.browser import Browser
from omnibot.linking.confirming import Confirming
from omnibot.linking.desk import Ask, Desk
from omnibot.linking.endings import Endings
from omnibot.linking.finishing import Finishing
from omnibot.linking.guesses import Guesses
from omnibot.linking.holding import Holding
from omnibot.linking.joining import Joining
from omnibot.linking.leaving import Leaving
from omnibot.linking.minding import Minding
from omnibot.linking.moving import Moving
from omnibot.linking.pausing import NAME as PAUSED
from omnibot.linking.pausing import Pause
from omnibot.linking.polling import Polling
from omnibot.linking.revoking import Revoking
from omnibot.linking.services import LinkServices
from omnibot.linking.upkeep import Upkeep
from omnibot.message import Message
from omnibot.numbers import Numbers
from omnibot.people import People
from omnibot.policy import Policy, Room, Rule
from omnibot.probe import Probe
from omnibot.quiet import QuietHours
from omnibot.renewal import Renewals
from omnibot.session import Sessions
from omnibot.skill import Skill
from omnibot.stepup import StepUps
from omnibot.stores import Realms, Rows, SecretRows
from omnibot.supervisor import Supervisor
from omnibot.tally import Tally
from omnibot.turn import Services
from omnibot.vault import Grants, Keyring, Opener, Revoker, Sealer
from omnibot.watchdog import Watchdog
from omnibot.wire import Answer, Request, Sender

if TYPE_CHECKING:
    from omnibot.http import Http

log = logging.getLogger(__name__)

_KEYED = (
    "people",
    "identities",
    "accounts",
    "flows",
    "waiting",
    "follows",
    "defaults",
    "quiet",
    "hosts",
    "joins",
    "vouched",
    "former",
    "networks",
    "revocations",
    "clients",
    "audit_marks",
)


class Outward:
    """The outward client, imported at the first request: a bot that links nothing spares its memory and start."""

    def __init__(self) -> None:
        """Import nothing yet."""
        self._http: Http | None = None

    async def send(self, request: Request, **how: Any) -> Answer:
        """Send *request* as `Http.send` does."""
        if self._http is None:
            await asyncio.to_thread(import_module, "omnibot.http")  # a fifth of a second: not on the loop
        return await self._client().send(request, **how)

    async def close(self) -> None:
        """Close every connection."""
        if self._http is not None:
            await self._http.close()

    def _client(self) -> "Http":
        if self._http is None:
            from omnibot.http import Http

            self._http = Http()
        return self._http


@dataclass(frozen=True, slots=True)
class Options:
    """What a bot is built from, beside its networks."""

    data_dir: Path
    keyring: Keyring
    instances: Instances
    skills: Sequence[Skill]
    prefix: str = "!"
    public_url: str | None = None
    logins: Mapping[str, str] = field(default_factory=dict)
    """By network: the ``provider@instance`` whose login proves there who is at the browser."""

    paste_port: int = 9
    timeout: float = 60.0
    admins: tuple[str, ...] = ()
    rules: tuple[Rule, ...] = ()
    rooms: tuple[Room, ...] = ()
    folds: Mapping[str, Fold] = field(default_factory=dict)
    """By network, how its names are compared where several spellings are one."""

    limits: Rates = UNLIMITED
    keep_audit: float | None = None
    """Seconds after which what people did is forgotten; None: never."""

    clock: Callable[[], float] = time.time
    http: Sender = field(default_factory=Outward)


class Core:
    """A whole bot without its networks."""

    def __init__(self, options: Options, database: Database, ledger: Ledger) -> None:
        """Use `open` instead."""
        clock, keyring, instances, http = options.clock, options.keyring, options.instances, options.http
        self.options = options
        self.database = database
        self.tally = database.tally = Tally()
        self.keyring = keyring
        self.skills: tuple[Skill, ...] = tuple(options.skills)
        self.book = _book(self.skills)
        self.numbers = Numbers()
        self._changed = asyncio.Event()
        self.grants = Grants()
        self.probe = Probe()
        self.sealer = Sealer(keyring)
        self.opener = Opener(keyring, self.grants)
        self.audit = Audit(database, clock, sealer=self.sealer, keep=options.keep_audit)
        self.policy = Policy(options.rules, options.admins, options.rooms, options.folds)
        self.limits = Limits(options.limits, tally=self.tally)
        self.people = People(database, self.sealer, self.opener, clock)
        self.defaults = Defaults(database, self.sealer)
        self.quiet = QuietHours(database, self.sealer)
        self.realms = Realms(database, self.sealer)
        self.delivery = Delivery(database, self.sealer, clock, trusts=self.policy.trusts, tally=self.tally)
        self.hosts = Hosts(
            database=database,
            sealer=self.sealer,
            instances=instances,
            delivery=self.delivery,
            audit=self.audit,
            admins=self.policy.admins,
            prefix=options.prefix,
            clock=clock,
        )
        self.revoking = Revoking(
            database=database,
            sealer=self.sealer,
            opener=self.opener,
            grants=self.grants,
            revoker=Revoker(keyring),
            people=self.people,
            instances=instances,
            http=http,
            audit=self.audit,
            ledger=ledger,
            clock=clock,
            tally=self.tally,
        )
        self.renewals = Renewals(
            database=database,
            sealer=self.sealer,
            opener=self.opener,
            grants=self.grants,
            people=self.people,
            instances=instances,
            http=http,
            delivery=self.delivery,
            audit=self.audit,
            discard=self.revoking.discard,
            trusts=self.policy.trusts,
            prefix=options.prefix,
            clock=clock,
            tally=self.tally,
        )
        self.stepups = StepUps(database, self.sealer, clock)
        self.sessions = Sessions(
            opener=self.opener,
            instances=instances,
            renewals=self.renewals,
            stepups=self.stepups,
            http=http,
            tally=self.tally,
        )
        self.follows = Follows(
            database=database,
            sealer=self.sealer,
            grants=self.grants,
            people=self.people,
            sessions=self.sessions,
            instances=instances,
            delivery=self.delivery,
            policy=self.policy,
            quiet=self.quiet,
            book=self.book,
            followers=[one for skill in options.skills for one in skill.followers],
            audit=self.audit,
            prefix=options.prefix,
            limit=options.timeout,
            clock=clock,
        )
        self.endings = Endings(
            database=database,
            sealer=self.sealer,
            instances=instances,
            delivery=self.delivery,
            revoking=self.revoking,
            audit=self.audit,
            admins=self.policy.admins,
            clock=clock,
            tally=self.tally,
        )
        self.clients = Clients(
            database,
            self.sealer,
            lambda instance: redirect_uri(instance, options.public_url, options.paste_port),
            clock,
        )
        instances.register_by(self.clients)
        self.pause = Pause(options.data_dir / PAUSED)
        self.links = LinkServices(
            pause=self.pause,
            database=database,
            sealer=self.sealer,
            people=self.people,
            instances=instances,
            http=http,
            delivery=self.delivery,
            revoking=self.revoking,
            endings=self.endings,
            audit=self.audit,
            public_url=options.public_url,
            logins=options.logins,
            paste_port=options.paste_port,
            prefix=options.prefix,
            clock=clock,
            defaults=self.defaults,
            hosts=self.hosts,
            clients=self.clients,
            is_admin=self.policy.is_admin,
            trusts=self.policy.trusts,
            limits=self.limits,
            tally=self.tally,
            moving=Moving(
                sealer=self.sealer,
                opener=self.opener,
                grants=self.grants,
                people=self.people,
                instances=instances,
                defaults=self.defaults,
                quiet=self.quiet,
            ),
        )
        self.beginning = Beginning(self.links, lambda flow: self.polling.begin(flow))
        self.browser = Browser(self.links, lambda flow, code: self.finishing.finish(flow, code))
        self.polling = Polling(self.links, self.browser)
        self.confirming = Confirming(self.links, self.browser)
        self.intake = Intake(database, self.sealer, clock)
        services = self._services()
        self.dispatcher = Dispatcher(
            services, self.beginning, self.confirming, self.intake, clock, restored_at(options.data_dir)
        )
        self.finishing = Finishing(self.links, services.desk, self.dispatcher.run_aside)
        self.upkeep = Upkeep(
            database=database,
            sealer=self.sealer,
            delivery=self.delivery,
            endings=self.endings,
            joining=Joining(self.links),
            resume=self.dispatcher.resume,
            clock=clock,
        )
        self.watchdog = Watchdog(tally=self.tally)
        self.supervisors: list[Supervisor] = []
        self.holding = Holding(self.links, self.confirming)
        self.minding = Minding(self.links)
        self.administer: Callable[[str, Mapping[str, Any]], Awaitable[Any]] | None = None
        """Does the operations that admins may order in chat; assembly gives it."""

        self.said_realms: dict[str, str] = {}
        """What each network that has been ready since the start last said it is."""

        self._closed = False
        self._caught_up: set[str] = set()
        self._tasks: list[asyncio.Task[None]] = []

    @classmethod
    async def open(cls, options: Options) -> "Core":
        """Open the database and build the bot; `start` sets it to work.

        Raises:
            ConfigError: the data directory, the database or a skill cannot be used.
        """
        try:
            options.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            what, cure = f"cannot be made ({error.strerror})", "Name a folder that the bot's user may write in."
            raise ConfigError(Problem(str(options.data_dir), "data_dir", what, cure)) from None
        database = await Database.open(options.data_dir / "omnibot.db")
        try:
            await _lock_if_missing(options.keyring, database)
            ledger = await Ledger.open(options.data_dir / "erased", options.clock)
            core = cls(options, database, ledger)
            await core.clients.load()
            await core.hosts.load()  # also for who only administers, and for all that looks instances up
            return core
        except BaseException:
            await database.close()
            raise

    def _services(self) -> Services:
        guesses = Guesses()

        def desk(message: Message, identity: Identity, later: Callable[[Awaitable[None]], None], ask: Ask) -> Desk:
            resume = self.dispatcher.resume
            return Desk(self.links, self.beginning, self.confirming, guesses, message, identity, resume, later, ask)

        return Services(
            prefix=self.options.prefix,
            timeout=self.options.timeout,
            book=self.book,
            policy=self.policy,
            people=self.people,
            instances=self.options.instances,
            sessions=self.sessions,
            delivery=self.delivery,
            audit=self.audit,
            grants=self.grants,
            defaults=self.defaults,
            desk=desk,
            follows=self.follows,
            limits=self.limits,
            numbers=self.numbers,
            operate=self._operate,
            tally=self.tally,
        )

    async def _operate(self, identity: Identity, op: str, args: Mapping[str, Any]) -> Any:
        """Do what *identity*, an admin, orders in chat, and put it on record as theirs."""
        if self.administer is None:
            raise UserError("This bot cannot be administered in chat.")
        person, outcome = (await self.people.ensure(identity)).person, "failed"
        try:
            result = await self.administer(op, args)
            outcome = "done"
        finally:
            self.audit.record(person, identity.network, "admin", op=op, outcome=outcome)
        return result

    def take_skills(self, skills: Sequence[Skill]) -> None:
        """Offer the commands of *skills* from now on, and no others.

        Of those that are gone, or are others than they were, everything is undone that they had left behind.

        Raises:
            ConfigError: two of them claim the same words; then nothing has changed.
        """
        book = _book(skills)
        gone = {one.name for one in {*self.skills}.symmetric_difference(skills)}
        for name in gone:
            self.dispatcher.warm(name)
        self.book.become(book)
        self.follows.look_by(one for skill in skills for one in skill.followers)
        self.numbers.forget(lambda owner: not gone.isdisjoint(owner))
        self.skills = tuple(skills)
        self._changed.set()
        self._changed = asyncio.Event()

    def tools(self, network: str) -> Tools:
        """Return what the adapter of *network* is given."""
        return Tools(
            network=network,
            prefix=self.options.prefix,
            store=Rows(self.database, network),
            secrets=SecretRows(self.database, self.sealer, network),
            directory=self.options.data_dir / network,
            log=logging.getLogger(f"omnibot.network.{network}"),
            commands=lambda: self.book,
            changed=lambda: self._changed,
            position=lambda: self.intake.position(network),
            reachable=self.delivery.reachable,
        )

    def add_network(self, network: str, adapter: Adapter) -> Supervisor:
        """Speak on *network* through *adapter*, from the next `start`."""
        self.delivery.attach(network, adapter)
        self.policy.distrust(network)  # until it has said which realm it is
        supervisor = Supervisor(network, adapter, self.dispatcher.deliver(network), self._ready)
        self.supervisors.append(supervisor)
        return supervisor

    async def start(self) -> None:
        """Begin the upkeep, and finish what a crash interrupted."""
        await self.audit.begin()
        await Leaving(self.links).catch_up()  # before anything reads what it must not find
        await self.delivery.load()
        await self.renewals.recover()
        await self.defaults.load()
        await self.follows.resume()
        for work, name in (
            (self.audit.run(), "audit"),
            (self.revoking.run(), "revocations"),
            (self.upkeep.run(), "flows"),
            (self.renewals.run(), "renewals"),
            (self.follows.run(), "follows"),
            (self.watchdog.run(), "watchdog"),
        ):
            self._tasks.append(asyncio.create_task(work, name=name))
        try:
            await self.upkeep.recover()
            await self.polling.recover()
        except VaultError as error:
            log.error("links that were under way cannot be finished: %s", error)

    async def close(self, grace: float = 5.0) -> None:
        """End in order: commands, follows, upkeep, audit, the outward client, the database.  Once is enough."""
        if self._closed:
            return
        self._closed = True
        await self.dispatcher.close(grace)
        await self.follows.close()
        await self.renewals.close()
        await self.polling.close()
        await self.stepups.settle()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.delivery.close()  # after whoever still tells something
        try:
            await self.audit.end()
        finally:
            if close := getattr(self.options.http, "close", None):  # a stand-in may have nothing to close
                await close()
            await self.database.close()

    async def _catch_up(self, network: str) -> None:
        """Start what was confirmed, or accepted, on *network* before a restart and had not started."""
        await self.upkeep.start_late(network)
        self.renewals.tell()
        await self.dispatcher.recover(network)

    async def accept(self, network: str) -> str | None:
        """Take what *network* says it is now for what it shall be, and go on there; return that.

        None if it has not said anything since the start: then what was recorded is forgotten, and
        what it says next is taken.

        Raises:
            KeyMissing: nothing can be recorded.
        """
        realm = self.said_realms.get(network)
        if realm is None:
            await self.realms.forget(network)
        else:
            await self.realms.record(network, realm)
            if self.said_realms[network] == realm:  # and did not come back as another meanwhile
                self._go_on(network)
        self.audit.record("", network, "network.accepted", realm=realm)
        return realm

    def _go_on(self, network: str) -> None:
        """Act for people on *network*, and start what waited there."""
        self.policy.trust(network)
        if network not in self._caught_up:  # at a reconnect, what waits is this process's own
            self._caught_up.add(network)
            self.dispatcher.run_aside(self._catch_up(network), f"what waited on {network}")

    async def _ready(self, network: str, realm: str) -> None:
        if self.said_realms.get(network) != realm:  # nobody is told anything there while it is being looked up
            self.policy.distrust(network)
        self.said_realms[network] = realm
        try:
            same = await self.realms.fits(network, realm)
        except KeyMissing:
            same = True  # nothing can be opened anyway, and what needs no account goes on
        except VaultError as error:
            log.error("whether %s is the network it was cannot be told: %s", network, error)
            self.audit.record("", network, "vault.refused", table="networks", why=type(error).__name__)
            return
        if same:
            log.info("%s is ready (%s)", network, realm)
            self._go_on(network)
        else:
            self.policy.distrust(network)
            log.error(
                "%s now says it is %s, which is not what it was: commands that act as people are refused there. "
                "If you moved it yourself, and the same people have the same names there: omnibot networks accept %s. "
                "If they are others, give it a new name in the configuration.",
                network,
                realm,
                network,
            )


def _book(skills: Iterable[Skill]) -> Commands:
    book = Commands()
    try:
        for skill in skills:
            for command in skill.commands:
                book.add(command)
        for skill in skills:
            for alias in skill.aliases:
                book.alias(alias, skill.name)
    except ValueError as error:
        raise ConfigError(Problem("", "skills", str(error), "Leave one of them out.")) from None
    return book


async def _lock_if_missing(keyring: Keyring, database: Database) -> None:
    """Lock *keyring* if the database holds rows under a key that it lacks: nothing may be used or stored (A36)."""
    for table in _KEYED:
        for row in await database.read(f"SELECT DISTINCT key_id FROM {table}"):  # noqa: S608 - our own names
            if row["key_id"] not in keyring.ids:
                keyring.lock(row["key_id"])
                log.error(
                    "the database was written under key %s, which the key file does not hold: linked accounts "
                    "cannot be used. Put the right key file back; commands that need no account go on working.",
                    row["key_id"],
                )
                return
