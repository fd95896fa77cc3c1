"""What was answered so far, and the configuration that comes of it."""

import json
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from omnibot.app import find_instances
from omnibot.config import adapter_options, load
from omnibot.provider import Secret
from omnibot.registry import find_adapter

SKILLS = ("accounts", "following", "help", "ping", "api", "admin")
"""What every bot can do."""

_TEMPLATE = """\
# omnibot's configuration. Secrets are ${{ENVIRONMENT_VARIABLE}} or file:PATH, never written here.
# `omnibot check` looks it over and says how to mend what is wrong.

# Where people's browsers reach the listener: https, behind your reverse proxy.
# Left out, people link by pasting an address back into the chat.
{public_url}

# Where the listener listens on this machine.
listen: 127.0.0.1:8080

# The database, the key and the lock. Back the key up apart from the database.
data_dir: ./data
key_file: ./data/omnibot.key

# What starts a command in a room; in private it can be left out.
prefix: "!"

# One entry a network. The console is this terminal. For IRC the bot needs an account with the network's services,
# for Matrix one of its own, for Discord an application (docs/operating.md tells how each is made):
#   libera:
#     adapter: irc
#     host: irc.libera.chat
#     nick: omnibot
#     sasl: {{username: omnibot, password: "${{LIBERA_PASSWORD}}"}}
#     channels: ["#omnibot"]
#   home:
#     adapter: matrix
#     homeserver: https://matrix.example.org
#     user: "@omnibot:example.org"
#     password: ${{MATRIX_PASSWORD}}
#   discord:
#     adapter: discord
#     token: ${{DISCORD_TOKEN}}
networks:
{networks}

# One entry a service that people may link: `omnibot providers list` names them, and `omnibot providers show NAME`
# tells what each wants. Some want nothing but an address, or not even that; at others you register the bot first.
# Add the skill of the same name below. Any OpenID Connect server works by its issuer:
# providers:
#   redmine:
#     base: https://redmine.example.org
#   mastodon:
#     instances: ask
#   github:
#     client_id: Iv1.abcdef
#     client_secret: ${{GITHUB_SECRET}}
#   oidc:
#     issuer: https://login.example.org
#     client_id: omnibot
#     client_secret: ${{OIDC_SECRET}}
{providers}
# What the bot can do.
skills: [{skills}]

# Who is told of trouble and asked what an admin decides, as network:subject; `!whoami` tells somebody theirs.
admins: {admins}
"""

type Refer = Callable[[str, Secret], str]
"""Return how the configuration refers to a secret, which is called by where it stands: ``home-password``."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A network or a service, as it is going to be written."""

    name: str
    options: Mapping[str, Any] = field(default_factory=dict)
    """Plain values, mappings of them, and `Secret`."""


@dataclass(frozen=True, slots=True)
class Draft:
    """A whole configuration; what was not answered is left to its default."""

    public_url: str = ""
    networks: tuple[Entry, ...] = ()
    """The console, if there are none."""

    providers: tuple[Entry, ...] = ()
    skills: tuple[str, ...] = SKILLS
    admins: tuple[str, ...] = ()


def rendered(draft: Draft, refer: Refer) -> str:
    """Return *draft* as YAML, with comments; every secret is what *refer* makes of it."""
    networks = draft.networks or (Entry("console", {"adapter": "console"}),)
    providers = ["providers:", *_entries(draft.providers, refer)] if draft.providers else []
    return _TEMPLATE.format(
        public_url=f"public_url: {_scalar(draft.public_url)}"
        if draft.public_url
        else "# public_url: https://bot.example.org",
        networks="\n".join(_entries(networks, refer)),
        providers="".join(f"{line}\n" for line in providers),
        skills=", ".join(draft.skills),
        admins=_scalar(list(draft.admins)),
    )


def found_in(draft: Draft) -> Mapping[str, Any]:
    """Return what the adapters make of the options of each network in *draft*, by its name.  No secret is written.

    Raises:
        ConfigError: the draft does not fit; every problem is in it.
    """
    env = dict(os.environ)

    def refer(name: str, secret: Secret) -> str:
        env[variable := f"OMNIBOT_INIT_{len(env)}"] = secret.value
        return f"${{{variable}}}"

    with TemporaryDirectory(prefix="omnibot-init-") as folder:
        path = Path(folder) / "config.yaml"
        path.write_text(rendered(draft, refer), "utf-8")
        settings = load(path, env)
    if draft.providers:  # it takes a while to read the whole catalogue
        find_instances(settings)
    return {
        name: adapter_options(network, find_adapter(network.adapter).Settings, settings.source)
        for name, network in settings.networks.items()
    }


def _entries(entries: tuple[Entry, ...], refer: Refer) -> Iterator[str]:
    for entry in entries:
        if entry.options:
            yield f"  {entry.name}:"
            yield from _mapping(entry.options, entry.name, refer, 2)
        else:
            yield f"  {entry.name}: {{}}"


def _mapping(options: Mapping[str, Any], name: str, refer: Refer, depth: int) -> Iterator[str]:
    margin = "  " * depth
    for key, value in options.items():
        called = f"{name}-{key}"
        if isinstance(value, Mapping):
            yield f"{margin}{key}:"
            yield from _mapping(value, called, refer, depth + 1)
        elif isinstance(value, Secret):
            yield f"{margin}{key}: {_scalar(refer(called, value))}"
        else:
            yield f"{margin}{key}: {_scalar(value)}"


def _scalar(value: Any) -> str:
    """Return *value* as YAML, which JSON is: texts stand in quotes, so that nothing in them means anything."""
    return json.dumps(value, ensure_ascii=False)
