"""The rows of follows: who asked that what be followed, with which account, and until when.

Invariant: a row is used only if its tag fits, and every row is written with one; a row that
is not as we wrote it is never written anew, which would give it a tag.  It goes with its
account and with its person.  What was said last is private data and stands boxed.
"""

import json
import logging
from collections.abc import Container, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from omnibot.database import Database, Transaction
from omnibot.errors import VaultError
from omnibot.identity import Identity
from omnibot.message import Message, Sent, dump, load_message
from omnibot.vault import Sealer, Tagged

log = logging.getLogger(__name__)

FOLLOWS = Tagged(
    "follows",
    ("id",),
    (
        "person",
        "account",
        "network",
        "subject",
        "epoch",
        "skill",
        "follower",
        "arguments",
        "title",
        "message",
        "private",
        "until",
        "created",
    ),
)
"""Covers everything but ``progress``."""


@dataclass(frozen=True, slots=True)
class Follow:
    """One thing that is followed for a person."""

    id: str
    person: str
    account: str
    """Id of the account that the looks are made with."""

    identity: Identity
    """Who asked for it, and is told."""

    skill: str
    follower: str
    """Name of the skill's function that looks."""

    arguments: str = field(repr=False)
    """JSON object, in one form for equal arguments."""

    title: str
    """What the person is shown, in Markdown."""

    asked: bytes = field(repr=False)
    """An `Asked`, boxed."""

    private: bool
    """Whether it is told to the asker alone, or where it was asked."""

    until: float
    created: float
    """Unix seconds, both."""

    progress: str = field(default="", repr=False)
    """What was `Told` last, boxed, in hexadecimal; not under the tag."""


@dataclass(frozen=True, slots=True)
class Asked:
    """How a follow was asked for."""

    number: int
    """By which its person ends it; no two follows of a person have the same."""

    command: str
    """Name of the command that asked for it."""

    message: Message


@dataclass(frozen=True, slots=True)
class Told:
    """What was said of a follow so far."""

    text: str = field(default="", repr=False)
    """The latest, in Markdown."""

    at: float = 0.0
    count: int = 0
    """How many messages: an edited one counts once."""

    sent: Sent | None = None
    """The message to edit."""

    public: bool = False
    """Whether that stands where others read it."""


def box(sealer: Sealer, follow: str, asked: Asked) -> bytes:
    """Return *asked* boxed for the row with the id *follow*.

    Raises:
        KeyMissing: there is no key to box it under.
    """
    body = {"number": asked.number, "command": asked.command, "message": dump(asked.message)}
    return sealer.box(asked_purpose(follow), json.dumps(body).encode())


def unbox(sealer: Sealer, follow: Follow) -> Asked:
    """Return how *follow* was asked for.

    Raises:
        KeyMissing, VaultError: the box is not what we put there.
    """
    body = json.loads(sealer.unbox(asked_purpose(follow.id), follow.asked))
    return Asked(body["number"], body["command"], load_message(body["message"]))


def told(sealer: Sealer, follow: Follow) -> Told:
    """Return what was said of *follow* so far; nothing, where that cannot be read: then it is said anew."""
    if not follow.progress:
        return Told()
    try:
        body = json.loads(sealer.unbox(progress_purpose(follow.id), bytes.fromhex(follow.progress)))
    except (VaultError, ValueError):
        return Told()
    return Told(**{**body, "sent": Sent(*body["sent"]) if body["sent"] else None})


async def tell(tx: Transaction, sealer: Sealer, follow: str, said: Told) -> None:
    """Note, inside *tx*, what was *said* of the follow with that id.

    Raises:
        KeyMissing: there is no key to box it under.
    """
    where = [said.sent.network, said.sent.channel, said.sent.id] if said.sent else None
    body = {"text": said.text, "at": said.at, "count": said.count, "sent": where, "public": said.public}
    box = sealer.box(progress_purpose(follow), json.dumps(body).encode()).hex()
    await tx.execute("UPDATE follows SET progress = ? WHERE id = ?", (box, follow))


async def insert(tx: Transaction, sealer: Sealer, follow: Follow) -> None:
    """Write a new *follow*."""
    await tx.insert("follows", {**sealer.stamp(FOLLOWS, _to_row(follow)), "progress": follow.progress})


