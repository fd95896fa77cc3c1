"""IRC servers as Debian packages them: InspIRCd 3 with Atheme's services, and ngIRCd for the networks of old.

The packages are unpacked in the cache, not installed, so that nothing is started with the machine and
a server that it may have is left alone.
"""

import os
import re
import secrets
import ssl
import subprocess
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from string import Template

import pytest

from servers.irc.certificates import Authority, Certificate, self_signed
from servers.irc.client import People
from servers.irc.line import Line
from servers.irc.rig import NICK, Rig
from servers.processes import Process, cache, fixed_ports, require

HERE = Path(__file__).parent
CODE = cache().resolve() / "irc"
INSPIRCD = CODE / "usr" / "sbin" / "inspircd"
ATHEME = CODE / "usr" / "bin" / "atheme-services"
NGIRCD = CODE / "usr" / "sbin" / "ngircd"

NO_CORE = ("prlimit", "--core=0")  # InspIRCd 3.15 is prone to crash while it ends, and a core would land in the clone
ROOT = os.getuid() == 0

SETTLED = 10.0
"""Seconds until a change is known in the whole network at the latest."""

LENIENT = {
    "timeout": "30",
    "pingfreq": "3600",
    "fakelag": "off",
    "threshold": "1000000",
    "commandrate": "1000000",
    "recvq": "64K",
    "softsendq": "1M",
    "hardsendq": "16M",
    "localmax": "5000",
    "globalmax": "5000",
    "usests": "no",
}
"""What InspIRCd's ``<connect>`` tag says for people: nobody is ever too fast, and plain connections are welcome."""


@dataclass(frozen=True, slots=True)
class Account:
    """An account with the services."""

    name: str
    password: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Node:
    """One InspIRCd of the network."""

    name: str
    id: str
    port: int
    """Plain, on 127.0.0.1."""

    tls_port: int
    rig_port: int
    link_port: int


