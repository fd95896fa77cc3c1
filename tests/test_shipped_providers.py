"""Every file of the catalogue is whole: what a person is asked for is explained, what an operator does is told."""

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import yaml

from omnibot import oauth, oauth1
from omnibot.catalogue import SHIPPED, Instances, ProviderSettings, load_catalogue
from omnibot.linking.ways import is_open
from omnibot.provider import Instance, Provider, Secret, Token

FILES = sorted(SHIPPED.glob("*.yaml"))
CATALOGUE = load_catalogue(SHIPPED)
NAMES = sorted(CATALOGUE)

WRITES = re.compile(r"write|delete|edit|submit|send|modify|manage|create|admin|:add", re.IGNORECASE)
"""What a scope is called that lets something be changed."""

AT_ONCE = {
    "forgejo": {"write:issue", "write:repository"},  # older versions of Gitea refuse to widen a grant
    "x": {"tweet.write"},  # posting is what its skill is for, and each widening would be a whole consent
}
"""Scopes that change something and are asked for on every link all the same."""

MONEY_MAIL_OR_MACHINES = {"aws", "digitalocean", "google", "microsoft"}


def settings_for(one: Provider, **more: Any) -> ProviderSettings:
    """Return what an operator gives who has registered the bot at *one*."""
    if one.registration == "operator" and one.ways != ("key",):
        key = "client" if one.discovery or one.server.authorize_url else "consumer"
        name, secret = {"client": ("client_id", "client_secret"), "consumer": ("consumer_key", "consumer_secret")}[key]
        more = {name: "the-client", secret: Secret("the-secret")} | more
    if one.discovery:
        return ProviderSettings(issuer="https://service.example", **more)
    return ProviderSettings(base="" if one.base else "https://service.example", **more)


def instance_of(name: str, **more: Any) -> Instance:
    """Return *name* as it is when it is configured."""
    said = settings_for(CATALOGUE[name], **more)
    return Instances(CATALOGUE, {name: said}, address="https://bot.example").get(name)


def texts(value: Any) -> Iterator[str]:
    """Give every text in a file, those of its keys too."""
    if isinstance(value, dict):
        for key, one in value.items():
            yield str(key)
            yield from texts(one)
    elif isinstance(value, list):
        for one in value:
            yield from texts(one)
    elif isinstance(value, str):
        yield value


def authorising(with_oauth1: bool) -> list[str]:
    """Return the providers that are linked by a page, of OAuth 2 or of OAuth 1.0a."""
    pages = {"redirect", "paste", "pin"}
    found = [name for name in NAMES if pages & set(CATALOGUE[name].ways)]
    if with_oauth1:
        return [name for name in found if CATALOGUE[name].oauth1 is not None]
    return [name for name in found if CATALOGUE[name].server.authorize_url]


def test_there_are_twenty_five_and_more() -> None:
    """Of each of them there is a file and nothing else."""
    assert len(FILES) >= 25
    assert sorted(one.stem for one in FILES) == NAMES


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_address_is_https(path: Path) -> None:
    """What is sent there are people's tokens; only an operator may name another."""
    plain = [one for one in texts(yaml.safe_load(path.read_text("utf-8"))) if re.search(r"(http|ws)://", one)]

    assert [] == plain


@pytest.mark.parametrize("name", NAMES)
def test_every_scope_is_explained(name: str) -> None:
    """In words that go on from "so that the bot can": a verb first, no stop at the end."""
    for scope, why in CATALOGUE[name].scopes.items():
        assert re.fullmatch(r"[a-z][^\n]+[^.\s]", why), f"{scope}: {why}"
        assert scope != why


@pytest.mark.parametrize("name", NAMES)
def test_no_more_is_asked_for_than_has_to_be(name: str) -> None:
    """On every link: nothing that changes anything; where a service has many scopes, not all of them."""
    one = CATALOGUE[name]
    writes = {scope for scope in one.base_scopes if WRITES.search(scope)}

    assert writes <= AT_ONCE.get(name, set())
    assert len(one.base_scopes) < len(one.scopes) or len(one.scopes) <= 1 or name in AT_ONCE


