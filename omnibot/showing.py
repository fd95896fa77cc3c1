"""What there is to know of each service of the catalogue, for an operator: on the terminal, and as a page.

``docs/providers.md`` is `page`, of the catalogue that comes with omnibot.
"""

from collections.abc import Iterator, Mapping, Sequence

from omnibot.app import find_instances
from omnibot.catalogue import SHIPPED, Instances, load_catalogue
from omnibot.config import Settings
from omnibot.errors import UserError
from omnibot.linking.beginning import redirect_uri
from omnibot.markup import printable
from omnibot.provider import ClientCredential, Instance, Provider, Tested
from omnibot.yamlfile import did_you_mean

WAYS = {
    "redirect": "by page",
    "paste": "by pasted address",
    "pin": "by PIN",
    "device": "by device code",
    "key": "by key",
}
_EXAMPLE = "https://bot.example.org"


def catalogue_of(settings: Settings | None) -> dict[str, Provider]:
    """Return every provider that there is, for *settings*; without any, those that come with omnibot.

    Raises:
        ConfigError: a file does not fit.
    """
    own = [settings.catalogue_dir] if settings is not None and settings.catalogue_dir else []
    return load_catalogue(SHIPPED, *own)


def listed(settings: Settings | None) -> Iterator[str]:
    """Yield a line for each provider: its name, title and ways, and the instances that *settings* have of it.

    Raises:
        ConfigError: the settings or a file of the catalogue do not fit.
    """
    known = catalogue_of(settings)
    instances = find_instances(settings) if settings is not None else Instances({}, {})
    rows = [("NAME", "TITLE", "WAYS", "CONFIGURED")]
    for name, one in sorted(known.items()):
        ways = ", ".join(WAYS[way].removeprefix("by ") for way in one.ways)
        rows.append((name, one.title, ways, ", ".join(_configured(name, instances)) or "-"))
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    for row in rows:
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=False)]
        yield "  ".join([*cells, row[3]]).rstrip()


def shown(name: str, settings: Settings | None) -> Iterator[str]:
    """Yield what there is to know of the provider *name*, line by line; also written ``provider@instance``.

    Raises:
        UserError: there is none of that name, or no such instance of it.
        ConfigError: the settings or a file of the catalogue do not fit.
    """
    known = catalogue_of(settings)
    provider, _, alias = name.lower().partition("@")
    if provider not in known:
        hint = did_you_mean(provider, sorted(known)) or "`omnibot providers list` names all."
        raise UserError(f"{printable(name)} is not in the catalogue. {hint}")
    one = known[provider]
    instances = find_instances(settings) if settings is not None else Instances({}, {})
    configured = [instances.get(provider, found) for found in instances.of(provider)]
    if alias:
        configured = [found for found in configured if found.name == alias]
        if not configured:
            raise UserError(f"{printable(name)} is not configured. `omnibot providers show {provider}` tells how.")
    yield f"{one.title} ({one.name})"
    yield ""
    yield from _block("configured", _configured(provider, instances) or [f"no: add providers.{one.name}"])
    yield from _block("needs", _needs(one))
    yield from _facts(one)
    callbacks = [_callback(found, settings) for found in configured or [_unconfigured(one)]]
    if one.registration == "operator" and one.ways != ("key",):
        yield from _block("redirect URI", callbacks)
    yield ""
    yield from _registered(one, " and ".join(callbacks)).rstrip().splitlines()
    if one.quirks:
        yield ""
        yield "Worth knowing:"
        yield from (f"- {quirk}" for quirk in one.quirks)
    if one.name in instances.names():
        yield ""
        yield f"To try it: omnibot providers test {(configured[0].key if configured else one.name)}"


def to_register(one: Provider, public_url: str | None, paste_port: int) -> list[str]:
    """Return how the bot is registered at a service that is not configured yet: its redirect URI, and the steps.

    Nothing where nobody registers it.
    """
    if one.registration != "operator" or one.ways == ("key",):
        return []
    callback = redirect_uri(_unconfigured(one), public_url, paste_port)
    return [f"Redirect URI, to the letter: {callback}", *_registered(one, callback).rstrip().splitlines()]


def page(catalogue: Mapping[str, Provider]) -> str:
    """Return *catalogue* as a page in Markdown."""
    return "\n".join(_page(catalogue)) + "\n"


