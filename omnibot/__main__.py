"""``python -m omnibot`` and the ``omnibot`` command."""

import sys


def main() -> int:
    """Run the command line; return its exit status."""
    from omnibot.cli import run

    return run(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
