"""A small IRC network with services, for as long as the demo lasts: InspIRCd 3 and Atheme 7, if they are installed.

Both are started on ports of 127.0.0.1 that were free, with their files in one folder, and stopped by
their process ids.  The system's own servers, if it has any, are left alone.
"""

import asyncio
import os
import re
import secrets
import shutil
import subprocess
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from string import Template

from omnibot.ports import free_port

CURE = (
    "The demo on IRC needs InspIRCd 3 and Atheme 7: "
    "install them (on Debian: apt-get install inspircd atheme-services), or let `make servers` unpack them."
)
_START_SECONDS = 20.0
_STOP_SECONDS = 5.0
_NO_CORE = ("prlimit", "--core=0")  # InspIRCd 3.15 is prone to crash while it ends
_SYSTEM = os.pathsep.join(("/usr/sbin", "/usr/local/sbin", "/usr/bin", "/usr/local/bin"))

_IRCD = """\
<config format="xml">
<server name="irc.demo" description="The network of omnibot's demo" network="DemoNet" id="1AA">
<admin name="You" nick="you" email="you@irc.demo">
<path configdir="$home" datadir="$home" logdir="$home" runtimedir="$home" moduledir="$modules">
<bind address="127.0.0.1" port="$port" type="clients">
<bind address="127.0.0.1" port="$tls_port" type="clients" sslprofile="tls">
<bind address="127.0.0.1" port="$link_port" type="servers">
<sslprofile name="tls" provider="gnutls" certfile="$certificate" keyfile="$key" hash="sha256">
<connect allow="127.0.0.0/8" timeout="60" pingfreq="120" fakelag="off" threshold="1000" commandrate="100000"
  recvq="64K" softsendq="1M" hardsendq="4M" localmax="100" globalmax="100" resolvehostnames="no" useident="no">
<dns enabled="no" server="127.0.0.1" sourceip="127.0.0.1" timeout="1"> # else it opens a port on every address
<uline server="services.demo" silent="yes">
<sasl target="services.demo" requiressl="no">
<link name="services.demo" ipaddr="127.0.0.1" port="$link_port" allowmask="127.0.0.1" sendpass="$password"
  recvpass="$password">
<module name="ssl_gnutls">
<module name="spanningtree">
<module name="services_account">
<module name="svshold">
<module name="deaf">
<module name="servprotect">
<module name="hidechans">
<module name="chghost">
<module name="chgident">
<module name="cap">
<module name="sasl">
<module name="ircv3">
<module name="ircv3_accounttag">
<module name="ircv3_batch">
<module name="ircv3_capnotify">
<module name="ircv3_ctctags">
<module name="ircv3_echomessage">
<module name="ircv3_labeledresponse">
<module name="ircv3_msgid">
<module name="ircv3_servertime">
<module name="botmode">
<module name="namesx">
"""

_MODULES = (
    *("transport/rfc1459", "protocol/base36uid", "protocol/inspircd", "backend/corestorage", "backend/opensex"),
    *("crypto/pbkdf2v2", "nickserv/main", "nickserv/group", "nickserv/identify", "nickserv/info", "nickserv/logout"),
    *("nickserv/register", "nickserv/set_core", "nickserv/set_password", "saslserv/main", "saslserv/plain"),
)
"""Each after those that it needs; by their whole path, for Atheme need not be installed."""

_SERVICES = """\
serverinfo { name = "services.demo"; desc = "The services of omnibot's demo"; numeric = "00A"; netname = "DemoNet";
  recontime = 1; hidehostsuffix = "users.demo"; casemapping = ascii; auth = none; adminname = "You";
  adminemail = "you@irc.demo"; registeremail = "noreply@irc.demo"; mta = "/bin/true"; loglevel = { error; info; };
  maxlogins = 100; maxusers = 0; };
uplink "irc.demo" { host = "127.0.0.1"; port = $link_port; send_password = "$password";
  receive_password = "$password"; };
crypto { pbkdf2v2_digest = "SHA256"; pbkdf2v2_rounds = 10000; };
nickserv { nick = "NickServ"; user = "NickServ"; host = "services.demo"; real = "Nickname Services"; spam = no;
  maxnicks = 50; expire = 0; };
saslserv { nick = "SaslServ"; user = "SaslServ"; host = "services.demo"; real = "SASL"; };
general { flood_msgs = 0; };
"""


class NoNetworkError(Exception):
    """There is no network to be had; the text says why, and what helps."""


@dataclass(frozen=True, slots=True)
class Network:
    """A network that is up."""

    port: int
    """Without TLS, on 127.0.0.1."""

    tls_port: int
    fingerprint: str
    """The SHA-256 of its certificate in DER, in lower-case hexadecimal."""


@dataclass(frozen=True, slots=True)
class _Programs:
    inspircd: str
    atheme: str
    modules: str
    """The folder with InspIRCd's modules."""

    services_modules: str
    """The folder with Atheme's."""


