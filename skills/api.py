"""Call a linked service by hand, as yourself."""

import json
from typing import Any

from omnibot import LinkedContext, Skill, UserError, code_block, escape

skill = Skill("api")

_LONGEST = 1500
_DEEPEST = 4
_MOST = 20


@skill.linked(by="service", effect="change")
async def api(ctx: LinkedContext, service: str, method: str, path: str, body: str = "") -> str:
    """Call a linked service as yourself.

    `api oidc GET /me` shows what the service answers.  Only GET, unless the operator allows more.

    Args:
        service: its name, or name@alias if you have several there
        method: GET, or what else the operator allows
        path: below the service's API address
        body: JSON, for methods that take one
    """
    if not ctx.api.methods:
        raise UserError(f"Nothing may be sent by hand to {escape(ctx.account.title)}.")
    if method.upper() not in ctx.api.methods:
        raise UserError(f"Only {', '.join(ctx.api.methods)} may be sent by hand to {escape(ctx.account.title)}.")
    answer = await ctx.api.request(method, path, json=_read(body))
    return _shown(answer)


def _read(body: str) -> Any:
    if not body:
        return None
    try:
        return json.loads(body)
    except ValueError as error:
        raise UserError(f"The body is not JSON: {escape(str(error))}.") from None


def _shown(answer: Any) -> str:
    """Return *answer* readable and short: deep and long parts are cut, and it says so."""
    if answer is None:
        return "Done; nothing came back."
    if isinstance(answer, str):
        text, kind = answer, ""
    else:
        text, kind = json.dumps(_trimmed(answer), indent=2, ensure_ascii=False), "json"
    if len(text) > _LONGEST:
        text = text[:_LONGEST] + "\n… (cut)"
    return code_block(text, kind)


def _trimmed(value: Any, depth: int = 0) -> Any:
    if isinstance(value, dict):
        if depth >= _DEEPEST:
            return f"… {len(value)} fields"
        items = [(key, _trimmed(one, depth + 1)) for key, one in list(value.items())[:_MOST]]
        return dict(items) | ({"…": f"{len(value) - _MOST} more"} if len(value) > _MOST else {})
    if isinstance(value, list):
        if depth >= _DEEPEST:
            return f"… {len(value)} entries"
        return [_trimmed(one, depth + 1) for one in value[:_MOST]] + (
            [f"… {len(value) - _MOST} more"] if len(value) > _MOST else []
        )
    return value