def _page(catalogue: Mapping[str, Provider]) -> Iterator[str]:
    names = sorted(catalogue)
    yield "# The services of the catalogue"
    yield ""
    yield "<!-- Made of omnibot/providers/*.yaml by tools/provider_docs.py: change those, and run that. -->"
    yield ""
    yield "Each service is one file in `omnibot/providers/`, without code. On the command line,"
    yield ""
    yield "- `omnibot providers list` names them, and tells which are configured;"
    yield "- `omnibot providers show NAME` tells what stands here, with this bot's own addresses in it;"
    yield "- `omnibot providers test NAME` goes through a link with what is configured, tells each step, keeps nothing."
    yield ""
    yield "Each says what it was tested against. *Server*: a program that others wrote, which is named, started by our"
    yield "tests. *Stand-in*: one of ours, written from the vendor's documentation and as strict as that says."
    yield "*Documentation only*: no program yet; who uses it first may find a mistake, and is asked to report it."
    yield "What was not read in the documentation either is said at the service."
    yield ""
    yield "| Name | Service | Linked | Tested against |"
    yield "| --- | --- | --- | --- |"
    for name in names:
        one = catalogue[name]
        ways = ", ".join(WAYS[way].removeprefix("by ") for way in one.ways)
        yield f"| [`{name}`](#{name}) | {one.title} | {ways} | {_tested(one.tested)} |"
    for name in names:
        yield from _section(catalogue[name])


def _section(one: Provider) -> Iterator[str]:
    yield ""
    yield f"## {one.name}"
    yield ""
    yield f"**{one.title}**" + (f", as its [documentation]({one.docs}) has it." if one.docs else "")
    yield ""
    for label, said in (("In the configuration", ", ".join(_needs(one))), *_pairs(one)):
        yield f"- {label}: {said}"
    yield ""
    if one.scopes:
        yield "| Scope | Asked for | So that the bot can |"
        yield "| --- | --- | --- |"
        for scope, why in one.scopes.items():
            yield f"| `{scope}` | {'always' if scope in one.base_scopes else 'when a command needs it'} | {why} |"
        yield ""
    yield "```text"
    yield from _registered(one, f"{_EXAMPLE}/callback/{one.name}/default").rstrip().splitlines()
    yield "```"
    if one.quirks:
        yield ""
        yield "Worth knowing:"
        yield ""
        yield from (f"- {_escaped(quirk)}" for quirk in one.quirks)
    yield ""
    yield f"Sources: {'; '.join(map(_escaped, one.sources))}."


def _facts(one: Provider) -> Iterator[str]:
    """Yield what `show` tells of the provider itself."""
    for label, said in _pairs(one):
        yield from _block(label.lower(), [said.replace("`", "")])
    asked = [f"{scope}: {why}" + (" (always)" if scope in one.base_scopes else "") for scope, why in one.scopes.items()]
    yield from _block("scopes", asked or ["none"])
    yield from _block("documentation", [one.docs] if one.docs else [])
    yield from _block("sources", one.sources)


def _pairs(one: Provider) -> Iterator[tuple[str, str]]:
    """Yield what is worth knowing of *one*: a label, and a line of Markdown."""
    yield "Linked", ", else ".join(WAYS[way] for way in one.ways)
    yield "API", f"`{_place(one.api, one)}`"
    for name, url in one.apis.items():
        yield f"API called {name}", f"`{_place(url, one)}`"
    server = one.server if one.server.token_url or one.discovery else one.oauth1
    if server is not None and (server.token_url or one.discovery):
        yield "Authorisation", _authorisation(one)
    if "redirect" in one.ways or "paste" in one.ways:
        yield "Redirects to this machine", _loopback(one)
    if "key" in one.ways:
        yield "Keys", f"{one.key.label}" + (f", from `{_place(one.key.url, one)}`" if one.key.url else "")
    where = f"`{one.whoami.method} {one.whoami.path}`" if one.whoami.path else "where discovery says"
    where = "over a WebSocket" if one.whoami.socket else where
    yield "Whose account it is", f"asked {where}, and told apart by `{one.whoami.id}`"
    yield "When it is unlinked", _revocation(one)
    yield "`!api` may send", (", ".join(one.methods) or "nothing") + ", unless the operator widens it"
    if one.sensitivity == "high":
        yield "Sensitivity", "high: no pasted addresses, PINs or keys in chat, unless the operator says so"
    yield "Tested against", _tested(one.tested)


