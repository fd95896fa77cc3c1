"""X, once Twitter, as yourself: link, search, post, read, and take a post back.

Sources: docs.x.com, "Search recent Posts", "Create Post", "Delete Post", "Timelines", "Response codes and errors".
"""

import re
from collections.abc import Mapping
from typing import Any

from omnibot import Assurance, Context, LinkedContext, Response, Skill, UserError, fmt, link

skill = Skill("x", aliases=["t", "twitter"])

_LISTED = 10
_SITE = "https://x.com"
_SHOWN = {"tweet.fields": "created_at,author_id", "expansions": "author_id", "user.fields": "username"}
_LONGEST_QUERY = 512
_PIN = re.compile(r"[\s`]*[0-9][0-9\s`]*")
_EXPECTED = (400, 402, 403)


@skill.command(answer="private", minimum=Assurance.ACCOUNT, also=("setup auth", "set up auth"))
async def setupauth(ctx: Context) -> str:
    """Link your X account, or link it anew.

    You get a private link.  Open it, authorise the bot, and say `x auth` with the PIN or the code that you are shown.
    """
    try:
        return await ctx.accounts.link("x", way="pin")
    except UserError:  # there is no PIN here; if anything else is in the way, the next line says so
        return await ctx.accounts.link("x")


@skill.command(answer="private", minimum=Assurance.ACCOUNT, secret="code")  # noqa: S106 - the parameter's name
async def auth(ctx: Context, code: str) -> str:
    """Type the PIN that X shows you, or the code on the bot's page.

    Type it yourself, in private.  Whoever asks you for it wants your account.

    Args:
        code: as the page shows it
    """
    return await (ctx.accounts.pin(code, "x") if _PIN.fullmatch(code) else ctx.accounts.confirm(code))


@skill.command(answer="private", minimum=Assurance.ACCOUNT, also=("clear my credentials",))
async def clear_credentials(ctx: Context) -> str:
    """Unlink your X account, and revoke the bot's permission there."""
    return await ctx.accounts.unlink("x")


@skill.linked("x", scopes=["tweet.read", "users.read"])
async def search(ctx: LinkedContext, words: str) -> str:
    """Search the posts of the last seven days, as yourself.

    Args:
        words: what to look for, with X's operators if you like: `from:alice -is:reply`
    """
    query = words.strip()
    if not 1 <= len(query) <= _LONGEST_QUERY:
        raise UserError(f"A search is 1 to {_LONGEST_QUERY} characters.")
    said = await _ask(ctx, "GET", "/2/tweets/search/recent", query=query, max_results=_LISTED, **_SHOWN)
    return _lines(said) or fmt("Nothing in the last seven days for {}.", query)


@skill.linked("x", scopes=["tweet.read", "tweet.write", "users.read"], effect="change", also=("post",))
async def tweet(ctx: LinkedContext, text: str) -> str:
    """Post, as yourself.

    Args:
        text: what you say
    """
    post = (await _ask(ctx, "POST", "/2/tweets", {"text": text}))["data"]
    return fmt("Posted as **{}**: {}", ctx.account.login, _address(ctx, post["id"]))


@skill.linked("x", scopes=["tweet.read", "users.read"])
async def timeline(ctx: LinkedContext) -> str:
    """Show the latest posts of those whom you follow."""
    path = f"/2/users/{await _my_id(ctx)}/timelines/reverse_chronological"
    return _lines(await _ask(ctx, "GET", path, max_results=_LISTED, **_SHOWN)) or "Your timeline is empty."


@skill.linked("x", scopes=["tweet.read", "users.read"])
async def mentions(ctx: LinkedContext) -> str:
    """Show the latest posts that mention you."""
    path = f"/2/users/{await _my_id(ctx)}/mentions"
    return _lines(await _ask(ctx, "GET", path, max_results=_LISTED, **_SHOWN)) or "Nobody has mentioned you lately."


@skill.linked(
    "x", scopes=["tweet.read", "tweet.write", "users.read"], effect="destroy", asks=True, also=("delete my last",)
)
async def delete_last(ctx: LinkedContext) -> str:
    """Delete your latest post."""
    path = f"/2/users/{await _my_id(ctx)}/tweets"
    found = (await _ask(ctx, "GET", path, max_results=5, exclude="retweets")).get("data", ())
    if not found:
        raise UserError("You have no post that I could delete.")
    latest = max(found, key=lambda one: int(one["id"]))
    if not await ctx.confirm(fmt("Delete this? {}", latest["text"])):
        raise UserError("Not done.")
    done = await _ask(ctx, "DELETE", f"/2/tweets/{int(latest['id'])}")
    if not done.get("data", {}).get("deleted"):
        raise UserError("X did not delete that post.")
    return fmt("Deleted: {}", latest["text"])


async def _ask(ctx: LinkedContext, method: str, path: str, body: object = None, **params: object) -> dict[str, Any]:
    """Send a request; return its answer.

    Raises:
        UserError: X does not do it, in words of ours.
    """
    answer = await ctx.api.send(method, path, json=body, params=params, expect=_EXPECTED)
    if answer.status in _EXPECTED:
        raise UserError(_refusal(answer))
    said = answer.data if isinstance(answer.data, dict) else {}
    if method == "POST" and "data" not in said:
        raise UserError("X answered in a way that I do not understand. Look there whether it was done.")
    return said


def _refusal(answer: Response) -> str:
    """Say why X did not do it; its own words, which may hold anything, are only looked at."""
    said = answer.data if isinstance(answer.data, dict) else {}
    kind, detail = str(said.get("type", "")), str(said.get("detail", ""))
    if answer.status == 402:
        return "X wants to be paid for that: this bot's app there has no credits left. Its operator can add some."
    if answer.status == 400:
        return "X did not understand that. A post is 1 to 280 characters, and a search has X's own rules."
    if "duplicate" in detail.lower():
        return "You have posted just that already, and X takes nothing twice."
    if kind.endswith("/oauth1-permissions"):
        return (
            "This bot's app at X may only read. Its operator can set it to read and write there; then say "
            "`x setupauth`, for links of before stay as they were."
        )
    return "X does not allow you that. Too long, a reply to somebody who has not mentioned you, or not yours to do?"


async def _my_id(ctx: LinkedContext) -> int:
    return int((await _ask(ctx, "GET", "/2/users/me"))["data"]["id"])


def _lines(said: Mapping[str, Any]) -> str:
    """Return a line for each post: when, who, what."""
    names = {one["id"]: one["username"] for one in said.get("includes", {}).get("users", ())}
    shown = [fmt("{} @{}: {}", one["created_at"], _name(names, one), one["text"]) for one in said.get("data", ())]
    return "\n".join(shown[:_LISTED])


def _name(names: Mapping[str, str], post: Mapping[str, Any]) -> str:
    return names.get(post.get("author_id", ""), "somebody")


def _address(ctx: LinkedContext, post: object) -> str:
    return link("", f"{_SITE}/{ctx.account.login}/status/{post}")
