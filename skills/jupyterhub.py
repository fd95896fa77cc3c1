"""Your own server at JupyterHub: start it, stop it, see how it is.

Source: JupyterHub's REST API (``/users/{name}/server``, ``/users/{name}``).
"""

from typing import Any
from urllib.parse import urljoin

from omnibot import FollowContext, LinkedContext, Progress, Skill, Upstream, fmt, link

skill = Skill("jupyterhub", aliases=["hub"])

_STARTING_SECONDS = 600.0


@skill.linked("jupyterhub")
async def status(ctx: LinkedContext) -> str:
    """Tell how your server is."""
    return _words(ctx.api.url("/"), await _server(ctx))


@skill.linked("jupyterhub", effect="change")
async def start(ctx: LinkedContext) -> str:
    """Start your server, and hear when it is ready."""
    server = await _server(ctx)
    if server is None:
        try:
            await ctx.api.post(f"/users/{ctx.account.login}/server")
        except Upstream as error:
            if error.status != 400:  # that is what it says of one that is on its way already
                raise
        server = await _server(ctx)
    if server is None or server.get("pending") in (None, "stop"):
        return _words(ctx.api.url("/"), server)
    await ctx.follow(_watch, "your JupyterHub server", wanted="ready", lasting=_STARTING_SECONDS)
    return "Your server is starting; I tell you when it is ready."


@skill.linked("jupyterhub", effect="destroy")
async def stop(ctx: LinkedContext) -> str:
    """Stop your server; what its notebooks hold in memory is lost."""
    if await _server(ctx) is None:
        return "Your server is not running."
    await ctx.api.delete(f"/users/{ctx.account.login}/server")
    if await _server(ctx) is None:
        return "Your server is stopped."
    await ctx.follow(_watch, "your JupyterHub server", wanted="stopped", lasting=_STARTING_SECONDS)
    return "Your server is stopping; I tell you when it has."


@skill.follower(every=3.0)
async def _watch(ctx: FollowContext, wanted: str) -> Progress:
    """Look how the server is, until it is as *wanted*: ``ready`` or ``stopped``."""
    server = await _server(ctx)
    pending = server.get("pending") if server else None
    if pending:
        return Progress(_on_its_way(pending))
    missed = server is None and wanted == "ready"
    words = "Your server did not start. JupyterHub's own page says why." if missed else _words(ctx.api.url("/"), server)
    return Progress(words, done=True)


async def _server(ctx: LinkedContext | FollowContext) -> dict[str, Any] | None:
    """Return what the hub says of the person's unnamed server; None if there is none."""
    user = await ctx.api.get(f"/users/{ctx.account.login}")
    found = user.get("servers", {}).get("")
    return dict(found) if found else None


def _words(api: str, server: dict[str, Any] | None) -> str:
    if server is None:
        return "Your server is not running."
    if server.get("pending"):
        return _on_its_way(server["pending"])
    if not server.get("ready"):
        return "Your server does not answer."
    return fmt("Your server is ready: {}.", link("open it", _page(api, server["url"])))


def _on_its_way(pending: str) -> str:
    """Return what to say while the hub starts (``spawn``) or stops (``stop``) the server."""
    return {"spawn": "Your server is still starting.", "stop": "Your server is still stopping."}.get(
        pending, fmt("Your server is busy: {}.", pending)
    )


def _page(api: str, path: str) -> str:
    """Return the whole address of a server's *path*: from its host's root on, or whole where users have their own."""
    return urljoin(api, path)
