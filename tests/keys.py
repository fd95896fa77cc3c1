"""Keys changed under a bot, and what then stands under which."""

import base64
import secrets
from pathlib import Path
from typing import Any

from omnibot import follows, hosts, keyed
from omnibot.adapter import Finding
from omnibot.administration import Admin
from omnibot.catalogue import Instances
from omnibot.doctor import verify_rows
from omnibot.follows import Asked, Follow, Told
from omnibot.identity import Assurance
from omnibot.keyed import Standing, keyed_tables
from omnibot.linking import joins
from omnibot.linking.joins import Join
from omnibot.message import Channel, Message, Sent
from omnibot.quiet import Quiet
from omnibot.stores import SecretRows
from omnibot.testing.bench import ADA, Bench, Plan
from omnibot.vault import Keyring, fingerprint


def key_file(plan: Plan) -> Path:
    """Return the key file of the bot that *plan* describes."""
    return plan.directory / "omnibot.key"


def put_on_top(path: Path) -> str:
    """Let the key file at *path* have another key above its others; return that one's id."""
    secret = secrets.token_bytes(32)
    line = f"{fingerprint(secret)} {base64.b64encode(secret).decode()}\n"
    path.write_text(line + path.read_text("ascii"), "ascii")
    return fingerprint(secret)


def admin(bench: Bench) -> Admin:
    """Return who administers *bench*."""
    return Admin(bench.core, key_file(bench.plan), running=True)


async def do(bench: Bench, op: str, **args: Any) -> Any:
    """Do an operation as the control socket does it, and drop what it says meanwhile."""
    return await admin(bench).perform(op, args, lambda _: None)


def standing(plan: Plan) -> Standing:
    """Return what stands under which key."""
    return keyed.count(plan.directory / "data" / "omnibot.db", keyed_tables(Instances({}, {})))


async def verified(bench: Bench) -> list[Finding]:
    """Return what `omnibot keys verify` finds, with the key file as it is now."""
    ring = Keyring.load(key_file(bench.plan))
    return await verify_rows(bench.plan.directory / "data", ring, bench.core.options.instances)


def all_good(findings: list[Finding]) -> bool:
    """Whether nothing was found wrong, nor left unseen."""
    return ["good"] == [one.level for one in findings]


async def a_row_of_everything(bench: Bench) -> None:
    """Put something into every table that stands under a master key, beside what linking left there."""
    core = bench.core
    account = (await bench.rows("SELECT id, person FROM accounts WHERE status = 'active'"))[0]
    owner, name = str(account["person"]), str(account["id"])
    channel = Channel("fake", "dm", private=True)
    message = Message("fake", "m-1", ADA, channel, "!watch", bench.clock(), Assurance.STRONG)
    follow = Follow(
        id="f" * 32,
        person=owner,
        account=name,
        identity=ADA,
        skill="notes",
        follower="look",
        arguments="{}",
        title="a note",
        asked=follows.box(core.sealer, "f" * 32, Asked(1, "watch", message)),
        private=True,
        until=bench.clock() + 3600,
        created=bench.clock(),
    )
    default = {"id": "d-1", "person": owner, "network": "fake", "channel": "ops", "provider": "demo", "target": name}
    host = {"provider": "demo", "host": "x.example", "status": "asked", "asked_by": "[]", "created": bench.clock()}
    tables = {one.table: one for one in keyed_tables(core.options.instances)}
    assert tables["defaults"].tagged is not None
    async with core.database.transaction() as tx:
        await follows.insert(tx, core.sealer, follow)
        await follows.tell(tx, core.sealer, follow.id, Told("so far", 1.0, 1, Sent("fake", "dm", "9")))
        await tx.insert("defaults", core.sealer.stamp(tables["defaults"].tagged, default))
        await core.quiet.choose(tx, owner, Quiet(22 * 60, 7 * 60, "Europe/Berlin"))
        await tx.insert("hosts", core.sealer.stamp(hosts.TABLE, host))
        await joins.insert(tx, core.sealer, Join("j-1", ADA, Assurance.STRONG, bench.clock(), bench.clock() + 600))
        await joins.vouch(tx, core.sealer, ADA, Assurance.STRONG, bench.clock())
        was = {"id": "e" * 32, "person": owner, "pseudonym": "somebody"}
        await tx.insert("former", core.sealer.stamp(joins.FORMER, was))
    await SecretRows(core.database, core.sealer, "fake").set("seed", b"an adapter's secret")
    await core.intake.accept("fake", [message], "position 1")
