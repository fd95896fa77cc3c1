"""One linking under way: what is known of it, and the steps it may take.

::

    open ◄─► exchanging ──► pending ──► linked
      │           │            │  └────► held ──► linked
      └───────────┴────────────┴───────► refused, or expired

*open*: a link was sent; nothing has come back.  *exchanging*: the browser came back with a
code, which is spent now.  *pending*: a token rests here, and its flow waits for the code
that only the browser knows to be spoken in chat.  *held*: confirmed, but the external
account is somebody else's already; an admin decides.

Where the asker's network has a web login, the browser goes there first, as a leg of its own:
*open* again once it is known whose it is (`proving`).  So it is where a key was no good.

Invariant: a flow leaves ``open`` once at a time, by whoever commits first; every step is a row
written under a tag.  Tickets, states, cookies and codes stand here only as hashes; the
PKCE verifier is boxed, and gone when spent.
"""

import contextlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

from omnibot.database import Database, Row, Transaction
from omnibot.errors import OmnibotError, Tampered, VaultError
from omnibot.identity import Assurance, Identity
from omnibot.provider import AuthorizationServer, KeyForm, Way
from omnibot.vault import Sealer, Tagged

type State = Literal["open", "exchanging", "pending", "held", "linked", "refused", "expired"]

TICKET_SECONDS = 600.0
CODE_SECONDS = 600.0
FLOW_SECONDS = 1200.0
"""One clock for the whole of it, so that the parts do not add up."""

UNDO_SECONDS = 86400.0
MOST_TRIES = 5

CODE_ALPHABET = "BCDFGHJKLMNPQRSTVWXZ"
"""Twenty letters without vowels (RFC 8628 section 6.1): 8 of them are 34.5 bits for 5 tries."""

CODE_LENGTH = 8

TABLE = Tagged(
    "flows",
    ("id",),
    (
        "person",
        "network",
        "subject",
        "epoch",
        "provider",
        "instance",
        "way",
        "state",
        "reason",
        "assurance",
        "scopes",
        "asked",
        "redirect_uri",
        "server",
        "ticket_hash",
        "state_hash",
        "cookie_hash",
        "code_hash",
        "verifier",
        "tries",
        "account",
        "created",
        "ticket_until",
        "until",
        "ended",
    ),
    later=("proof", "proof_hash"),
)


class FlowError(OmnibotError):
    """A step of a flow that cannot be taken; *code* says why, words for it live with whoever speaks.

    ``unknown`` no such link; ``expired`` too late; ``spent`` used already; ``ended`` refused or
    cancelled before; ``other_browser`` not the browser it was begun in; ``mix_up`` another
    provider's answer; ``issuer`` RFC 9207 did not hold; ``denied`` the person said no at the
    provider; ``provider_error`` the provider answered with another error; ``bad_callback`` no
    answer of a provider's; ``exchange_failed`` the provider would not give a token;
    ``unavailable`` the provider did not answer; ``paste`` the address belongs into the chat;
    ``bad_key`` the service does not take that API key; ``not_asker`` somebody else than the asker signed in;
    ``login_denied``, ``login_failed``, ``login_unavailable`` nobody did, as they would not, it did not work, or
    the login was out of order; ``unproven`` that comes first; ``not_now`` the service could not be asked to begin,
    and nothing has changed; ``not_opened`` the person has not been there yet; ``extra_scopes`` it granted more
    than was asked, and the operator refuses that; ``vault`` the master key is missing.
    """

    def __init__(self, code: str, flow: "Flow | None" = None) -> None:
        """State the *code*, and the *flow* where one is known."""
        super().__init__(code)
        self.code = code
        self.flow = flow


@dataclass(frozen=True, slots=True)
class Asked:
    """How the flow began, as its pages show it."""

    display: str
    where: str
    """Name of the channel it was asked in; empty in private."""

    command: str
    """The command that wanted it, its arguments left out; empty for an explicit ``link``."""


@dataclass(frozen=True, slots=True)
class Proof:
    """That the person at the browser is the asker: wanted, or *done*, by signing in where their network has people.

    The rest is what the browser's attempt was sent to: one login, frozen whole (RFC 9700 section 4.4.2).
    """

    done: bool = False
    provider: str = ""
    instance: str = ""
    redirect_uri: str = ""
    server: AuthorizationServer = field(default_factory=lambda: AuthorizationServer("", ""))


