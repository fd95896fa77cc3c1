"""Asking whether a device's code has been typed (RFC 8628 section 3.4), until it has, or its time is over.

Where the operator allows that way at all, it ends as every other does: with a pending account that
its asker has to confirm.  Here it is named to them first, since anybody may have typed the code.
"""

import asyncio
import contextlib
import json
import logging
from collections.abc import Awaitable, Callable

from omnibot.accounts import Account
from omnibot.errors import OAuthError, OmnibotError, StorageTrouble, Upstream, VaultError
from omnibot.linking import flows
from omnibot.linking.browser import Browser
from omnibot.linking.exchange import Exchange
from omnibot.linking.flows import Flow, FlowError
from omnibot.linking.services import LinkServices
from omnibot.markup import escape
from omnibot.message import Form, Reply

log = logging.getLogger(__name__)

_SLOWER = 5.0
"""Seconds that ``slow_down`` adds to the interval, for good (section 3.5)."""

_LONGEST_INTERVAL = 60.0
_WHY = {"access_denied": "denied", "expired_token": "expired"}


class Polling:
    """Polls, one task for each flow."""

    def __init__(
        self, services: LinkServices, browser: Browser, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    ) -> None:
        """Hand what comes of it to *browser*; *sleep* lets seconds pass between two questions."""
        self._with = services
        self._sleep = sleep
        self._browser = browser
        self._exchange = Exchange(services.http, services.clock)
        self._tasks: set[asyncio.Task[None]] = set()

    def begin(self, flow: Flow) -> None:
        """Ask for *flow*, whose codes have just been given out, from now on."""
        task = asyncio.create_task(self._poll(flow), name="a device's code")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def recover(self) -> None:
        """Go on asking for what was open before a restart."""
        for flow in await flows.in_state(self._with.database, self._with.sealer, "open"):
            if flow.way == "device" and flow.identity.network in self._with.logins:  # switched on meanwhile
                await self._with.endings.burn(flow, "interrupted")
            elif flow.way == "device" and flow.verifier is not None:
                self.begin(flow)

    async def close(self) -> None:
        """Ask no more; what is open stays so, and is asked for after the next start."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _poll(self, flow: Flow) -> None:
        try:
            opened = self._with.sealer.unbox(f"verifier:{flow.id}", flow.verifier or b"")
            device_code, interval = json.loads(opened)
            with contextlib.suppress(FlowError):  # it has ended, and its asker knows
                await self._ask_until_done(flow, device_code, interval)
        except VaultError as error:
            log.warning("a device's code cannot be asked about: %s", type(error).__name__)
        except StorageTrouble as error:
            log.warning("what a device's code led to could not be kept, and its link ends: %s", error)
        except Exception:
            log.exception("asking about a device's code failed")

    async def _ask_until_done(self, flow: Flow, device_code: str, interval: float) -> None:
        while True:
            await self._sleep(min(interval, max(1.0, flow.until - self._with.clock())))
            current = await flows.find(self._with.database, self._with.sealer, "id", flow.id)
            if current is None or current.state != "open" or current.expired(self._with.clock()):
                return
            try:
                token = await self._exchange.device_token(self._with.instance(flow), flow, device_code)
            except OAuthError as error:
                if error.code == "slow_down":
                    interval += _SLOWER
                elif error.code == "temporarily_unavailable":
                    interval = min(interval * 2, _LONGEST_INTERVAL)
                elif error.code != "authorization_pending":
                    await self._over(flow, error.code)
                    return
            except Upstream:  # section 3.5: back off where it cannot be reached
                interval = min(interval * 2, _LONGEST_INTERVAL)
            except OmnibotError:  # its host was refused, or is configured no more
                await self._over(flow, "")
                return
            else:
                await self._browser.typed(flow, token, self._named)
                return

    async def _over(self, flow: Flow, code: str) -> None:
        log.info("a device's code for %s came to nothing", flow.provider)
        why = _WHY.get(code, "exchange_failed")
        if why == "expired":
            await self._with.endings.burn(flow, "expired", "expired")
        else:
            await self._with.endings.burn(flow, why)

    def _named(self, flow: Flow, account: Account, code: str) -> Reply:
        """Return what the asker is told: whose account it is, and how to say that it is theirs."""
        title, left = escape(self._with.instance(flow).title), (flow.until - self._with.clock()) / 60
        text = (
            f"Somebody has typed my code at {title}, signed in as **{escape(account.login)}**. If that was you, and "
            f"that account is your own, say `{self._with.prefix}confirm {flows.shown(code)}` within {left:.0f} "
            "minutes. "
            "If not, say nothing: it is given back, and nothing is linked."
        )
        return Reply(text, form=Form("Type the code", "The code in this message", "confirm"))
