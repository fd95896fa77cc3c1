"""HTTP as one person at one service: what a linked command and a follower are given to act with."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol


@dataclass(frozen=True, slots=True)
class AccountView:
    """What a person may see of an account of theirs: never a token."""

    provider: str
    instance: str
    title: str
    """``GitHub``, or ``Redmine (work)``."""

    alias: str
    login: str
    name: str
    avatar: str
    status: str
    """``active``, ``pending``, ``held`` or ``broken``."""

    default: bool
    linked_by: str
    reach: tuple[str, ...]
    """Qualified identities that may use it."""

    scopes: tuple[str, ...]
    since: float
    """Unix seconds."""

    apps_url: str = ""
    by_key: bool = False
    """Whether it is linked by a key of its owner's, which opens all that they may do."""

    here: bool = True
    """Whether the identity that asks may use it; another of the same person's may not."""


@dataclass(frozen=True, slots=True)
class Response:
    """What a service answered."""

    status: int
    headers: Mapping[str, str] = field(repr=False)
    """Names in lower case; no cookies."""

    data: Any = field(repr=False)
    """Parsed JSON; XML as nested mappings; None where nothing came; anything else as text."""

    text: str = field(repr=False)
    """The body as it came, as text."""


class Api(Protocol):
    """HTTP as one person at one instance.  Paths are relative to the instance's API base.

    Every method raises `Upstream` when the service answers with an error or not at all, and
    `NotLinked` when it no longer takes the person's credentials: leave both to the dispatcher.
    """

    @property
    def account(self) -> AccountView:
        """Whose account it is."""
        ...

    @property
    def methods(self) -> tuple[str, ...]:
        """The methods that the operator lets people send by hand."""
        ...

    def url(self, path: str) -> str:
        """Return the whole address of *path*, for a person to open."""
        ...

    def base(self, name: str) -> str:
        """Return the address of a further API of the service; an absolute path below it may be sent to as well.

        Raises:
            LookupError: the catalogue and the operator name none so.
        """
        ...

    async def get(self, path: str, **params: object) -> Any:
        """GET; return the parsed JSON, or the text where it is not JSON."""
        ...

    async def post(self, path: str, json: object = None, **params: object) -> Any:
        """POST *json*."""
        ...

    async def put(self, path: str, json: object = None, **params: object) -> Any:
        """PUT *json*."""
        ...

    async def patch(self, path: str, json: object = None, **params: object) -> Any:
        """PATCH *json*."""
        ...

    async def delete(self, path: str, **params: object) -> Any:
        """DELETE."""
        ...

    async def request(
        self,
        method: str,
        path: str,
        *,
        json: object = None,
        form: Mapping[str, object] | None = None,
        params: Mapping[str, object] | None = None,
    ) -> Any:
        """Send any method; return the parsed JSON, or the text where it is not JSON."""
        ...

    async def send(
        self,
        method: str,
        path: str,
        *,
        json: object = None,
        form: Mapping[str, object] | None = None,
        params: Mapping[str, object] | None = None,
        headers: Mapping[str, str] | None = None,
        expect: Collection[int] = (),
    ) -> Response:
        """Send any method; return the whole answer.

        Args:
            method: ``GET``, ``POST``, …
            path: below the API's address, or an absolute address there or below a `base`.
            json: the body, as JSON.
            form: the body, as a form; instead of *json*.
            params: the query; None is left out, a list stands for several of one name.
            headers: further ones; not those that the core sets.
            expect: statuses beyond 2xx that are an answer, and no error.  What such a body says is for the skill
                to understand and for nobody to read (A42).

        Raises:
            Upstream, NotLinked: as every method.
            ValueError: a header is not the skill's to set, or there are two bodies.
        """
        ...

    async def step_up(self, code: str, device: str = "") -> float:
        """Open a session with a one-time *code*; return when it ends, in Unix seconds.

        Until then, requests with this account are made with it.  Declare the parameter that has the code
        as the command's ``secret``.

        Args:
            code: the six digits that the person's device shows.
            device: which device it is, as the service calls it.

        Raises:
            UserError: the service opens no sessions so, or did not take the code, or it was said before.
            Upstream, NotLinked: as every method.
        """
        ...

    @property
    def stepped_up(self) -> float | None:
        """When the session that a code opened ends, in Unix seconds; None: there is none."""
        ...
