"""Which services there are: the catalogue's providers, at the addresses that the operator gave.

`Instances` is what the rest of the bot asks.  It is built once, of the catalogue's files
and the operator's settings, and tells everything that is wrong with them at once.  What
only a server can say of itself comes with `Instances.ready`.
"""

import asyncio
import logging
import re
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Protocol

from omnibot.discovery import metadata_requests, read_metadata, read_userinfo_url
from omnibot.errors import AddressRefused, ConfigError, OAuthError, Problem, Upstream, UserError
from omnibot.hostname import ascii_host
from omnibot.provider import AuthorizationServer, ClientCredential, ExtraScopes, Instance, Provider, Secret
from omnibot.providerfile import METHODS, SHIPPED, load_catalogue, scope_name, web_address
from omnibot.tally import service_label
from omnibot.wire import Answer, Sender, origin_of
from omnibot.yamlfile import BadValueError, Document, did_you_mean

__all__ = ["SHIPPED", "Instances", "ProviderSettings", "load_catalogue"]

log = logging.getLogger(__name__)

ANY = "*"
"""The alias that stands for every host that people name."""

type Judge = Callable[[str, str], str | None]
"""Tells whether a provider may be found at a host that people name: ``allowed``, ``refused``, or neither."""


class Registrar(Protocol):
    """What registers the bot by itself, where a service lets it."""

    def of(self, instance: Instance, /) -> ClientCredential | None:
        """Return the bot's client there, if it has one."""
        ...

    async def register(self, instance: Instance, http: Sender, /) -> ClientCredential:
        """Return the bot's client there, made now if there was none."""
        ...


FRESH = 3600.0
"""Seconds for which a server's metadata are believed."""

_ALIAS = re.compile(r"[a-z0-9]([a-z0-9.-]{0,61}[a-z0-9])?")
_USERINFO = "/me"
"""Where whoami asks at an OpenID issuer whose metadata name no userinfo endpoint."""

_DISCOVERY_SECONDS = 10.0
_DISCOVERY_LIMIT = 262_144

_UNUSABLE: Mapping[str, str] = {
    "issuer_mismatch": "says it is another server than the one configured",
    "foreign_endpoint": "names endpoints at an address that the operator did not allow",
    "pkce_unsupported": "does not protect a login in the way I need (PKCE with S256)",
    "client_auth_unsupported": "wants me to identify myself in a way I do not know",
}
"""What is told of metadata that were read and refused; of others, only that they could not be read."""


@dataclass(frozen=True, slots=True)
class ProviderSettings:
    """What the operator says of one provider; what is empty, the catalogue or the server says."""

    client_id: str = ""
    client_secret: Secret | None = None
    issuer: str = ""
    """The server's name for itself, to the letter; with discovery, also where it is found."""

    base: str = ""
    """Without discovery: the address that ``{base}`` stands for in the catalogue."""

    api: str = ""
    apis: Mapping[str, str] = field(default_factory=dict)
    """Addresses of further APIs by name, beside those of the catalogue or in their place."""

    request_url: str = ""
    authorize_url: str = ""
    token_url: str = ""
    revoke_url: str = ""
    device_url: str = ""
    origins: tuple[str, ...] = ()
    """Origins that requests may go to beyond those of the addresses above."""

    whoami: str = ""
    """Path of the whoami request, where the catalogue's does not fit."""

    scopes: tuple[str, ...] = ()
    methods: tuple[str, ...] | None = None
    paste: bool | None = None
    """Whether accounts may be linked by pasting; None: unless the catalogue advises against it."""

    chat_keys: bool | None = None
    """Whether keys may be said in a private chat; None: unless the catalogue advises against it."""

    extra_scopes: ExtraScopes | None = None
    """What becomes of a link that was granted more than was asked for; None: it is taken, and said."""

    consumer_key: str = ""
    """The client's name in OAuth 1.0a; counts where there is no *client_id*."""

    consumer_secret: Secret | None = None
    device: bool | None = None
    """Whether accounts may be linked by a device's code (RFC 8628); None: they may not."""

    pin: bool | None = None
    """Whether accounts may be linked by a PIN; None: unless the catalogue advises against it."""

    instances: "Mapping[str, str | ProviderSettings]" = field(default_factory=dict)
    """Instances by alias: an address alone (issuer or base), or settings.

    The alias `ANY` stands for every host that people name: ``ask`` lets an admin decide on each, ``any``
    takes them all.  Nobody is known there, so they take no client from around them.

    Each takes client, scopes, methods, whoami, paste, chat_keys and extra_scopes from around it where it has
    none of its own, and no address.  The settings around it are an instance too, ``default``, if they have an
    issuer or base.
    """


