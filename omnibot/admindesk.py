"""What an admin can do to the bot, as an admin's command is given it."""

from typing import Any, Protocol


class AdminDesk(Protocol):
    """Carries operations out, in the name of one admin; what each takes and returns is plain data.

    An operation is named as on the command line: ``networks reconnect``.  Those that concern keys, backups and
    the whole record are not done from chat.
    """

    async def perform(self, op: str, **args: object) -> Any:
        """Do the operation *op* with *args*; return what it returns.

        Raises:
            Denied: the speaker is no admin, or not any more.
            UserError: it was refused; the text says why.
        """
        ...
