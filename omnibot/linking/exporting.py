"""What is known of a person, for that person: as JSON that fits one reply, without any secret."""

import json
import re
from bisect import bisect_left
from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime
from typing import Any

from omnibot import follows
from omnibot.accounts import Account
from omnibot.audit import Entry
from omnibot.desk import RecordView
from omnibot.identity import Identity
from omnibot.linking import flows, joins
from omnibot.linking.flows import Flow
from omnibot.linking.services import LinkServices
from omnibot.quiet import Quiet

LONGEST = 19_000
"""Characters; a reply takes a thousand more (`omnibot.turn`)."""

_ODD = re.compile(r"[^ -_a-~\n]")
"""What is looked at twice: a backtick, and all that is not ASCII or has no ink."""

_LATEST = 30
_MOST = 100
"""Of one kind, before anything is measured."""

_DROPPED = ("audit", "hosts_asked_for", "links_under_way", "follows", "defaults", "accounts", "identities")
"""What is left out first where not all fits, from its end."""


async def exported(services: LinkServices, identity: Identity) -> str:
    """Return all that is known of the person behind *identity*: `LONGEST` characters at most.

    Raises:
        KeyMissing, Tampered: one of the rows is not as we wrote it.
    """
    profile = await services.people.find(identity)
    if profile is None:
        return fitted({"identities": [_who(identity)], **await _of_identities(services, [identity])})
    person = profile.person
    mine = await services.people.identities(person)
    aliases = {one.id: f"{one.provider}@{one.alias}" for one in profile.accounts}
    under_way = [flow for one in mine for flow in await flows.of_identity(services.database, services.sealer, one)]
    usable = {one.id for one in profile.accounts if one.reaches(identity)}
    followed = [
        one
        for one in await follows.of_person(services.database, services.sealer, person)
        if one.account in usable  # what a service has said of another is not for this identity
    ]
    former = await joins.former(services.database, services.sealer, person)
    entries = await services.audit.of(person, _LATEST, former.values())
    quiet = await services.database.read("SELECT begins, ends, zone FROM quiet WHERE person = ?", (person,))
    known: dict[str, Any] = {
        "identities": [_who(one) | await _vouched(services, one) for one in mine],
        "accounts": [_account(one) for one in profile.accounts],
        "defaults": await services.database.read(
            "SELECT network, channel, provider, target FROM defaults WHERE person = ?", (person,)
        ),
        "quiet_hours": [{"hours": str(Quiet(one["begins"], one["ends"])), "zone": one["zone"]} for one in quiet],
        "follows": [
            {
                "title": one.title,
                "account": aliases.get(one.account),
                "since": _at(one.created),
                "until": _at(one.until),
            }
            for one in followed
        ],
        "links_under_way": [_flow(one) for one in under_way],
        **await _of_identities(services, mine),
        "audit": [_entry(one) for one in entries],
    }
    return fitted(known, {"audit": await services.audit.count(person, former.values()) - len(entries)})


async def recorded(services: LinkServices, identity: Identity, most: int) -> list[RecordView]:
    """Return the *most* latest entries of the audit about the person behind *identity*, newest first.

    Raises:
        KeyMissing, Tampered: one of their rows is not as we wrote it.
    """
    profile = await services.people.find(identity)
    if profile is None:
        return []
    former = await joins.former(services.database, services.sealer, profile.person)
    return [_view(one) for one in await services.audit.of(profile.person, most, former.values())]


def _view(entry: Entry) -> RecordView:
    said = json.loads(entry.detail)
    about = "@".join(str(said[name]) for name in ("provider", "instance") if said.get(name))
    return RecordView(
        at=entry.at,
        event=entry.event,
        network=entry.network,
        command=said.get("command", ""),
        skill=said.get("skill", ""),
        acted_as=tuple(said.get("as", [about] if about else ())),
        outcome=said.get("outcome") or said.get("reason") or "",
        requests=said.get("requests", 0),
        changes=said.get("changes", 0),
        upstream=tuple(said.get("upstream", ())),
    )


def fitted(known: Mapping[str, Any], before: Mapping[str, int] | None = None, longest: int = LONGEST) -> str:
    """Return *known* as JSON of at most *longest* characters; it says how many of what kind it leaves out.

    *before* is what was left out already.
    """
    kept, left = dict(known), {name: count for name, count in (before or {}).items() if count}
    for name in _DROPPED:
        if len(found := kept.get(name, [])) > _MOST:
            left[name] = left.get(name, 0) + len(found) - _MOST
            kept[name] = found[:_MOST]
    for name in _DROPPED:
        if len(_dump(kept, left)) <= longest:
            break
        if kept.get(name):
            kept, left = _without(kept, left, name, _fewest(kept, left, name, longest))
    return _dump(kept, left)


