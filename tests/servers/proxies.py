"""Caddy and nginx as ``deploy/`` has them, on free ports, each with a certificate of the test's own authority."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from servers.irc.certificates import Authority
from servers.processes import Process, cache, fixed_ports, require

DEPLOY = Path(__file__).parents[2] / "deploy"
NAME = "bot.example.org"
"""What the bot is called in the examples."""

_NGINX = """\
daemon off;
worker_processes 1;
pid {home}/pid;
error_log stderr notice;
events {{}}
http {{
    client_body_temp_path {home}/body;
    proxy_temp_path {home}/proxy;
    fastcgi_temp_path {home}/fastcgi;
    scgi_temp_path {home}/scgi;
    uwsgi_temp_path {home}/uwsgi;
    access_log off;
    include {home}/site.conf;
}}
"""


@dataclass(frozen=True, slots=True)
class Proxy:
    """A reverse proxy that runs."""

    port: int
    """Where it takes https, for `NAME`."""

    authority: Path
    """Whom to trust, to believe its certificate."""

    home: Path
    process: Process

    def written(self) -> str:
        """Return all that it has said and logged."""
        logs = [self.process.log, *self.home.glob("*.log")]
        return "\n".join(one.read_text(errors="replace") for one in logs if one.exists())


def changed(text: str, changes: Mapping[str, str]) -> str:
    """Return *text* with each of *changes* made wherever its key stands, which it must do somewhere."""
    for old, new in changes.items():
        assert old in text, f"{old!r} is no longer in the example"
        text = text.replace(old, new)
    return text


@contextmanager
def caddy(home: Path, upstream: int) -> Iterator[Proxy]:
    """Run Caddy in *home*, in front of the port *upstream*."""
    authority, (port,) = Authority(home), fixed_ports(1)
    certificate = authority.server("site", NAME)
    site = changed(
        (DEPLOY / "Caddyfile").read_text(),
        {
            # Its own certificates, its redirect from port 80 and its port for orders are of no use here.
            "\n{\n": f"\n{{\n\tadmin off\n\tauto_https disable_redirects\n\thttps_port {port}\n",
            f"\n{NAME} {{": f"\n{NAME} {{\n\tbind 127.0.0.1\n\ttls {certificate.path} {certificate.key_path}",
            "127.0.0.1:8080": f"127.0.0.1:{upstream}",
            "\tlog {\n\t\tformat filter": f"\tlog {{\n\t\toutput file {home}/access.log\n\t\tformat filter",
        },
    )
    (home / "Caddyfile").write_text(site)
    command = [_program("caddy", "bin/caddy"), "run", "--adapter", "caddyfile", "--config", str(home / "Caddyfile")]
    env = {"HOME": str(home), "XDG_DATA_HOME": str(home / "share"), "XDG_CONFIG_HOME": str(home / "config")}
    with _running(Process(command, home / "said", env), "serving initial configuration") as process:
        yield Proxy(port, authority.path, home, process)


@contextmanager
def nginx(home: Path, upstream: int) -> Iterator[Proxy]:
    """Run nginx in *home*, in front of the port *upstream*."""
    authority, (port, plain) = Authority(home), fixed_ports(2)
    certificate = authority.server("site", NAME)
    site = changed(
        (DEPLOY / "nginx.conf").read_text(),
        {
            "listen 80;": f"listen 127.0.0.1:{plain};",
            "listen 443 ssl;": f"listen 127.0.0.1:{port} ssl;",
            "/etc/ssl/omnibot/fullchain.pem": str(certificate.path),
            "/etc/ssl/omnibot/privkey.pem": str(certificate.key_path),
            "/var/log/nginx": str(home),
            "127.0.0.1:8080": f"127.0.0.1:{upstream}",
        },
    )
    (home / "site.conf").write_text(site)
    (home / "nginx.conf").write_text(_NGINX.format(home=home))
    command = [_program("nginx", "sbin/nginx"), "-p", str(home), "-e", "stderr", "-c", str(home / "nginx.conf")]
    with _running(Process(command, home / "said"), "start worker process ") as process:
        yield Proxy(port, authority.path, home, process)


@contextmanager
def _running(process: Process, ready: str) -> Iterator[Process]:
    try:
        process.start(ready)
        yield process
    finally:
        process.stop()


def _program(name: str, path: str) -> str:
    """Return the program in what ``tools/servers.sh`` unpacked."""
    found = cache() / "proxies" / "usr" / path
    if not os.access(found, os.X_OK):
        require(name, f"it is not in {cache()} (`make servers` puts it there)")
    return str(found)
