"""Starts Home Assistant with what ``configuration.yaml`` names, and with nothing else.

It runs in an environment of its own, which has Home Assistant and nothing of ours.  Home Assistant itself is
as it is published.  Left out is what it sets up unasked: its pages, which are JavaScript, are a package
of their own, and what looks for devices, counts users and makes backups would go out or slow the start.
"""

import sys
from collections.abc import Callable

import bcrypt  # type: ignore[import-not-found]  # it is in the server's own environment
from homeassistant import __main__, bootstrap  # type: ignore[import-not-found]  # as above

_gensalt: Callable[..., bytes] = bcrypt.gensalt
bcrypt.gensalt = lambda rounds=4, prefix=b"2b": _gensalt(4, prefix)  # a quarter of a second at each log-in otherwise

bootstrap.DEFAULT_INTEGRATIONS.clear()
bootstrap.CRITICAL_INTEGRATIONS.clear()  # or it would take the missing pages for a failure

sys.exit(__main__.main())
