"""What an operator can do to a bot from its own machine: by words of the command line.

Each operation is a method of `Admin`, with plain data in and out.  Where the bot runs, the
command line asks it to, through the control socket: a second process would write under its
caches.  Where it does not, the command line holds the data directory itself and runs the same
method on the services, without any network (`omnibot.app.administer`).

To add an operation: a method, and a line in `_OPERATIONS`.
"""

import asyncio
import inspect
import os
import sys
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import omnibot
from omnibot import auditing, keyed
from omnibot.accounts import Account
from omnibot.backup import back_up
from omnibot.control import Say
from omnibot.core import Core
from omnibot.errors import ConfigError, KeyMissing, UserError, VaultError
from omnibot.hostname import readable
from omnibot.hosts import Host
from omnibot.keyed import Standing, keyed_tables
from omnibot.linking.holding import Held
from omnibot.linking.minding import Known
from omnibot.linking.refusing import decide
from omnibot.markup import printable
from omnibot.reloading import Reloading
from omnibot.rotation import Moved, Renewing, Rotation
from omnibot.vault import Keyring, Rekeyer, add_key, remove_key

_MOST_NAMED = 20

_COUNTS = {
    "people": "SELECT count(*) AS n FROM people",
    "follows": "SELECT count(*) AS n FROM follows",
    "notices": "SELECT count(*) AS n FROM notices",
    "revocations": "SELECT count(*) AS n FROM revocations",
    "flows": "SELECT count(*) AS n FROM flows WHERE state IN ('open', 'exchanging', 'pending')",
}


@dataclass(frozen=True, slots=True)
class Live:
    """What can be done to a running bot only."""

    reconnect: Callable[[str], Awaitable[None]]
    """Connects a network anew, by its name."""

    reloading: Reloading


