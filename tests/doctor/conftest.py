"""A configuration in which nothing is wrong, and a service to name in it."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from omnibot.demo.provider import DemoProvider
from omnibot.vault import new_key_file


@pytest.fixture
def path(tmp_path: Path, unused_tcp_port: int) -> Path:
    """A configuration in which nothing is wrong, with its key; nothing has run yet."""
    path = tmp_path / "config.yaml"
    path.write_text(
        f"listen: 127.0.0.1:{unused_tcp_port}\npublic_url: http://127.0.0.1:{unused_tcp_port}\nskills: [ping]\n",
        "utf-8",
    )
    (tmp_path / "data").mkdir(mode=0o700)
    new_key_file(tmp_path / "data" / "omnibot.key")
    return path


@pytest.fixture
async def provider() -> AsyncIterator[DemoProvider]:
    async with DemoProvider() as provider:
        yield provider
