"""A browser of plain HTTP: cookies, redirects and forms, without a screen.

It does what a person at a browser does, quickly enough for every test of a
link.  It applies no Content-Security-Policy and runs no script; what depends on
those is shown with Chromium.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html.parser import HTMLParser
from types import TracebackType
from typing import Self
from urllib.parse import urlencode, urljoin, urlsplit

from aiohttp import ClientSession, ClientTimeout, CookieJar

GO_ON = ("Continue", "Log in", "Allow", "Sign in", "Authorize", "Login")
"""The buttons that lead on: the bot's own, the OpenID provider's, JupyterHub's and Redmine's."""

LOGIN_FIELDS = ("login", "username")
"""What the field is called that wants to know who one is."""

REFRESH = re.compile(r"""\s*[\d.]+\s*[;,]\s*(?:url\s*=\s*)?["']?([^"']+)""", re.IGNORECASE)
"""What a meta refresh says: seconds, and an address."""

STEPS = 25
"""More pages than any way to a link has."""


@dataclass
class Form:
    """A form: where it goes, what it would send, and what its buttons say."""

    action: str
    method: str = "GET"
    fields: list[tuple[str, str]] = field(default_factory=list)
    buttons: list[str] = field(default_factory=list)

    def filled(self, values: Mapping[str, str | Sequence[str]]) -> list[tuple[str, str]]:
        """Return what is sent once *values* are typed in; a list stands for several ticks of one name."""
        sent = [(name, value) for name, value in self.fields if name not in values]
        for name, value in values.items():
            sent += [(name, one) for one in ([value] if isinstance(value, str) else value)]
        return sent


@dataclass
class Page:
    """What a browser shows, or the address at which it was stopped."""

    url: str
    status: int = 0
    """The HTTP status; 0 where the address was never fetched."""

    headers: Mapping[str, str] = field(default_factory=dict)
    text: str = ""
    forms: list[Form] = field(default_factory=list)
    refresh: str | None = None
    """Where a meta refresh leads, as an absolute address."""

    @property
    def fetched(self) -> bool:
        """Whether this address was fetched."""
        return self.status != 0

    @property
    def buttons(self) -> list[str]:
        """The words on the page's buttons, in order."""
        return [label for form in self.forms for label in form.buttons]

    def form(self, label: str) -> Form:
        """Return the form that has the button *label*."""
        found = next((form for form in self.forms if label in form.buttons), None)
        assert found is not None, f"{self.url} has no button {label!r}, only {self.buttons}: {self.text}"
        return found


class _Reader(HTMLParser):
    """Picks forms and a refresh out of a page."""

    def __init__(self, page: Page) -> None:
        super().__init__()
        self.page = page
        self._form: Form | None = None
        self._label: list[str] | None = None

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Open a form, take in a field, or note the refresh."""
        given = {name: value or "" for name, value in attrs}
        if tag == "form":
            action = urljoin(self.page.url, given.get("action", ""))
            self._form = Form(action, given.get("method", "get").upper())
            self.page.forms.append(self._form)
        elif tag == "meta" and given.get("http-equiv", "").lower() == "refresh":
            target = REFRESH.match(given.get("content", ""))
            self.page.refresh = urljoin(self.page.url, target[1]) if target else None
        elif self._form is not None and tag == "button" and given.get("type") != "button":
            self._label = []
        elif self._form is not None and tag == "input":
            self._input(self._form, given)

    def handle_data(self, data: str) -> None:
        """Collect a button's words."""
        if self._label is not None:
            self._label.append(data)

    def handle_endtag(self, tag: str) -> None:
        """Close a button or a form."""
        if tag == "button" and self._form is not None and self._label is not None:
            self._form.buttons.append(" ".join("".join(self._label).split()))
            self._label = None
        elif tag == "form":
            self._form = None

    @staticmethod
    def _input(form: Form, given: Mapping[str, str]) -> None:
        kind = given.get("type", "text")
        if kind == "submit":
            form.buttons.append(given.get("value", "Submit"))
        elif "name" in given and "disabled" not in given and (kind not in {"checkbox", "radio"} or "checked" in given):
            form.fields.append((given["name"], given.get("value", "on" if kind == "checkbox" else "")))


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


class HttpBrowser:
    """Somebody at a browser; nobody else has its cookies.

    ```python
    async with HttpBrowser("alice") as browser:
        end = await browser.walk(link)  # through every page, to the last one
        end = await browser.walk(link, refuse="Cancel")  # says no at the provider
        end = await browser.walk(url, stop="http://127.0.0.1:9/")  # end.url was not fetched

        page = await browser.open(link)  # or a step at a time
        page = await browser.press(page, "Continue")
    ```

    *headers* are sent with every request; *user_code* is typed in where a page asks for a device's.
    """

    def __init__(
        self,
        login: str,
        password: str | None = None,
        *,
        headers: Mapping[str, str] | None = None,
        user_code: str = "",
    ) -> None:
        self.login = login
        self.password = f"pw-{login}" if password is None else password
        self.user_code = user_code
        self._headers = dict(headers or {})
        self._session: ClientSession | None = None

    async def __aenter__(self) -> Self:
        """Open the browser, with no cookie in it."""
        self._session = ClientSession(
            cookie_jar=CookieJar(unsafe=True),  # unsafe: 127.0.0.1 may set cookies too
            headers={"User-Agent": "Mozilla/5.0 (test)", **self._headers},
            timeout=ClientTimeout(total=30),
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the browser and forget its cookies."""
        await self.session.close()

    @property
    def session(self) -> ClientSession:
        """The session beneath, for a request that no browser would send; its cookies are the browser's."""
        assert self._session is not None, "a browser is used inside `async with`"
        return self._session

    async def open(self, url: str, *, stop: str | None = None) -> Page:
        """Type in *url*, and follow it to a page; an address that begins with *stop* is not fetched."""
        return await self._load("GET", url, None, {"Sec-Fetch-Site": "none"}, stop)

    async def press(self, page: Page, label: str, *, stop: str | None = None, **values: str | Sequence[str]) -> Page:
        """Press the button *label* of *page*, with *values* typed in, and follow it to a page."""
        form = page.form(label)
        sent = form.filled(values)
        headers = {"Sec-Fetch-Site": self._site(page.url, form.action)}
        if form.method == "POST":
            # A page that sends no referrer does not tell its origin either.
            hidden = page.headers.get("Referrer-Policy") == "no-referrer"
            headers["Origin"] = "null" if hidden else _origin(page.url)
        return await self._load(form.method, form.action, sent, headers, stop)

    async def walk(self, url: str, *, stop: str | None = None, refuse: str | None = None) -> Page:
        """Open *url* and go on as long as a page offers to: log in, allow, continue.

        The button *refuse* is pressed instead, once, on the first page that has
        it: ``Cancel`` is the provider's, ``Refuse`` the bot's.  A page that wants
        the password or the device's code once more did not take it, and is the last one.
        """
        page = await self.open(url, stop=stop)
        typed = set[str]()
        for _ in range(STEPS):
            go_on = next((label for label in page.buttons if label in GO_ON), None)
            if page.status >= 400:
                return page
            if refuse is not None and refuse in page.buttons:
                go_on, refuse = refuse, None
            if go_on is None:
                return page
            form = page.form(go_on)
            told = self._login(form) or self._device(form)
            if told and form.action in typed:
                return page
            typed.update([form.action] if told else [])
            page = await self.press(page, go_on, stop=stop, **told)
        raise AssertionError(f"the browser goes in circles at {page.url}")

    def _login(self, form: Form) -> dict[str, str]:
        """What is typed into *form*: nothing, unless it wants a password."""
        asked = {name for name, _ in form.fields}
        if "password" not in asked:
            return {}
        return {name: self.login for name in LOGIN_FIELDS if name in asked} | {"password": self.password}

    def _device(self, form: Form) -> dict[str, str]:
        """What is typed into *form*: nothing, unless it asks for a device's code, and not whether that is the one."""
        asked = {name for name, _ in form.fields}
        return {"user_code": self.user_code} if "user_code" in asked and "confirm" not in asked else {}

    async def _load(
        self,
        method: str,
        url: str,
        sent: list[tuple[str, str]] | None,
        headers: Mapping[str, str],
        stop: str | None,
    ) -> Page:
        for _ in range(STEPS):
            if stop is not None and url.startswith(stop):
                return Page(url)
            page = await self._fetch(method, url, sent, headers)
            target = page.headers.get("Location") if page.status in {301, 302, 303, 307, 308} else page.refresh
            if target is None:
                return page
            url = urljoin(page.url, target)
            if page.status not in {307, 308}:
                method, sent = "GET", None
            headers = {"Sec-Fetch-Site": self._site(page.url, url)}
        raise AssertionError(f"redirects go in circles at {url}")

    async def _fetch(
        self, method: str, url: str, sent: list[tuple[str, str]] | None, headers: Mapping[str, str]
    ) -> Page:
        navigation = {"Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document", **headers}
        body = None
        if sent is not None and method == "GET":
            url = f"{url.partition('?')[0]}?{urlencode(sent)}"
        elif sent is not None:
            body = urlencode(sent).encode()
            navigation["Content-Type"] = "application/x-www-form-urlencoded"
        async with self.session.request(method, url, data=body, headers=navigation, allow_redirects=False) as answer:
            page = Page(str(answer.url), answer.status, answer.headers, await answer.text())
        if "html" in answer.content_type:
            _Reader(page).feed(page.text)
        return page

    @staticmethod
    def _site(source: str, target: str) -> str:
        if _origin(source) == _origin(target):
            return "same-origin"
        # A port makes another origin, but not another site.
        same = urlsplit(source).hostname == urlsplit(target).hostname
        return "same-site" if same else "cross-site"
