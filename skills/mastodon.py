"""Mastodon, at any server, as yourself: post, search, read, boost, mark as a favourite, and take a post back.

Sources: docs.joinmastodon.org, "methods/statuses", "methods/timelines", "methods/search", "methods/accounts",
"entities/Status".
"""

import hashlib
import re
from collections.abc import Mapping, Sequence
from html import unescape
from typing import Any, Literal
from urllib.parse import quote

from omnibot import LinkedContext, Response, Skill, Upstream, UserError, escape, fmt, link

skill = Skill("mastodon", aliases=["m", "toot"])

_LISTED = 10
_FOUND = 3
"""People and tags that a search shows beside posts."""

_LONGEST = 400
_LONGEST_HTML = 20_000
"""Characters of a post that are read at all; a line shows little of it."""

_ADDRESS = re.compile(r"https?://\S+")
_NUMBER = re.compile(r"#?([0-9]{1,3})")
_ID = re.compile(r"[A-Za-z0-9]{4,40}")
_TAG = re.compile(r"<(?:(/?)([A-Za-z][A-Za-z0-9]*+)|!)[^<>]*+>")
_BREAKS = frozenset({"blockquote", "br", "div", "h1", "h2", "h3", "h4", "h5", "h6", "li", "ol", "p", "pre", "ul"})
_SILENT = frozenset({"script", "style", "template"})

_TIMELINES: Mapping[str, tuple[str, Mapping[str, object]]] = {
    "home": ("/api/v1/timelines/home", {}),
    "local": ("/api/v1/timelines/public", {"local": "true"}),
    "public": ("/api/v1/timelines/public", {}),
}


@skill.linked("mastodon", scopes=["write:statuses"], effect="change")
async def post(
    ctx: LinkedContext,
    text: str,
    *,
    visibility: Literal["public", "unlisted", "private", "direct"] | None = None,
    warning: str = "",
) -> str:
    """Post, as yourself.

    Args:
        text: what you say
        visibility: `private` is for your followers, `direct` for whom you mention; left out, as your account has it
        warning: what people read before they open it: `--warning "ends of films"`
    """
    said = {"status": text, "visibility": visibility, "spoiler_text": warning}
    body = {name: one for name, one in said.items() if one}
    made = await _once(ctx, body)
    how = {"direct": ", for those it mentions", "private": ", for your followers"}.get(made.get("visibility", ""), "")
    return fmt("Posted as **{}**{}: {}", ctx.account.login, how, link("", _url(made)))


@skill.linked("mastodon", scopes=["read:search"])
async def search(ctx: LinkedContext, words: str) -> str:
    """Search posts, people and tags.

    Args:
        words: what to look for
    """
    found = await _ask(ctx, "GET", "/api/v2/search", {"q": words.strip(), "limit": _LISTED})
    people = [fmt("- {}, {}", f"@{one['acct']}", one["display_name"]) for one in found["accounts"][:_FOUND]]
    tags = [fmt("- {}", f"#{one['name']}") for one in found["hashtags"][:_FOUND]]
    lines = [*people, *tags, *_listed(ctx, found["statuses"])]
    return "\n".join(lines) or fmt(
        "{} finds nothing for {}. Not every server searches posts.", ctx.account.title, words
    )


@skill.linked("mastodon", scopes=["read:statuses"])
async def timeline(ctx: LinkedContext, which: Literal["home", "local", "public"] = "home") -> str:
    """Show the latest posts, numbered for `boost` and `favourite`.

    Args:
        which: of those you follow, of your server, or of all that it knows
    """
    path, params = _TIMELINES[which]
    return (
        "\n".join(_listed(ctx, await _ask(ctx, "GET", path, {"limit": _LISTED, **params}))) or "There is nothing yet."
    )


@skill.linked("mastodon", scopes=["write:statuses", "read:search"], effect="change")
async def boost(ctx: LinkedContext, which: str) -> str:
    """Boost a post.

    Args:
        which: its number in the list that I showed you last, or its address
    """
    boosted = await _ask(ctx, "POST", f"/api/v1/statuses/{await _post_id(ctx, which)}/reblog")
    original = boosted.get("reblog") or boosted
    return fmt("Boosted {}'s post: {}", f"@{original['account']['acct']}", _words(original))


@skill.linked("mastodon", scopes=["write:favourites", "read:search"], effect="change", also=("fav", "favorite"))
async def favourite(ctx: LinkedContext, which: str) -> str:
    """Mark a post as a favourite.

    Args:
        which: its number in the list that I showed you last, or its address
    """
    liked = await _ask(ctx, "POST", f"/api/v1/statuses/{await _post_id(ctx, which)}/favourite")
    return fmt("{}'s post is a favourite of yours: {}", f"@{liked['account']['acct']}", _words(liked))


@skill.linked(
    "mastodon", scopes=["read:statuses", "write:statuses"], effect="destroy", asks=True, also=("delete my last",)
)
async def delete_last(ctx: LinkedContext) -> str:
    """Delete your latest post."""
    me = await _ask(ctx, "GET", "/api/v1/accounts/verify_credentials")
    path = f"/api/v1/accounts/{_safe(me['id'])}/statuses"
    found = await _ask(ctx, "GET", path, {"limit": 1, "exclude_reblogs": "true"})
    if not found:
        raise UserError("You have no post that I could delete.")
    if not await ctx.confirm(fmt("Delete this? {}", _words(found[0]))):
        raise UserError("Not done.")
    gone = await _ask(ctx, "DELETE", f"/api/v1/statuses/{_safe(found[0]['id'])}")
    return fmt("Deleted: {}", _words(gone))


