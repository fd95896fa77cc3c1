"""What the tests' JupyterHub is: the real hub, people with passwords, and user servers that are tiny.

It runs in an environment of its own, which has JupyterHub and nothing of ours.
``HUB_SETTINGS`` is JSON: what differs from run to run, as ``server.py`` beside this file has it.
"""

import json
import os
import sys
from pathlib import Path
from typing import Any

from jupyterhub.auth import Authenticator  # type: ignore[import-not-found]  # it is in the hub's own environment

PEOPLE = ("alice", "bob", "carol")

settings = json.loads(os.environ["HUB_SETTINGS"])
home = Path(settings["home"])


class Passwords(Authenticator):  # type: ignore[misc]  # as above
    """Lets in alice, bob and carol, each with the password ``pw-<name>``."""

    async def authenticate(self, handler: Any, data: dict[str, str]) -> str | None:
        """Return who has logged in, or None."""
        name = data["username"]
        return name if name in PEOPLE and data["password"] == f"pw-{name}" else None


c = get_config()  # type: ignore[name-defined]  # noqa: F821 - JupyterHub provides it

c.JupyterHub.bind_url = settings["url"]
c.JupyterHub.hub_bind_url = settings["hub_url"]
c.JupyterHub.db_url = f"sqlite:///{home}/hub.sqlite"
c.JupyterHub.cookie_secret_file = str(home / "cookie_secret")

# The proxy is started beside the hub, so that whoever stops the one can stop the other.
c.ConfigurableHTTPProxy.should_start = False
c.ConfigurableHTTPProxy.api_url = settings["proxy_api"]
c.ConfigurableHTTPProxy.auth_token = settings["proxy_secret"]

c.JupyterHub.authenticator_class = Passwords
c.Authenticator.allowed_users = set(PEOPLE)

# "simple" needs no Unix account.  A user server stays in the hub's process group: nothing outlives the hub.
c.JupyterHub.spawner_class = "simple"
c.SimpleLocalProcessSpawner.home_dir_template = f"{home}/homes/{{username}}"
c.LocalProcessSpawner.popen_kwargs = {"start_new_session": False}
c.Spawner.cmd = [sys.executable, str(Path(__file__).with_name("user_server.py"))]
c.Spawner.environment = {"USER_SERVER_DELAYS": str(home / "delays")}
c.JupyterHub.tornado_settings = {"slow_spawn_timeout": 2, "slow_stop_timeout": 2}  # seconds until it answers 202

c.JupyterHub.services = [
    {
        "name": one["client_id"].removeprefix("service-"),
        "oauth_client_id": one["client_id"],
        "api_token": one["client_secret"],
        "oauth_redirect_uri": one["redirect_uri"],
        "oauth_client_allowed_scopes": ["self"],
        "display": False,
    }
    for one in settings["clients"]
] + [{"name": "rig", "api_token": settings["rig_secret"]}]
c.JupyterHub.load_roles = [
    # Who may not access a service is not asked whether it may act as them, but refused.
    {"name": "user", "scopes": ["self", "access:services"]},
    {"name": "rig", "services": ["rig"], "scopes": ["read:users", "servers", "tokens"]},
]