class Instances:
    """Every instance that the operator configured, and what their servers say of themselves."""

    def __init__(
        self,
        catalogue: Mapping[str, Provider],
        settings: Mapping[str, ProviderSettings],
        document: Document | None = None,
        *,
        address: str = "",
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Put *catalogue* and *settings* together; *document* is the file with the settings in it.

        *address* is the bot's own public one, if it has one: some services take that for its name.

        Raises:
            ConfigError: they do not fit; every problem is in it.
        """
        drafts = [draft for name, said in settings.items() for draft in _drafts(catalogue, name, said)]
        faults = list(dict.fromkeys(fault for draft in drafts for fault in draft.faults(catalogue)))
        made = {} if faults else {draft: draft.instance() for draft in drafts}
        faults += _shared_issuers(made)
        if faults:
            faults.sort(key=lambda fault: document.line(fault.path) if document else 0)
            raise ConfigError(*(fault.problem(document) for fault in faults))
        self._catalogue = catalogue
        self._all = {(one.provider.name, one.name): one for draft, one in made.items() if not draft.anywhere}
        self._anywhere = {one.provider.name: draft for draft, one in made.items() if draft.anywhere}
        self._judge: Judge = lambda provider, host: None
        self._registrar: Registrar | None = None
        self._address = address
        self._by_userinfo = {one.key for draft, one in made.items() if draft.asks_userinfo}
        self._clock = clock
        self._ready: dict[str, tuple[float, Instance]] = {}
        self._asking: dict[str, asyncio.Task[Instance]] = {}

    def names(self) -> tuple[str, ...]:
        """Return the providers of which there is an instance, or may be one, in order."""
        return tuple(sorted({*self._anywhere, *(provider for provider, _ in self._all)}))

    def keys(self) -> tuple[str, ...]:
        """Return every instance that the operator named, as ``provider@instance``, in order."""
        return tuple(sorted(one.key for one in self._all.values()))

    def of(self, provider: str) -> list[str]:
        """Return the names of the operator's instances of *provider*, in order."""
        return sorted(name for of, name in self._all if of == provider)

    def identifying(self, adapter: str) -> list[str]:
        """Return the operator's instances, as ``provider@instance``, whose login tells who people of *adapter* are."""
        found = [one for one in self._all.values() if one.provider.identifies == adapter and one.authorises]
        return sorted(one.key for one in found)

    def could_identify(self, adapter: str) -> list[str]:
        """Return the providers of the catalogue whose login tells who people of *adapter* are."""
        return sorted(name for name, one in self._catalogue.items() if one.identifies == adapter)

    def at_hosts(self) -> Mapping[str, str]:
        """Return the providers of which people may name hosts, and for each whether it is ``ask`` or ``any``."""
        return {provider: draft.mode for provider, draft in self._anywhere.items()}

    def heed(self, judge: Judge) -> None:
        """Let *judge* tell, from now on, which hosts that people name are allowed."""
        self._judge = judge

    def register_by(self, registrar: Registrar) -> None:
        """Let *registrar* register the bot, from now on, where it does that by itself."""
        self._registrar = registrar

    def _named(self, instance: Instance) -> Instance:
        """Return *instance* with the client that no operator wrote down: the bot's address, or what it registered."""
        if instance.provider.registration == "address" and self._address:
            return replace(instance, client=ClientCredential(f"{self._address}/"))
        if instance.registers and self._registrar is not None:
            client = self._registrar.of(instance)
            return instance if client is None else replace(instance, client=client)
        return instance

    def host(self, provider: str, name: str) -> str:
        """Return the host, in ASCII, that *name* is; empty if it is none that people may name of *provider*.

        Raises:
            UserError: people may name hosts of *provider*, and this is neither one nor an instance.
        """
        aliases = self.of(provider)
        if not name or name in aliases or provider not in self._anywhere:
            return ""
        host = _host_named(provider, name, aliases)
        for alias in aliases:
            if f"https://{host}" in self._all[provider, alias].origins:
                raise UserError(f"That is `{provider}@{alias}` here.")
        return host

    def plain(self, provider: str, name: str) -> str:
        """Return *name* as instances and accounts are called: a host in ASCII, anything else as it stands."""
        try:
            return self.host(provider, name) or name
        except UserError:
            return name

    def get(self, provider: str, instance: str | None = None) -> Instance:
        """Return the *instance* of *provider*, which may also be written ``provider@instance``.

        Without a name it is the one called ``default``, or the only one.

        Raises:
            UserError: there is none, or more than one to choose from.
        """
        if instance is None:
            provider, _, instance = provider.partition("@")
        provider, alias = provider.lower(), instance.lower()
        aliases = self.of(provider)
        if provider not in self.names():
            meant, known = did_you_mean(provider, list(self.names())), _hint("", self.names())
            raise UserError(" ".join(filter(None, ("I do not know that service.", meant, known))))
        if not alias:
            alias = aliases[0] if len(aliases) == 1 else "default"
            if alias not in aliases:
                raise UserError(f"Which one? {self._choice(provider, aliases)}")
        if alias not in aliases:
            if provider in self._anywhere:
                return self._at(provider, _host_named(provider, alias, aliases))
            raise UserError(f"I do not know that {provider}. {_hint(alias, aliases)}")
        found = self._all[provider, alias]
        return self._named(self._ready[found.key][1] if found.key in self._ready else found)

    def label(self, provider: str, instance: str) -> str:
        """Return what *instance* of *provider* is counted as; one that is not configured any more is nobody's name."""
        known = instance in self.of(provider)
        return service_label(f"{provider}@{instance}", by_operator=known)

    def shown(self, provider: str, instance: str) -> Instance:
        """Return the instance as `get` does, also one at a host that is not allowed: to be shown, and not to be asked.

        Raises:
            UserError: there is none.
        """
        if provider in self._anywhere and instance not in self.of(provider):
            return self._anywhere[provider].at(_host_named(provider, instance, self.of(provider)))
        return self.get(provider, instance)

    def _choice(self, provider: str, aliases: list[str]) -> str:
        known = _hint("", [f"{provider}@{one}" for one in aliases]) if aliases else ""
        example = f"Name its host, as in `{provider}@{provider}.example.org`." if provider in self._anywhere else ""
        return f"{known} {example}".strip()

    def _at(self, provider: str, host: str) -> Instance:
        """Return the instance of *provider* at a *host* that somebody named.

        Raises:
            UserError: nobody has allowed it, or an admin has refused it.
        """
        draft, said = self._anywhere[provider], self._judge(provider, host)
        if said == "refused":
            raise UserError(f"An admin of this bot has refused `{host}`, so I do not go there.")
        if said != "allowed" and draft.mode != "any":
            raise UserError(f"No admin of this bot has allowed `{host}`, so I do not go there.")
        return self._named(draft.at(host))

    async def ready(self, instance: Instance, http: Sender) -> Instance:
        """Return *instance* with its server, asked through *http* if that was not done within the hour.

        However many ask at once, the server is asked once.  Where the bot registers itself, it has by then.

        Raises:
            Upstream: the server did not say, or what it said cannot be used; or it does not register the bot.
        """
        if instance.registers and not instance.client.client_id and self._registrar is not None:
            return replace(instance, client=await self._registrar.register(instance, http))
        if not instance.provider.discovery:
            return instance
        until, known = self._ready.get(instance.key, (0.0, instance))
        if self._clock() < until:
            return known
        task = self._asking.get(instance.key)
        if task is None:
            task = self._asking[instance.key] = asyncio.create_task(self._discover(instance, http))
            task.add_done_callback(lambda done: self._asked(instance.key, done))
        # Shielded: whoever gives up waiting does not spoil it for the others.
        return await asyncio.shield(task)

    def _asked(self, key: str, done: asyncio.Task[Instance]) -> None:
        """Keep what came of asking, for an hour; a failure is forgotten, and tried again when asked."""
        del self._asking[key]
        if not done.cancelled() and done.exception() is None:
            self._ready[key] = (self._clock() + FRESH, done.result())

    async def _discover(self, instance: Instance, http: Sender) -> Instance:
        """Ask the issuer for its metadata, in each place where they may be."""
        failure = OAuthError("bad_metadata")
        for request in metadata_requests(instance.issuer):
            try:
                answer = await http.send(
                    request,
                    origins=instance.origins,
                    private=instance.by_operator,
                    timeout=_DISCOVERY_SECONDS,
                    limit=_DISCOVERY_LIMIT,
                )
                return self._described(instance, answer)
            except AddressRefused as refused:
                raise Upstream(str(refused)) from None
            except OAuthError as error:
                failure = failure if failure.code in _UNUSABLE else error
        log.warning("the metadata of %s cannot be used: %s", instance.key, failure)
        why = _UNUSABLE.get(failure.code, "does not describe itself in a way I can read")
        raise Upstream(f"{instance.title} {why}.", status=failure.status)

    def _described(self, instance: Instance, answer: Answer) -> Instance:
        """Return *instance* as *answer* describes it."""
        server = read_metadata(instance, answer)
        url = read_userinfo_url(instance, answer) if instance.key in self._by_userinfo else ""
        if not url:
            return replace(instance, server=server)
        path = url.removeprefix(instance.api) if url.startswith(f"{instance.api}/") else url
        provider = replace(instance.provider, whoami=replace(instance.provider.whoami, path=path))
        return replace(instance, server=server, provider=provider)


@dataclass(frozen=True, slots=True)
class _Fault:
    """Something wrong in the settings, and where."""

    path: tuple[str, ...]
    what: str
    cure: str

    def problem(self, document: Document | None) -> Problem:
        """Return it as the operator reads it."""
        where = document.where(self.path) if document else ""
        return Problem(where, ".".join(self.path), self.what, self.cure)


@dataclass(frozen=True, slots=True, eq=False)
class _Draft:
    """One instance as the operator described it, not yet known to be right."""

    provider: Provider | None
    alias: str
    own: ProviderSettings
    """What stands in its own place, and is no fault of anything around it."""

    said: ProviderSettings
    """The same with what it takes from around it."""

    path: tuple[str, ...]
    """Where in the configuration it stands: ``providers``, name, and so on."""

    mode: str = ""
    """Of the draft that stands for every host that people name: ``ask`` or ``any``."""

    @property
    def anywhere(self) -> bool:
        """Whether it stands for every host that people name."""
        return self.alias == ANY

    @property
    def asks_userinfo(self) -> bool:
        """Whether whoami is asked where discovery says."""
        return bool(self.provider and not self.provider.whoami.path and not self.said.whoami)

    def faults(self, catalogue: Mapping[str, Provider]) -> Iterator[_Fault]:
        """Yield everything that is wrong with it."""
        if self.provider is None:
            yield _Fault(self.path[:2], "is not in the catalogue", _hint(self.path[1], sorted(catalogue)))
            return
        if self.anywhere:
            yield from self._anywhere_faults(self.provider)
        elif not _ALIAS.fullmatch(self.alias):
            yield _Fault(self.path, "is not a name for an instance", "Use a to z, 0 to 9, dots and dashes.")
        gaps = () if self.anywhere else self._gaps(self.provider)
        for key, what, cure in (*self._values(), *gaps):
            yield _Fault((*self.path, key), what, cure)

    def _anywhere_faults(self, provider: Provider) -> Iterator[_Fault]:
        """Yield why people cannot name hosts of *provider*: nobody has registered the bot there."""
        path = (*self.path, "instances")
        if self.mode not in ("ask", "any"):
            yield _Fault((*path, ANY), "is neither ask nor any", "Write ask, and an admin decides on each host.")
        whole = "://" in (self.said.whoami or provider.whoami.path)
        whole = whole or not all(url.startswith("{base}/") for url in provider.apis.values())
        alone = "key" in provider.ways or provider.registration != "operator"
        if not alone or provider.discovery or whole or not provider.api.startswith("{base}"):
            what = "lets people name servers, and this service wants the bot registered at each of them"
            yield _Fault(path, what, "Name the servers where you have registered the bot: alias and address.")

    def _values(self) -> Iterator[tuple[str, str, str]]:
        """Yield key, fault and cure of each value that is wrong by itself."""
        said = self.own
        for key in ("issuer", "base", "api", "request_url", "authorize_url", "token_url", "revoke_url", "device_url"):
            yield from _tried(key, web_address, getattr(said, key))
        for address in said.apis.values():
            yield from _tried("apis", web_address, address)
        for origin in said.origins:
            yield from _tried("origins", _origin, origin)
        for scope in said.scopes:
            yield from _tried("scopes", scope_name, scope)
        for method in said.methods or ():
            if method not in METHODS:
                yield "methods", f'"{method}" is not a method', f"Choose from {', '.join(METHODS)}."
        if not re.fullmatch(r"(/[!-~]*)?", said.whoami):
            yield "whoami", f'"{said.whoami}" is not a path', "Begin it with a slash."

    def _gaps(self, provider: Provider) -> Iterator[tuple[str, str, str]]:
        """Yield key, fault and cure of what is missing, or too much, for this *provider*."""
        said = self.said
        yield from self._client_gaps(provider)
        for key, what in (("device", "device's codes"), ("pin", "PINs")):
            if getattr(said, key) is not None and key not in provider.ways:
                yield key, f"is about {what}, which this service does not have", "Take it out."
        if provider.discovery and not said.issuer:
            yield "issuer", "is missing", "Add the server's address, as it names itself."
        if provider.discovery and (said.authorize_url or said.token_url or said.revoke_url):
            yield "issuer", "finds the endpoints by itself", "Take authorize_url, token_url, revoke_url out."
        if not (provider.discovery or provider.base or said.base):
            yield "base", "is missing", "Add the service's address."
        elsewhere = said.base.rstrip("/") not in ("", provider.base) and "{base}" not in provider.api
        if elsewhere and not said.api:  # tokens of this server would go to the API of the public one (A23)
            yield "api", "is missing: this service has its API at an address of its own", "Add the API's address."

    def _client_gaps(self, provider: Provider) -> Iterator[tuple[str, str, str]]:
        """Yield what is missing, or too much, of the client."""
        said, where = self.said, f" at {provider.docs}" if provider.docs else ""
        if provider.registration != "operator":
            for key in ("client_id", "consumer_key"):
                if getattr(said, key):
                    yield key, "is not needed: nobody registers the bot there by hand", "Take it out."
            return
        if said.client_id and said.consumer_key:
            yield "consumer_key", "stands beside a client_id, and only one of them can be used", "Take one of them out."
        if said.consumer_key and provider.oauth1 is None:
            yield "consumer_key", "belongs to OAuth 1.0a, which this service does not have", "Take it out."
        elif said.consumer_key and said.consumer_secret is None:
            yield "consumer_secret", "is missing: it signs every request", "Add it."
        if said.client_id and not (provider.discovery or provider.server.authorize_url or said.authorize_url):
            cure = "Write consumer_key." if provider.oauth1 else "Take it out: people give keys of their own."
            yield "client_id", "belongs to OAuth 2, which this service does not have", cure
        if not (said.client_id or said.consumer_key) and "key" not in provider.ways:
            key = "client_id" if provider.discovery or provider.server.authorize_url else "consumer_key"
            other = ", or consumer_key and consumer_secret" if key == "client_id" and provider.oauth1 else ""
            yield key, "is missing", f"Register the bot{where} and add it{other}."
        if said.client_id and provider.server.pkce == "none" and said.client_secret is None:
            yield "client_secret", "is missing, and this service has no PKCE to do without", "Add it."

    def at(self, host: str) -> Instance:
        """Return the instance at *host*, which somebody named: requests go there and nowhere else."""
        origin = f"https://{host}"
        one = replace(self, alias=host, said=replace(self.said, base=origin)).instance()
        return replace(one, by_operator=False, origins=frozenset({origin}))

    def instance(self) -> Instance:
        """Return the instance; only of a draft without faults."""
        said, provider = self.said, self.provider
        assert provider is not None, "a draft without a provider has a fault"
        base = (said.issuer if provider.discovery else said.base or provider.base).rstrip("/")
        oauth1 = bool(said.consumer_key) and not said.client_id
        server = self._server(provider.oauth1 if oauth1 and provider.oauth1 else provider.server, base)
        api, apis = (said.api or provider.api.replace("{base}", base)).rstrip("/"), {**provider.apis, **said.apis}
        apis = {name: url.replace("{base}", base).rstrip("/") for name, url in apis.items()}
        # The authorization page is the browser's to visit: its origin gets no request of ours.
        endpoints = (server.request_url, server.token_url, server.revoke_url, server.device_url)
        called = (base, api, *apis.values(), *endpoints, *said.origins)
        path = said.whoami or provider.whoami.path or _USERINFO
        client = ClientCredential(said.client_id, said.client_secret)
        return Instance(
            provider=replace(
                provider,
                whoami=replace(provider.whoami, path=path),
                apps_url=provider.apps_url.replace("{base}", base),
            ),
            name=self.alias,
            client=ClientCredential(said.consumer_key, said.consumer_secret) if oauth1 else client,
            server=None if provider.discovery else server,
            issuer=said.issuer if provider.discovery else "",
            api=api,
            apis=apis,
            origins=frozenset(origin_of(url) for url in called if url),
            scopes=said.scopes,
            methods=said.methods or provider.methods,
            paste_allowed=_paste_allowed(provider, said),
            chat_keys=provider.sensitivity == "normal" if said.chat_keys is None else said.chat_keys,
            key_url=provider.key.url.replace("{base}", base),
            extra_scopes=said.extra_scopes or "warn",
            device_allowed=bool(said.device),
            pin_allowed=provider.sensitivity == "normal" if said.pin is None else said.pin,
        )

    def _server(self, known: AuthorizationServer, base: str) -> AuthorizationServer:
        """Return the server that the catalogue knows at *base*, with what the operator said instead."""
        said = self.said
        return replace(
            known,
            request_url=known.request_url and (said.request_url or known.request_url.replace("{base}", base)),
            authorize_url=said.authorize_url or known.authorize_url.replace("{base}", base),
            token_url=said.token_url or known.token_url.replace("{base}", base),
            revoke_url=said.revoke_url or known.revoke_url.replace("{base}", base),
            device_url=said.device_url or known.device_url.replace("{base}", base),
            issuer=said.issuer or known.issuer.replace("{base}", base),
        )


def _drafts(catalogue: Mapping[str, Provider], name: str, said: ProviderSettings) -> Iterator[_Draft]:
    """Yield a draft for each instance that the operator *said* there is of the provider *name*."""
    provider, path = catalogue.get(name), ("providers", name)
    is_one = bool(said.issuer or said.base or not said.instances)
    if is_one:
        yield _Draft(provider, "default", said, said, path)
    for alias, one in said.instances.items():
        if alias == ANY:
            whole = _inherited(ProviderSettings(base="https://host.invalid"), said)
            whole = replace(whole, client_id="", client_secret=None)
            own = whole if len(said.instances) == 1 and not is_one else ProviderSettings()
            yield _Draft(provider, ANY, own, whole, path, one if isinstance(one, str) else "")
            continue
        if isinstance(one, str):
            found = provider is not None and provider.discovery
            one = ProviderSettings(issuer=one) if found else ProviderSettings(base=one)
        whole = _inherited(one, said)
        yield _Draft(provider, alias, one if is_one else whole, whole, (*path, "instances", alias))


def _inherited(one: ProviderSettings, around: ProviderSettings) -> ProviderSettings:
    """Return *one* with what it leaves unsaid taken from *around* it; addresses are never taken."""
    client = one if one.client_id or one.consumer_key else around
    return replace(
        one,
        client_id=client.client_id,
        client_secret=client.client_secret,
        consumer_key=client.consumer_key,
        consumer_secret=client.consumer_secret,
        whoami=one.whoami or around.whoami,
        scopes=one.scopes or around.scopes,
        methods=around.methods if one.methods is None else one.methods,
        paste=around.paste if one.paste is None else one.paste,
        chat_keys=around.chat_keys if one.chat_keys is None else one.chat_keys,
        extra_scopes=one.extra_scopes or around.extra_scopes,
        device=around.device if one.device is None else one.device,
        pin=around.pin if one.pin is None else one.pin,
    )


def _shared_issuers(made: Mapping[_Draft, Instance]) -> list[_Fault]:
    """Return a fault for each instance whose issuer another has too: iss could not tell them apart."""
    by_issuer = defaultdict[str, list[_Draft]](list)
    for draft, one in made.items():
        by_issuer[(one.server.issuer if one.server else one.issuer).rstrip("/")].append(draft)
    return [
        _Fault((*later.path, "issuer"), f"is that of {'.'.join(drafts[0].path)} too", "Keep one of the two.")
        for issuer, drafts in by_issuer.items()
        for later in drafts[1:]
        if issuer
    ]


def _paste_allowed(provider: Provider, said: ProviderSettings) -> bool:
    """Whether an account may be linked by pasting: if the operator says so, or nothing speaks against it."""
    if "paste" not in provider.ways:
        return False
    advised = provider.sensitivity == "normal" and provider.server.pkce != "none"
    return advised if said.paste is None else said.paste


def _host_named(provider: str, name: str, aliases: list[str]) -> str:
    """Return the host that *name* is, in ASCII.

    Raises:
        UserError: it is none; in the same words, whatever is wrong with it (A20).
    """
    try:
        return ascii_host(name)
    except ValueError:
        pass
    known = f"{_hint(name, aliases)} " if aliases else ""
    raise UserError(
        f"I do not know that {provider}. {known}"
        f"A server of your own is named by its host alone, as in `{provider}@{provider}.example.org`."
    )


def _origin(value: str) -> str:
    """Return *value* if it is an origin and no more."""
    if web_address(value) != origin_of(value):
        raise BadValueError(f'"{value}" is more than an origin', f"Write {origin_of(value)} alone.")
    return value


def _tried(key: str, reader: Callable[[str], str], value: str) -> Iterator[tuple[str, str, str]]:
    """Yield what *reader* finds wrong with the *value* of *key*, if there is a value."""
    try:
        if value:
            reader(value)
    except BadValueError as error:
        yield key, error.what, error.cure


def _hint(said: str, known: Mapping[str, object] | tuple[str, ...] | list[str]) -> str:
    """Return the known word that was meant, or all of them."""
    return did_you_mean(said, list(known)) or f"I know: {', '.join(known) or 'none'}."