@dataclass(frozen=True, slots=True)
class Flow:
    """One row of ``flows``."""

    id: str
    """Random, 128 bits; names the flow in the result page's address, opens nothing by itself."""

    person: str
    identity: Identity
    provider: str
    instance: str
    way: Way
    assurance: Assurance
    """The least a confirming message must be vouched for."""

    scopes: tuple[str, ...]
    asked: Asked
    redirect_uri: str
    server: AuthorizationServer
    created: float
    ticket_until: float
    until: float
    state: State = "open"
    reason: str = ""
    """Why it ended: a code of `FlowError`, or ``not_me``, ``locked``, ``replaced``, ``stolen``, ``seen``."""

    ticket_hash: bytes | None = field(default=None, repr=False)
    state_hash: bytes | None = field(default=None, repr=False)
    cookie_hash: bytes | None = field(default=None, repr=False)
    code_hash: bytes | None = field(default=None, repr=False)
    verifier: bytes | None = field(default=None, repr=False)
    tries: int = 0
    account: str | None = None
    ended: float | None = None
    proof: Proof | None = None
    """None where the code, said in chat, is the proof."""

    proof_hash: bytes | None = field(default=None, repr=False)
    """Of the state that the browser was sent to the login with."""

    @property
    def unproven(self) -> bool:
        """Whether nothing may come of it yet, because the person at the browser has not signed in as the asker."""
        return self.proof is not None and not self.proof.done

    def at_login(self) -> "Flow":
        """Return it as it is for the leg to the login: with that one's server, path and address."""
        proof = self.proof or Proof()
        return replace(
            self,
            provider=proof.provider,
            instance=proof.instance,
            redirect_uri=proof.redirect_uri,
            server=proof.server,
        )

    @property
    def live(self) -> bool:
        """Whether anything can still come of it without an admin."""
        return self.state in ("open", "exchanging", "pending")

    def expired(self, now: float) -> bool:
        """Whether its time is over; a flow nobody has opened ends with its ticket."""
        untouched = self.state == "open" and self.cookie_hash is None and self.way != "paste"
        return now >= (self.ticket_until if untouched else self.until)

    def end(self, state: State, reason: str, now: float) -> "Flow":
        """Return it ended, with nothing left in it that could be used.

        The hashes of its ticket and state stay, so that a late visitor is told what became of it.
        """
        return replace(self, state=state, reason=reason, ended=now, code_hash=None, verifier=None)


@dataclass(frozen=True, slots=True)
class Asking:
    """What the first page tells the person at the browser."""

    provider: str
    title: str
    network: str
    subject: str
    display: str
    where: str
    command: str
    since: float
    scopes: tuple[tuple[str, str], ...]
    """Each scope with the reason for it."""

    host: str
    """Host of the provider's page that comes next, or of the service that the key is for; in punycode
    where it is not ASCII."""

    apps_url: str
    key: KeyForm | None = None
    """What to ask for, where the link is by a key."""

    key_url: str = ""
    """Where the person finds their key."""

    login: str = ""
    """Title of the service to sign in to first; empty where there is none."""

    login_host: str = ""
    """Host of its page, as *host*."""

    pin: bool = False
    """Whether the provider's page shows a PIN in the end, to be said in chat."""

    by_app: bool = False
    """Whether the provider decides by the bot's registration what it may do, and no scope does (OAuth 1.0a)."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """A browser's own try at a flow: the cookie that marks it, and where it goes next."""

    flow: str
    cookie: str = field(repr=False)
    url: str = field(repr=False)
    """The provider's page; none where the next page is one of ours."""

    here: bool = False
    """Whether the next page is one of ours: the flow's own."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the last page shows to the browser that holds the attempt's cookie."""

    flow: str
    state: State
    reason: str
    asking: Asking
    login: str = ""
    name: str = ""
    avatar: str = ""
    code: str = field(default="", repr=False)
    """``KXQW-MNHZ`` while pending."""

    code_until: float = 0.0
    confirmed: float | None = None
    undo_until: float | None = None
    missing: tuple[str, ...] = ()
    """Scopes that were asked for and not granted."""

    gives_back: bool = True
    """Whether what the service handed over goes back to it when this is undone."""

    proven: bool = True
    """Whether nobody has to sign in any more before anything can come of it."""

    @property
    def wants_key(self) -> bool:
        """Whether a key is to be typed in."""
        return self.state == "open" and self.asking.key is not None and self.proven