@dataclass
class Irc:
    """A network with services, which tags messages with the sender's account (IRCv3 account-tag).

    SASL knows PLAIN, EXTERNAL and ECDSA-NIST256P-CHALLENGE, over TLS and without.  A connection is
    welcomed after a second: connect in parallel, and only as often as the test needs.
    """

    home: Path
    """Where its files are."""

    node: Node
    leaf_node: Node
    authority: Authority = field(repr=False)
    certificate: Certificate
    ircd: Process
    leaf: Process
    """A second server of the network, down until `join_leaf`."""

    services: Process
    password: str = field(repr=False)
    """The operator's; ``OPER rig <password>`` makes anybody one."""

    _options: dict[str, str] = field(default_factory=dict, repr=False)
    _rig: Rig | None = field(default=None, repr=False)
    _bans: list[str] = field(default_factory=list, repr=False)
    _begins: dict[Path, int] = field(default_factory=dict, repr=False)
    """Of each log, how many bytes it had when this test began."""

    # ------------------------------------------------------------ where it is

    @property
    def port(self) -> int:
        """The plain port on 127.0.0.1; the same after a restart."""
        return self.node.port

    @property
    def tls_port(self) -> int:
        """The TLS port on 127.0.0.1; the same after a restart."""
        return self.node.tls_port

    @property
    def ca(self) -> Path:
        """The certificate of the authority that signed the server's, which is for ``localhost`` and 127.0.0.1."""
        return self.authority.path

    @property
    def fingerprint(self) -> str:
        """The SHA-256 of the server's certificate in DER, in lower-case hexadecimal."""
        return self.certificate.fingerprint

    def trust(self, shown: Certificate | None = None) -> ssl.SSLContext:
        """Return a context that trusts `ca`, and shows the certificate *shown* if the server asks for one."""
        context = ssl.create_default_context(cafile=str(self.ca))
        if shown is not None:
            context.load_cert_chain(shown.path, shown.key_path)
        return context

    def own_certificate(self, name: str) -> Certificate:
        """Make a certificate for a person; ``nickserv(account, f"CERT ADD {it.fingerprint}")`` lets it log in."""
        return self_signed(self.home, name)

    # ---------------------------------------------------------- up and down

    @property
    def running(self) -> bool:
        """Whether the server is up; the services may be down."""
        return self.ircd.running

    def start(self) -> None:
        """Start the server and the services, unless they are running.

        Raises:
            ServerFailed: one did not come up.
        """
        if not self.ircd.running:
            self._leave()  # the connection to the one that is gone
            self._configure(self.node, self.leaf_node)
            self.ircd.start(ready="InspIRCd is now running as ")
        self.services_up()

    def stop(self) -> None:
        """Stop all of it, with a closing word to everybody; accounts stay."""
        self._leave()
        for process in (self.services, self.leaf, self.ircd):
            process.stop()

    def services_up(self) -> None:
        """Start the services, unless they are running; they are linked when this returns."""
        if not self.services.running:
            self.services.start(ready="finished synching with uplink")

    def services_down(self) -> None:
        """Stop the services; their users have left when this returns, and everybody's account is as it was."""
        self.services.stop()
        # The server overlooks an end that comes together with a last word, until it has something to send there.
        self.oper("SQUIT services.test :gone")
        self._wait(lambda: self._has("WHOIS NickServ", "401"), "NickServ is still there")

    def clear(self) -> None:
        """Bring it up, without any person, account, ban or `limit`, and read the log from here."""
        self.start()
        self._without_leaf()
        for mask in self._bans:
            self.oper(f"KLINE {mask}")
        self._bans.clear()
        if self._options:
            self.limit()
        for nick in self.nicks():
            self.kill(nick)
        for account in self.accounts():
            self.drop(account)
        self._begins = {log: log.stat().st_size for log in self._logs()}

    def log(self) -> list[str]:
        """Return what the server has logged since this test began, and then what the services have.

        For example ``… CONNECT: Client connecting on port 20001 (class people): ada!ada@127.0.0.1 (127.0.0.1) [Ada]``
        and ``… NickServ ada:ada!ada@127.0.0.1[127.0.0.1] LOGOUT``.
        """
        new = [log.read_bytes()[self._begins.get(log, 0) :] for log in self._logs()]
        return [line for part in new for line in part.decode(errors="replace").splitlines()]

    # -------------------------------------------------------------- accounts

    def register(self, name: str, password: str = "") -> Account:
        """Register the account *name*, whose nick nobody has just now, and log nobody in; a password is made up."""
        account = Account(name, password or secrets.token_hex(8))
        self._register(account)
        return account

    def register_all(self, *names: str) -> list[Account]:
        """Register an account for each of *names*, as `register` does, in a fraction of its time."""
        accounts = [Account(name, secrets.token_hex(8)) for name in names]
        self._register(*accounts)
        return accounts

    def _register(self, *accounts: Account) -> None:
        asked = list[str]()
        for one in accounts:
            asked += [f"NICK {one.name}", f"PRIVMSG NickServ :REGISTER {one.password} {one.name}@irc.test"]
            asked += ["PRIVMSG NickServ :LOGOUT"]
        seen = self.oper(*asked)
        try:
            changed = [line.text for line in seen if line.command == "NICK"]
            assert [one.name for one in accounts] == changed, seen
            said = [line.text for line in seen if line.command == "NOTICE"] + self.rig.services("NickServ")
            assert len(accounts) == sum("is now registered" in text for text in said), said
        finally:
            self.oper(f"NICK {NICK}")

    def nickserv(self, account: Account, *commands: str) -> list[str]:
        """Have *account* tell NickServ to do *commands*; return what it says to them."""
        identify = f"IDENTIFY {account.name} {account.password}"
        said = self.rig.services("NickServ", identify)
        assert any("You are now identified" in line for line in said), said
        answer = self.rig.services("NickServ", *commands)
        self.rig.services("NickServ", "LOGOUT")
        return answer

    def drop(self, account: str) -> None:
        """Drop the account, so that anybody may register its name; who is logged in to it is so no more."""
        said = self.rig.services("NickServ", f"FDROP {account}")
        assert any("has been dropped" in line for line in said), said

    def accounts(self) -> list[str]:
        """Return the names of all accounts."""
        return [line.split()[1] for line in self.rig.services("NickServ", "LIST PATTERN *") if line.startswith("- ")]

    # -------------------------------------------------------------- operators

    @property
    def rig(self) -> Rig:
        """The connection of the operator, whose nick is ``rig``; made when it is first needed."""
        if self._rig is None:
            self._rig = Rig(self.node.rig_port, self.password)
        return self._rig

    def oper(self, *lines: str) -> list[Line]:
        """Send *lines* as an operator; return what the server says to them."""
        return self.rig.ask(*lines)

    def nicks(self) -> list[str]:
        """Return who is there, without the rig and the services."""
        seen = [line.params for line in self.oper("WHO *") if line.command == "352"]
        return [params[5] for params in seen if params[4] != "services.test" and params[5] != NICK]

    def kill(self, nick: str, why: str = "killed by the test") -> None:
        """Have an operator throw *nick* out; they get a KILL or ERROR, and the connection is closed."""
        self.oper(f"KILL {nick} :{why}")

    def quit(self, nick: str, why: str = "Ping timeout: 240 seconds") -> None:
        """Have the server say that *nick* has quit for the reason *why*, and close the connection (SAQUIT)."""
        self.oper(f"SAQUIT {nick} :{why}")

    def ban(self, mask: str, why: str = "not here") -> None:
        """Ban *mask*, for example ``omnibot@*`` (the user name is first): those who match are closed, and get 465."""
        self._bans.append(mask)
        self.oper(f"KLINE {mask} 1h :{why}")

    def limit(self, **options: str) -> None:
        """Set attributes of InspIRCd's ``<connect>`` tag for whoever connects from now on; none means lenient.

        For example ``limit(threshold="10", commandrate="1000", fakelag="off")``, which closes with
        "Excess Flood", ``limit(recvq="1K")``, ``limit(pingfreq="2")`` or ``limit(password="secret")``; with
        ``limit(usests="yes")`` the plain port sends to the TLS port, and that wants to be kept to (IRCv3 STS).
        """
        self._options = options
        self._configure(self.node, self.leaf_node)
        seen = self.oper("REHASH")

        def is_done() -> bool:
            seen.extend(self.oper())
            return any("Successfully rehashed" in line.text for line in seen)

        self._wait(is_done, "the server did not read its configuration")

    # -------------------------------------------------------------- netsplits

    def join_leaf(self) -> None:
        """Have the second server in the network: it is started if it is down, and linked when this returns."""
        if not self.leaf.running:
            self._configure(self.leaf_node, self.node)
            self.leaf.start(ready="InspIRCd is now running as ")
        self.oper(f"CONNECT {self.leaf_node.name}")
        self._wait(lambda: self._has("LINKS", "364", self.leaf_node.name), "the leaf did not join")

    def split(self) -> None:
        """Cut the second server off: those on one side quit for those on the other, and nobody is closed."""
        self.oper(f"SQUIT {self.leaf_node.name} :split")
        self._wait(lambda: not self._has("LINKS", "364", self.leaf_node.name), "the leaf is still there")

    # ----------------------------------------------------------------- inside

    def _configure(self, node: Node, peer: Node) -> None:
        people = " ".join(f'{name}="{value}"' for name, value in (LENIENT | self._options).items())
        _fill(
            "inspircd.conf",
            self.home / f"{node.name}.conf",
            name=node.name,
            id=node.id,
            home=self.home,
            modules=CODE / "usr" / "lib" / "inspircd" / "modules",
            port=node.port,
            tls_port=node.tls_port,
            rig_port=node.rig_port,
            link_port=node.link_port,
            certificate=self.certificate.path,
            key=self.certificate.key_path,
            people=people,
            password=self.password,
            peer=peer.name,
            peer_port=peer.link_port,
        )

    def _without_leaf(self) -> None:
        if self.leaf.running:
            self.split()
            self.leaf.stop()

    def _leave(self) -> None:
        if self._rig is not None:
            self._rig.close()
            self._rig = None

    def _has(self, asked: str, numeric: str, param: str = "") -> bool:
        return any(line.command == numeric and (not param or param in line.params) for line in self.oper(asked))

    @staticmethod
    def _wait(settled: Callable[[], bool], otherwise: str) -> None:
        deadline = time.monotonic() + SETTLED
        while not settled():
            assert time.monotonic() < deadline, otherwise
            time.sleep(0.005)

    def _logs(self) -> list[Path]:
        return [self.home / f"{self.node.name}.log", self.services.log]


