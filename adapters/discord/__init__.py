"""Discord: people are known by their accounts there, and what is private is shown to them alone, in place."""

import warnings

with warnings.catch_warnings():
    # For voice, which the bot has none of; from Python 3.13 on it comes from a package, and is not deprecated.
    warnings.filterwarnings("ignore", message="'audioop' is deprecated", category=DeprecationWarning)
    import discord as discord  # first of all: the modules below import it as well

from adapters.discord.adapter import Adapter
from adapters.discord.asking import setup
from adapters.discord.checking import check
from adapters.discord.settings import Settings

__all__ = ["Adapter", "Settings", "check", "setup"]
