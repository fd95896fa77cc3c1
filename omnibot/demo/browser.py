"""A person's browser, without a screen: it keeps cookies, opens links and presses buttons.

For `omnibot demo --script` and for tests.  It behaves as browsers do where the bot relies on
it: cookies by their rules, ``Sec-Fetch-Site`` on what it sends, meta refreshes followed, one
page at a time.  It stops before an address that nobody answers, and keeps it: that is what a
person copies from the address bar.
"""

import html
import re
from dataclasses import dataclass, field
from html.parser import HTMLParser
from types import TracebackType
from typing import Self
from urllib.parse import urljoin, urlsplit

import aiohttp

_MOST_STEPS = 12
_CODE = re.compile(r"\b([B-Z]{4}-[B-Z]{4})\b")


@dataclass(slots=True)
class Form:
    """A form of a page: where it goes, its fields, the words on its buttons."""

    action: str
    fields: dict[str, str] = field(default_factory=dict)
    buttons: dict[str, dict[str, str]] = field(default_factory=dict)
    """What each button adds to the fields, by its words."""


class _Reader(HTMLParser):
    """Finds the forms, the meta refresh and the text of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.forms: list[Form] = []
        self.refresh = ""
        self.text: list[str] = []
        self._button: dict[str, str] | None = None
        self._words: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note forms, inputs, buttons and refreshes."""
        said = {name: value or "" for name, value in attrs}
        if tag == "meta" and said.get("http-equiv", "").lower() == "refresh":
            self.refresh = html.unescape(said.get("content", "").partition("url=")[2].strip("'\""))
        elif tag == "form":
            self.forms.append(Form(said.get("action", "")))
        elif tag == "input" and self.forms and said.get("name"):
            self.forms[-1].fields[said["name"]] = said.get("value", "")
        elif tag == "button" and self.forms:
            self._button, self._words = said, []

    def handle_endtag(self, tag: str) -> None:
        """Note a button with its words."""
        if tag == "button" and self._button is not None:
            name = self._button.get("name", "")
            words = " ".join("".join(self._words).split())
            self.forms[-1].buttons[words] = {name: self._button.get("value", "")} if name else {}
            self._button = None

    def handle_data(self, data: str) -> None:
        """Collect what a reader sees."""
        self._words.append(data)
        self.text.append(data)


class Browser:
    """One person's browser; use it in ``async with``."""

    def __init__(self, *, stop: str = "") -> None:
        """Go nowhere that begins with *stop*: nothing answers there."""
        self.url = ""
        self.status = 0
        self.page = ""
        self._stop = stop
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        """Open it, without cookies."""
        self._session = aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True), trust_env=False)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close it."""
        if self._session is not None:
            await self._session.close()

    @property
    def text(self) -> str:
        """What the page says, without its markup."""
        return " ".join(" ".join(self._read().text).split())

    @property
    def code(self) -> str:
        """The confirmation code that the page shows; empty if it shows none."""
        found = _CODE.search(self.text)
        return found[1] if found else ""

    async def open(self, url: str) -> "Browser":
        """Open *url* as if typed, and follow where it leads."""
        await self._go("GET", url, {}, "none")
        return self

    async def press(self, words: str, **fields: str) -> "Browser":
        """Press the button that says *words*, with *fields* filled in, and follow where it leads.

        Raises:
            LookupError: the page has no such button.
        """
        for form in self._read().forms:
            for label, adds in form.buttons.items():
                if words.lower() in label.lower():
                    action = urljoin(self.url, form.action or self.url)
                    await self._go("POST", action, {**form.fields, **adds, **fields}, self._site(action))
                    return self
        raise LookupError(f"no button says {words!r}; the page says: {self.text[:300]}")

    def _read(self) -> _Reader:
        reader = _Reader()
        reader.feed(self.page)
        return reader

    def _site(self, url: str) -> str:
        one, other = urlsplit(self.url), urlsplit(url)
        if (one.scheme, one.netloc) == (other.scheme, other.netloc):
            return "same-origin"
        return "same-site" if one.hostname == other.hostname else "cross-site"

    async def _go(self, method: str, url: str, form: dict[str, str], site: str) -> None:
        for _ in range(_MOST_STEPS):
            following = await self._step(method, url, form, site)
            if not following:
                return
            site = self._site(following) if site != "none" else "none"
            method, url, form = "GET", following, {}
        raise RuntimeError("the browser went in circles")

    async def _step(self, method: str, url: str, form: dict[str, str], site: str) -> str:
        """Make one request; return where the answer leads, if anywhere."""
        assert self._session is not None, "a browser is used in `async with`"
        if self._stop and url.startswith(self._stop):
            self.url, self.status, self.page = url, 0, ""
            return ""
        headers = {"Sec-Fetch-Site": site, "Sec-Fetch-Mode": "navigate", "User-Agent": "a person"}
        data = form if method == "POST" else None
        async with self._session.request(method, url, data=data, headers=headers, allow_redirects=False) as answer:
            self.url, self.status = url, answer.status
            self.page = await answer.text()
            if 300 <= answer.status < 400:
                return urljoin(url, answer.headers["Location"])
        refresh = self._read().refresh
        return urljoin(url, refresh) if refresh else ""
