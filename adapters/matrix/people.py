"""Who speaks on Matrix.

A person is their MXID, whole and letter for letter: the homeserver that it names vouches for it, and ours has
checked that the event came from there.  Names that people give themselves are shown and never compared (A29),
so a look-alike is simply somebody else.
"""

import re
from dataclasses import dataclass
from fnmatch import fnmatchcase

from adapters.matrix.settings import Settings
from omnibot.identity import Assurance, Guest, Identity, Speaker
from omnibot.markup import printable
from omnibot.message import Origin

LONGEST_MXID = 255
"""Bytes (appendices, "User Identifiers")."""

LONGEST_NAME = 64
"""How much of a display name is shown."""

# The appendices' grammar of server names; IPv6 has its brackets.
_SERVER = re.compile(r"(?:\[[0-9A-Fa-f:.]{2,45}\]|[0-9A-Za-z.-]{1,255})(?::[0-9]{1,5})?", re.ASCII)
_UNSEEN = re.compile(r"[\s\ufe00-\ufe0f]")
_LIKE_MXID = re.compile(r"[@\uff20\ufe6b]\S*[:\uff1a\ufe55]")


@dataclass(frozen=True, slots=True)
class Sender:
    """Who is behind an event."""

    speaker: Speaker
    origin: Origin
    assurance: Assurance | None


def server_of(mxid: object) -> str | None:
    """Return the homeserver that gave *mxid* out; None if that is no MXID that the bot deals with.

    The grammar is the appendices' "User Identifiers", historical ones included.  Of what rooms may hold besides,
    other scripts are taken, for a letter that is seen is a letter that can be told; localparts that are empty, or
    have white space or anything without ink in them, are nobody's: shown, they would pass for another's.
    """
    if not isinstance(mxid, str) or not mxid.startswith("@") or len(mxid) > LONGEST_MXID:
        return None
    local, _, server = mxid[1:].partition(":")
    if not local or printable(local) != local or _UNSEEN.search(local) or not _SERVER.fullmatch(server):
        return None
    return server if len(mxid.encode()) <= LONGEST_MXID else None


def sender(
    network: str, settings: Settings, mxid: object, display: object = None, *, notice: bool = False
) -> Sender | None:
    """Return who *mxid* is; None for nobody, and for people of other homeservers where federation is denied.

    *display* is what the room calls them; a *notice* is an event that only bots send.  A ghost is a `Guest`: the
    homeserver vouches for its bridge, and the bridge for whom it likes.
    """
    if mxid == settings.user:
        return Sender(Guest(network, settings.user, settings.user), Origin.SELF, None)
    vouched = assurance(settings, mxid)
    if vouched is None or not isinstance(mxid, str):
        return None
    name = shown(display)
    if is_ghost(settings, mxid):
        return Sender(Guest(network, mxid, name), Origin.GHOST, None)
    return Sender(Identity(network, mxid, display=name), Origin.BOT if notice else Origin.PERSON, vouched)


def assurance(settings: Settings, mxid: object) -> Assurance | None:
    """Return how strongly *mxid* is vouched for; None for nobody, and where federation is denied.

    Server names are compared letter for letter (the specification holds them to be case-sensitive), but for the
    operator's own list.
    """
    server = server_of(mxid)
    if server is None:
        return None
    if server == settings.server or server.lower() in {one.lower() for one in settings.trusted}:
        return Assurance.STRONG
    return Assurance.ACCOUNT if settings.federation == "allow" else None


def is_ghost(settings: Settings, mxid: str) -> bool:
    """Return whether a bridge speaks as *mxid*; capitals in it or in the globs make no difference."""
    return any(matches(mxid.lower(), glob.lower()) for glob in settings.ghosts)


def may_invite(settings: Settings, inviter: object) -> bool:
    """Return whether the bot follows an invitation of *inviter*, an MXID: never one of whom it would not hear."""
    vouched = assurance(settings, inviter)
    if vouched is None or not isinstance(inviter, str) or inviter == settings.user or is_ghost(settings, inviter):
        return False
    match settings.invites:
        case "homeserver":
            return vouched is Assurance.STRONG
        case "listed":
            return any(matches(inviter, glob) for glob in settings.inviters)
        case "any":
            return True
        case "none":
            return False


def matches(mxid: str, glob: str) -> bool:
    """Return whether *glob* fits: ``*`` is anything, ``?`` one character, all else itself.

    A glob with a colon is compared on either side of it, so that ``@*bridge*:*`` is about localparts alone, even
    where a homeserver is called like that and has a port.
    """
    glob = glob.replace("[", "[[]")  # IPv6 is no set of characters
    if ":" not in glob:
        return fnmatchcase(mxid, glob)
    local, _, server = mxid.partition(":")
    left, _, right = glob.partition(":")
    return fnmatchcase(local, left) and fnmatchcase(server, right)


def shown(display: object) -> str:
    """Return a display name as it may be shown; empty for none, and for one that looks like somebody's MXID."""
    if not isinstance(display, str):
        return ""
    name = printable(display[: 8 * LONGEST_NAME])[:LONGEST_NAME].strip()
    return "" if _LIKE_MXID.search(name) else name
