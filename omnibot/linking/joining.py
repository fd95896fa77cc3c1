"""How two identities become one person's, and how one of several becomes a person of its own again.

A code made by one is typed by the other, who is shown whose it is and agrees; then the first is
shown who typed it, and has the last word (A51).  Each step is one transaction, and what it has to
tell somebody elsewhere is kept in it until it was told.  Joining opens no account to anybody:
that is what sharing is for (`omnibot.linking.sharing`).
"""

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Collection, Iterable

from omnibot.database import Transaction
from omnibot.errors import UserError
from omnibot.identity import Assurance, Identity
from omnibot.linking import flows, joins
from omnibot.linking.joins import JOIN_SECONDS, Join
from omnibot.linking.moving import Merged, Split
from omnibot.linking.services import LinkServices
from omnibot.markup import code as code_span
from omnibot.markup import escape, printable
from omnibot.message import Reply

_BUSY_PAUSE = 0.25
_BUSY_TRIES = 40
"""Ten seconds: a command that goes on for longer is better waited for by the person."""


type _News = tuple[Identity, Reply, str]
"""Who is told what, and the name under which it is kept until then."""


def who(identity: Identity) -> str:
    """Return how an identity is named to somebody who has to decide about it: never by its display name alone."""
    return f"**{escape(printable(identity.name))}** ({code_span(str(identity))})"


def who_all(identities: Iterable[Identity]) -> str:
    """Return how several are named, in their order."""
    return ", ".join(map(who, identities))


