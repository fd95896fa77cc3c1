"""A process that rotates keys and is killed after each step: ``python -m attacks.rotating FOLDER``.

In FOLDER are ``whole/``, with the data and the key file of a bot that does not run, and ``order.json``.
For each number of steps the whole is copied, and rotated by a fork that dies by itself after so many:
a step is a commit, or a key file put in place.  Another fork goes on to the end.  What was found is
written, a JSON object a line, to standard output.
"""

import asyncio
import itertools
import json
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from omnibot import keyed, rotation, vault
from omnibot.administration import Admin
from omnibot.catalogue import SHIPPED, Instances, ProviderSettings, load_catalogue
from omnibot.core import Core, Options
from omnibot.doctor import verify_rows
from omnibot.keyed import keyed_tables
from omnibot.provider import Secret
from omnibot.sqlite import Connection
from omnibot.vault import Keyring

KILLED = 9
KEY_LAST = "key last"
"""The sabotage: the new key is put into the file when all is done, and not before."""


class Steps:
    """Counts steps, and ends the process after the last."""

    def __init__(self, most: int) -> None:
        self._left = most

    def after[**P, T](self, do: Callable[P, T]) -> Callable[P, T]:
        def stepped(*args: P.args, **named: P.kwargs) -> T:
            done = do(*args, **named)
            self.step()
            return done

        return stepped

    def step(self) -> None:
        self._left -= 1
        if self._left == 0:
            os._exit(KILLED)


def instances(order: dict[str, Any]) -> Instances:
    settings = ProviderSettings("omnibot", Secret("demo-secret"), order["origin"])
    return Instances(load_catalogue(SHIPPED), {"demo": settings})


async def rotate(folder: Path, order: dict[str, Any]) -> dict[str, Any]:
    """Do as `omnibot keys rotate` does where no bot runs."""
    path = folder / "omnibot.key"
    options = Options(folder / "data", Keyring.load(path), instances(order), ())
    core = await Core.open(options)
    try:
        done: dict[str, Any] = await Admin(core, path, running=False).perform(
            "keys rotate", {"renew": order["renew"]}, lambda _: None
        )
        return done
    finally:
        await core.close()


def stepwise(steps: Steps) -> None:
    """Let *steps* count, in this process."""
    commit = Connection.commit

    async def committed(self: Connection) -> None:
        await commit(self)
        steps.step()

    Connection.commit = committed  # type: ignore[method-assign, assignment]
    vault._write_keys = steps.after(vault._write_keys)
    rotation._BATCH = 6


def key_last() -> None:
    """Hand out the new key before it is anywhere but in memory."""

    async def add_key(self: Admin) -> str:
        path = self._key_file
        copy = path.with_name("later")
        shutil.copy(path, copy)
        key = vault.add_key(copy)
        self._core.keyring.adopt(Keyring.load(copy))
        return key

    Admin._add_key = add_key  # type: ignore[method-assign]


def in_fork(work: Callable[[], object]) -> int:
    """Do *work* in another process; return its exit status."""
    child = os.fork()
    if not child:
        try:
            work()
            os._exit(0)
        except BaseException as error:  # noqa: BLE001 - whatever it is, it must not go on as the parent
            sys.stderr.write(f"{error!r}\n")
            os._exit(1)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def killed_after(number: int, folder: Path, order: dict[str, Any]) -> int:
    def work() -> None:
        stepwise(Steps(number))
        if order["sabotage"] == KEY_LAST:
            key_last()
        asyncio.run(rotate(folder, order))

    return in_fork(work)


async def found(folder: Path, order: dict[str, Any]) -> dict[str, Any]:
    """Return what is wrong with the rows in *folder*, and under which keys they stand."""
    ring, known = Keyring.load(folder / "omnibot.key"), instances(order)
    findings = await verify_rows(folder / "data", ring, known)
    standing = keyed.count(folder / "data" / "omnibot.db", keyed_tables(known))
    wrong = [str(one) for one in findings if one.level != "good"]
    return {"wrong": wrong, "under": dict(standing.rows), "keys": ring.ids}


def main(folder: Path) -> None:
    order = json.loads((folder / "order.json").read_text())
    for number in itertools.count(1):
        copy = folder / f"after-{number}"
        shutil.copytree(folder / "whole", copy)
        status = killed_after(number, copy, order)
        between = asyncio.run(found(copy, order))
        if order.get("keep") == number:
            shutil.copytree(copy, folder / "kept")
        resumed = in_fork(lambda: asyncio.run(rotate(copy, order)))  # noqa: B023 - called before the next round
        result = {"status": status, "between": between, "resumed": resumed, "after": asyncio.run(found(copy, order))}
        sys.stdout.write(f"{json.dumps(result)}\n")
        sys.stdout.flush()
        shutil.rmtree(copy)
        if status != KILLED:
            return


if __name__ == "__main__":
    main(Path(sys.argv[1]))