class Admin:
    """The operations, on the services of one bot."""

    def __init__(self, core: Core, key_file: Path, *, running: bool, live: "Live | None" = None) -> None:
        """Work on *core*, whose keys are those of *key_file*; *running* tells whether it speaks on its networks.

        *live* is what only a bot that runs as a process of its own can do.
        """
        self._live = live
        self._core = core
        self._key_file = key_file
        self._running = running
        self._since = time.time()
        self._tables = keyed_tables(core.options.instances)
        self._changing_keys = asyncio.Lock()
        self._backing_up = asyncio.Lock()

    async def perform(self, op: str, args: Mapping[str, Any], say: Say) -> Any:
        """Do the operation called *op*; *say* what is to be told meanwhile.

        Raises:
            UserError: there is none of that name, or it does not take these arguments.
            OmnibotError: it was refused; the text says why.
        """
        operation = _OPERATIONS.get(op)
        if operation is None:
            raise UserError(f'The bot knows no operation "{printable(op)}". Is it another version than this program?')
        try:
            inspect.signature(operation).bind(self, say, **args)
        except TypeError:
            raise UserError(f'"{op}" does not take these arguments. Is the bot another version?') from None
        return await operation(self, say, **args)

    async def in_chat(self, op: str, args: Mapping[str, Any]) -> Any:
        """Do the operation called *op*, as an admin orders it in chat.

        Raises:
            UserError: it is not done from there; or as `perform` says.
        """
        if op not in IN_CHAT:
            raise UserError(f"`omnibot {printable(op)}` is not done from chat: use the command line of my machine.")
        if op == "skills load" and "." in str(args.get("name", "")):  # it would run any module of this Python
            raise UserError("Of skills I load from chat my own and those in `skills_dir`. Others: on the command line.")
        return await self.perform(op, args, lambda _: None)

    # -- the bot itself ----------------------------------------------------------------

    async def status(self, _: Say) -> dict[str, Any]:
        """Return how the bot is; nothing of any person."""
        database = self._core.database
        counts = {name: (await database.read(sql))[0]["n"] for name, sql in _COUNTS.items()}
        rows = await database.read("SELECT status, count(*) AS n FROM accounts GROUP BY status")
        accounts = {"active": 0, "pending": 0, "held": 0, "broken": 0} | {row["status"]: row["n"] for row in rows}
        return {
            "running": self._running,
            "version": omnibot.__version__,
            "uptime": time.time() - self._since,
            "networks": await self.networks_list(_),
            "vault": await self._vault(),
            "accounts": accounts,
            "commands": {"ended": self._core.tally.commands.total, "failed": self._core.tally.failures},
            **counts,
            "database_bytes": await asyncio.to_thread(_size, database.path),
            "memory_bytes": _resident(),
        }

    async def probe(self, _: Say, nonce: str) -> dict[str, str]:
        """Return what the listener of this very process proves *nonce* by; see `omnibot.probe`."""
        return {"proof": self._core.probe.proof(nonce)}

    async def _vault(self) -> dict[str, Any]:
        ring, standing = self._core.keyring, await self._standing()
        keys = [{"id": key, "rows": standing.rows.get(key, 0)} for key in ring.ids]
        lost = {key: number for key, number in standing.rows.items() if key not in ring.ids}
        return {
            "state": "locked" if ring.locked else "open",
            "keys": keys,
            "lost": lost,
            "unfinished": sum(one["rows"] for one in keys[1:]),
        }

    async def _standing(self) -> Standing:
        return await asyncio.to_thread(keyed.count, self._core.database.path, self._tables)

    # -- networks ----------------------------------------------------------------------

    async def networks_list(self, _: Say) -> list[dict[str, Any]]:
        """Return every network that is configured or recorded: what it is, was, and whether people are acted for.

        ``state`` is empty, and ``since`` (Unix seconds) None, where the bot does not run it.
        """
        core = self._core
        states = {one.network: (one.state, one.since) for one in core.supervisors}
        names = dict.fromkeys((*states, *await core.realms.names()))
        return [
            {
                "name": name,
                "state": states[name][0] if name in states else "",
                "since": states[name][1] if name in states else None,
                "realm": await self._recorded(name),
                "says": core.said_realms.get(name, ""),
                "trusted": core.policy.trusts(name) if name in states else None,
            }
            for name in names
        ]

    async def _recorded(self, network: str) -> str:
        try:
            return await self._core.realms.known(network) or ""
        except VaultError:
            return "?"

    async def networks_accept(self, _: Say, name: str) -> dict[str, Any]:
        """Take what the network *name* is now for what it shall be.

        Returns what it was, and what it is: empty, if it is not connected, or the bot does not run;
        then what it says at its next connect is recorded.

        Raises:
            UserError: there is no such network, or nothing to accept.
        """
        networks = {one["name"]: one for one in await self.networks_list(_)}
        if name not in networks:
            if not networks:
                raise UserError("No network has connected yet: what each says at its first connect is taken.")
            known = ", ".join(networks)
            raise UserError(f'No network is called "{printable(name)}". There are: {known}.')
        was, says = networks[name]["realm"], networks[name]["says"]
        if not was:
            raise UserError(f"Nothing is recorded of {name}: what it says at its first connect is taken.")
        if was == says:
            raise UserError(f"{name} is what it was ({printable(was)}): there is nothing to accept.")
        return {"name": name, "was": was, "is": await self._core.accept(name) or ""}

    async def networks_reconnect(self, _: Say, name: str) -> dict[str, Any]:
        """Connect the network *name* anew, at once, whatever it is doing: also one that turned the bot away.

        Raises:
            UserError: there is no such network, or no bot runs.
        """
        await self._running_bot().reconnect(name)
        self._core.audit.record("", name, "network.reconnected")
        return {"name": name}

    def _running_bot(self) -> Live:
        if self._live is None:
            raise UserError("No bot runs. What is configured is loaded and connected at its start.")
        return self._live

    # -- skills ------------------------------------------------------------------------

    async def skills_list(self, _: Say) -> list[dict[str, Any]]:
        """Return the skills that are loaded: name, module, aliases, how many commands and followers."""
        return self._running_bot().reloading.listed()

    async def skills_load(self, _: Say, name: str) -> dict[str, Any]:
        """Load the skill module called *name*, until the next restart."""
        return self._changed("loaded", await self._running_bot().reloading.load(name))

    async def skills_unload(self, _: Say, name: str) -> dict[str, Any]:
        """Take the skill *name* out, until the next restart."""
        return self._changed("unloaded", await self._running_bot().reloading.unload(name))

    async def skills_reload(self, _: Say, name: str) -> dict[str, Any]:
        """Import the module of the skill *name* anew, and take what it declares for what it declared."""
        return self._changed("reloaded", await self._running_bot().reloading.reload(name))

    def _changed(self, what: str, done: dict[str, Any]) -> dict[str, Any]:
        for skill in done["skills"]:
            self._core.audit.record("", "", f"skill.{what}", skill=skill)
        return done

    # -- people ------------------------------------------------------------------------

    async def people_list(self, _: Say) -> list[dict[str, Any]]:
        """Return everybody the bot knows: identities, since when, and where they have linked something."""
        return [_known(one) for one in await self._core.minding.people()]

    async def people_show(self, _: Say, who: str) -> dict[str, Any]:
        """Return the person that *who*, a qualified identity, is."""
        return _known(await self._core.minding.person(who))

    async def people_revoke(self, _: Say, who: str, service: str) -> dict[str, Any]:
        """Take away what *who* has linked at *service*, and tell them; the tokens are handed back."""
        gone = await self._core.minding.revoke(who, service)
        return {"who": who, "accounts": [_linked(one) for one in gone]}

    async def people_forget(self, _: Say, who: str) -> dict[str, Any]:
        """Erase the person that *who* is, and all that is theirs; the tokens are handed back."""
        gone = await self._core.minding.forget(who)
        return {"who": who, "accounts": [_linked(one.account) for one in gone]}

    # -- linking -----------------------------------------------------------------------

    async def linking_show(self, _: Say) -> dict[str, Any]:
        """Return whether new links may begin, and if not, why."""
        why = self._core.pause.why
        return {"paused": why is not None, "why": why or ""}

    async def linking_pause(self, _: Say, why: str = "") -> dict[str, Any]:
        """Let no new link begin, also after a restart; those under way may end."""
        self._core.pause.begin(why)
        self._core.audit.record("", "", "linking.paused")
        return await self.linking_show(_)

    async def linking_resume(self, _: Say) -> dict[str, Any]:
        """Let links begin again."""
        self._core.pause.end()
        self._core.audit.record("", "", "linking.resumed")
        return await self.linking_show(_)

    # -- held accounts -----------------------------------------------------------------

    async def accounts_held(self, _: Say) -> list[dict[str, Any]]:
        """Return the accounts that two people authorised, and the second may not use yet."""
        return [_plain(one) for one in await self._core.holding.held()]

    async def accounts_allow(self, _: Say, account: str) -> dict[str, Any]:
        """Let the second person use it as well."""
        return _plain(await self._core.holding.allow(account))

    async def accounts_refuse(self, _: Say, account: str) -> dict[str, Any]:
        """Erase the second person's."""
        held = await self._core.holding.refuse(account)
        await self._core.database.checkpoint()
        return _plain(held)

    # -- hosts that people name --------------------------------------------------------

    async def instances_list(self, _: Say) -> list[dict[str, Any]]:
        """Return the hosts that people have named, oldest first, with what was decided."""
        return [_host(one) for one in self._core.hosts.all()]

    async def instances_allow(self, _: Say, host: str) -> dict[str, Any]:
        """Let people link the service at *host*, which may also be written ``provider@host``."""
        return _host(await decide(self._core.links, host, "allowed"))

    async def instances_refuse(self, _: Say, host: str) -> dict[str, Any]:
        """Let nobody link it; accounts that are linked there stay, unused."""
        return _host(await decide(self._core.links, host, "refused"))

    # -- the audit ---------------------------------------------------------------------

    async def audit_verify(self, _: Say, anchor: str = "") -> dict[str, Any]:
        """Look whether every entry is as it was written (`omnibot.auditing`)."""
        return await auditing.verified(self._core.audit, anchor)

    async def audit_anchor(self, _: Say, anew: bool = False) -> str:
        """Sign the head, and return it."""
        return await auditing.anchored(self._core.audit, anew=anew)

    async def audit_export(self, _: Say, after: int = 0) -> list[dict[str, Any]]:
        """Return the entries behind number *after*, some at a time."""
        return await auditing.exported(self._core.audit, after)

    # -- keys --------------------------------------------------------------------------

    async def keys_rotate(self, say: Say, renew: bool = False) -> dict[str, Any]:
        """Make a new master key, or go on with the newest, and move everything under it.

        With *renew*, everybody whose row is moved gets a new key pair, and their tokens are sealed anew.

        Raises:
            KeyMissing: a key is missing that rows stand under.
            ConfigError, UserError: the key file cannot be used, or another rotation runs.
        """
        async with self._change_of_keys():
            adopted = await self._adopt(await asyncio.to_thread(self._read_keys))
            moved = await self._move(say, renew)
            if not moved.rows and not adopted:
                say(f"Key {await self._add_key()} is in {self._key_file}. Everything is being moved under it.")
                moved = await self._move(say, renew)
            await self._core.database.checkpoint()  # private keys as the old key wraps them are in the log still
            ring = self._core.keyring
            self._core.audit.record("", "", "keys.rotated", key=ring.newest.id, rows=moved.rows)
            await self._core.audit.daily()  # an anchor under the new key: those under the old one go with that
            unreadable = list(moved.unreadable.values())
            return {
                "key": ring.newest.id,
                "older": ring.ids[1:],
                "rows": moved.rows,
                "renewed": moved.renewed,
                "kept": moved.kept,
                "unreadable": len(unreadable),
                "why": unreadable[:_MOST_NAMED],
            }

    async def keys_retire(self, say: Say, key: str = "") -> dict[str, Any]:
        """Take *key*, or every older key, out of the key file, if nothing stands under it any more.

        Raises:
            KeyMissing: there is no key.
            ConfigError, UserError: something does, the file cannot be written, or it is the newest.
        """
        async with self._change_of_keys():
            await self._adopt(await asyncio.to_thread(self._read_keys))
            ring = self._core.keyring
            newest, older = ring.newest.id, ring.ids[1:]
            if key == newest:
                raise UserError(f"Key {key} is the newest, and in use. Make another first: omnibot keys rotate")
            if key and key not in older:
                raise UserError(f'There is no key "{printable(key)}". There are: {", ".join(ring.ids)}.')
            if not older:
                raise UserError(f"There is only key {newest}, and it is in use.")
            for one in [key] if key else older:
                await self._retire(one)
                say(f"Key {one} has been taken out of {self._key_file}.")
                self._core.audit.record("", "", "keys.retired", key=one)
            await self._core.database.checkpoint()
            return {"retired": [key] if key else older, "keys": ring.ids}

    # -- data --------------------------------------------------------------------------

    async def backup(self, say: Say, file: str = "", keep: int = 0) -> dict[str, Any]:
        """Make a backup at *file*, or in the data directory, of which the latest *keep* stay (0: all)."""
        if self._backing_up.locked():
            raise UserError("A backup is being made just now.")
        async with self._backing_up:
            return await back_up(self._core, file, keep, say)

    def _change_of_keys(self) -> asyncio.Lock:
        if self._changing_keys.locked():
            raise UserError("The keys are being changed just now. `omnibot status` shows how far it is.")
        return self._changing_keys

    def _read_keys(self) -> Keyring:
        return Keyring.load(self._key_file, credential=self._is_credential)

    @property
    def _is_credential(self) -> bool:
        return str(self._key_file.parent) == os.environ.get("CREDENTIALS_DIRECTORY")

    async def _adopt(self, read: Keyring) -> bool:
        """Take up the keys that were *read* from the file; return whether the newest of them is new to this process."""
        ring = self._core.keyring
        if ring.missing:
            raise KeyMissing(ring.missing)
        gone = [key for key in ring.ids if key not in read.ids]
        if gone:
            needed = (await self._standing()).rows
            for key in gone:
                if needed.get(key):
                    raise UserError(
                        f"Key {key} is not in {self._key_file} any more, and {needed[key]:,} rows stand under it. "
                        "Put it back."
                    )
        fresh = read.newest.id not in ring.ids
        ring.adopt(read)
        return fresh

    async def _move(self, say: Say, renew: bool) -> Moved:
        core = self._core
        newest = core.keyring.newest.id
        renewing = Renewing(core.database, core.sealer, core.opener, core.grants, newest) if renew else None
        return await Rotation(core.database, Rekeyer(core.keyring), self._tables, renewing).run(say)

    async def _add_key(self) -> str:
        """Put a key on top of the file, and only then on top of those at hand: no row is made under a lost key."""
        if self._is_credential:
            raise UserError(self._by_hand(_NEW_BY_HAND))
        try:
            key = await asyncio.to_thread(add_key, self._key_file)
        except ConfigError as error:
            raise UserError(f"{error} Or else: {self._by_hand(_NEW_BY_HAND)}") from None
        self._core.keyring.adopt(await asyncio.to_thread(self._read_keys))
        return key

    async def _retire(self, key: str) -> None:
        async with self._core.database.transaction():  # nobody writes until it is out of the file
            standing = await self._standing()
            if number := standing.rows.get(key):
                raise UserError(
                    f"{number:,} rows stand under key {key}. Move them first: omnibot keys rotate. "
                    "What it cannot move it names: put that right, or delete it, and try again."
                )
            if number := standing.codes.get(key):
                raise UserError(
                    f"{number:,} codes that browsers show just now were made with key {key}. "
                    "They run out within ten minutes; try again then."
                )
            if self._is_credential:
                raise UserError(self._by_hand(_OLD_BY_HAND.format(key=key)))
            try:
                await asyncio.to_thread(remove_key, self._key_file, key)
            except ConfigError as error:
                raise UserError(f"{error} Or else: {self._by_hand(_OLD_BY_HAND.format(key=key))}") from None
            self._core.keyring.drop(key)

    def _by_hand(self, what: str) -> str:
        why = "is a credential, which only what hands it over can change" if self._is_credential else "stays as it is"
        return f"{self._key_file} {why}. {what}"


