"""The stand-in's ``/api/json`` page: objects, how deep they are shown, and what ``tree=`` asks for."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from servers.jenkins.answers import JSON, Refusal, json_answer, oops, page


@dataclass(frozen=True, slots=True)
class Bean:
    """An object that the API shows."""

    kind: str
    fields: Mapping[str, Any]
    """A value may be a function without arguments, so that the whole graph is not built each time."""

    brief: Sequence[str] | None = None
    """What is shown of it within another; None: all."""

    hidden: frozenset[str] = frozenset()
    """What is shown only where ``tree`` asks for it."""


type Tree = dict[str, tuple["Tree", slice]]

_TOKEN = re.compile(r"[A-Za-z0-9_*-]+|[\[\],]|\{(\d*)(,?)(\d*)\}")


def api(request: web.Request, bean: Bean) -> web.Response:
    if "jsonp" in request.query:
        raise Refusal(page(403, "Forbidden", "jsonp forbidden"))
    depth = request.query.get("depth", "0")
    if not re.fullmatch(r"-?\d+", depth):
        raise Refusal(oops("For input string"))
    tree = _tree(request.query["tree"]) if "tree" in request.query else None
    answer = json_answer(_exported(bean, tree, int(depth)))
    answer.headers["X-Frame-Options"] = "deny"
    answer.headers["Content-Type"] = JSON
    return answer


def _exported(bean: Bean, tree: Tree | None, depth: int) -> dict[str, Any]:
    """Return *bean* as it is shown: what *tree* asks for; without it all, and of what is deeper than *depth* little."""
    if tree is None:
        whole = depth >= 0 or bean.brief is None
        named = [name for name in (bean.fields if whole else bean.brief or ()) if name not in bean.hidden]
        parts = {name: _value(bean.fields[name], None, slice(None), depth - 1) for name in named}
    else:
        asked = tree | {name: tree["*"] for name in bean.fields if "*" in tree}
        parts = {
            name: _value(bean.fields[name], below, span, depth)
            for name, (below, span) in asked.items()
            if name in bean.fields
        }
    return {**({"_class": bean.kind} if bean.kind else {}), **parts}


def _value(value: Any, tree: Tree | None, span: slice, depth: int) -> Any:
    if callable(value):
        value = value()
    if isinstance(value, Bean):
        return _exported(value, tree, depth)
    if isinstance(value, list):
        return [_value(one, tree, slice(None), depth) for one in value[span]]
    return value


def _tree(text: str) -> Tree:
    """Read ``a,b[c,d]{M,N}``."""
    tokens, place = list[re.Match[str]](), 0
    while place < len(text):
        found = _TOKEN.match(text, place)
        if found is None:
            raise Refusal(oops("Malformed tree expression"))
        tokens.append(found)
        place = found.end()
    tree = _branches(tokens)
    if tokens or not tree:
        raise Refusal(oops("Malformed tree expression"))
    return tree


def _branches(tokens: list[re.Match[str]]) -> Tree:
    """Take the names up to the bracket that closes them, or the end."""
    tree: Tree = {}
    while tokens:
        name = tokens.pop(0)[0]
        if not re.match(r"[A-Za-z0-9_*-]", name):
            raise Refusal(oops("Malformed tree expression"))
        below, span = dict[str, Any](), slice(None)
        if tokens and tokens[0][0] == "[":
            tokens.pop(0)
            below = _branches(tokens)
            if not tokens or tokens.pop(0)[0] != "]":
                raise Refusal(oops("Malformed tree expression"))
        if tokens and tokens[0][0].startswith("{"):
            first, comma, last = tokens.pop(0).groups()
            start = int(first or 0)
            span = slice(start, int(last) if last else None) if comma else slice(start, start + 1)
        tree[name] = (below, span)
        if not tokens or tokens[0][0] == "]":
            return tree
        if tokens.pop(0)[0] != ",":
            break
    raise Refusal(oops("Malformed tree expression"))