def _fewest(known: Mapping[str, Any], left: Mapping[str, int], name: str, longest: int) -> int:
    """Return how many of *name* have to go for *known* to fit, all of them if need be; found by halving: it is long."""
    drops = range(len(known[name]))
    return bisect_left(drops, True, lo=1, key=lambda drop: len(_dump(*_without(known, left, name, drop))) <= longest)


def _without(
    known: Mapping[str, Any], left: Mapping[str, int], name: str, drop: int
) -> tuple[dict[str, Any], dict[str, int]]:
    """Return both without the last *drop* of *name*."""
    whole = known[name]
    return {**known, name: whole[: len(whole) - drop]}, {**left, name: left.get(name, 0) + drop}


def _dump(known: Mapping[str, Any], left: Mapping[str, int]) -> str:
    text = json.dumps({**known, "left_out": left} if left else known, indent=1, ensure_ascii=False)
    # A backtick would end the code block it is shown in, and what has no ink could turn its words around.
    return _ODD.sub(lambda found: found[0] if found[0].isprintable() and found[0] != "`" else _escaped(found[0]), text)


def _escaped(letter: str) -> str:
    return json.dumps(letter)[1:-1] if letter != "`" else "\\u0060"


def _who(identity: Identity) -> dict[str, str]:
    found = {"network": identity.network, "subject": identity.subject}
    return found | ({"epoch": identity.epoch} if identity.epoch else {}) | {"name": identity.display}


async def _vouched(services: LinkServices, identity: Identity) -> dict[str, str]:
    """Return how *identity* was vouched for when it was joined, if it was."""
    strength = await joins.vouched(services.database, services.sealer, identity)
    return {} if strength is None else {"vouched": strength.name.lower()}


def _account(account: Account) -> dict[str, Any]:
    return {
        "provider": account.provider,
        "instance": account.instance,
        "alias": account.alias,
        "id": account.external,
        "login": account.login,
        "name": account.name,
        "avatar": account.avatar,
        "status": account.status,
        "default": account.default,
        "scopes": account.scopes,
        "by": "key" if account.by_key else "authorisation",
        "linked_by": str(account.linked_by),
        "reach": [str(one) for one in account.reach],
        "created": _at(account.created),
        "linked": _at(account.activated),
        "expires": _at(account.expires),
    }


def _flow(flow: Flow) -> dict[str, Any]:
    return {
        "service": f"{flow.provider}@{flow.instance}",
        "way": flow.way,
        "state": flow.state,
        "asked_in": flow.asked.where or "private",
        "for": flow.asked.command,
        "since": _at(flow.created),
        "until": _at(flow.until),
    }


def _entry(entry: Entry) -> dict[str, Any]:
    return {"at": _at(entry.at), "network": entry.network, "event": entry.event, "detail": json.loads(entry.detail)}


def _at(seconds: float | None) -> str | None:
    return None if seconds is None else f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%SZ}"


async def _of_identities(services: LinkServices, identities: list[Identity]) -> dict[str, Any]:
    """Return what is known of *identities*, whether they are a person's or not."""
    asked = [one.name for one in services.hosts.all() if set(identities) & set(one.asked_by)]
    count = 0
    for one in identities:
        rows = await services.database.read(
            "SELECT count(*) AS n FROM notices WHERE network = ? AND subject = ? AND epoch = ?",
            (one.network, one.subject, one.epoch),
        )
        count += rows[0]["n"]
    under_way = [join async for join in _joins(services, identities)]
    return {"hosts_asked_for": asked, "notices": count, "joins": under_way}


async def _joins(services: LinkServices, identities: list[Identity]) -> AsyncIterator[dict[str, Any]]:
    """Yield what is under way to make one of *identities* one person with another."""
    for one in identities:
        own = await joins.of_maker(services.database, services.sealer, one)
        for join in [*([own] if own else []), *await joins.of_typer(services.database, services.sealer, one)]:
            typer = str(join.typer) if join.typer else None
            yield {"maker": str(join.maker), "typer": typer, "since": _at(join.created), "until": _at(join.until)}
