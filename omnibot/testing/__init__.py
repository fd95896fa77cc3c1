"""What tests of a bot, of a skill and of an adapter are written with.

`omnibot.testing.bench` is a whole bot; `omnibot.testing.fakes` a network that is not there;
`omnibot.testing.conformance` what every adapter has to pass; `omnibot.pytest_plugin` makes
the fixture ``bench`` of it all.  The demo service (`omnibot.demo.provider`) is the provider.
"""

from omnibot.demo.provider import DemoClient as FakeClient
from omnibot.demo.provider import DemoProvider as FakeProvider
from omnibot.testing.bench import ADA, GRACE, MALLORY, Bench, Clock, Plan
from omnibot.testing.fakes import FORMLESS, NARROW, POOR, RICH, WIDE, FakeAdapter, FakeStore, Said

__all__ = [
    "ADA",
    "FORMLESS",
    "GRACE",
    "MALLORY",
    "NARROW",
    "POOR",
    "RICH",
    "WIDE",
    "Bench",
    "Clock",
    "FakeAdapter",
    "FakeClient",
    "FakeProvider",
    "FakeStore",
    "Plan",
    "Said",
]