async def _once(ctx: LinkedContext, body: Mapping[str, object]) -> Any:
    """Post *body*; where the answer is lost, ask again with the same key, which posts nothing twice.

    The server knows the key for an hour.  It is of the message, so that the same words in another are another post.
    """
    seed = repr((ctx.message.network, ctx.message.channel.id, ctx.message.id, sorted(body.items())))
    headers = {"Idempotency-Key": hashlib.sha256(seed.encode()).hexdigest()}
    try:
        return await _ask(ctx, "POST", "/api/v1/statuses", body=body, headers=headers)
    except Upstream as error:
        if error.status is not None and error.status < 500:
            raise
    return await _ask(ctx, "POST", "/api/v1/statuses", body=body, headers=headers)


async def _ask(
    ctx: LinkedContext,
    method: str,
    path: str,
    params: Mapping[str, object] | None = None,
    *,
    body: object = None,
    headers: Mapping[str, str] | None = None,
) -> Any:
    """Send a request; return what is answered.

    Raises:
        UserError: the server does not do it, in words of ours.
    """
    answer = await ctx.api.send(
        method, path, json=body, params=params, headers=headers, expect=() if method == "GET" else (403, 404, 422)
    )
    if answer.status >= 400:
        raise UserError(_refusal(ctx, answer))
    return answer.data


def _refusal(ctx: LinkedContext, answer: Response) -> str:
    """Say why the server did not do it; what it says itself is not repeated."""
    title = escape(ctx.account.title)
    if answer.status == 404:
        return f"{title} knows no such post, or does not show it to you."
    if answer.status == 422:
        return f"{title} did not take that: empty, or longer than it takes, which is 500 characters at most servers."
    return f"{title} does not allow you that. A post for followers alone, say, cannot be boosted."


async def _post_id(ctx: LinkedContext, which: str) -> str:
    """Return the id, fit for a path, of the post that is meant by number, address or id."""
    said = which.strip()
    if number := _NUMBER.fullmatch(said):
        return _safe(ctx.numbered(int(number[1])))
    if _ADDRESS.fullmatch(said):
        params = {"q": said, "resolve": "true", "type": "statuses", "limit": 1}
        found = (await _ask(ctx, "GET", "/api/v2/search", params))["statuses"]
        if not found:
            raise UserError(fmt("{} finds no post at that address.", ctx.account.title))
        return _safe(found[0]["id"])
    if _ID.fullmatch(said):
        return said
    raise UserError(f"Name a post by its number in the last list, or by its address. `{ctx.prefix}m timeline` lists.")


def _listed(ctx: LinkedContext, posts: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return a numbered line for each of *posts*, and let the numbers mean them."""
    shown = [one.get("reblog") or one for one in posts[:_LISTED]]
    ctx.number([str(one["id"]) for one in shown])
    return [
        fmt("{}\\. {} {}{}: {}", place, _day(meant), f"@{meant['account']['acct']}", _by(one), _words(meant))
        for place, (one, meant) in enumerate(zip(posts, shown, strict=False), 1)
    ]


def _by(post: Mapping[str, Any]) -> str:
    return f" (boosted by @{post['account']['acct']})" if post.get("reblog") else ""


def _day(post: Mapping[str, Any]) -> str:
    return str(post["created_at"])[:16].replace("T", " ")


def _words(post: Mapping[str, Any]) -> str:
    """Return what *post* says, in short; behind a warning only the warning, and where to read on."""
    if warning := plain(str(post.get("spoiler_text") or "")):
        return fmt("[{}] {}", warning[:_LONGEST], link("read it there", _url(post)))
    words = plain(str(post.get("text") or post["content"]))
    pictures = len(post.get("media_attachments") or ())
    seen = f" [{pictures} attached]" if pictures else ""
    return fmt("{}{}", words if len(words) <= _LONGEST else f"{words[:_LONGEST]} …", seen)


def _url(post: Mapping[str, Any]) -> str:
    return str(post.get("url") or post.get("uri") or "")


def _safe(number: object) -> str:
    """Return an id as one segment of a path: a server may call its posts what it likes."""
    return quote(str(number), safe="")


def plain(content: str) -> str:
    """Return the words of a post's HTML on one line, with nothing of its markup.

    A server hides the ends of a long address from the eye alone; here it is whole again.  It need not be good HTML:
    what looks like no tag is words.  Each character is looked at once, which no parser of all of HTML can say.
    """
    parts, silent, at = list[str](), "", 0
    content = content[:_LONGEST_HTML]
    for tag in _TAG.finditer(content):
        if not silent:
            parts.append(unescape(content[at : tag.start()]))
        closes, name = bool(tag[1]), (tag[2] or "").lower()
        if silent in ("", name):
            silent = name if name in _SILENT and not closes else ""
        if name in _BREAKS:
            parts.append(" ")
        at = tag.end()
    if not silent:
        parts.append(unescape(content[at:]))
    return " ".join("".join(parts).split())