def normalise(code: str) -> str:
    """Return a typed *code* as it is hashed: upper case, without dashes and spaces."""
    return "".join(letter for letter in code.upper() if letter.isalnum())


def shown(code: str) -> str:
    """Return *code* as it is read: in groups of four."""
    return "-".join(code[start : start + 4] for start in range(0, len(code), 4))


def to_row(flow: Flow) -> dict[str, Any]:
    """Return the columns of *flow*, without its tag."""
    return {
        "id": flow.id,
        "person": flow.person,
        "network": flow.identity.network,
        "subject": flow.identity.subject,
        "epoch": flow.identity.epoch,
        "provider": flow.provider,
        "instance": flow.instance,
        "way": flow.way,
        "state": flow.state,
        "reason": flow.reason,
        "assurance": int(flow.assurance),
        "scopes": json.dumps(flow.scopes),
        "asked": json.dumps(asdict(flow.asked)),
        "redirect_uri": flow.redirect_uri,
        "server": json.dumps(asdict(flow.server)),
        "ticket_hash": flow.ticket_hash,
        "state_hash": flow.state_hash,
        "cookie_hash": flow.cookie_hash,
        "code_hash": flow.code_hash,
        "verifier": flow.verifier,
        "tries": flow.tries,
        "account": flow.account,
        "created": flow.created,
        "ticket_until": flow.ticket_until,
        "until": flow.until,
        "ended": flow.ended,
        "proof": None if flow.proof is None else json.dumps(asdict(flow.proof)),
        "proof_hash": flow.proof_hash,
    }


def from_row(sealer: Sealer, row: Mapping[str, Any]) -> Flow:
    """Return the flow in *row*.

    Raises:
        KeyMissing, Tampered: the row is not as we wrote it.
    """
    sealer.check(TABLE, row)
    asked = Asked(**json.loads(row["asked"]))
    return Flow(
        id=row["id"],
        person=row["person"],
        identity=Identity(row["network"], row["subject"], row["epoch"], asked.display),
        provider=row["provider"],
        instance=row["instance"],
        way=row["way"],
        assurance=Assurance(row["assurance"]),
        scopes=tuple(json.loads(row["scopes"])),
        asked=asked,
        redirect_uri=row["redirect_uri"],
        server=AuthorizationServer(**json.loads(row["server"])),
        created=row["created"],
        ticket_until=row["ticket_until"],
        until=row["until"],
        state=row["state"],
        reason=row["reason"],
        ticket_hash=row["ticket_hash"],
        state_hash=row["state_hash"],
        cookie_hash=row["cookie_hash"],
        code_hash=row["code_hash"],
        verifier=row["verifier"],
        tries=row["tries"],
        account=row["account"],
        ended=row["ended"],
        proof=_proof(row["proof"]),
        proof_hash=row["proof_hash"],
    )


def _proof(text: str | None) -> Proof | None:
    if text is None:
        return None
    said = json.loads(text)
    return Proof(**{**said, "server": AuthorizationServer(**said["server"])})


async def insert(tx: Transaction, sealer: Sealer, flow: Flow) -> None:
    """Write a new *flow*."""
    await tx.insert("flows", sealer.stamp(TABLE, to_row(flow)))


async def update(tx: Transaction, sealer: Sealer, flow: Flow) -> None:
    """Write *flow* over its row."""
    await tx.update("flows", ("id",), sealer.stamp(TABLE, to_row(flow)))


async def let_go(tx: Transaction, sealer: Sealer, account: str) -> None:
    """Take *account*, which is about to be erased, out of the flows that name it, for their tags cover it.

    A row that is not as we wrote it stays that way.
    """
    for row in await tx.rows("SELECT * FROM flows WHERE account = ?", (account,)):
        try:
            flow = from_row(sealer, row)
        except VaultError:
            continue
        await update(tx, sealer, replace(flow, account=None))


type Column = Literal["id", "ticket_hash", "state_hash", "proof_hash", "code_hash", "account"]


async def find(source: Database | Transaction, sealer: Sealer, column: Column, value: str | bytes) -> Flow | None:
    """Return the flow whose *column* is *value*, checked; None if there is none."""
    found = await _select(source, sealer, f"{column} = ?", value)
    return found[0] if found else None


