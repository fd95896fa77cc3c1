"""What the pages say when there is nothing to do on them but read.

Every such page tells what happened and what to do about it, and says in so many words
whether anything was connected: that is what somebody who lands on one wants to know.
"""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Words:
    """What a page says when there is nothing to do on it but read."""

    status: int
    """The HTTP status it is answered with."""

    title: str
    text: str
    """What happened."""

    cure: str = ""
    """What to do about it; empty where nothing needs doing."""


_ANEW = "Ask the bot for a new link, in chat."
_NOT_YOURS = "If you did not ask for it, there is nothing to do: nothing is connected."

FLOW_WORDS: Mapping[str, Words] = {
    "unknown": Words(
        404,
        "No such link",
        "The bot does not know this link. Links are long: a part of it may have been lost on the way.",
        f"Open it again from the bot's own message. If that is where you are coming from: {_ANEW.lower()}",
    ),
    "expired": Words(
        410,
        "Too late",
        "This link has run out. Nothing more can come of it, and nothing was connected.",
        _ANEW,
    ),
    "spent": Words(
        410,
        "Used already",
        "This link has been used. It works once.",
        "If you used it yourself, go on where you were: in the browser tab with the code, or in chat. "
        f"Otherwise: {_ANEW.lower()}",
    ),
    "ended": Words(
        410, "No longer valid", "This link was refused, or replaced by a newer one.", f"{_ANEW} {_NOT_YOURS}"
    ),
    "other_browser": Words(
        400,
        "Not the same browser",
        "This was begun in another browser, or so long ago that this one has forgotten. "
        "Only where it was begun can it be finished, and its page be seen.",
        "Go back to the browser you began in, or ask the bot for a new link. If you began nowhere and "
        "somebody sent you here, close this page: they may be after your account.",
    ),
    "mix_up": Words(
        400,
        "The wrong service answered",
        "The answer did not come from the service that was asked. It was thrown away, and nothing was connected.",
        f"{_ANEW} If this happens again, tell whoever runs the bot.",
    ),
    "issuer": Words(
        400,
        "The answer cannot be trusted",
        "The answer did not say, as it must, which service it comes from. It was thrown away, and nothing "
        "was connected.",
        f"{_ANEW} If this happens again, tell whoever runs the bot.",
    ),
    "denied": Words(
        403,
        "You said no",
        "The service reports that you did not agree, so nothing was connected.",
        "You can close this page. If you meant to agree, ask the bot for a new link.",
    ),
    "provider_error": Words(
        502,
        "The service would not do it",
        "The service answered with an error instead of a permission. Nothing was connected.",
        "Try again with a new link. If it stays like this, tell whoever runs the bot: how the bot is "
        "registered at the service may be wrong.",
    ),
    "bad_callback": Words(
        400,
        "Nothing to go on",
        "This address is where a service sends your browser back to, and what it brought along is not a "
        "service's answer. Nothing was connected.",
        _ANEW,
    ),
    "exchange_failed": Words(
        502,
        "The service took it back",
        "You agreed, but the service then would not complete the connection. Nothing was connected.",
        f"{_ANEW} If this happens again, tell whoever runs the bot.",
    ),
    "extra_scopes": Words(
        403,
        "More than was asked for",
        "The service granted more than the bot had asked it for, and whoever runs this bot does not take that. It is "
        "being given back, and nothing was connected.",
        "Tell whoever runs the bot: how the bot is registered at the service may be wrong.",
    ),
    "unavailable": Words(
        503,
        "The service does not answer",
        "The service could not be reached, or took too long. Nothing was connected.",
        "Wait a few minutes, then ask the bot for a new link.",
    ),
    "paste": Words(
        200,
        "Copy this address into the chat",
        "You are nearly there, and nothing has been used up yet. This bot takes its answer in chat.",
        "Copy the whole address from your browser's address bar and paste it to the bot, in private. Do it "
        "yourself and give it to nobody else: whoever asks you for it wants your account.",
    ),
    "bad_key": Words(
        422,
        "The service does not take that key",
        "It may not have been copied whole, or it may have been taken back. Nothing was kept, nothing is connected.",
        "Look at it again and type it once more; after five wrong ones the link ends. If it is right, the service may "
        "take no keys at all: ask who runs it.",
    ),
    "not_asker": Words(
        403,
        "Not who asked",
        "You are signed in as somebody else than the person who asked for this link. So it has ended, nothing was "
        "connected, and whoever asked is told.",
        "If it was you who asked, sign in as yourself there, then ask the bot for a new link. If somebody sent you the "
        "link, they may be after your account: close this page, and tell whoever runs the bot.",
    ),
    "login_denied": Words(
        403,
        "You did not sign in",
        "Only the person who asked can use this link, and you did not sign in as that person. So it has ended, and "
        "nothing was connected.",
        "You can close this page. If it was you who asked, ask the bot for a new link.",
    ),
    "login_failed": Words(
        502,
        "The sign-in did not work",
        "The service that you signed in to did not say who you are. So the link has ended, and nothing was connected.",
        f"{_ANEW} If this happens again, tell whoever runs the bot.",
    ),
    "login_unavailable": Words(
        503,
        "The sign-in does not answer",
        "The service where you have to sign in first could not be reached, or is out of order. Nothing was connected, "
        "and your link is still good.",
        "Open the link from the bot's message again, in a minute.",
    ),
    "not_now": Words(
        503,
        "The service would not begin",
        "The service did not answer, or takes no links from this bot just now. Nothing was connected, and your link "
        "is still good.",
        "Open the link from the bot's message again, in a minute. If it stays like this, tell whoever runs the bot: "
        "how the bot is registered at the service may be wrong.",
    ),
    "not_opened": Words(
        409,
        "Not opened yet",
        "Nobody has been at the service by this link yet. Nothing was connected.",
        "Open the link from the bot's message first.",
    ),
    "unproven": Words(
        403,
        "Sign in first",
        "Only the person who asked can use this link, and it is not known yet whether that is you. Nothing was "
        "connected.",
        "Open the link from the bot's message again, and press Continue there.",
    ),
    "vault": Words(
        503,
        "The bot cannot keep secrets just now",
        "The key under which the bot keeps what it is trusted with is missing, so it takes nothing in. "
        "Nothing was connected.",
        "Tell whoever runs the bot; its log says which key.",
    ),
}
"""What is said for each code of a `FlowError`."""

