"""``python -m bench.soak [--people N] [--pace N] [--kill-every S] [--cut-every S] [--seed N]``."""

import argparse
import asyncio
import sys
import tempfile
from functools import partial
from pathlib import Path

from bench.soak.run import Plan, soak


def main() -> int:
    """Soak the bot; return 0 if everything held."""
    parser = argparse.ArgumentParser(prog="python -m bench.soak", description=__doc__)
    plan = Plan()
    parser.add_argument("--people", type=int, default=plan.people, help="how many link and act")
    parser.add_argument("--pace", type=float, default=plan.pace, help="how many of them begin in a second")
    parser.add_argument("--kill-every", type=float, default=plan.kill_every, help="seconds between kills of the bot")
    parser.add_argument("--cut-every", type=float, default=plan.cut_every, help="seconds between cuts of the network")
    parser.add_argument("--seed", type=int, default=plan.seed, help="what chance is drawn from")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="omnibot-soak-") as scratch:
        report = asyncio.run(soak(Path(scratch), Plan(**vars(arguments)), partial(print, flush=True)))
    print(report)
    return 1 if report.broken else 0


if __name__ == "__main__":
    sys.exit(main())
