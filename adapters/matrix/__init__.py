"""Matrix: people are known by their MXIDs, rooms are encrypted end to end, and the bot's device is signed."""

import logging

from adapters.matrix.adapter import Adapter
from adapters.matrix.anew import restored
from adapters.matrix.asking import setup
from adapters.matrix.checking import check
from adapters.matrix.settings import Settings

__all__ = ["Adapter", "Settings", "check", "restored", "setup"]

for _library in ("nio", "peewee"):
    logging.getLogger(_library).setLevel(logging.CRITICAL)  # they repeat what they were given
