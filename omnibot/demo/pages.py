"""The demo provider's pages: plain HTML that works without JavaScript, in the dark and on a phone."""

import base64
import hashlib
from collections.abc import Sequence
from html import escape
from urllib.parse import urlsplit

from omnibot.demo.ledger import SCOPES

PEOPLE = ("ada", "grace", "linus")

_STYLE = """
:root { color-scheme: light dark; font: 1.0625rem/1.5 system-ui, sans-serif; }
body { margin: 0; padding: 1.5rem; background: Canvas; color: CanvasText; }
main { max-width: 26rem; margin: 0 auto; overflow-wrap: anywhere; }
h1 { font-size: 1.5rem; line-height: 1.25; }
.buttons { display: grid; grid-auto-flow: column; grid-auto-columns: 1fr; gap: .75rem; margin: 1rem 0; }
button, input { font: inherit; padding: .625rem .75rem; width: 100%; box-sizing: border-box; }
label { display: block; margin-bottom: .5rem; }
.wrong { border-left: .25rem solid; padding-left: .75rem; }
small { opacity: .8; }
"""

_STYLE_HASH = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()

HEADERS = {
    # No form-action: Chromium applies it to the redirect that follows the form as well,
    # and the redirect goes to whichever client asked.
    "Content-Security-Policy": (
        f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
"""Sent with every page."""


def display_name(user: str) -> str:
    """What the pages and the API call *user*: ``ada`` is Ada."""
    return user.title()


def who_page(client_id: str, wrong: str = "") -> str:
    """Ask who is there; *wrong* is what a previous answer was, if it was no name."""
    buttons = "".join(_button("user", name, display_name(name)) for name in PEOPLE)
    problem = (
        f'<p class="wrong">{escape(repr(wrong))} is not a name here: it takes small letters, digits and '
        "dashes, a letter first, 32 at most.</p>"
        if wrong
        else ""
    )
    return _page(
        "Who are you?",
        f"<p>This is a demo: there are no passwords. <b>{escape(client_id)}</b> would like to connect.</p>"
        f'{problem}<form method="post"><div class="buttons">{buttons}</div></form>'
        '<form method="post"><label for="user">or somebody else</label>'
        '<input id="user" name="user" required maxlength="32" pattern="[a-z][a-z0-9\\-]*"'
        ' autocapitalize="none" autocomplete="off" spellcheck="false" placeholder="a name in small letters">'
        '<div class="buttons"><button>Go on</button></div></form>',
    )


def consent_page(client_id: str, redirect_uri: str, scopes: Sequence[str], user: str, start: str) -> str:
    """Ask *user* for consent; *start* is the address that asks who is there again."""
    wishes = "".join(f"<li>{SCOPES[scope]} <small>({scope})</small></li>" for scope in scopes)
    host = urlsplit(redirect_uri).netloc
    return _page(
        f"{client_id} wants to act as {display_name(user)}",
        f"<p>It asks to:</p><ul><li>see who you are</li>{wishes}</ul>"
        f'<form method="post"><input type="hidden" name="user" value="{escape(user)}">'
        f'<div class="buttons">{_button("answer", "allow", "Allow")}{_button("answer", "deny", "Deny")}</div>'
        f"</form><p><small>Either way you go back to {escape(host)}.</small></p>"
        f'<p><a href="{escape(start)}">I am not {escape(display_name(user))}</a></p>',
    )


def error_page(text: str) -> str:
    """Say why there is nothing to consent to, and that nobody was redirected."""
    return _page(
        "This link is broken",
        f'<p class="wrong">{escape(text)}</p><p>Nothing was allowed, and you were not sent anywhere.</p>',
    )


def avatar(user: str) -> str:
    """A square SVG with the first letter of *user*."""
    return (
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 64 64">'
        '<rect width="64" height="64" fill="#456"/>'
        '<text x="32" y="44" font-family="sans-serif" font-size="36" text-anchor="middle" fill="#fff">'
        f"{escape(user[:1].upper())}</text></svg>"
    )


def _button(name: str, value: str, label: str) -> str:
    return f'<button name="{name}" value="{escape(value)}">{escape(label)}</button>'


def _page(title: str, body: str) -> str:
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)} - Demo Notes</title><style>{_STYLE}</style></head>"
        f"<body><main><h1>{escape(title)}</h1>{body}</main></body></html>\n"
    )