@asynccontextmanager
async def network(home: Path) -> AsyncIterator[Network]:
    """Run a network whose files are in the folder *home* until the block ends.

    Raises:
        NoNetworkError: its programs are not installed, or did not start.
    """
    programs = await asyncio.to_thread(_find)
    certificate, key, fingerprint = await asyncio.to_thread(_certificate, home)
    ports = {"port": free_port(), "tls_port": free_port(), "link_port": free_port()}
    shared = {**ports, "home": home, "password": secrets.token_hex(16)}
    _private(
        home / "ircd.conf",
        Template(_IRCD).substitute(shared, modules=programs.modules, certificate=certificate, key=key),
    )
    modules = "".join(f'loadmodule "{programs.services_modules}/{one}";\n' for one in _MODULES)
    _private(home / "services.conf", modules + Template(_SERVICES).substitute(shared))
    root = ["--runasroot"] if os.getuid() == 0 else []
    ircd = [programs.inspircd, "--nofork", "--nopid", "--config", str(home / "ircd.conf"), *root]
    files = {"-c": "services.conf", "-D": "", "-l": "services.log", "-p": "services.pid"}
    services = [programs.atheme, "-n", *(part for flag, name in files.items() for part in (flag, str(home / name)))]
    library = {"LD_LIBRARY_PATH": str(Path(programs.services_modules).parent.parent)}
    prefix = list(_NO_CORE) if shutil.which(_NO_CORE[0]) else []
    async with (
        _process(prefix + ircd, home / "ircd.out", "InspIRCd is now running as ", {}),
        _process(services, home / "services.out", "finished synching with uplink", library),
    ):
        yield Network(ports["port"], ports["tls_port"], fingerprint)


def _find() -> _Programs:
    """Return the programs: those on the path, else where systems put them."""
    inspircd, atheme = _program("inspircd"), _program("atheme-services")
    modules = _folder(inspircd, "lib/inspircd/modules", "lib/*/inspircd/modules", "lib/inspircd", "lib/*/inspircd")
    services_modules = _folder(atheme, "lib/*/atheme/modules", "lib/atheme/modules", "modules")
    done = subprocess.run([inspircd, "--version"], capture_output=True, text=True, check=False)  # noqa: S603 - found there
    if not done.stdout.startswith("InspIRCd-3."):
        said = (done.stdout or done.stderr).strip().partition("\n")[0]
        raise NoNetworkError(f"{inspircd} is not InspIRCd 3 but says {said!r}. {CURE}")
    return _Programs(inspircd, atheme, modules, services_modules)


def _program(name: str) -> str:
    found = shutil.which(name) or shutil.which(name, path=_SYSTEM)
    if found is None:
        raise NoNetworkError(CURE)
    return str(Path(found).resolve())


def _folder(program: str, *patterns: str) -> str:
    """Return the folder beside *program*'s that matches the first of *patterns* that any does."""
    for pattern in patterns:
        for found in sorted(Path(program).parent.parent.glob(pattern)):
            return str(found)
    raise NoNetworkError(f"The modules of {program} are not where they are looked for. {CURE}")


def _private(path: Path, text: str) -> None:
    path.touch(mode=0o600)
    path.write_text(text, "utf-8")


def _certificate(home: Path) -> tuple[Path, Path, str]:
    """Make a certificate for 127.0.0.1 that signs itself; return its file, its key's, and its fingerprint."""
    from cryptography import x509  # only this demo needs it
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "irc.demo")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=30))
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    plain = serialization.NoEncryption()
    _private(home / "server.key", key.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain).decode())
    _private(home / "server.pem", made.public_bytes(pem).decode())
    return home / "server.pem", home / "server.key", made.fingerprint(hashes.SHA256()).hex()


@asynccontextmanager
async def _process(command: list[str], log: Path, ready: str, env: Mapping[str, str]) -> AsyncIterator[None]:
    """Run *command* until the block ends; the block begins when it has written *ready* to its *log*."""
    with log.open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            *command,
            env={**os.environ, **env},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,  # Ctrl-C is for the bot, which then stops it in order
        )
    try:
        await _until(process, log, ready)
        yield
    finally:
        await _stop(process)


async def _until(process: asyncio.subprocess.Process, log: Path, ready: str) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(_START_SECONDS):
            while process.returncode is None:
                if ready in _read(log):
                    return
                await asyncio.sleep(0.02)
    last = re.sub(r"\x1b\[[0-9;]*m", "", _read(log)).strip().splitlines()[-5:]
    raise NoNetworkError("\n".join([f"{log.stem} did not start; the last that it said:", *last]))


def _read(log: Path) -> str:
    return log.read_text("utf-8", "replace")


async def _stop(process: asyncio.subprocess.Process) -> None:
    """Ask it to end, and make it end after a while."""
    with suppress(ProcessLookupError):
        process.terminate()
    try:
        async with asyncio.timeout(_STOP_SECONDS):
            await process.wait()
    except TimeoutError:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()
