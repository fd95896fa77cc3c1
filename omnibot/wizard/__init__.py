"""``omnibot init``: a commented configuration, its secrets and a key, from a conversation.

Everything may be skipped.  Nothing is written before the last question was answered, and then all of it or nothing.
"""

import getpass
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

from omnibot import service
from omnibot.config import Settings
from omnibot.errors import ConfigError
from omnibot.wizard.draft import Draft, found_in
from omnibot.wizard.networks import ask_networks, invitations, known_by
from omnibot.wizard.services import ask_services
from omnibot.wizard.talk import Talk
from omnibot.wizard.writing import publish, see_that_it_can_be

__all__ = ["Talk", "write"]

_UNIT = "omnibot.service"

_PUBLIC_URL = """\
Where will browsers reach this bot? People who link an account open a page of it: an https address that your reverse
proxy passes on to 127.0.0.1:8080. Without one they paste an address back into the chat instead, which works
everywhere and is weaker against being talked into it."""

_ADMINS = """\
Admins: who is told of trouble and asked what an admin decides. They are named as the network vouches for them, and
`!whoami` tells everybody their own name; you may leave this empty now and add them under `admins` later."""


def write(
    path: Path,
    *,
    yes: bool,
    public_url: str = "",
    talk: Talk | None = None,
    check: Callable[[], object] | None = None,
) -> int:
    """Write a configuration at *path*, a key, and secrets beside it; return the exit status.  Nothing is overwritten.

    With *yes* nothing is asked, and neither where nobody can answer but *public_url* was given.  *talk* is by
    default the terminal; *check* is what looks the result over, if that is wanted.

    Raises:
        ConfigError: it cannot be written there, or *public_url* is none.
    """
    if path.exists():
        print(
            f"{path} exists already. Move it away, or edit it; `omnibot check` helps. "
            "A further network or service is an entry under `networks` or `providers`, as the comments there show.",
            file=sys.stderr,
        )
        return 1
    if not yes and talk is None and not sys.stdin.isatty():
        if not public_url:
            print("There is nobody to ask. `omnibot init --yes` asks nothing.", file=sys.stderr)
            return 1
        yes = True
    see_that_it_can_be(path)
    draft = Draft(public_url.strip())
    found_in(draft)
    if yes:
        _publish(path, draft, Talk(), None)
        return 0
    talk = talk or Talk()
    try:
        return _interview(path, draft, talk, check)
    except (EOFError, KeyboardInterrupt) as error:
        said = f"{path} is written, with all that belongs to it" if path.exists() else "nothing was written"
        print(f"\nStopped: {said}.", file=sys.stderr)
        return 1 if isinstance(error, EOFError) else 130


def _interview(path: Path, draft: Draft, talk: Talk, check: Callable[[], object] | None) -> int:
    talk.say(f"This makes {path}, from a few questions. Enter takes what stands in [brackets]; Ctrl-C ends it, and")
    talk.say("then nothing is written. Passwords are not shown, and go into files that only you can read.")
    if not draft.public_url:
        draft = _ask_public_url(talk, draft)
    draft = ask_networks(talk, draft)
    draft = ask_services(talk, draft)
    draft = _ask_admins(talk, draft)
    user = _ask_unit(talk, path)
    if not talk.agrees(f"\nWrite {path} now?", default=True):
        talk.say("Nothing was written.")
        return 1
    _publish(path, draft, talk, None if user is None else partial(_unit, path, user))
    if check is not None and _wants_check(talk):
        check()
    return 0


def _ask_public_url(talk: Talk, draft: Draft) -> Draft:
    talk.say(f"\n{_PUBLIC_URL}")
    while True:
        wanted = replace(draft, public_url=talk.ask("Public address, as https://bot.example.org (empty: none)"))
        if not _wrong(talk, wanted):
            return wanted


def _ask_admins(talk: Talk, draft: Draft) -> Draft:
    talk.say(f"\n{_ADMINS}")
    for network, who in known_by(draft).items():
        talk.say(f"  {network}:SUBJECT" + (f", where SUBJECT is {who}" if who else ""))
    while name := talk.ask("Admin, as network:subject (empty: no other)"):
        wanted = replace(draft, admins=tuple(dict.fromkeys((*draft.admins, name))))
        if not _wrong(talk, wanted):
            draft = wanted
    return draft


def _ask_unit(talk: Talk, path: Path) -> str | None:
    """Return the user as whom systemd is to run the bot; None where no unit is wanted."""
    if path.with_name(_UNIT).exists():
        talk.say(f"\n{path.with_name(_UNIT)} exists already, and stays as it is.")
        return None
    if not talk.agrees(f"\nWrite a unit for systemd as well, {_UNIT}?", default=False):
        return None
    while True:
        user = talk.ask("The user as whom the bot runs, who has to be able to read these files", getpass.getuser())
        try:
            service.unit(user=user)
        except ValueError as error:
            talk.say(f"  {error}.")
        else:
            return user


def _wrong(talk: Talk, draft: Draft) -> bool:
    """Return whether *draft* cannot be used; tell why."""
    try:
        found_in(draft)
    except ConfigError as error:
        for problem in error.problems:
            talk.say(f"  {replace(problem, where='')}")
        return True
    return False


def _wants_check(talk: Talk) -> bool:
    try:
        return talk.agrees("\nLook everything over now? (omnibot check)", default=True)
    except (EOFError, KeyboardInterrupt):  # all is written: that is no reason to say otherwise
        return False


def _unit(path: Path, user: str, settings: Settings) -> tuple[Path, str]:
    """Return where the unit goes, and its text: for the bot as it is installed and configured here.

    Raises:
        ValueError: a path or the *user* has a character that a unit cannot hold.
    """
    command = Path(sys.executable).with_name("omnibot")
    text = service.unit(
        exec_path=str(command if command.exists() else Path(sys.argv[0]).absolute()),
        config=str(path.absolute()),
        user=user,
        data=str(settings.data_dir),
        key=None,  # the bot reads both itself, where the configuration says
        secrets=None,
    )
    return path.with_name(_UNIT), text


def _publish(path: Path, draft: Draft, talk: Talk, unit: Callable[[Settings], tuple[Path, str]] | None) -> None:
    """Write everything, and say what was written and what comes next."""
    written = publish(path, draft, unit)
    talk.say(f"Wrote {path} and the key {written.settings.key_file}.")
    for file in written.secrets:
        talk.say(f"Wrote {file}: a secret, readable by you alone.")
    if written.unit is not None:
        talk.say(f"Wrote {written.unit}. To install it: sudo systemctl enable --now {written.unit.absolute()}")
    for line in invitations(draft):
        talk.say(line)
    talk.say("Keep a copy of the key apart. Next: omnibot check, omnibot run")