async def of_identity(source: Database | Transaction, sealer: Sealer, identity: Identity) -> list[Flow]:
    """Return the flows of *identity* that can still be brought to an end, newest first."""
    return await _select(
        source,
        sealer,
        "network = ? AND subject = ? AND epoch = ? "
        "AND state IN ('open', 'exchanging', 'pending') ORDER BY created DESC",
        identity.network,
        identity.subject,
        identity.epoch,
    )


async def of_person(source: Database | Transaction, sealer: Sealer, person: str) -> list[Flow]:
    """Return every flow of *person*, also those that have ended.

    Raises:
        KeyMissing, Tampered: one of the rows is not as we wrote it.
    """
    return await _select(source, sealer, "person = ?", person)


async def overdue(source: Database | Transaction, sealer: Sealer, now: float) -> list[Flow]:
    """Return the live flows whose time is over; a row that somebody else wrote holds up none of them."""
    rows = await _select_ours(
        source,
        sealer,
        "state IN ('open', 'exchanging', 'pending') AND (ticket_until <= ? OR until <= ?)",
        now,
        now,
    )
    return [flow for flow in rows if flow.expired(now)]


async def in_state(source: Database | Transaction, sealer: Sealer, state: State) -> list[Flow]:
    """Return every flow in *state*, as `overdue` does."""
    return await _select_ours(source, sealer, "state = ?", state)


async def begun(tx: Transaction, identity: Identity, since: float) -> int:
    """Return how many flows *identity* has begun since then."""
    sql = "SELECT count(*) AS n FROM flows WHERE network = ? AND subject = ? AND epoch = ? AND created >= ?"
    rows = await tx.rows(sql, (identity.network, identity.subject, identity.epoch, since))
    return int(rows[0]["n"])


async def live_on(tx: Transaction, network: str) -> int:
    """Return how many flows that can still be brought to an end began on *network*."""
    sql = f"SELECT count(*) AS n FROM flows WHERE +network = ? AND {_LIVE}"  # noqa: S608 - + : by state, not by network
    return int((await tx.rows(sql, (network,)))[0]["n"])


async def least_missed(tx: Transaction, sealer: Sealer, network: str) -> Flow | None:
    """Return a flow of *network* that no browser has opened: the oldest of whoever has the most that live.

    None if all have been opened, or the one it would be is not as we wrote it.
    """
    rows = await tx.rows(_LEAST_MISSED, (network, network))
    with contextlib.suppress(Tampered):
        return from_row(sealer, rows[0]) if rows else None
    return None


async def blamed(source: Database | Transaction, sealer: Sealer, identity: Identity, since: float) -> int:
    """Return how often, since then, a browser refused or undid what *identity* asked for."""
    where = "network = ? AND subject = ? AND epoch = ? AND reason IN ('refused', 'not_me', 'not_asker') AND ended >= ?"
    return len(await _select(source, sealer, where, identity.network, identity.subject, identity.epoch, since))


_LIVE = "state IN ('open', 'exchanging', 'pending')"

_LEAST_MISSED = f"""
SELECT f.* FROM flows f JOIN (
    SELECT subject, epoch, count(*) AS n FROM flows WHERE +network = ? AND {_LIVE} GROUP BY subject, epoch
) whose ON whose.subject = f.subject AND whose.epoch = f.epoch
WHERE +f.network = ? AND f.state = 'open' AND f.cookie_hash IS NULL ORDER BY whose.n DESC, f.created LIMIT 1
"""  # noqa: S608 - nothing of a person's is in it


async def _select(source: Database | Transaction, sealer: Sealer, where: str, *values: Any) -> list[Flow]:
    return [from_row(sealer, row) for row in await _rows(source, where, values)]


async def _select_ours(source: Database | Transaction, sealer: Sealer, where: str, *values: Any) -> list[Flow]:
    found = []
    for row in await _rows(source, where, values):
        with contextlib.suppress(Tampered):  # refused, and recorded, whenever somebody comes for it
            found.append(from_row(sealer, row))
    return found


async def _rows(source: Database | Transaction, where: str, values: Sequence[Any]) -> list[Row]:
    sql = f"SELECT * FROM flows WHERE {where}"  # noqa: S608 - conditions are written here, values are bound
    return await source.rows(sql, values)
