"""What goes on after a command has ended: followers that look, and words when something has changed.

A `Follow` is a grant that a person asked for: it lets one function of a skill look, every few
seconds, with one account, until it is done.  Each look is short, stands under a grant of its
own that is closed at its end, and can change nothing.  Everything is checked afresh before it:
the row, the network, the policy, the person, the account and its reach.

Looks run beside each other.  Those that may hold each other up (one skill's function, at one
service, told on one network) share a few places; so a service that does not answer, a network
that does not take what is said, or a function that hangs delays its own kind only.

In somebody's quiet hours nothing of theirs is looked at or told (`omnibot.quiet`); what several
follows have to tell one identity in private at once is one message (`omnibot.gathering`).
"""

import asyncio
import contextlib
import json
import logging
import random
import secrets
import time
from collections import Counter
from collections.abc import Callable, Coroutine, Iterable
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from omnibot import accounts, follows
from omnibot.accounts import Account
from omnibot.audit import Audit, Detail
from omnibot.catalogue import Instances
from omnibot.command import Commands
from omnibot.conditional import LastLook
from omnibot.database import Database, Transaction
from omnibot.delivery import Delivery
from omnibot.errors import KeyMissing, NotLinked, StorageTrouble, Upstream, UserError, VaultError
from omnibot.follower import LOOK_EVERY, FollowContext, Follower, FollowView, Progress, QuietView
from omnibot.follows import Asked, Follow, Told
from omnibot.gathering import LONGEST, Gathering, News, Outcome
from omnibot.identity import Identity
from omnibot.markup import code as code_span
from omnibot.markup import escape
from omnibot.message import Channel, Message, Reply
from omnibot.people import People
from omnibot.policy import Policy
from omnibot.quiet import Quiet, QuietHours, parsed
from omnibot.session import Journal, Sessions
from omnibot.vault import Grant, Grants, PersonKeys, Sealer

log = logging.getLogger(__name__)

MOST_A_PERSON = 20
_MOST_AT_ONCE = 64
_MOST_OF_A_KIND = 4
_LOOK_SECONDS = 30.0
_CANCEL_SECONDS = 1.0
"""How long a look that was stopped may take to end."""

_WAIT = 15.0
"""Seconds until a network that is not there is asked for again."""

_KEY_WAIT = 600.0
_LONGEST_SLEEP = 60.0
_LONGEST_RETRY = 3600.0
_SPREAD = 0.05
"""Seconds by follow over which the first looks after a start are spread."""

_LAST_LOOK = 600.0
"""Seconds that are left after quiet hours to a follow whose time was over in them."""

_PATIENCE = (2.0, 10.0)
"""Seconds that news wait for other news to the same identity, at most; and after quiet hours or a start."""

_MOST_LIMITED = 1000

_MOST_FAULTS = 5
"""After so many looks in a row that broke, it is given up."""

_SAY_TROUBLE_AFTER = 900.0
_SPARSE = (0.0, 15.0, 60.0, 300.0, 900.0, 3600.0)
"""Where nothing can be edited: seconds to let pass before the first line of progress, the second, …"""

_LONGEST_PROGRESS = 1000
"""Characters: what has to be sent in several pieces cannot be edited as one."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What a command asks to be followed."""

    follower: Follower
    arguments: str = field(repr=False)
    """As `Follower.arguments` gives them."""

    title: str
    account: str
    command: str
    message: Message
    private: bool
    lasting: float


@dataclass(slots=True, eq=False)
class _Watch:
    """A follow, as the engine knows it between two looks: nothing here decides what may be done."""

    id: str
    person: str
    who: Identity
    """Who is told."""

    skill: str
    kind: tuple[str, ...]
    """Those of one kind may hold each other up."""

    until: float
    due: float = 0.0
    errors: int = 0
    """Looks in a row that failed: the more, the longer until the next."""

    faults: int = 0
    """How many of them were the skill's own failures."""

    failing: float | None = None
    """Since when the service has been in trouble."""

    said_so: bool = False
    task: asyncio.Task[None] | None = None
    stuck: asyncio.Task[object] | None = None
    """A look that was stopped and has not ended."""

    last: LastLook = field(default_factory=LastLook)
    not_before: float = 0.0
    """Until when the service wants not to be asked."""

    rests: float | None = None
    """When the quiet hours end that it waits for."""

    fresh: bool = True
    """Whether it has not been looked at since the start, its beginning, or quiet hours."""

    holds: bool = False
    """Whether its news wait for others': then it takes no place from those."""

    ended: bool = False
    """Whether its last words are said, and the row has only to go."""