KEY_LATER = Words(
    503,
    "The service did not answer",
    "So it is not known yet whose key that is. Nothing was kept. Try again in a minute.",
)
"""What the form for a key says when the service could not be asked."""

ENDED_WORDS: Mapping[str, Words] = {
    "refused": Words(
        200,
        "Refused",
        "Nothing was connected, and nobody can act as you. The person who asked is told that you refused.",
        "You can close this page. If somebody sent you the link, tell whoever runs the bot about it.",
    ),
    "not_me": Words(
        200,
        "Disconnected",
        "Nobody acts as you through this any more. What the service had handed over is erased here, and is "
        "being given back to the service. Whoever asked is told.",
        "You can close this page. If somebody talked you into this, tell whoever runs the bot about it.",
    ),
    "not_me_kept": Words(
        200,
        "Disconnected",
        "Nobody acts as you through this any more: what the bot had been given is erased here. It cannot be given "
        "back from here. Whoever asked is told.",
        "Take it back yourself, on the service's own page: delete the key, or the bot's permission. If somebody "
        "talked you into this, tell whoever runs the bot about it.",
    ),
    "unlinked": Words(
        200,
        "No longer connected",
        "This was connected, and is so no more: it was unlinked since, or a newer link has taken its place.",
        "There is nothing to do. If you want it back, ask the bot for a new link, in chat.",
    ),
    "locked": Words(200, "Too many wrong codes", "The code was mistyped too often. Nothing was connected.", _ANEW),
    "bad_key": Words(
        200, "Too many wrong keys", "The service took none of them. Nothing was kept, nothing is connected.", _ANEW
    ),
    "crowded": Words(
        200,
        "Given way",
        "Very many links were asked for at once, and this one, which nobody had opened, gave way. "
        "Nothing was connected.",
        _ANEW,
    ),
    "replaced": Words(
        200, "Replaced", "A newer link was asked for, so this one has ended. Nothing was connected.", _ANEW
    ),
    "stolen": Words(
        200,
        "Somebody else had the code",
        "Somebody other than the person who asked spoke the code. So this has ended, and nothing was connected.",
        f"{_ANEW} Keep the code to yourself this time.",
    ),
    "seen": Words(
        200,
        "Seen by others",
        "The link or the code was seen in a room with other readers. So this has ended, and nothing was connected.",
        f"{_ANEW} Open it yourself, and show it to nobody.",
    ),
    "interrupted": Words(
        200,
        "Interrupted",
        "The bot was restarted while the service was answering. Nothing was connected.",
        _ANEW,
    ),
    "cancelled": Words(
        200, "Called off", "Whoever asked called it off in chat. Nothing was connected.", "You can close this page."
    ),
    "not_asker": Words(
        200,
        "Not who asked",
        "Somebody else signed in than the person who asked. So this has ended, and nothing was connected.",
        f"If it was you who asked, sign in as yourself this time. {_ANEW}",
    ),
    "unfinished": Words(
        200,
        "Not finished yet",
        "The service has not answered yet. Nothing is connected.",
        "Finish at the service, in the browser tab where you began; or reload this page in a moment.",
    ),
}
"""What is said for the other reasons a flow ends for, and for one that has come to no end."""