def _authorisation(one: Provider) -> str:
    server = one.server
    if not server.token_url and not one.discovery:
        return "OAuth 1.0a, requests signed by HMAC-SHA1"
    alone = "where it is sent" if server.client_auth == "none" else "the client secret"
    pkce = "with PKCE (S256)" if server.pkce == "S256" else f"without PKCE: {alone} alone protects the code"
    client = {"basic": "HTTP Basic", "post": "in the form", "none": "no secret"}[server.client_auth]
    endpoints = "endpoints by discovery" if one.discovery else f"at `{_place(server.authorize_url, one)}`"
    client = "as the metadata say" if one.discovery else client
    more = "; OAuth 1.0a where a consumer_key is given" if one.oauth1 is not None else ""
    return f"OAuth 2, {endpoints}, {pkce}; client: {client}{more}"


def _loopback(one: Provider) -> str:
    return {
        "ip": "taken for 127.0.0.1",
        "localhost": "taken for localhost",
        "no": "not taken, or not for sure: the bot needs a public address",
    }[one.loopback]


def _revocation(one: Provider) -> str:
    if one.revoke == "never":
        where = f"; a person takes it back at `{_place(one.apps_url, one)}`" if one.apps_url else ""
        return f"the token is forgotten and not revoked{where}"
    said = []
    if one.revoke_request is not None:
        said.append(f"the token is revoked by `{one.revoke_request.method} {one.revoke_request.path}`")
    elif one.server.revoke_url or one.discovery:
        said.append(f"the {one.revoke} token is revoked (RFC 7009)")
    if one.oauth1_revoke is not None:
        said.append(f"one of OAuth 1.0a by `{one.oauth1_revoke.method} {one.oauth1_revoke.path}`")
    return ", ".join(said) or "the token is forgotten, and a person takes it back at the service"


def _needs(one: Provider) -> list[str]:
    """Return the settings that an operator gives, each as in ``providers.NAME.KEY``."""
    needs = ["issuer"] if one.discovery else [] if one.base else ["base, or instances where there are several"]
    if one.registration != "operator":
        return needs or ["nothing: `{}` is enough"]
    clients = []
    if one.discovery or one.server.token_url:
        has_secret = one.server.client_auth != "none"
        clients.append("client_id" + (" and client_secret" if has_secret else ""))
    if one.oauth1 is not None:
        clients.append("consumer_key and consumer_secret")
    client = " or ".join(clients)
    if client and "key" in one.ways:
        client += " (without them it is linked by key alone)"
    return [*needs, *filter(None, [client])] or ["nothing: `{}` is enough"]


def _registered(one: Provider, callback: str) -> str:
    """Return how the bot is registered there, with *callback* as the redirect URI."""
    if one.register:
        return "To register the bot:\n" + one.register.replace("{callback}", callback)
    if one.registration == "address":
        return "Nobody registers the bot: its own public address is its client id."
    if one.registration == "mastodon":
        return "Nobody registers the bot: it registers itself at its first use."
    return "Nobody registers the bot: people give a key of their own."


def _tested(tested: Tested) -> str:
    if tested.against == "documentation":
        return "documentation only"
    return tested.against + (f": {tested.what}" if tested.what else "")


def _configured(name: str, instances: Instances) -> list[str]:
    found = [f"{name}@{alias}" for alias in instances.of(name)]
    if mode := instances.at_hosts().get(name):
        found.append(f"any host that people name ({mode})")
    return found


def _callback(instance: Instance, settings: Settings | None) -> str:
    if settings is None:
        return redirect_uri(instance, _EXAMPLE, 9)
    return redirect_uri(instance, settings.public_url, settings.paste_port)


def _unconfigured(one: Provider) -> Instance:
    """Return *one* as an instance that nobody has configured, to be spoken of only."""
    return Instance(one, "default", ClientCredential(""), None, issuer="", api="", origins=frozenset())


def _place(url: str, one: Provider) -> str:
    """Return *url* with the service's address in it, or a word where each operator has their own."""
    return url.replace("{base}", one.base or ("ISSUER" if one.discovery else "ADDRESS"))


def _block(label: str, lines: Sequence[str]) -> Iterator[str]:
    """Yield *lines* with the *label* before the first."""
    for number, line in enumerate(lines):
        yield f"{'' if number else label:<26} {line}"


def _escaped(text: str) -> str:
    """Return *text* as Markdown that shows it as it stands."""
    for mark in "\\`*_<>[]|":
        text = text.replace(mark, f"\\{mark}")
    return text