@dataclass(slots=True)
class _Lease:
    """One look's right to act: for one person, with the one account that the grant names."""

    people: People
    identity: Identity
    person: str
    live: Grant
    lost: bool = False
    """Whether the account was gone, or out of reach, during the look."""

    def grant(self) -> Grant:
        return self.live

    async def account(self, account: str) -> tuple[PersonKeys, Account] | None:
        found = await _account(self.people, self.identity, self.person, account)
        self.lost = found is None
        return found


@dataclass(frozen=True, slots=True)
class _Case:
    """A follow that may be looked at now, and all that the look wants."""

    follow: Follow
    asked: Asked
    keys: PersonKeys
    account: Account
    follower: Follower


class _Over(Exception):
    """A follow ends, and why: as a code for the audit, and in words for the person.

    *found* says that the words are what a look has found, and not why there will be no other.
    """

    def __init__(self, outcome: str, words: str, *, found: bool = False) -> None:
        super().__init__(outcome)
        self.outcome = outcome
        self.words = words
        self.found = found

    def said_of(self, follow: Follow) -> str:
        return self.words if self.found else f"I no longer follow **{follow.title}**: {self.words}"


class _Broke(Exception):
    """A follower raised what would end the loop."""


class Follows:
    """Begins follows, looks, tells, and ends them."""

    def __init__(
        self,
        *,
        database: Database,
        sealer: Sealer,
        grants: Grants,
        people: People,
        sessions: Sessions,
        instances: Instances,
        delivery: Delivery,
        policy: Policy,
        quiet: QuietHours,
        book: Commands,
        followers: Iterable[Follower],
        audit: Audit,
        prefix: str = "!",
        limit: float = _LOOK_SECONDS,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Let *followers* look, for *limit* seconds each at most."""
        self._database = database
        self._sealer = sealer
        self._grants = grants
        self._people = people
        self._sessions = sessions
        self._instances = instances
        self._delivery = delivery
        self._policy = policy
        self._quiet = quiet
        self._book = book
        self.look_by(followers)
        self._audit = audit
        self._prefix = prefix
        self._limit = min(limit, _LOOK_SECONDS)
        self._clock = clock
        self._watches: dict[str, _Watch] = {}
        self._of: dict[Identity, set[_Watch]] = {}
        """The same by who is told."""

        self._resting: dict[str, set[_Watch]] = {}
        """By person: those that wait for the end of quiet hours."""

        self._limited: dict[str, float] = {}
        """Until when a service takes nothing from an account whose limit is spent."""

        self._gathering = Gathering(delivery, self._expects)
        database.watch(self._touched)
        self._wake = asyncio.Event()
        self._closed = False

    # -- asking ------------------------------------------------------------------------

    def look_by(self, followers: Iterable[Follower]) -> None:
        """Let *followers* look from now on, and no others: what one that is gone looked at ends at its next look."""
        self._followers = {(one.skill, one.name): one for one in followers}

    async def begin(self, identity: Identity, wish: Wish) -> None:
        """Follow what *identity* wishes; durable on return.

        Raises:
            UserError: the account is no longer theirs, or too much is followed for them.
            LookupError: the follower is not one of a skill that is loaded.
            KeyMissing: there is no key to write it under.
        """
        follower = wish.follower
        if self._followers.get((follower.skill, follower.name)) is not follower:
            raise LookupError(f"no loaded skill has the follower {follower.skill}.{follower.name}")
        async with self._database.transaction() as tx:
            account = await accounts.get(tx, self._sealer, wish.account)
            if account is None or account.status != "active" or not account.reaches(identity):
                raise UserError("The account has been unlinked meanwhile, so I do not follow that.")
            number = await self._number(tx, account, wish)
            follow = self._follow(identity, account, wish, number)
            await follows.insert(tx, self._sealer, follow)
            tx.after_commit(partial(self._begun, follow, account))
        acts_as = [f"{account.provider}@{account.instance}"]
        detail: dict[str, Detail] = {"follower": follower.name, "as": acts_as}
        self._record(follow.person, identity.network, follow.skill, "follow.begun", **detail)

    async def _number(self, tx: Transaction, account: Account, wish: Wish) -> int:
        """Make room for *wish*, and return the lowest number that is free."""
        taken = set()
        for one in await follows.of_person(tx, self._sealer, account.person):
            same = (wish.follower.skill, wish.follower.name, account.id, wish.arguments)
            if (one.skill, one.follower, one.account, one.arguments) == same:
                await follows.delete(tx, one.id)
                tx.after_commit(partial(self._ended, one, "replaced"))
            else:
                with contextlib.suppress(VaultError):  # its own look refuses it
                    taken.add(follows.unbox(self._sealer, one).number)
        held = await tx.rows("SELECT count(*) AS n FROM follows WHERE person = ?", (account.person,))
        if held[0]["n"] >= MOST_A_PERSON:
            raise UserError(
                f"I follow {MOST_A_PERSON} things for you already. `{self._prefix}following` lists them, and "
                f"`{self._prefix}unfollow NUMBER` ends one."
            )
        return min(set(range(1, MOST_A_PERSON + 2)) - taken)

    def _follow(self, identity: Identity, account: Account, wish: Wish, number: int) -> Follow:
        row, now = secrets.token_hex(16), self._clock()
        return Follow(
            id=row,
            person=account.person,
            account=account.id,
            identity=identity,
            skill=wish.follower.skill,
            follower=wish.follower.name,
            arguments=wish.arguments,
            title=wish.title,
            asked=follows.box(self._sealer, row, Asked(number, wish.command, wish.message)),
            private=wish.private,
            until=now + wish.lasting,
            created=now,
        )

    def _begun(self, follow: Follow, account: Account) -> None:
        kind = (follow.identity.network, follow.skill, follow.follower, account.provider, account.instance)
        watch = _Watch(follow.id, follow.person, follow.identity, follow.skill, kind, follow.until, fresh=False)
        self._watch(watch)
        self._put_off(watch, self._pause(watch, self._followers[follow.skill, follow.follower].every))

    # -- looking at what there is ------------------------------------------------------

    async def of(self, identity: Identity) -> list[tuple[Asked, Follow, Account]]:
        """Return what is followed for the person that *identity* is, within its reach, by number."""
        profile = await self._people.find(identity)
        if profile is None:
            return []
        mine = {one.id: one for one in profile.accounts if one.reaches(identity)}
        found = []
        for one in await follows.of_person(self._database, self._sealer, profile.person):
            if one.account in mine:
                with contextlib.suppress(VaultError):  # its own look refuses it
                    found.append((follows.unbox(self._sealer, one), one, mine[one.account]))
        return sorted(found, key=lambda each: each[0].number)

    def view(self, asked: Asked, follow: Follow, account: Account) -> FollowView:
        """Return what its person is shown of *follow*."""
        said, now = follows.told(self._sealer, follow), self._clock()
        return FollowView(
            asked.number, follow.title, self._title(account), now - follow.created, follow.until - now, said.text
        )

    async def quiet(self, identity: Identity) -> QuietView | None:
        """Return the quiet hours of the person that *identity* is, if there are any."""
        profile = await self._people.find(identity)
        found = await self._quiet.of(profile.person) if profile is not None else None
        if profile is None or found is None:
            return None
        end = await self._quiet.end(profile.person, self._clock())
        return QuietView(str(found), found.zone, found.shown(end) if end is not None else "")

    async def set_quiet(self, identity: Identity, quiet: Quiet | None) -> bool:
        """Let *quiet* be the quiet hours of the person that *identity* is, None: none; return whether there were some.

        Raises:
            KeyMissing: there is no key to write them under.
        """
        if quiet is not None:
            await self._people.ensure(identity)
        elif await self._people.find(identity) is None:
            return False
        async with self._database.transaction() as tx:
            return await self._quiet.choose(tx, await self._people.whose(tx, identity), quiet)

    async def stop(self, follow: Follow) -> None:
        """Follow that no longer; a look under way ends, and nothing more is told."""
        async with self._database.transaction() as tx:
            if await follows.delete(tx, follow.id):
                tx.after_commit(partial(self._ended, follow, "unfollowed"))

    # -- running -----------------------------------------------------------------------

    async def resume(self) -> None:
        """Take up what was followed before a restart.

        The first looks come after a moment, in which the networks come, spread over some time, identity by identity.
        """
        rows = await self._database.read(
            "SELECT f.id, f.person, f.network, f.subject, f.epoch, f.skill, f.follower, f.until, a.provider, "
            "a.instance FROM follows f JOIN accounts a ON a.id = f.account"
        )
        over, dues = max(LOOK_EVERY[0], len(rows) * _SPREAD), dict[Identity, float]()
        for row in rows:
            kind = (row["network"], row["skill"], row["follower"], row["provider"], row["instance"])
            who = Identity(row["network"], row["subject"], row["epoch"])
            watch = _Watch(row["id"], row["person"], who, row["skill"], kind, row["until"])
            due = self._clock() + LOOK_EVERY[0] + random.uniform(0, over)  # noqa: S311 - for the order of things
            watch.due = dues.setdefault(who, due)
            self._watch(watch)
        self._wake.set()

    def _watch(self, watch: _Watch) -> None:
        self._watches[watch.id] = watch
        self._of.setdefault(watch.who, set()).add(watch)

    def _unwatch(self, follow: str) -> _Watch | None:
        watch = self._watches.pop(follow, None)
        if watch is not None:
            _discard(self._of, watch.who, watch)
            _discard(self._resting, watch.person, watch)
        return watch

    async def run(self) -> None:
        """Look when it is time, until cancelled."""
        while True:
            pause = self._begin_looks()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._wake.wait()
            self._wake.clear()

    async def settle(self) -> None:
        """Look at all that is due; return when no look is under way."""
        while True:
            self._begin_looks()
            tasks = [watch.task for watch in self._watches.values() if watch.task is not None]
            if not tasks:
                return
            await asyncio.wait(tasks)

    async def close(self) -> None:
        """Stop looking; what was followed stays in the database."""
        self._closed = True
        tasks = [watch.task for watch in self._watches.values() if watch.task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._gathering.close()

    def _begin_looks(self) -> float:
        """Begin the looks that are due and have a place; return the seconds until the next may be."""
        now, busy = self._clock(), Counter[tuple[str, ...]]()
        for watch in self._watches.values():
            busy[watch.kind] += watch.task is not None and not watch.holds
        pause, free = _LONGEST_SLEEP, _MOST_AT_ONCE - busy.total()
        for watch in sorted(self._watches.values(), key=lambda one: one.due):
            if watch.task is not None or self._hangs(watch, now):
                continue
            if watch.due > now + _LONGEST_RETRY * 2:  # the clock was set back
                watch.due = now
            if watch.due > now:
                pause = min(pause, watch.due - now)
                break
            if not self._closed and free > 0 and busy[watch.kind] < _MOST_OF_A_KIND:
                busy[watch.kind] += 1
                free -= 1
                watch.task = asyncio.create_task(self._attend(watch), name=f"a look of {watch.skill}")
        return pause

    def _hangs(self, watch: _Watch, now: float) -> bool:
        """Whether *watch* cannot be looked at because a look that was stopped has not ended."""
        return watch.stuck is not None and not watch.stuck.done() and now < watch.until

    def _expects(self, identity: Identity) -> bool:
        """Whether something that *identity* is told of is being looked at, or is about to be."""
        now = self._clock()
        return any(
            not watch.holds if watch.task is not None else watch.due <= now and not self._hangs(watch, now)
            for watch in self._of.get(identity, ())
        )

    async def _attend(self, watch: _Watch) -> None:
        """Look once, and say when to look again; raises nothing."""
        pause: float | None = LOOK_EVERY[1]
        watch.rests = None
        _discard(self._resting, watch.person, watch)
        try:
            pause = await self._look(watch)
        except KeyMissing:
            pause = _KEY_WAIT
        except VaultError as error:
            pause = None
            self._refused(watch, error)
        except StorageTrouble:
            pause = _KEY_WAIT  # the operator has been told, once
        except Exception:
            log.exception("a follow could not be looked at")
        finally:
            watch.task = None
            if pause is None:
                self._unwatch(watch.id)
            elif watch.id in self._watches:
                self._put_off(watch, pause)
            self._gathering.look_again(watch.who)
            self._wake.set()

    def _put_off(self, watch: _Watch, pause: float) -> None:
        """Look at *watch* again in *pause* seconds, or when its time is over, if that is sooner."""
        now = self._clock()
        watch.due = now + max(pause, LOOK_EVERY[0], self._left(watch.not_before))
        if watch.rests is not None:  # to the moment, so that all that wait for it are looked at together
            watch.due = min(watch.rests, now + _LONGEST_RETRY)
        if now < watch.until:
            watch.due = min(watch.due, watch.until)
        self._wake.set()

    def _pause(self, watch: _Watch, every: float) -> float:
        """Return the seconds to the next look: with jitter, and growing while it fails."""
        grown: float = min(every * 2.0 ** min(watch.errors, 10), LOOK_EVERY[1])
        return grown * random.uniform(0.9, 1.1)  # noqa: S311 - so that not all look at once

    def _refused(self, watch: _Watch, error: VaultError) -> None:
        """Look no more at what somebody else wrote; its row is left for the operator to see."""
        log.error("a follow is refused: %s", error)
        table = getattr(error, "table", "follows")
        self._audit.record("", watch.who.network, "vault.refused", table=table, why=type(error).__name__)

    # -- one look ----------------------------------------------------------------------

    async def _look(self, watch: _Watch) -> float | None:
        """Look once; return the seconds until the next look, or None if there is none.

        Raises:
            VaultError: something that it stands on is not as we wrote it.
        """
        follow = await follows.get(self._database, self._sealer, watch.id)
        if follow is None:  # it went with its account, or with its person
            self._record(watch.person, watch.who.network, watch.skill, "follow.ended", outcome="unlinked")
            return None
        if await self._is_quiet(watch, follow):
            return LOOK_EVERY[1]
        if self._clock() >= await self._until(follow):
            return await self._finish(watch, follow, _Over("expired", "its time is over."))
        if not self._speaks(follow.identity.network):
            return _WAIT
        if wait := self._left(max(watch.not_before, self._limited.get(follow.account, 0.0))):
            return wait
        try:
            case = await self._case(follow)
            if case is None:
                return LOOK_EVERY[0]
            return await self._look_at(watch, case)
        except _Over as over:
            if await self._is_quiet(watch, follow):
                return LOOK_EVERY[1]
            return await self._finish(watch, follow, over)

    async def _is_quiet(self, watch: _Watch, follow: Follow) -> bool:
        """Whether it is quiet for the person whose *follow* it is; then *watch* waits for the end of that."""
        _discard(self._resting, watch.person, watch)
        watch.person, watch.rests = follow.person, await self._quiet.end(follow.person, self._clock())
        if watch.rests is None:
            return False
        watch.fresh = True
        self._resting.setdefault(watch.person, set()).add(watch)
        return True

    def _touched(self, person: str) -> None:
        """Look again whether it is quiet for *person*: rows of theirs have changed."""
        for watch in self._resting.get(person, ()):
            watch.due = self._clock()
            self._wake.set()

    async def _until(self, follow: Follow) -> float:
        """Return when *follow* ends: when its time is over, but not in quiet hours without another look."""
        end = await self._quiet.end(follow.person, follow.until)
        return follow.until if end is None else end + _LAST_LOOK

    def _left(self, until: float) -> float:
        """Return the seconds to wait where a service wants to hear nothing before *until*; else 0."""
        left = until - self._clock()
        return left if 0 < left <= _LONGEST_RETRY else 0.0  # more: the clock was set back

    async def _case(self, follow: Follow) -> _Case | None:
        """Check afresh all that lets *follow* be looked at; None if it has just changed: the next look tells.

        Raises:
            VaultError: one of the rows is not as we wrote it.
            _Over: it may not be, and will not.
        """
        asked = follows.unbox(self._sealer, follow)
        found = await _account(self._people, follow.identity, follow.person, follow.account)
        if found is None:
            if await follows.get(self._database, self._sealer, follow.id) != follow:
                return None  # unlinked, or linked anew, between two reads
            raise _Over("out of reach", "its account is not yours to use here any more.")
        keys, account = found
        if account.status != "active":
            raise _Over("no longer linked", self._link_again(account))
        call = self._book.find(asked.command)
        follower = self._followers.get((follow.skill, follow.follower))
        if call is None or call.rest or follower is None:
            raise _Over("unknown", f"the command that began it, {code_span(asked.command)}, is gone.")
        message = asked.message
        if not self._policy.allows(follow.identity, message.assurance, call.command, message.channel):
            if not self._speaks(follow.identity.network):
                return None
            raise _Over("denied", "the operator of this bot does not allow you that command.")
        return _Case(follow, asked, keys, account, follower)

    async def _look_at(self, watch: _Watch, case: _Case) -> float | None:
        follow = case.follow
        grant = self._grants.open(follow.person, "follow", frozenset({case.account.id}))
        lease, journal = _Lease(self._people, follow.identity, follow.person, grant), Journal()
        watch.last.begin(case.account.id)
        try:
            progress = await self._called(watch, case, lease, journal)
        except VaultError:
            raise
        except Exception as error:  # noqa: BLE001 - another's code: whatever it raises is a look that failed
            if lease.lost:  # unlinked, or linked anew, while it looked
                return LOOK_EVERY[0]
            return await self._failed(watch, case, error)
        finally:
            self._grants.close(grant)
            self._heed(watch, case, journal)
        watch.errors, watch.faults, watch.failing, watch.said_so = 0, 0, None, False
        if not await self._may_be_told(watch, follow):
            return LOOK_EVERY[0]  # what has ended meanwhile is not told; the next look notes it
        if progress.done:
            raise _Over("done", progress.text or f"Done: **{follow.title}**.", found=True)
        if await self._tell(watch, case, progress.text, news=progress.news):
            watch.last.keep()
        watch.fresh = False
        return self._pause(watch, case.follower.every)

    def _heed(self, watch: _Watch, case: _Case, journal: Journal) -> None:
        """Keep to what the service has said of how often, and how much, it is to be asked."""
        now = self._clock()
        if journal.poll:
            watch.not_before = now + min(journal.poll, _LONGEST_RETRY)
        if journal.rest:
            if len(self._limited) >= _MOST_LIMITED:
                self._limited = {account: until for account, until in self._limited.items() if until > now}
            self._limited[case.account.id] = now + min(journal.rest, _LONGEST_RETRY)

    async def _called(self, watch: _Watch, case: _Case, lease: _Lease, journal: Journal) -> Progress:
        """Let the skill's function look; return what it says.

        Raises:
            Exception: whatever it raised, or that it took too long or returned something else.
        """
        session = self._sessions.session(case.keys, case.account, lease, "read", journal)
        said = follows.told(self._sealer, case.follow).text
        context = FollowContext(session, logging.getLogger(f"omnibot.skill.{case.follow.skill}"), watch.last, said)
        arguments = json.loads(case.follow.arguments)
        look = asyncio.create_task(_contained(case.follower.look(context, **arguments)), name="a follower")
        try:
            await asyncio.wait([look], timeout=self._limit)
        finally:
            if not look.done():
                await self._stop(watch, look)
        if watch.stuck is look or look.cancelled():
            raise TimeoutError
        progress = look.result()
        if not isinstance(progress, Progress) or not isinstance(progress.text, str):
            raise TypeError(f"{case.follow.skill}.{case.follow.follower} returned no Progress")
        return progress

    async def _stop(self, watch: _Watch, look: asyncio.Task[object]) -> None:
        """Cancel *look*; one that does not end is left alone, without a grant, and not begun again before it has."""
        watch.stuck = look
        look.cancel()
        look.add_done_callback(_noted)
        await asyncio.wait([look], timeout=_CANCEL_SECONDS)

    async def _failed(self, watch: _Watch, case: _Case, error: Exception) -> float | None:
        """Return when to look again after *error*.

        Raises:
            _Over: it is no use.
        """
        follow = case.follow
        if isinstance(error, NotLinked):
            raise _Over("no longer linked", self._link_again(case.account)) from None
        if isinstance(error, UserError) and not isinstance(error, Upstream):
            raise _Over("refused", str(error)) from None
        watch.errors += 1
        pause = self._pause(watch, case.follower.every)
        if isinstance(error, Upstream):
            await self._trouble(watch, case, error)
            return max(pause, min(error.retry_after or 0.0, _LONGEST_RETRY))
        watch.faults += 1
        reference = secrets.token_hex(2).upper()
        name = f"{follow.skill}.{follow.follower}"
        if isinstance(error, TimeoutError):
            log.error("[%s] the follower %s took too long and was stopped", reference, name)
        else:
            log.error("[%s] the follower %s failed", reference, name, exc_info=error)
        if watch.faults >= _MOST_FAULTS:
            raise _Over("broken", f"something broke (ref {reference}).") from None
        return pause

    async def _trouble(self, watch: _Watch, case: _Case, error: Upstream) -> None:
        """Say once that the service has answered with nothing but *error* for long."""
        now = self._clock()
        watch.failing = now if watch.failing is None else watch.failing
        if watch.said_so or now - watch.failing < _SAY_TROUBLE_AFTER or await self._is_quiet(watch, case.follow):
            return
        watch.said_so = True
        words = f"I have not been able to look at **{case.follow.title}** for a while, and go on trying. {error}"
        channel = await self._place(case.follow, case.asked)
        await self._say(watch, case, channel, words)

    # -- telling -----------------------------------------------------------------------

    async def _tell(self, watch: _Watch, case: _Case, text: str, *, news: bool) -> bool:
        """Say how it stands, if that is new: in the message said before, or in a line now and then.

        What has happened, *news*, is said at once, and by a message of its own.

        Returns whether there is nothing left to say.
        """
        follow, said, now = case.follow, follows.told(self._sealer, case.follow), self._clock()
        text = text[:_LONGEST_PROGRESS]
        if not text or text == said.text:
            return True
        channel = await self._place(follow, case.asked)
        public = channel is not None
        every = self._delivery.edit_every(follow.identity.network)
        if not news and every is not None and said.sent is not None and said.public == public:
            if now - said.at < every:
                return False
            sent = await self._delivery.edit(said.sent, Reply(text, answers=case.asked.message))
            if sent is not None:
                await self._keep(follow, replace(said, text=text, at=now, sent=sent))
                return True
        if not news and now - said.at < _SPARSE[min(said.count, len(_SPARSE) - 1)]:
            return False
        outcome = await self._say(watch, case, channel, text)
        if outcome.told:
            await self._keep(follow, Told(text, now, said.count + 1, outcome.sent, public))
        return outcome.told

    async def _keep(self, follow: Follow, said: Told) -> None:
        async with self._database.transaction() as tx:
            await follows.tell(tx, self._sealer, follow.id, said)

    async def _say(self, watch: _Watch, case: _Case, channel: Channel | None, text: str) -> Outcome:
        """Say *text* at its `_place`; nothing is kept if it does not go out."""
        follow, near, key = case.follow, case.asked.message, f"follow:{case.follow.id}:{secrets.token_hex(4)}"
        if channel is not None:
            sent = await self._delivery.to_channel(channel, Reply(text, answers=near), key)
            return Outcome(sent is not None, sent)
        may = partial(self._may_be_told, watch, follow)
        return await self._gathered(watch, News(follow.title, text, near, key, last=False, still=may))

    async def _gathered(self, watch: _Watch, news: News) -> Outcome:
        """Tell *news* in private, in one message with what else there is for the same identity at this moment."""
        watch.holds = True
        self._wake.set()  # its place is free
        try:
            return await self._gathering.tell(watch.who, news, _PATIENCE[watch.fresh])
        finally:
            watch.holds = False

    async def _may_be_told(self, watch: _Watch, follow: Follow) -> bool:
        """Whether what was found out for *follow* may still be told: much may happen in a look, and while it waits."""
        try:
            now = await follows.get(self._database, self._sealer, follow.id)
            found = await _account(self._people, follow.identity, follow.person, follow.account)
        except VaultError:
            return False
        same = now is not None and (now.person, now.account) == (follow.person, follow.account)
        usable = found is not None and found[1].status == "active"
        return same and usable and self._speaks(follow.identity.network) and not await self._is_quiet(watch, follow)

    async def _may_be_ended(self, watch: _Watch, follow: Follow) -> bool:
        there = await follows.exists(self._database, follow.id)
        return there and not await self._is_quiet(watch, follow)

    async def _place(self, follow: Follow, asked: Asked) -> Channel | None:
        """Return the channel where *follow* is told at this moment; None: to its asker alone."""
        channel = asked.message.channel
        there = not follow.private and self._speaks(channel.network) and not self._policy.discreet(channel)
        return channel if there and await self._delivery.present(follow.identity, channel) else None

    async def _finish(self, watch: _Watch, follow: Follow, over: _Over) -> float | None:
        """Say the last words, as a message of their own, and then let the row go: a crash between repeats them.

        Where they do not go out they are kept for the asker.  Returns None, or when to look again if it is
        not the time for last words any more.
        """
        if not watch.ended:
            watch.ended = await self._last_words(watch, follow, over)
        if not watch.ended:
            return LOOK_EVERY[0]
        async with self._database.transaction() as tx:
            if await follows.delete(tx, follow.id):
                tx.after_commit(partial(self._ended, follow, over.outcome))
        return None

    async def _last_words(self, watch: _Watch, follow: Follow, over: _Over) -> bool:
        """Say why it is *over*; return whether that is said, or kept."""
        words, key = over.said_of(follow)[:LONGEST], f"follow:{follow.id}:end"
        near = None
        with contextlib.suppress(VaultError):
            asked = follows.unbox(self._sealer, follow)
            near = asked.message if self._speaks(follow.identity.network) else None
            channel = await self._place(follow, asked)
            if channel is not None and await self._delivery.to_channel(
                channel, Reply(words, answers=asked.message), key
            ):
                return True
        may = partial(self._may_be_told if over.found else self._may_be_ended, watch, follow)
        return (await self._gathered(watch, News(follow.title, words, near, key, last=True, still=may))).told

    def _ended(self, follow: Follow, outcome: str) -> None:
        """Note that the row of *follow* is gone; a look under way ends, unless it is what ended it."""
        watch = self._unwatch(follow.id)
        if watch is not None and watch.task is not None and watch.task is not asyncio.current_task():
            watch.task.cancel()
        self._record(follow.person, follow.identity.network, follow.skill, "follow.ended", outcome=outcome)

    def _record(self, person: str, network: str, skill: str, event: str, **detail: Detail) -> None:
        self._audit.record(person, network, event, skill=skill, **detail)

    def _speaks(self, network: str) -> bool:
        """Whether people on *network* are who they were, as far as it is there at all."""
        return self._policy.trusts(network) and self._delivery.adapter(network) is not None

    def _title(self, account: Account) -> str:
        try:
            return self._instances.get(account.provider, account.instance).title
        except UserError:  # the operator took it out of the configuration
            return f"{account.provider}@{account.instance}"

    def _link_again(self, account: Account) -> str:
        title = escape(self._title(account))
        command = code_span(f"{self._prefix}link {account.provider}@{account.instance}")
        return f"{title} no longer accepts your link. Link it again with {command}, and ask again."


@dataclass(frozen=True, slots=True)
class FollowDesk:
    """What one speaker can do about what is followed for them; see `omnibot.follower.FollowDesk`."""

    follows: Follows
    identity: Identity
    prefix: str = "!"

    async def all(self) -> list[FollowView]:
        """Return what is followed for the speaker, by number."""
        return [self.follows.view(*each) for each in await self.follows.of(self.identity)]

    async def quiet(self) -> QuietView | None:
        """Return the speaker's quiet hours, if there are any."""
        return await self.follows.quiet(self.identity)

    async def be_quiet(self, hours: str, zone: str = "") -> QuietView:
        """Tell nothing, and look at nothing, of what is followed for the speaker in these *hours* of every day.

        Raises:
            UserError: they do not say from when to when, or where.
        """
        await self.follows.set_quiet(self.identity, parsed(hours, zone))
        found = await self.quiet()
        assert found is not None, "they were just set"
        return found

    async def end_quiet(self) -> bool:
        """Have no quiet hours any more; return whether there were some."""
        return await self.follows.set_quiet(self.identity, None)

    async def end(self, number: int) -> FollowView:
        """Follow that no longer.

        Raises:
            UserError: nothing of the speaker's has that number.
        """
        for asked, follow, account in await self.follows.of(self.identity):
            if asked.number == number:
                await self.follows.stop(follow)
                return self.follows.view(asked, follow, account)
        raise UserError(f"I follow nothing with the number {number} for you. `{self.prefix}following` lists what I do.")


async def _account(people: People, identity: Identity, person: str, account: str) -> tuple[PersonKeys, Account] | None:
    """Return the *account* of *person* with their keys, if *identity* is theirs and reaches it."""
    profile = await people.find(identity)
    if profile is None or profile.person != person:
        return None
    found = next((one for one in profile.accounts if one.id == account and one.reaches(identity)), None)
    return (profile.keys, found) if found is not None else None


async def _contained(look: Coroutine[Any, Any, object]) -> object:
    """Return what *look* does; what would end the loop becomes an error of its own."""
    try:
        return await look
    except (Exception, asyncio.CancelledError):
        raise
    except BaseException as error:
        raise _Broke(type(error).__name__) from error


def _discard[K](index: dict[K, set[_Watch]], key: K, watch: _Watch) -> None:
    """Take *watch* out of *index*, and with the last of them the key."""
    if key in index:
        index[key].discard(watch)
        if not index[key]:
            del index[key]


def _noted(look: asyncio.Task[object]) -> None:
    """Take note of how *look* ended: nobody waits for it any more."""
    if not look.cancelled():
        look.exception()