@dataclass
class Ngircd:
    """A network of old: no services, no tags, no SASL, nicks of nine letters, and ``CAP LS`` lists little."""

    home: Path
    process: Process
    port: int
    """Plain, on 127.0.0.1; the same after a restart."""

    _first_line: int = field(default=0, repr=False)

    @property
    def running(self) -> bool:
        """Whether it is up."""
        return self.process.running

    def start(self) -> None:
        """Start it, unless it is running.

        Raises:
            ServerFailed: it did not come up.
        """
        if not self.running:
            _fill("ngircd.conf", self.home / "ngircd.conf", port=self.port, uid=os.getuid(), gid=os.getgid())
            self.process.start(ready="Now listening on ")

    def stop(self) -> None:
        """Stop it."""
        self.process.stop()

    def clear(self) -> None:
        """Bring it up with nobody there, and read the log from here."""
        self.stop()
        self.start()
        self._first_line = len(self.process.said())

    def log(self) -> list[str]:
        """Return what it has logged since this test began."""
        return self.process.said()[self._first_line :]


# ------------------------------------------------------------------- instances


def _fill(template: str, to: Path, **values: object) -> None:
    to.write_text(Template((HERE / template).read_text()).substitute(values))


def _needs(name: str, version: str, *command: str | Path) -> None:
    """Require that *command* runs and tells a version that *version* matches."""
    try:
        done = subprocess.run([str(part) for part in command], env=_env(), capture_output=True, text=True, check=False)  # noqa: S603 - ours
    except OSError as error:
        require(name, f"{command[0]} does not run: {error} (`make servers` puts it there)")
    if not re.search(version, done.stdout):
        require(name, f"{command[0]} is not one of those that the tests know: {done.stdout}{done.stderr}")


