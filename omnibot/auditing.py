"""What an operator asks of the audit; done as `omnibot.administration` says, and used by nothing else."""

import json
import sqlite3
from collections.abc import Awaitable
from typing import Any

from omnibot.audit import Audit
from omnibot.chain import Head
from omnibot.errors import UserError


async def verified(audit: Audit, anchor: str = "") -> dict[str, Any]:
    """Return whether every entry is as it was written, also up to an *anchor* (``SEQ:HASH``) noted elsewhere.

    ``broken`` is the number of the first that is not, 0 if all are; ``why`` a sentence; ``notes`` more of them.

    Raises:
        UserError: *anchor* is none, or of before what was trimmed; or the record cannot be read.
    """
    wanted = Head.named(anchor) if anchor else None
    found = await _done(audit.verify(wanted))
    return {
        "entries": found.entries,
        "first": found.first,
        "head": "" if found.head is None else str(found.head),
        "broken": found.broken or 0,
        "why": found.why,
        "notes": list(found.notes),
    }


async def anchored(audit: Audit, *, anew: bool = False) -> str:
    """Sign the head, put it into the file beside the database, and return it as ``SEQ:HASH``.

    Raises:
        UserError: nothing was recorded yet, or it contradicts what was signed before.
    """
    head = await _done(audit.anchor(anew=anew))
    if head is None:
        raise UserError("Nothing has been recorded yet.")
    return str(head)


async def exported(audit: Audit, after: int = 0) -> list[dict[str, Any]]:
    """Return the entries behind number *after*, oldest first, some at a time: none is left if none is returned."""
    return [{**row, "detail": _detail(row["detail"])} for row in await _done(audit.page(after))]


def _detail(text: str) -> Any:
    """Return the details of an entry; as they stand there where somebody has made them something else than JSON."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


async def _done[T](work: Awaitable[T]) -> T:
    try:
        return await work
    except (OSError, sqlite3.Error) as error:
        raise UserError(f"The record cannot be read or written ({error}).") from None
