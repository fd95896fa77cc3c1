"""What the listener shows: every page, and every word on them.

A page is made of a template from this folder and of plain data; nothing here knows of
requests.  What goes into a page is escaped by Jinja, and before that made `printable`: one
line, with nothing in it that has no ink, so that neither a display name nor a command can
turn the words around it (A17).  Pages need no script, no picture and no font.
"""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from urllib.parse import urlsplit

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template
from markupsafe import Markup

from omnibot.linking.flows import Asking, Outcome
from omnibot.markup import printable
from omnibot.pages.words import ENDED_WORDS, FLOW_WORDS, HTTP_WORDS, INDEX_WORDS, KEY_LATER, Words, flow_words

__all__ = ["ENDED_WORDS", "HTTP_WORDS", "INDEX_WORDS", "KEY_LATER", "STYLE", "Pages", "Token", "Words", "flow_words"]

type Token = Callable[[str], str]
"""Gives the form token for the path that a form posts to; an empty one where none is needed."""

_HERE = Path(__file__).parent

STYLE = (_HERE / "style.css").read_bytes()
"""The one style sheet."""


class Pages:
    """Renders; what it returns is a whole page of HTML."""

    def __init__(self, clock: Callable[[], float]) -> None:
        """Have the templates ready; *clock* tells how long ago something was."""
        self._clock = clock
        self._templates = _templates()

    def ask(self, asking: Asking, path: str, token: Token) -> str:
        """Name who asks for what, and offer to continue or to refuse; *path* is the link's own."""
        return self._render("ask", asking=asking, path=path, token=token)

    def leave(self, url: str) -> str:
        """Send the browser on to *url*, by a refresh and by a link.

        Raises:
            ValueError: *url* is no web address.
        """
        if not _is_web(url):
            raise ValueError("the provider's page is not a web address")
        return self._render("leave", url=url, host=urlsplit(url).netloc.rpartition("@")[2])

    def key(self, outcome: Outcome, token: Token, problem: Words | None = None) -> str:
        """Ask for a key; *problem* is what was wrong with the last one."""
        asking = outcome.asking
        return self._render(
            "key",
            asking=asking,
            path=f"/f/{outcome.flow}/key",
            token=token,
            problem=problem,
            service=asking.title,
            key_url=asking.key_url if _is_web(asking.key_url) else "",
        )

    def outcome(self, outcome: Outcome, token: Token) -> str:
        """Show where a flow stands to the browser it was begun in."""
        if outcome.wants_key:
            return self.key(outcome, token)
        name = {"pending": "code", "linked": "linked", "held": "held"}.get(outcome.state)
        asking, path = outcome.asking, f"/f/{outcome.flow}/disconnect"
        by_key = asking.key is not None
        apps = (by_key and asking.key_url) or asking.apps_url
        apps = apps if _is_web(apps) else ""
        if name is None:
            return self.words(_ending(outcome), apps=apps, by_key=by_key, service=asking.title)
        over = outcome.undo_until is not None and self._clock() >= outcome.undo_until
        return self._render(
            name,
            outcome=outcome,
            asking=asking,
            path=path,
            token=token,
            apps=apps,
            by_key=by_key,
            service=asking.title,
            over=over,
        )

    def words(self, words: Words, *, apps: str = "", by_key: bool = False, service: str = "", ref: str = "") -> str:
        """Say *words*; *ref* finds it in the log, *apps* is where *service* lists what was authorised, or its keys."""
        return self._render("words", words=words, apps=apps, by_key=by_key, service=service, ref=ref)

    def _render(self, template: str, **data: object) -> str:
        return self._templates[template].render(data, now=self._clock())


@cache
def _templates() -> Mapping[str, Template]:
    """Return the pages' templates by name, which are read and compiled once."""
    environment = Environment(
        loader=FileSystemLoader(_HERE),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_finalize,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    environment.filters |= {"ago": _ago, "left": _left, "utc": _utc}
    names = ("ask", "leave", "key", "code", "linked", "held", "words")
    return {name: environment.get_template(f"{name}.html") for name in names}


def _ago(at: float, now: float) -> str:
    return _span(now - at, "just now", "{} ago")


def _left(until: float, now: float) -> str:
    return _span(until - now, "less than a minute left", "{} left")


def _utc(at: float, now: float) -> str:
    """Say when, in the one zone that needs no script to know; with the day, where it is not today."""
    when, today = (datetime.fromtimestamp(time, UTC) for time in (at, now))
    day = "" if when.date() == today.date() else f"{when.day} {when:%B}, "
    return f"{day}{when:%H:%M} UTC"


def _finalize(value: object) -> object:
    """Make what a template puts out `printable`, unless a template made it."""
    return value if isinstance(value, Markup) else printable(str(value))


def _span(seconds: float, short: str, phrase: str) -> str:
    minutes = int(seconds // 60)
    if minutes < 1:
        return short
    for size, unit in ((1440, "day"), (60, "hour"), (1, "minute")):
        if minutes >= size:
            count = minutes // size
            return phrase.format(f"{count} {unit}{'' if count == 1 else 's'}")
    raise AssertionError("a whole minute is at least one minute")


def _ending(outcome: Outcome) -> Words:
    """Return what to say of a flow that waits for nothing from this browser."""
    if outcome.state == "expired":
        return FLOW_WORDS["expired"]
    if outcome.state != "refused":
        return ENDED_WORDS["unfinished"]
    reason = "not_me_kept" if outcome.reason == "not_me" and not outcome.gives_back else outcome.reason
    return ENDED_WORDS.get(reason) or flow_words(reason)


def _is_web(url: str) -> bool:
    return url.startswith(("https://", "http://"))