async def get(source: Database | Transaction, sealer: Sealer, follow: str) -> Follow | None:
    """Return the follow with that id, checked; None if there is none.

    Raises:
        KeyMissing, Tampered: the row is not as we wrote it.
    """
    rows = await source.rows("SELECT * FROM follows WHERE id = ?", (follow,))
    return _from_row(sealer, rows[0]) if rows else None


async def exists(source: Database | Transaction, follow: str) -> bool:
    """Return whether there is a row with that id, whatever is in it."""
    return bool(await source.rows("SELECT 1 FROM follows WHERE id = ?", (follow,)))


async def of_person(source: Database | Transaction, sealer: Sealer, person: str) -> list[Follow]:
    """Return the follows of *person*, oldest first; what is not as we wrote it is left out."""
    return _readable(sealer, await source.rows("SELECT * FROM follows WHERE person = ? ORDER BY created", (person,)))


async def delete(tx: Transaction, follow: str) -> bool:
    """Delete the row with that id; return whether there was one."""
    return await tx.execute("DELETE FROM follows WHERE id = ?", (follow,)) > 0


async def move(tx: Transaction, sealer: Sealer, old: str, new: str) -> None:
    """Let the follows of the account *old* go on with the account *new*, of the same person, which takes its place.

    What is not as we wrote it stays, and goes with the old account.
    """
    for follow in _readable(sealer, await tx.rows("SELECT * FROM follows WHERE account = ?", (old,))):
        moved = sealer.stamp(FOLLOWS, _to_row(replace(follow, account=new)))
        await tx.update("follows", FOLLOWS.primary, moved)


async def hand_over(
    tx: Transaction, sealer: Sealer, person: str, heir: str, which: Container[str] | None = None
) -> None:
    """Let the follows of *person*, or those with *which* accounts, be those of *heir*; numbers that are taken change.

    Raises:
        KeyMissing, VaultError: one of them is not as we wrote it.
    """
    taken = {unbox(sealer, one).number for one in await of_person(tx, sealer, heir)}
    for row in await tx.rows("SELECT * FROM follows WHERE person = ? ORDER BY created, id", (person,)):
        follow = _from_row(sealer, row)
        if which is not None and follow.account not in which:
            continue
        asked = unbox(sealer, follow)
        number = asked.number if asked.number not in taken else min(set(range(1, len(taken) + 2)) - taken)
        taken.add(number)
        theirs = replace(follow, person=heir, asked=box(sealer, follow.id, replace(asked, number=number)))
        await tx.update("follows", FOLLOWS.primary, sealer.stamp(FOLLOWS, _to_row(theirs)))


def _readable(sealer: Sealer, rows: list[dict[str, Any]]) -> list[Follow]:
    found = []
    for row in rows:
        try:
            found.append(_from_row(sealer, row))
        except VaultError as error:
            log.warning("a follow is not used: %s", error)
    return found


def _to_row(follow: Follow) -> dict[str, Any]:
    return {
        "id": follow.id,
        "person": follow.person,
        "account": follow.account,
        "network": follow.identity.network,
        "subject": follow.identity.subject,
        "epoch": follow.identity.epoch,
        "skill": follow.skill,
        "follower": follow.follower,
        "arguments": follow.arguments,
        "title": follow.title,
        "message": follow.asked,
        "private": int(follow.private),
        "until": follow.until,
        "created": follow.created,
    }


def _from_row(sealer: Sealer, row: Mapping[str, Any]) -> Follow:
    sealer.check(FOLLOWS, row)
    return Follow(
        id=row["id"],
        person=row["person"],
        account=row["account"],
        identity=Identity(row["network"], row["subject"], row["epoch"]),
        skill=row["skill"],
        follower=row["follower"],
        arguments=row["arguments"],
        title=row["title"],
        asked=row["message"],
        private=bool(row["private"]),
        until=row["until"],
        created=row["created"],
        progress=row["progress"],
    )


def asked_purpose(follow: str) -> str:
    """Return what the box of how it was asked for is bound to."""
    return f"follow:{follow}"


def progress_purpose(follow: str) -> str:
    """Name the row, or whoever can write to the database could have one person's progress told to another."""
    return f"follow:{follow}:progress"