_NEW_BY_HAND = (
    "Make a key with `omnibot keys new --file NEW`, put its line above the others in the file that this one is "
    "made from, restart the bot, and say `omnibot keys rotate` again: it goes on with the newest key it finds."
)
_OLD_BY_HAND = (
    "Nothing stands under key {key} any more: take the line that begins with it out of the file that this one is "
    "made from, and restart the bot."
)

type _Operation = Callable[..., Awaitable[Any]]

_OPERATIONS: Mapping[str, _Operation] = {
    "status": Admin.status,
    "probe": Admin.probe,
    "networks list": Admin.networks_list,
    "networks accept": Admin.networks_accept,
    "networks reconnect": Admin.networks_reconnect,
    "people list": Admin.people_list,
    "people show": Admin.people_show,
    "people revoke": Admin.people_revoke,
    "people forget": Admin.people_forget,
    "linking show": Admin.linking_show,
    "linking pause": Admin.linking_pause,
    "linking resume": Admin.linking_resume,
    "skills list": Admin.skills_list,
    "skills load": Admin.skills_load,
    "skills unload": Admin.skills_unload,
    "skills reload": Admin.skills_reload,
    "accounts held": Admin.accounts_held,
    "accounts allow": Admin.accounts_allow,
    "accounts refuse": Admin.accounts_refuse,
    "instances list": Admin.instances_list,
    "instances allow": Admin.instances_allow,
    "instances refuse": Admin.instances_refuse,
    "audit verify": Admin.audit_verify,
    "audit anchor": Admin.audit_anchor,
    "audit export": Admin.audit_export,
    "keys rotate": Admin.keys_rotate,
    "keys retire": Admin.keys_retire,
    "backup": Admin.backup,
}


