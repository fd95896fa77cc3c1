"""``python -m bench [NAME…]``: run the benchmarks of those names, or all of them."""

import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from bench import commands, irc, linking, lookups, matrix, rotation, sealing, starting
from bench.all import everything
from bench.figures import Figure

BENCHES: Mapping[str, Callable[[Path], Sequence[Figure]]] = {
    "unlinked": commands.unlinked,
    "linked": commands.linked,
    "vault": sealing.vault,
    "flows": linking.flows,
    "start": starting.start,
    "lookups": lookups.lookups,
    "rotation": rotation.rotation,
    "irc": irc.irc,
    "matrix": matrix.matrix,
    "all": everything,
}


def main(names: Sequence[str]) -> int:
    """Run the benchmarks called *names*, each in a folder of its own; return the exit status."""
    unknown = [name for name in names if name not in BENCHES]
    if unknown:
        print(f"There is no benchmark {', '.join(unknown)}. Choose from: {', '.join(BENCHES)}.", file=sys.stderr)
        return 2
    for name in names or BENCHES:
        start = time.perf_counter()
        with tempfile.TemporaryDirectory(prefix="omnibot-bench-") as scratch:
            found = BENCHES[name](Path(scratch))
        print(f"{name}  ({time.perf_counter() - start:.0f} s)")
        for figure in found:
            print(f"  {figure}")
        print(flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
