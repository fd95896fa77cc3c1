"""The way that an account is linked by: the catalogue's order, of what the operator leaves open."""

from dataclasses import replace

import pytest

from omnibot.errors import UserError
from omnibot.linking.ways import Wanted, best_way, is_open
from omnibot.provider import AuthorizationServer, ClientCredential, Instance, Provider, Way, Whoami

PROVIDER = Provider("svc", "Service", {}, Whoami("/me", "id", "login"), ways=("redirect", "paste", "key"))
INSTANCE = Instance(
    provider=PROVIDER,
    name="default",
    client=ClientCredential("omnibot"),
    server=AuthorizationServer("https://svc.example/authorize", "https://svc.example/token"),
    issuer="",
    api="https://svc.example",
    origins=frozenset({"https://svc.example"}),
)
NOBODY = replace(INSTANCE, client=ClientCredential(""))


def at(*ways: Way, instance: Instance = INSTANCE, loopback: str = "ip") -> Instance:
    """Return *instance* of a service with these *ways*."""
    return replace(instance, provider=replace(PROVIDER, ways=ways, loopback=loopback))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("instance", "public", "wanted", "way"),
    [
        (INSTANCE, True, "best", "redirect"),
        (INSTANCE, False, "best", "paste"),
        (INSTANCE, True, "key", "key"),
        (INSTANCE, False, "key", "key"),
        (INSTANCE, True, "page", "redirect"),
        (INSTANCE, False, "page", "paste"),
        (at("key", "redirect"), True, "best", "key"),
        (at("key", "redirect"), True, "page", "redirect"),
        (at("redirect", "key"), False, "best", "key"),
        (at("redirect", "paste", "key", loopback="no"), False, "best", "key"),
        (replace(INSTANCE, paste_allowed=False), False, "best", "key"),
        (replace(at("paste", "key"), paste_allowed=True), True, "best", "key"),
        (NOBODY, True, "best", "key"),
        (NOBODY, False, "best", "key"),
        (replace(at("key"), chat_keys=False), True, "best", "key"),
    ],
)
def test_the_first_that_is_open_is_taken(instance: Instance, public: bool, wanted: Wanted, way: Way) -> None:
    """Of those that are wanted."""
    assert way == best_way(instance, public=public, wanted=wanted)


@pytest.mark.parametrize(
    ("instance", "public", "wanted", "words"),
    [
        (at("redirect", "paste"), True, "key", "Service cannot be linked by a key here. Leave `--by key` out."),
        (at("key"), True, "page", "Service can be linked here by a key only. Leave `--by page` out."),
        (NOBODY, True, "page", "Service can be linked here by a key only. Leave `--by page` out."),
        (
            replace(INSTANCE, chat_keys=False, paste_allowed=False),
            False,
            "best",
            "Service cannot be linked while this bot has no public address. Its operator can set `public_url`.",
        ),
        (replace(at("key"), chat_keys=False), False, "key", "Service cannot be linked by a key here."),
        (at("redirect"), False, "best", "Service cannot be linked while this bot has no public address."),
        (at("redirect"), True, "device", "disabled by the operator of this bot"),
        (at("redirect"), False, "device", "disabled by the operator of this bot"),
    ],
)
def test_where_none_is_open_it_says_why(instance: Instance, public: bool, wanted: Wanted, words: str) -> None:
    """And what to leave out, or whom to ask."""
    with pytest.raises(UserError) as caught:
        best_way(instance, public=public, wanted=wanted)

    assert words in str(caught.value)


def test_a_title_is_data() -> None:
    """An instance at a host that somebody named may have any name."""
    instance = replace(at("redirect"), provider=replace(PROVIDER, title="*Svc*", ways=("redirect",)))
    with pytest.raises(UserError) as caught:
        best_way(instance, public=False)

    assert r"\*Svc\*" in str(caught.value)


@pytest.mark.parametrize(
    ("instance", "way", "public", "expected"),
    [
        (at("redirect"), "key", True, False),
        (at("key"), "key", True, True),
        (replace(at("key"), chat_keys=False), "key", True, True),
        (replace(at("key"), chat_keys=False), "key", False, False),
        (at("redirect"), "redirect", True, True),
        (at("redirect"), "redirect", False, False),
        (NOBODY, "redirect", True, False),
        (at("paste"), "paste", True, False),
        (at("paste"), "paste", False, True),
        (at("paste", loopback="no"), "paste", False, False),
        (replace(at("paste"), paste_allowed=False), "paste", False, False),
        (at("paste", instance=NOBODY), "paste", False, False),
    ],
)
def test_what_each_way_needs(instance: Instance, way: Way, public: bool, expected: bool) -> None:
    """As its module's table says."""
    assert expected == is_open(instance, way, public=public)
