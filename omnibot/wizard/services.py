"""The wizard's questions about services that people may link: what each needs stands in the catalogue."""

from dataclasses import replace
from typing import Any

from omnibot.catalogue import SHIPPED, load_catalogue
from omnibot.errors import ConfigError
from omnibot.markup import printable
from omnibot.provider import Provider, Secret
from omnibot.registry import shipped_skills
from omnibot.showing import to_register
from omnibot.wizard.draft import Draft, Entry, found_in
from omnibot.wizard.talk import Talk
from omnibot.yamlfile import did_you_mean

_PASTE_PORT = 9
"""The default of ``paste_port``, which the wizard leaves alone."""


def ask_services(talk: Talk, draft: Draft) -> Draft:
    """Return *draft* with the services that are named, one by one, and the skills that go with them."""
    talk.say("\nServices: what people may link their accounts of, so that the bot acts as them.")
    catalogue: dict[str, Provider] = {}
    while name := talk.ask("Service (? lists them; empty: no other)").lower():
        catalogue = catalogue or load_catalogue(SHIPPED)
        if name == "?":
            talk.say("  " + ", ".join(sorted(catalogue)))
        elif name not in catalogue:
            talk.say(f"  There is no {printable(name)}. {did_you_mean(name, sorted(catalogue))}".rstrip())
        elif name in {one.name for one in draft.providers}:
            talk.say(f"  {name} is there already. Further ones of it go under `instances` in the file, by hand.")
        else:
            draft = _ask_service(talk, draft, catalogue[name])
    return draft


def _ask_service(talk: Talk, draft: Draft, one: Provider) -> Draft:
    """Return *draft* with the service *one*, or as it is if that is left out after all."""
    talk.say(f"\n{one.title}.")
    for line in to_register(one, draft.public_url or None, _PASTE_PORT):
        talk.say(f"  {line}")
    skills = draft.skills
    if one.name in shipped_skills() and one.name not in skills:
        skills = (*skills, one.name)
    before: dict[str, str] = {}
    while True:
        options = _ask_options(talk, one, before)
        wanted = replace(draft, providers=(*draft.providers, Entry(one.name, options)), skills=skills)
        try:
            found_in(wanted)
        except ConfigError as error:
            for problem in error.problems:
                talk.say(f"  {replace(problem, where='')}")
            if (
                talk.choose("What now? correct, leave out", {"correct": "c", "leave out": "l"}, "correct")
                == "leave out"
            ):
                return draft
        else:
            return wanted


def _ask_options(talk: Talk, one: Provider, before: dict[str, str]) -> dict[str, Any]:
    """Return the options of a service; *before* has what was typed before, and is brought up to date."""
    options: dict[str, Any] = {}

    def ask(key: str, prompt: str) -> str:
        before[key] = talk.ask(f"  {prompt}", before.get(key, ""))
        return before[key]

    if one.discovery:
        options["issuer"] = ask("issuer", "Its issuer, as it names itself (https://login.example.org)")
    elif not one.base:
        named = one.registration == "mastodon" or one.ways == ("key",)
        asks = "; or ask: people name servers, and you allow each" if named else ""
        base = ask("base", f"Its address, as https://{one.name}.example.org{asks}")
        options |= {"instances": "ask"} if named and base.lower() == "ask" else {"base": base}
    if one.registration == "operator" and one.ways != ("key",):
        options |= _ask_client(talk, one, before, ask("client", _client_prompt(one)))
    return {key: value for key, value in options.items() if value}


def _client_prompt(one: Provider) -> str:
    named = "Consumer key" if _is_oauth1_alone(one) else "Client id"
    return f"{named} (empty: people link by a key alone)" if "key" in one.ways else named


def _ask_client(talk: Talk, one: Provider, before: dict[str, str], client: str) -> dict[str, Any]:
    """Return what the bot is known by, of which *client* is the public part."""
    if not client:
        return {}
    alone = _is_oauth1_alone(one)
    options: dict[str, Any] = {"consumer_key" if alone else "client_id": client}
    if alone or one.server.client_auth != "none":
        key = "consumer_secret" if alone else "client_secret"
        before[key] = talk.ask_secret(f"  {'Consumer' if alone else 'Client'} secret", before.get(key, ""))
        if before[key]:
            options[key] = Secret(before[key])
    return options


def _is_oauth1_alone(one: Provider) -> bool:
    return one.oauth1 is not None and not one.server.token_url and not one.discovery
