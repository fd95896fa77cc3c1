"""What is unwise in the catalogue, though it can be used: what cannot be was told before."""

from collections.abc import Iterator, Mapping
from pathlib import Path

from omnibot.adapter import Finding
from omnibot.provider import Provider
from omnibot.providerfile import SHIPPED, load_catalogue
from omnibot.yamlfile import Document, read


def catalogue(own: Path | None, used: Mapping[str, Provider]) -> Iterator[Finding]:
    """Yield what is to be said of the files in the folder *own*, and of the shipped ones of those *used*, by name."""
    mine = load_catalogue(own) if own is not None else {}
    for name in sorted(used.keys() - mine.keys()):
        yield from _untried(used[name])
    if own is None:
        return
    found = [one for name in sorted(mine) for one in _own(mine[name], read(own / f"{name}.yaml"))]
    found += _stray(own)
    yield from found
    if not found:
        yield Finding("good", f"{own}: {len(mine)} file(s) of your own, and nothing to say against them.")


def _untried(provider: Provider) -> Iterator[Finding]:
    if provider.tested.against == "documentation":
        document = read(_shipped(provider.name))
        what = f"{document.where(('tested',))}: {provider.title} was written from its documentation alone."
        why = "Nobody has linked an account at the real service with it yet."
        yield Finding("note", what, f"Try it with your own account first: !link {provider.name}", why)


def _own(provider: Provider, document: Document) -> Iterator[Finding]:
    """Yield what is unwise in a file of the operator's."""
    if _shipped(provider.name).exists():
        why = "What is mended in the shipped one with an upgrade does not reach yours."
        cure = "Give it another name, unless that is what you want."
        yield Finding("note", f"{document.where(())}: it stands in for the shipped {provider.name}.", cure, why)
    if provider.whoami.id == provider.whoami.login:
        what = f"{document.where(('whoami', 'id'))}: accounts are told apart by the login."
        why = "If the service ever gives a freed name to somebody else, that is the same account for the bot."
        yield Finding("note", what, "Name the field with the id that never changes, if there is one.", why)
    for path in _plain(provider):
        why = "Tokens and client secrets can be read on the way."
        yield Finding("wrong", f"{document.where(path)}: {'.'.join(path)} is http.", "Write https.", why)
    if provider.server.authorize_url and not provider.discovery:
        yield from _server(provider, document)


def _shipped(name: str) -> Path:
    return SHIPPED / f"{name}.yaml"


def _server(provider: Provider, document: Document) -> Iterator[Finding]:
    if provider.server.pkce == "none":
        what = f"{document.where(('server', 'pkce'))}: there is no PKCE."
        why = "Codes are then protected by the client secret alone (below RFC 9700 section 2.1.1)."
        yield Finding("note", what, "Take it out if the service knows PKCE with S256.", why)
    if not provider.server.revoke_url and provider.revoke_request is None:
        what = f"{document.where(('server',))}: there is no way to hand a token back."
        why = "Who unlinks is forgotten here, and their token goes on being good at the service."
        yield Finding("note", what, "Add server.revoke_url, or revoke_request, if the service has one.", why)


def _plain(provider: Provider) -> Iterator[tuple[str, ...]]:
    """Yield where an address is http, other than one of this machine."""
    keys = ("authorize_url", "token_url", "revoke_url", "device_url")
    named: dict[tuple[str, ...], str] = {("base",): provider.base, ("api",): provider.api}
    named |= {("apis", name): url for name, url in provider.apis.items()}
    named |= {("server", key): getattr(provider.server, key) for key in keys}
    for path, url in named.items():
        if url.startswith("http:") and not url.startswith(("http://127.0.0.1", "http://localhost", "http://[::1]")):
            yield path


def _stray(own: Path) -> Iterator[Finding]:
    """Yield the files that look as if they were meant, and are not read."""
    for path in sorted(own.iterdir()):
        if path.suffix in (".yml", ".YAML", ".YML"):
            what = f"{path.name}: it is not read, for its name does not end in .yaml."
            yield Finding("note", what, f"Call it {path.stem}.yaml.", "Its service is not there.")