class Joining:
    """Takes the steps, for the chat side (`omnibot.linking.oneperson`) and for the upkeep."""

    def __init__(self, services: LinkServices) -> None:
        """Work with *services*."""
        self._with = services

    async def begin(self, maker: Identity, assurance: Assurance) -> str:
        """Make a code for *maker*, in the place of an earlier one; return it.

        Raises:
            KeyMissing: nothing can be stored.
        """
        services = self._with
        await services.people.ensure(maker)
        letters = (secrets.choice(flows.CODE_ALPHABET) for _ in range(flows.CODE_LENGTH))
        code, now = "".join(letters), services.clock()
        row = secrets.token_hex(16)
        join = Join(row, maker, assurance, now, now + JOIN_SECONDS, services.sealer.code_hash(code))
        async with services.database.transaction() as tx:
            before = await joins.of_maker(tx, services.sealer, maker)
            told = await self._end(tx, before, _gave_up(before)) if before else []
            await joins.insert(tx, services.sealer, join)
            person = await services.people.whose(tx, maker)
        self._tell(told)
        services.audit.record(person, maker.network, "join.begun")
        return code

    async def of_code(self, typed: str) -> Join | None:
        """Return the join that the code *typed* is for, while it is good."""
        services = self._with
        for wanted in services.sealer.code_hashes(flows.normalise(typed)):
            join = await joins.of_code(services.database, services.sealer, wanted)
            if join is not None and services.clock() < join.until:
                return join
        return None

    async def name(self, join_id: str, typer: Identity, assurance: Assurance, told: Collection[Identity]) -> bool:
        """Let *typer*, who says that both are them, wait for the maker's yes; False if the code is not good any more.

        It is not, either, if the maker is known by other identities now than those that the typer was *told* of.

        Raises:
            KeyMissing, Tampered: the row is not as we wrote it.
        """
        services = self._with
        await services.people.ensure(typer)
        async with services.database.transaction() as tx:
            join, now = await joins.get(tx, services.sealer, join_id), services.clock()
            if join is None or join.code_hash is None or join.until <= now:
                return False
            if set(await self._all_of(tx, join.maker)) != set(told):
                return False
            named = join.named(typer, assurance, now + JOIN_SECONDS)
            await joins.update(tx, services.sealer, named)
            others = [one for one in await self._all_of(tx, typer) if one != typer]
            reply, notice = Reply(_asks_back(typer, others, services.prefix)), _notice(named, "named")
            await services.delivery.leave(tx, named.maker, reply, notice)
            person = await services.people.whose(tx, typer)
        services.delivery.aside(named.maker, reply, notice=notice)
        services.audit.record(person, typer.network, "join.typed", maker=named.maker.network)
        return True

    async def waiting(self, maker: Identity) -> Join | None:
        """Return the join that waits for the yes of *maker*."""
        join = await joins.of_maker(self._with.database, self._with.sealer, maker)
        return join if join is not None and join.typer is not None and self._with.clock() < join.until else None

    async def _all_of(self, tx: Transaction, identity: Identity) -> list[Identity]:
        """Return every identity of the person whose *identity* is."""
        people = self._with.people
        return await people.identities(await people.whose(tx, identity), tx)

    async def agree(self, join_id: str) -> tuple[Join, Merged | None] | None:
        """Join the two of a join, whose maker says yes; None if there is none that waits for that any more.

        Without a `Merged`, they were one person already.

        Raises:
            UserError: somebody acts for one of them just now, and does not come to an end.
            VaultError: a row of theirs is not as we wrote it.
        """
        await self._with.audit.flush()  # what waits there knows them by ids, of which one goes
        done, told = await self._when_idle(lambda tx, _: self._agreed(tx, join_id))
        self._tell(told)
        if done is None:
            return None
        join, merged = done
        if merged is not None:
            detail = {"maker": join.maker.network, "typer": join.typer.network if join.typer else ""}
            self._with.audit.record(merged.person, join.maker.network, "person.joined", **detail)
            self._with.audit.record_of(merged.pseudonym, join.maker.network, "person.joined", **detail)
        return join, merged

    async def _agreed(
        self, tx: Transaction, join_id: str
    ) -> tuple[tuple[Join, Merged | None] | None, list[_News]] | None:
        services = self._with
        join = await joins.get(tx, services.sealer, join_id)
        if join is None or join.typer is None or join.until <= services.clock():
            return None, []
        people = [await services.people.whose(tx, one) for one in (join.maker, join.typer)]
        if services.moving.busy(*people):
            return None
        merged = await services.moving.merge(tx, *people) if people[0] != people[1] else None
        now = services.clock()
        await joins.vouch(tx, services.sealer, join.maker, join.assurance, now)
        await joins.vouch(tx, services.sealer, join.typer, join.typer_assurance or Assurance.ACCOUNT, now)
        known = await self._all_of(tx, join.maker)
        now_one = one_now(known, merged, services.prefix)
        told = await self._end(tx, join, {join.typer: f"{who(join.maker)} has said yes. {now_one}"})
        for one in known:
            told += await self._outdated(tx, one) if merged is not None else []
            if one not in (join.maker, join.typer):
                words = f"{who(join.maker)} and {who(join.typer)} have been joined. {now_one}"
                told.append(await self._leave(tx, one, words, f"{join.id}:{len(told)}"))
        return (join, merged), told

    async def _outdated(self, tx: Transaction, identity: Identity) -> list[_News]:
        """End what waits for a yes of *identity*, or about it: that yes would now join more than it was asked about."""
        sealer, told = self._with.sealer, list[_News]()
        own = await joins.of_maker(tx, sealer, identity)
        for join in [*([own] if own else []), *await joins.of_typer(tx, sealer, identity)]:
            if join.typer is not None:
                words = {join.maker: _changed(join.typer), join.typer: _changed(join.maker)}
                told += await self._end(tx, join, words)
        return told

    async def refuse(self, identity: Identity) -> list[Join]:
        """End what waits for *identity*, or was begun by it, at its word; return what that was."""
        services, told = self._with, list[_News]()
        async with services.database.transaction() as tx:
            own = await joins.of_maker(tx, services.sealer, identity)
            ended = [*([own] if own else []), *await joins.of_typer(tx, services.sealer, identity)]
            for join in ended:
                other = join.typer if join.maker == identity else join.maker
                told += await self._end(tx, join, {other: _refused(identity)} if other else {})
            person = await services.people.whose(tx, identity) if ended else ""
        self._tell(told)
        if ended:
            services.audit.record(person, identity.network, "join.refused")
        return ended

    async def void(self, join_id: str) -> None:
        """End a join whose code was typed by somebody who says that they are not its maker."""
        async with self._with.database.transaction() as tx:
            join = await joins.get(tx, self._with.sealer, join_id)
            told = await self._end(tx, join, {join.maker: _NOT_THEM}) if join and join.typer is None else []
        self._tell(told)

    async def sweep(self) -> None:
        """End the joins whose time is over."""
        services, told = self._with, list[_News]()
        late = await joins.overdue(services.database, services.sealer, services.clock())
        if not late:
            return
        async with services.database.transaction() as tx:
            for join in late:
                current = await joins.get(tx, services.sealer, join.id)
                if current is not None and current.until <= services.clock():
                    told += await self._end(tx, current, _run_out(current, services.prefix))
        self._tell(told)

    async def split(self, by: Identity, identity: Identity) -> Split:
        """Make *identity* a person of its own, at the word of *by*, who is the same person still.

        Raises:
            UserError: it is not theirs any more, or is their only one.
            VaultError: a row of theirs is not as we wrote it.
        """
        await self._with.audit.flush()
        (person, done), told = await self._when_idle(lambda tx, last: self._split(tx, by, identity, last))
        self._tell(told)
        for one in (person, done.person):
            self._with.audit.record(one, by.network, "person.split", accounts=len(done.taken))
        return done

    async def _split(
        self, tx: Transaction, by: Identity, identity: Identity, last: bool
    ) -> tuple[tuple[str, Split], list[_News]] | None:
        services = self._with
        person = await services.people.whose(tx, by)
        known = await services.people.identities(person, tx)
        if identity not in known or len(known) < 2:
            raise UserError(f"{code_span(str(identity))} is not one of several identities of yours any more.")
        if services.moving.busy(person) and not last:  # the other side must not be able to put it off for good
            return None
        done = await services.moving.split(tx, identity)
        told = list[_News]()
        for one in known:
            if one != by:
                told.append(await self._leave(tx, one, _parted(by, identity, one), f"{done.person}:{len(told)}"))
        return (person, done), told

    async def _when_idle[T](self, work: Callable[[Transaction, bool], Awaitable[T | None]]) -> T:
        """Return what *work* does in a transaction of its own; it returns None while somebody acts for its people.

        It is given whether this is the last time that it is asked.

        Raises:
            UserError: they do for too long.
        """
        for left in reversed(range(_BUSY_TRIES)):
            async with self._with.database.transaction() as tx:
                done = await work(tx, not left)
            if done is not None:
                return done
            await asyncio.sleep(_BUSY_PAUSE)
        raise UserError("A command of yours is still running. Say it again when that has ended.")

    async def _end(self, tx: Transaction, join: Join, words: dict[Identity, str]) -> list[_News]:
        """Delete *join*, and keep *words* for those whom they are for until they are told."""
        await joins.delete(tx, join.id)
        await self._with.delivery.forget(tx, _notice(join, "named"))
        names = {join.maker: "maker", join.typer: "typer"}
        return [await self._leave(tx, one, text, _notice(join, names[one])) for one, text in words.items()]

    async def _leave(self, tx: Transaction, identity: Identity, text: str, notice: str) -> _News:
        await self._with.delivery.leave(tx, identity, Reply(text), notice)
        return identity, Reply(text), notice

    def _tell(self, news: list[_News]) -> None:
        for identity, reply, notice in news:
            self._with.delivery.aside(identity, reply, notice=notice)


