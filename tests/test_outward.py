"""The outward client is there when it is needed, and not before."""

import asyncio
import subprocess
import sys

from omnibot.core import Outward
from omnibot.errors import Upstream
from omnibot.ports import free_port
from omnibot.wire import Request


def test_a_bot_that_links_nothing_does_not_import_it() -> None:
    """Importing the core imports no HTTP library: a fifth of a second and ten megabytes are spared."""
    check = "import sys, omnibot.core; sys.exit('aiohttp' in sys.modules)"

    done = subprocess.run([sys.executable, "-c", check], check=False)  # noqa: S603 - ourselves

    assert 0 == done.returncode


async def test_many_may_be_the_first() -> None:
    """Requests that come at once share one client, and it can be closed."""
    origin = f"http://127.0.0.1:{free_port()}"
    outward = Outward()
    request = Request("GET", f"{origin}/")
    sent = (outward.send(request, origins=frozenset({origin}), private=True) for _ in range(3))
    outcomes = await asyncio.gather(*sent, return_exceptions=True)
    await outward.close()

    assert [Upstream] * 3 == [type(one) for one in outcomes]


async def test_one_that_was_never_used_closes() -> None:
    """There is nothing to close, and that is no error."""
    await Outward().close()