@pytest.mark.parametrize("name", NAMES)
def test_it_says_where_it_is_from_and_what_it_was_tried_against(name: str) -> None:
    """Sources and documentation are named; who claims a program names it; who has none says so by that."""
    one = CATALOGUE[name]

    assert one.sources
    assert one.docs or name == "demo"
    assert bool(one.tested.what) == (one.tested.against != "documentation")
    assert one.quirks or name == "demo", "there is no service without anything worth knowing"
    assert all(quirk.endswith(".") for quirk in one.quirks)


@pytest.mark.parametrize("name", NAMES)
def test_an_operator_is_told_how_to_register(name: str) -> None:
    """With the redirect URI in it; the demo registers its own bot."""
    one = CATALOGUE[name]
    by_hand = one.registration == "operator" and one.ways != ("key",) and name != "demo"

    assert not by_hand or "{callback}" in one.register
    assert one.ways != ("key",) or "{callback}" not in one.register


@pytest.mark.parametrize("name", NAMES)
def test_a_person_is_told_where_keys_are(name: str) -> None:
    """By a page's address, or a sentence."""
    one = CATALOGUE[name]

    assert "key" not in one.ways or one.key.url or one.key.hint


@pytest.mark.parametrize("name", NAMES)
def test_what_holds_much_is_held_dearer(name: str) -> None:
    """Money, mail and machines are of high sensitivity: nothing is pasted, typed as a PIN or said as a key."""
    one = CATALOGUE[name]
    assert name not in MONEY_MAIL_OR_MACHINES or one.sensitivity == "high"

    made = instance_of(name)
    high = one.sensitivity == "high"

    assert not (high and (is_open(made, "paste", public=False) or is_open(made, "pin", public=True)))
    assert not (high and is_open(made, "key", public=False))


@pytest.mark.parametrize("name", NAMES)
def test_api_only_looks(name: str) -> None:
    """Until an operator says otherwise `!api` reads, or sends nothing at all."""
    assert set(CATALOGUE[name].methods) <= {"GET", "HEAD"}


@pytest.mark.parametrize("name", authorising(with_oauth1=False))
def test_the_address_to_authorise_at_can_be_made(name: str) -> None:
    """It has the base scopes, as this service wants them called and joined, and all that the file adds."""
    made = instance_of(name)
    if made.registers:
        made = replace(made, client=replace(made.client, client_id="the-client", client_secret=Secret("the-secret")))
    server = made.server
    assert server is not None
    scopes = made.provider.base_scopes
    back = f"https://bot.example/callback/{name}/default"
    url = oauth.authorize_url(
        server, made.client, redirect_uri=back, scopes=scopes, state="the-state", verifier="a" * 43
    )
    query = {key: said[0] for key, said in parse_qs(urlsplit(url).query).items()}

    assert url.startswith(f"{server.authorize_url}?")
    assert server.scope_separator.join(scopes) == query.get(server.scope_parameter, "")
    assert ("code", back, "the-state") == (query["response_type"], query["redirect_uri"], query["state"])
    assert query["client_id"] in {"the-client", "https://bot.example/"}
    assert (server.pkce == "S256") == ("code_challenge" in query)
    assert dict(server.authorize_params).items() <= query.items()
    assert "the-secret" not in url


@pytest.mark.parametrize("name", authorising(with_oauth1=True))
def test_the_address_to_authorise_at_can_be_made_for_oauth_1(name: str) -> None:
    """It has the temporary credentials' name in it, and no secret."""
    keys: dict[str, Any] = {"client_id": "", "client_secret": None}
    made = instance_of(name, **keys, consumer_key="the-key", consumer_secret=Secret("the-secret"))
    assert made.is_oauth1
    assert made.server is not None
    url = oauth1.authorize_url(made.server, Token("temporary", secret="hidden"))
    query = parse_qs(urlsplit(url).query)

    assert ["temporary"] == query["oauth_token"]
    assert dict(made.server.authorize_params).items() <= {key: said[0] for key, said in query.items()}.items()
    assert "hidden" not in url


@pytest.mark.parametrize("name", NAMES)
def test_whoami_can_be_asked(name: str) -> None:
    """At an origin of the API's, with what the service wants beside the token."""
    made = instance_of(name)
    if made.provider.discovery and not CATALOGUE[name].whoami.path:
        return  # where is told by the server itself

    assert made.whoami_url.startswith(("https://", "wss://"))
    assert "{" not in made.whoami_url
    assert "{client_id}" not in "".join(made.headers.values())
    assert not made.whoami.body or made.whoami.method == "POST"
