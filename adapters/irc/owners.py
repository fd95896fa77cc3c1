"""Since when the account that somebody is logged in to is registered: what tells an owner from the next.

Services are asked once for each login; the answer holds for as long as the network would tell of the next one.
"""

import time

from adapters.irc.epochs import Services
from adapters.irc.machine import Machine

_STRANGER = 60.0
"""Seconds for which services' word of somebody holds whose logging out the network would not tell of."""


class Owners:
    """Knows, or finds out, the epoch of each account."""

    def __init__(self, machine: Machine, services: Services | None) -> None:
        """Ask *services* of those whom *machine* sees; where there are none, every epoch is empty."""
        self._machine = machine
        self._services = services

    def known(self, nick: str, account: str) -> str | None:
        """Return the epoch of *account*, as which *nick* is logged in; None where services have to be asked (again)."""
        if self._services is None:
            return ""
        user = self._machine.roster.user(nick)
        if user is None or user.account != account:
            return None
        return user.epoch if self._machine.tells_of(nick) or time.monotonic() - user.told < _STRANGER else None

    def is_new(self, nick: str) -> bool:
        """Return whether *nick* was seen to log in: the account may have had another owner before."""
        user = self._machine.roster.user(nick)
        return user is not None and user.anew

    async def epoch(self, nick: str, account: str, *, new: bool = False) -> str | None:
        """Return the same, asking if need be; None where it cannot be told.

        *new* tells that *nick* was seen to log in, where the network may have forgotten it since.
        """
        known = self.known(nick, account)
        if known is not None or self._services is None:
            return known
        user = self._machine.roster.user(nick)
        login = user.login if user is not None else 0
        found = await self._services.registered(account, anew=new or self.is_new(nick))
        if found is not None and found.fresh and user is not None and user.login == login and user.account == account:
            user.epoch, user.told = found.value, time.monotonic()
        return None if found is None else found.value
