"""The chat's side of being one person on several networks: what one speaker can say about it, and the words.

Made for one message, as the `Desk` is; what comes back is for its speaker alone.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from omnibot.accounts import Account
from omnibot.desk import IdentityView
from omnibot.errors import UserError
from omnibot.identity import Assurance, Identity
from omnibot.linking import flows, joins
from omnibot.linking.guesses import Guesses
from omnibot.linking.joining import Joining, one_now, who, who_all
from omnibot.linking.services import LinkServices
from omnibot.linking.sharing import Sharing
from omnibot.markup import code as code_span
from omnibot.markup import escape, printable
from omnibot.message import Message

WRONG_JOIN = (
    "That is not a code that I wait for. It is good for ten minutes, and once: ask for another where you got it."
)

_YES = "yes, both are me"
_NO = "no"


class OnePerson:
    """Joins, shares and splits for the speaker of one message."""

    def __init__(
        self,
        services: LinkServices,
        message: Message,
        identity: Identity,
        ask: Callable[[str, Sequence[str]], Awaitable[str]],
        guesses: Guesses,
    ) -> None:
        """Serve *identity*, who said *message*."""
        self._with = services
        self._message = message
        self._identity = identity
        self._ask = ask
        self._guesses = guesses
        self._joining = Joining(services)
        self._sharing = Sharing(services)

    # -- joining -----------------------------------------------------------------------

    async def join(self, said: str) -> str:
        """Make a code, take one that was made elsewhere, or say the last ``yes`` or ``no``."""
        if not said:
            code = flows.shown(await self._joining.begin(self._identity, self._assurance))
            return (
                f"To be one person to me here and elsewhere, say this to me in private on the other network, within "
                f"ten minutes:\n`{self._prefix}join {code}`\nThen come back here: I ask you once more. "
                "Type it yourself. Whoever asks you for it wants to be you."
            )
        if not self._message.channel.private:
            raise UserError("Say that to me in private, not where others read it.")
        if said.lower() == "yes":
            return await self._agree()
        if said.lower() == "no":
            ended = await self._joining.refuse(self._identity)
            return "Nothing is joined, and the code is void." if ended else _NOTHING.format(prefix=self._prefix)
        return await self._typed(said)

    async def _typed(self, code: str) -> str:
        if self._guesses.exhausted(self._identity):
            raise UserError("Too many wrong codes. Wait ten minutes.")
        join = await self._joining.of_code(code)
        if join is None:
            self._guesses.wrong(self._identity)
            await asyncio.sleep(self._guesses.delay)
            raise UserError(WRONG_JOIN)
        if join.maker == self._identity:
            raise UserError("You made that code here. Say it where you want to be known as well; it is still good.")
        if join.maker in await self.identities():
            return f"You and {who(join.maker)} are one person to me already."
        self._check_network(join.maker)
        known = await self._known_of(join.maker)
        # How many, and not which: whoever has come by a code is not shown where else its maker is.
        also = f", one of {len(known)} identities that I know them by. Are they all" if len(known) > 1 else ". Is that"
        question = (
            f"That code was made by {who(join.maker)}{also} you as well?\n"
            "After a yes each of you sees what the other has linked, and can split the two again or have both "
            "forgotten. Nothing that was linked opens to the other until it is shared.\n"
            "If somebody asked you to type it, they want to be you: say no."
        )
        if await self._ask(question, (_YES, _NO)) != _YES:
            await self._joining.void(join.id)
            return "Nothing is joined, and that code is void."
        if not await self._joining.name(join.id, self._identity, self._assurance, known):
            raise UserError(WRONG_JOIN)
        return (
            f"I have asked {who(join.maker)}. Say `{self._prefix}join yes` there, within ten minutes: only then you "
            f"are one person to me. `{self._prefix}join no` takes it back."
        )

    async def _agree(self) -> str:
        join = await self._joining.waiting(self._identity)
        if join is None or join.typer is None:
            raise UserError(await self._why_not())
        if self._assurance < join.assurance:
            raise UserError(f"Say it on {escape(self._identity.network)} the way you asked: this message proves less.")
        self._check_network(join.typer)
        done = await self._joining.agree(join.id)
        if done is None:
            raise UserError(_NOTHING.format(prefix=self._prefix))
        return one_now(await self.identities(), done[1], self._prefix)

    async def _why_not(self) -> str:
        typed = await joins.of_typer(self._with.database, self._with.sealer, self._identity)
        if not typed:
            return _NOTHING.format(prefix=self._prefix)
        return f"You have said yes here already. Say `{self._prefix}join yes` to me as {who(typed[-1].maker)} now."

    def _check_network(self, other: Identity) -> None:
        """Refuse where the other's network may be another than it was, or is not there to be asked (A65)."""
        if not self._with.trusts(other.network) or self._with.delivery.adapter(other.network) is None:
            raise UserError(f"I cannot tell just now who is who on {escape(other.network)}. Try again in a while.")

    # -- sharing -----------------------------------------------------------------------

    async def share(self, account: Account, name: str) -> str:
        """Open *account*, which is within the speaker's reach and called *name*, to the person's other identities."""
        known = await self.identities()
        others = [one for one in known if not account.reaches(one)]
        if not others:
            return f"{name} is open to every identity that I know you by. `{self._prefix}join` adds another."
        strengths = await self._sharing.strengths(account, others)
        question = (
            f"Whoever speaks as one of these can then do all that I can do with {name}:\n{strengths}\n"
            f"It was linked by {who_all([one for one in known if one == account.linked_by])}. Open it to them?"
        )
        if await self._ask(question, ("yes", _NO)) != "yes":
            return f"{name} stays as it is."
        changed = await self._sharing.share(self._identity, account.id, others)
        opened = who_all([one for one in known if changed.reaches(one)])
        return f"{name} may be used by {opened}. `{self._prefix}unshare` takes that back."

    async def unshare(self, account: Account, name: str) -> str:
        """Close *account* again to all but the identity that linked it."""
        if account.reach == (account.linked_by,):
            return f"Only {code_span(str(account.linked_by))}, which linked it, may use {name} as it is."
        await self._sharing.unshare(self._identity, account.id)
        return f"From now on only {code_span(str(account.linked_by))}, which linked it, may use {name}."

    # -- splitting ---------------------------------------------------------------------

    async def split(self, named: str) -> str:
        """Let the identity *named* be a person of its own; without a name, say which there are."""
        known = await self.identities()
        if len(known) < 2:
            return f"I know you by this identity alone: there is nothing to split. `{self._prefix}join` adds another."
        if not named:
            lines = "\n".join(f"- {who(one)}" for one in known)
            return f"I know you as:\n{lines}\n`{self._prefix}split NETWORK:ID` makes one of them a person of its own."
        identity = self._meant(named, known)
        profile = await self._with.people.find(self._identity)
        theirs = [one for one in (profile.accounts if profile else ()) if one.linked_by == identity]
        taken = ", ".join(f"`{one.provider}@{one.alias}`" for one in theirs if one.status != "pending")
        question = (
            f"{who(identity)} becomes a person of its own to me, and takes along what it linked: {taken or 'nothing'}. "
            "What either linked is closed to the other. Split?"
        )
        if await self._ask(question, ("yes", _NO)) != "yes":
            return "Nothing has changed."
        await self._joining.split(self._identity, identity)
        return f"Done: {who(identity)} is a person of its own to me."

    def _meant(self, named: str, known: Sequence[Identity]) -> Identity:
        exact = [one for one in known if str(one) in (named, printable(named))]  # a network may put in what is unseen
        found = exact or [one for one in known if one.network == named]
        if len(found) != 1:
            why = "Several of your identities are there" if found else "None of your identities is called that"
            raise UserError(f"{why}: {code_span(named)}. `{self._prefix}split` lists them, as NETWORK:ID.")
        return found[0]

    # -- looking -----------------------------------------------------------------------

    async def identities(self) -> list[Identity]:
        """Return the identities that are one person with the speaker; the speaker alone if there is no other."""
        return await self._known_of(self._identity)

    async def known(self) -> list[IdentityView]:
        """Return the same, with since when and how strongly each was vouched for."""
        services, found = self._with, list[IdentityView]()
        for one, since in (await self._since_of(self._identity)).items():
            strength = await joins.vouched(services.database, services.sealer, one)
            name = strength.name.lower() if strength is not None else ""
            found.append(IdentityView(str(one), one.display, since, name, speaks=one == self._identity))
        return found

    async def _known_of(self, identity: Identity) -> list[Identity]:
        """Return the identities that are one person with *identity*; itself alone if there is no other."""
        return list(await self._since_of(identity))

    async def _since_of(self, identity: Identity) -> dict[Identity, float]:
        profile = await self._with.people.find(identity)
        return await self._with.people.since(profile.person) if profile else {identity: self._with.clock()}

    @property
    def _assurance(self) -> Assurance:
        return self._message.assurance or Assurance.ACCOUNT

    @property
    def _prefix(self) -> str:
        return self._with.prefix


_NOTHING = "Nothing waits for your yes. `{prefix}join` makes a code, to be said on the other network."
