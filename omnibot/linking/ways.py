"""By which way an account is linked, of those that its service and this bot's operator leave open.

=========  ================================  ====================  ===========================
way        the secret is entered in          ends by               needs
=========  ================================  ====================  ===========================
redirect   the service's page                the code, in chat     a public address
paste      the service's page                the pasted address    none, and a loopback
                                                                   redirect there
pin        the service's page                the PIN, in chat      OAuth 1.0a
device     the service's page, anywhere      the code that the     the operator's leave
                                             bot names in chat
key        our form, or a private chat       the code; in chat     a public address; for the
                                             the service's word    chat the operator's leave
=========  ================================  ====================  ===========================
"""

from typing import Literal

from omnibot.errors import UserError
from omnibot.markup import escape
from omnibot.provider import Instance, Way

type Wanted = Literal["best", "page", "pin", "key", "device"]
"""How a person wants to link: as is best, by the service's own page, by its PIN, by a key, by a device's code."""

_KINDS: dict[Wanted, tuple[Way, ...]] = {
    "best": ("redirect", "paste", "pin", "device", "key"),
    "page": ("redirect", "paste", "pin"),
    "pin": ("pin",),
    "key": ("key",),
    "device": ("device",),
}


def best_way(instance: Instance, *, public: bool, wanted: Wanted = "best", proven: bool = False) -> Way:
    """Return the first way of *instance*'s provider that is open; *public* says whether we have an address.

    *proven*: that the person at the browser is the asker has to be proven there (``confirm: login``), which is no
    use where anybody may type a device's code anywhere.

    Raises:
        UserError: none is, or not the one that is *wanted*.
    """
    if wanted == "device" and (proven or not instance.device_allowed):
        refuse_device(instance)
    for way in instance.provider.ways:
        if proven and way == "device":
            continue
        if way in _KINDS[wanted] and is_open(instance, way, public=public):
            return way
    raise UserError(_why_none(instance, wanted))


def is_open(instance: Instance, way: Way, *, public: bool) -> bool:
    """Whether accounts at *instance* can be linked by *way*."""
    if way not in instance.provider.ways:
        return False
    if way == "key":
        return public or instance.chat_keys
    if not instance.authorises:
        return False
    if way == "pin":
        return instance.is_oauth1 and instance.pin_allowed
    if way == "device":
        return instance.device_allowed and not instance.is_oauth1
    if way == "redirect":
        return public
    return not (public or instance.is_oauth1) and instance.provider.loopback != "no" and instance.paste_allowed


def refuse_device(instance: Instance) -> None:
    """Refuse to link by a device's code (RFC 8628): it travels the wrong way (section 5.4).

    Whoever asked for it holds the code and only needs a victim to type it: nothing ties the two together.

    Raises:
        UserError: always.
    """
    raise UserError(
        f"Linking {escape(instance.title)} by a device code is disabled by the operator of this bot: "
        "such a code works for whoever talks you into typing it. Leave `--by device` out."
    )


def _why_none(instance: Instance, wanted: Wanted) -> str:
    title = escape(instance.title)
    if wanted in ("key", "pin", "device"):
        what = {"key": "a key", "pin": "a PIN", "device": "a device's code"}[wanted]
        return f"{title} cannot be linked by {what} here. Leave `--by {wanted}` out."
    if wanted == "page" and "key" in instance.provider.ways:
        return f"{title} can be linked here by a key only. Leave `--by page` out."
    return f"{title} cannot be linked while this bot has no public address. Its operator can set `public_url`."
