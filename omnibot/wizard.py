"""``omnibot init``: a commented configuration and a key, from a few questions."""

import json
import sys
from collections.abc import Callable
from pathlib import Path

from omnibot.config import load
from omnibot.errors import ConfigError, Problem
from omnibot.vault import new_key_file

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
  console:
    adapter: console

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

# What the bot can do.
skills: [accounts, following, help, ping, api]

# Who is told of trouble and asked what an admin decides, as network:subject.
admins: []
"""


def write(path: Path, *, yes: bool, public_url: str = "", ask: Callable[[str], str] = input) -> int:
    """Write a configuration at *path* and a key beside it; return the exit status.  Nothing is overwritten.

    With *yes* nothing is asked; *public_url* is taken as given.
    """
    if path.exists():
        print(f"{path} exists already. Move it away, or edit it; `omnibot check` helps.", file=sys.stderr)
        return 1
    if not yes and not public_url:
        try:
            public_url = ask("Where will browsers reach this bot? (https://bot.example.org, or empty for none) ")
        except EOFError:
            print("\nThere is nobody to ask. `omnibot init --yes` asks nothing.", file=sys.stderr)
            return 1
    # In quotes: what is no address is then refused as a whole, not taken up to its first odd character.
    public_url = json.dumps(public_url.strip(), ensure_ascii=False) if public_url.strip() else ""
    shown = f"public_url: {public_url}" if public_url else "# public_url: https://bot.example.org"
    try:
        path.write_text(_TEMPLATE.format(public_url=shown), "utf-8")
        try:
            settings = load(path, {})
        except ConfigError:
            path.unlink()
            raise
        settings.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not settings.key_file.exists():
            new_key_file(settings.key_file)
    except OSError as error:
        cure = "Name a folder that is there and may be written to."
        raise ConfigError(Problem(str(error.filename or path), "", f"cannot be made: {error.strerror}", cure)) from None
    print(
        f"Wrote {path} and the key {settings.key_file}.\nKeep a copy of the key apart. Next: omnibot check, omnibot run"
    )
    return 0