IN_CHAT = frozenset(
    [
        "status",
        *(f"networks {one}" for one in ("list", "reconnect")),
        *(f"skills {one}" for one in ("list", "load", "unload", "reload")),
        *(f"people {one}" for one in ("list", "show", "revoke", "forget")),
        *(f"linking {one}" for one in ("show", "pause", "resume")),
        *(f"accounts {one}" for one in ("held", "allow", "refuse")),
        *(f"instances {one}" for one in ("list", "allow", "refuse")),
    ]
)
"""What an admin may order in chat: nothing about keys, backups or the whole record, and no network's new realm."""


def _known(one: Known) -> dict[str, Any]:
    return {
        "identities": list(map(str, one.identities)),
        "display": next((each.display for each in one.identities if each.display), ""),
        "since": one.since,
        "accounts": [_linked(each) for each in one.accounts],
    }


def _linked(account: Account) -> dict[str, Any]:
    return {
        "service": f"{account.provider}@{account.instance}",
        "alias": f"{account.provider}@{account.alias}",
        "login": account.login,
        "status": account.status,
        "since": account.created,
    }


def _plain(held: Held) -> dict[str, Any]:
    account = held.account
    return {
        "id": account.id[:8],
        "service": f"{account.provider}@{account.instance}",
        "login": account.login,
        "asked_by": str(account.linked_by),
        "display": held.flow.asked.display if held.flow else "",
        "owners": [str(one.linked_by) for one in held.owners],
        "since": account.created,
    }


def _host(host: Host) -> dict[str, Any]:
    return {
        "name": host.name,
        "reads": readable(host.host),
        "status": host.status,
        "asked_by": list(map(str, host.asked_by)),
        "since": host.created,
    }


def _size(database: Path) -> int:
    files = (database, database.with_name(f"{database.name}-wal"))
    return sum(one.stat().st_size for one in files if one.exists())


def _resident() -> int | None:
    """Return the bytes of this process that are in memory; None where the system does not say so simply."""
    if sys.platform != "linux":
        return None
    pages = int(Path("/proc/self/statm").read_text("ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")
