"""The bot as a service of systemd: its unit, and word to it that the bot has started.

``deploy/omnibot.service`` is what `unit` returns for an installation in the usual places; a test holds that.
"""

import os
import socket
from collections.abc import Mapping
from pathlib import PurePath, PurePosixPath

EXIT_CONFIG = 78
"""The exit status of a bot whose configuration cannot be used, ``EX_CONFIG`` of sysexits.h: trying again is no use."""

STATE = PurePosixPath("/var/lib/omnibot")
"""Where the data is, unless it is said to be elsewhere: what systemd makes for ``StateDirectory=omnibot``."""

_HOMES = tuple(map(PurePosixPath, ("/home", "/root", "/run/user")))

_UNIT = """\
# omnibot as a service of systemd. docs/operating.md ("As a service") tells how it is installed.
[Unit]
Description=omnibot, the chat bot that acts as the person who speaks to it
Wants=network-online.target
After=network-online.target
StartLimitIntervalSec=600
StartLimitBurst=10

[Service]
Type=notify
ExecStart={exec_path} run --config {config}
{who}
WorkingDirectory={folder}

{data}
{credentials}
# A configuration that cannot be used (78) does not get better by trying again, nor do words that do not fit (2).
Restart=on-failure
RestartSec=10
RestartPreventExitStatus=2 {exit_config}
TimeoutStartSec=600
TimeoutStopSec=30
KillMode=mixed

# Nobody else reads what it writes, and it leaves no picture of its memory, where tokens are.
UMask=0077
LimitCORE=0
LimitNOFILE=65536

# It sees the system's files without being able to change them, and of other people's nothing.
ProtectSystem=strict
ProtectHome={homes}
PrivateTmp=yes
PrivateDevices=yes
PrivateMounts=yes
DevicePolicy=closed
ProtectProc=invisible
ProcSubset=pid

# It is nobody but its user, and cannot become anybody else.
NoNewPrivileges=yes
CapabilityBoundingSet=
AmbientCapabilities=
PrivateUsers=yes
RestrictSUIDSGID=yes
RestrictNamespaces=yes
RemoveIPC=yes
KeyringMode=private

# The machine is as it was before.
ProtectClock=yes
ProtectControlGroups=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
RestrictRealtime=yes
LockPersonality=yes
MemoryDenyWriteExecute=yes

# The internet, and sockets of this machine (the control socket, systemd, the resolver). Which addresses the bot may
# reach is not for this file to say: networks and services are wherever they are.
RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX

SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallFilter=~@privileged @resources
SystemCallErrorNumber=EPERM

[Install]
WantedBy=multi-user.target
"""


def unit(
    *,
    exec_path: str | PurePath = "/opt/omnibot/bin/omnibot",
    config: str | PurePath = "/etc/omnibot/config.yaml",
    user: str | None = "omnibot",
    data: str | PurePath | None = None,
    key: str | PurePath | None = "/etc/omnibot/omnibot.key",
    secrets: str | PurePath | None = "/etc/omnibot/secrets",
) -> str:
    """Return the text of a unit that runs the bot, shut off from the rest of the machine.

    All paths are absolute.

    Args:
        exec_path: the ``omnibot`` command.
        config: the configuration.
        user: who the bot runs as; None: a user that systemd makes up while it runs.
        data: ``data_dir``, if it exists already and the user can write to it; None: systemd makes `STATE`.
        key: the key file, which systemd reads and hands over; None: the bot reads the one that ``key_file`` names.
        secrets: a folder whose files systemd hands over, each as ``/run/credentials/omnibot.service/secret_NAME``,
            as the unit is called ``omnibot.service``; None: there is none.

    Raises:
        ValueError: a path is relative, or it or *user* has a character that a unit cannot hold.
    """
    paths = [PurePosixPath(one) for one in (exec_path, config, data, key, secrets) if one is not None]
    return _UNIT.format(
        exec_path=_word(exec_path),
        config=_word(config),
        who="DynamicUser=yes" if user is None else f"User={_name(user)}",
        folder=_plain(STATE if data is None else data),
        data=_data(data),
        credentials=_credentials(key, secrets),
        exit_config=EXIT_CONFIG,
        homes="read-only" if any(one.is_relative_to(home) for one in paths for home in _HOMES) else "yes",
    )


def _data(data: str | PurePath | None) -> str:
    """Return the lines that let the bot write to its data, and to nothing else."""
    if data is None:
        return f"StateDirectory={STATE.name}\nStateDirectoryMode=0700"
    return f"ReadWritePaths={_word(data)}"


def _credentials(key: str | PurePath | None, secrets: str | PurePath | None) -> str:
    """Return the lines by which root's files are handed over, with an empty line behind; nothing for none."""
    lines = list[str]()
    if key is not None:
        lines.append(f"LoadCredential=omnibot.key:{_plain(key)}")
    if secrets is not None:
        lines.append(f"LoadCredential=secret:{_plain(secrets)}")
    if not lines:
        return ""
    return "\n# Of root, and readable by nobody else; systemd hands a copy over.\n" + "\n".join(lines) + "\n"


def _absolute(path: str | PurePath) -> str:
    text = str(path)
    if not text.startswith("/") or not text.isprintable() or "$" in text:  # of ExecStart, "$" stands for variables
        raise ValueError(f"{text!r} is no absolute path that a unit can hold")
    return text


def _plain(path: str | PurePath) -> str:
    """Return *path* for a setting that takes the whole line: systemd.unit(5), specifiers."""
    return _absolute(path).replace("%", "%%")


def _word(path: str | PurePath) -> str:
    """Return *path* for a setting that is split into words: systemd.syntax(7), quoting."""
    text = _plain(path)
    if not set(text) & set(" \"'\\;"):
        return text
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _name(user: str) -> str:
    if not user.replace("-", "").replace("_", "").isalnum() or not user.isascii() or user.startswith("-"):
        raise ValueError(f"{user!r} is not the name of a user")
    return user


def tell_systemd(state: str, env: Mapping[str, str] | None = None) -> None:
    """Tell systemd how the bot is, for example ``READY=1``; nothing, where it was not started by it: sd_notify(3)."""
    address = (os.environ if env is None else env).get("NOTIFY_SOCKET", "")
    if not address.startswith(("/", "@")):
        return
    where = "\0" + address[1:] if address.startswith("@") else address
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as to:
        try:
            to.connect(where)
            to.sendall(state.encode())
        except OSError:  # systemd says itself what it did not hear; the bot runs no worse for it
            return
