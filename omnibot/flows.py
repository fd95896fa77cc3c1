"""Moved: see omnibot.linking.flows."""

from omnibot.linking.flows import *  # noqa: F403