def named_notice(join_id: str) -> str:
    """Return the name under which it is kept for the maker of a join that somebody has typed its code."""
    return f"{join_id}:named"


def _notice(join: Join, what: str) -> str:
    return f"{join.id}:{what}"


def _asks_back(typer: Identity, others: Collection[Identity], prefix: str) -> str:
    also = f" I know them as {who_all(others)} as well: all of these would be you." if others else ""
    return (
        f"Your code was typed by {who(typer)}, who says that you two are one person.{also} Is that right? Then say "
        f"`{prefix}join yes` here within ten minutes. If not, or if you are not sure, say `{prefix}join no`.\n"
        "After a yes each of you sees what the other has linked, and can split the two again or have both forgotten. "
        "Nothing that was linked opens to the other until it is shared."
    )


def one_now(known: Collection[Identity], merged: Merged | None, prefix: str) -> str:
    """Return what every identity of a person hears when that person came to be known as *known*."""
    renamed = merged.renamed if merged is not None else ()
    names = "".join(f"\n`{one.provider}@{old}` is called `{one.provider}@{one.alias}` now." for one, old in renamed)
    return (
        f"You are one person to me now: {who_all(known)}. `{prefix}whoami` shows it all. Each of these uses what it "
        f"linked, and nothing else until you `{prefix}share` it. If one is not you, `{prefix}split` parts you again."
        f"{names}"
    )


def _changed(other: Identity) -> str:
    return (
        f"Nothing was joined with {who(other)}: one of you has been joined with somebody else meanwhile, and that code "
        "is void. Ask for another."
    )


def _refused(by: Identity) -> str:
    return f"{who(by)} has said no: you are not joined, and the code is void."


_NOT_THEM = "Whoever typed your code says that they are not you. It is void, and nothing was joined."


def _gave_up(join: Join) -> dict[Identity, str]:
    return {} if join.typer is None else {join.typer: f"{who(join.maker)} has asked for another code: yours is void."}


def _run_out(join: Join, prefix: str) -> dict[Identity, str]:
    if join.typer is None:
        return {join.maker: f"Your code for joining has run out, and nobody typed it. `{prefix}join` makes another."}
    late = "Ten minutes are over without the second yes, so nothing was joined: you and {} are two people to me."
    return {join.maker: late.format(who(join.typer)), join.typer: late.format(who(join.maker))}


def _parted(by: Identity, identity: Identity, told: Identity) -> str:
    what = "you are" if told == identity else f"{who(identity)} is"
    return (
        f"{who(by)} has split your identities: {what} a person of its own to me now, with the accounts that it linked. "
        "What either linked is no longer open to the other."
    )