HTTP_WORDS: Mapping[int, Words] = {
    400: Words(400, "Not understood", "Your browser sent something that cannot be read.", _ANEW),
    403: Words(
        403,
        "Not sent from the bot's own page",
        "This form was not sent from the page it belongs to, or that page had grown too old. Nothing was done.",
        "Open the link from the bot's message again, and press the button there.",
    ),
    404: Words(404, "Nothing here", "There is no page at this address.", "Ask the bot, in chat."),
    405: Words(405, "Not like this", "That cannot be done with this page.", "Open the bot's link again."),
    408: Words(408, "Too slow", "What your browser sent did not arrive in time. Nothing was done.", "Try again."),
    413: Words(413, "Too much", "Your browser sent more than any page here asks for. Nothing was done."),
    415: Words(415, "Not a form", "Your browser sent something other than a form. Nothing was done."),
    421: Words(
        421,
        "Not at this address",
        "The bot is not known by the name you called it by.",
        "Open the link exactly as the bot wrote it. If you run this bot: public_url in its configuration has "
        "to be the address that people use, and a proxy in front has to pass the Host header on unchanged.",
    ),
    500: Words(
        500,
        "Something broke",
        "That went wrong on the bot's side.",
        "Try again in a while. If it stays like this, tell whoever runs the bot.",
    ),
    507: Words(
        507,
        "Nothing can be kept just now",
        "The bot's disk is full, or in other trouble, so nothing was changed.",
        "Reload this page in a while. If it stays like this, tell whoever runs the bot.",
    ),
}
"""What is said for each HTTP status that the listener itself refuses with."""

INDEX_WORDS = Words(200, "omnibot", "This is omnibot's listener. There is nothing to see here; ask the bot in chat.")

_GENERIC = Words(400, "This link has ended", "Nothing was connected.", _ANEW)


def flow_words(code: str) -> Words:
    """Return what to say of a `FlowError` with *code*."""
    return FLOW_WORDS.get(code, _GENERIC)