def _atheme() -> Path:
    """Return the folder with Atheme's modules, which has the machine's architecture in its name."""
    return next(iter(CODE.glob("usr/lib/*/atheme/modules")), CODE)


def _env() -> dict[str, str]:
    return {**os.environ, "LD_LIBRARY_PATH": str(_atheme().parent.parent)}


@contextmanager
def instance(home: Path) -> Iterator[Irc]:
    """A network of its own whose files are in the folder *home*; it is up until the block ends."""
    _needs("irc", "InspIRCd-3", INSPIRCD, "--version")
    _needs("irc", "Atheme .*7", ATHEME, "-v")
    ports = fixed_ports(8)
    authority = Authority(home)
    node, leaf = Node("irc.test", "1AA", *ports[:4]), Node("leaf.test", "2AA", *ports[4:])
    server = Irc(
        home=home,
        node=node,
        leaf_node=leaf,
        authority=authority,
        certificate=authority.server("server", "localhost"),
        ircd=_inspircd(home, node),
        leaf=_inspircd(home, leaf),
        services=_services(home),
        password=secrets.token_hex(8),
    )
    _fill(
        "services.conf",
        home / "services.conf",
        modules=_atheme(),
        link_port=node.link_port,
        password=server.password,
    )
    try:
        server.clear()
        yield server
    finally:
        server.stop()


def _inspircd(home: Path, node: Node) -> Process:
    command = [*NO_CORE, str(INSPIRCD), "--nofork", "--nopid", "--config", str(home / f"{node.name}.conf")]
    return Process(command + ["--runasroot"] * ROOT, log=home / f"{node.name}.out")


def _services(home: Path) -> Process:
    files = {"-c": "services.conf", "-D": "", "-l": "atheme.log", "-p": "atheme.pid"}
    options = [part for option, name in files.items() for part in (option, str(home / name))]
    return Process([str(ATHEME), "-n", *options], log=home / "services.out", env=_env())


@contextmanager
def old_instance(home: Path) -> Iterator[Ngircd]:
    """An ngIRCd whose files are in the folder *home*; it is up until the block ends."""
    _needs("ngircd", "ngIRCd", NGIRCD, "--version")
    process = Process([str(NGIRCD), "--nodaemon", "--config", str(home / "ngircd.conf")], log=home / "log")
    server = Ngircd(home, process, fixed_ports(1)[0])
    try:
        server.clear()
        yield server
    finally:
        server.stop()


# -------------------------------------------------------------------- fixtures


@pytest.fixture(scope="session")
def irc_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Irc]:
    """The run's network with services; tests ask for `irc`."""
    with instance(tmp_path_factory.mktemp("irc")) as server:
        yield server


@pytest.fixture
def irc(irc_server: Irc) -> Irc:
    """A real network with services that is up, with nobody there, no account and an empty log."""
    irc_server.clear()
    return irc_server


@pytest.fixture(scope="session")
def ngircd_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ngircd]:
    """The run's network of old; tests ask for `ngircd`."""
    with old_instance(tmp_path_factory.mktemp("ngircd")) as server:
        yield server


@pytest.fixture
def ngircd(ngircd_server: Ngircd) -> Ngircd:
    """A real network of old that is up, with nobody there."""
    ngircd_server.clear()
    return ngircd_server


@pytest.fixture
async def people() -> AsyncIterator[People]:
    """Brings people to a port: ``ada, grace = await people.come(irc.port, "ada", "grace")``; they leave afterwards."""
    async with AsyncExitStack() as stack:
        yield People(stack)
