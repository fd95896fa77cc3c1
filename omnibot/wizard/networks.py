"""The wizard's questions about networks.  What each needs is its adapter's to say (`omnibot.adapter.Setup`)."""

import asyncio
import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from omnibot.adapter import Finding, Question, Setup
from omnibot.errors import ConfigError, OmnibotError
from omnibot.markup import printable
from omnibot.provider import Secret
from omnibot.registry import find_adapter, shipped_adapters
from omnibot.wizard.draft import Draft, Entry, found_in
from omnibot.wizard.talk import Talk
from omnibot.yamlfile import did_you_mean

_NAME = re.compile(r"[a-z0-9-]{1,32}")
_TRY_SECONDS = 120.0


def ask_networks(talk: Talk, draft: Draft) -> Draft:
    """Return *draft* with the networks that are named, one by one."""
    adapters = shipped_adapters()
    talk.say("\nNetworks: where people speak to the bot. They are asked for one by one.")
    while True:
        last = "no other" if draft.networks else "only this terminal, to try things out"
        adapter = talk.ask(f"Network ({', '.join(adapters)}; empty: {last})").lower()
        if not adapter:
            return draft
        if adapter not in adapters:
            talk.say(f"  {printable(adapter)} is none of them. {did_you_mean(adapter, adapters)}".rstrip())
            continue
        draft = _ask_network(talk, draft, adapter)


def setup_of(adapter: str) -> Setup:
    """Return how somebody is led to the options of *adapter*."""
    found: Setup | None = getattr(find_adapter(adapter), "setup", None)
    return found or Setup(adapter)


def invitations(draft: Draft) -> list[str]:
    """Return how the bot is brought to where people are, a line for each step."""
    found = found_in(draft)
    return [
        f"{network.name}: {line}"
        for network in draft.networks
        for line in setup_of(str(network.options["adapter"])).invite(found[network.name])
    ]


def _ask_network(talk: Talk, draft: Draft, adapter: str) -> Draft:
    """Return *draft* with one more network, or as it is if that is left out after all."""
    setup = setup_of(adapter)
    talk.say(f"\n{setup.title}. {setup.before}".rstrip())
    name = _ask_name(talk, draft, adapter)
    typed: dict[str, str] = {}
    while True:
        options = _ask_options(talk, setup.questions, typed)
        if options is None:
            talk.say(f"  {name} is left out.")
            return draft
        wanted = replace(draft, networks=(*draft.networks, Entry(name, {"adapter": adapter, **options})))
        fits = _fits(talk, wanted)
        if fits and _works(talk, wanted, name, setup):
            return wanted
        # Ways on that would leave a configuration that cannot be used are not offered.
        choices = {"correct": "c", "keep": "k", "leave out": "l"} if fits else {"correct": "c", "leave out": "l"}
        match talk.choose(f"What now? {', '.join(choices)}", choices, "correct"):
            case "keep":
                return wanted
            case "leave out":
                return draft


def _ask_name(talk: Talk, draft: Draft, adapter: str) -> str:
    taken = {network.name for network in draft.networks}
    default = next(one for one in (adapter, *(f"{adapter}-{n}" for n in range(2, 1000))) if one not in taken)
    while True:
        name = talk.ask("What it is called here: people's names begin with it, so do not change it later", default)
        if name in taken:
            talk.say(f"  There is a {name} already.")
        elif not _NAME.fullmatch(name):
            talk.say("  Use a to z, 0 to 9 and dashes, 32 at most.")
        else:
            return name


def _ask_options(talk: Talk, questions: Iterable[Question], typed: dict[str, str]) -> dict[str, Any] | None:
    """Return the answers as options; None where the network is left out.

    *typed* has what was typed before, which is proposed again, and is brought up to date.
    """
    options: dict[str, Any] = {}
    for one in questions:
        if (one.after and not typed.get(one.after)) or (one.unless and typed.get(one.unless)):
            typed.pop(one.key, None)
            continue
        answered = _ask_option(talk, one, typed.get(one.key, ""))
        if answered is None:
            return None
        typed[one.key], value = answered
        if typed[one.key]:
            _put(options, one.key, Secret(value) if one.secret else value)
    return options


def _ask_option(talk: Talk, one: Question, before: str) -> tuple[str, Any] | None:
    """Return what was typed, and the option that it makes; None if there has to be one and is not."""
    while True:
        prompt = f"  {one.prompt}"
        answer = talk.ask_secret(prompt, before) if one.secret else _ask_text(talk, one, prompt, before)
        if not answer:
            if one.optional:
                return "", None
            if talk.agrees("  There is no doing without that. Leave this network out?", default=False):
                return None
            continue
        try:
            return answer, one.value(answer)
        except ValueError as error:
            talk.say(f"  It has to be {error}." if not str(error).startswith("that ") else f"  No: {error}.")
            before = ""


def _ask_text(talk: Talk, one: Question, prompt: str, before: str) -> str:
    if one.optional and before:
        answer = talk.ask(f"{prompt}; - for none", before)
        return "" if answer == "-" else answer
    return talk.ask(prompt, before or one.default)


def _put(options: dict[str, Any], key: str, value: Any) -> None:
    """Put *value* where *key* says, which may be in another option."""
    *outer, last = key.split(".")
    for step in outer:
        options = options.setdefault(step, {})
    options[last] = value


def _fits(talk: Talk, draft: Draft) -> bool:
    """Return whether *draft* can be used; tell what is wrong with it, if it cannot."""
    try:
        found_in(draft)
    except ConfigError as error:
        for problem in error.problems:
            talk.say(f"  {replace(problem, where='')}")
        return False
    return True


def _works(talk: Talk, draft: Draft, name: str, setup: Setup) -> bool:
    """Return whether logging in to the network *name* works; True as well where that is not tried."""
    if setup.attempt is None or not talk.agrees("Try to log in now? (and out again)", default=True):
        return True
    talk.say("  Trying …")
    settings = found_in(draft)[name]
    found = asyncio.run(_tried(setup, settings))
    for one in found:
        talk.say(f"  {printable(str(one))}")
    return not any(one.level == "wrong" for one in found)


async def _tried(setup: Setup, settings: Any) -> list[Finding]:
    assert setup.attempt is not None, "asked before"
    try:
        async with asyncio.timeout(_TRY_SECONDS):
            return list(await setup.attempt(settings))
    except TimeoutError:
        return [Finding("wrong", f"There was no answer in {_TRY_SECONDS:.0f} seconds.", "Try again later.")]
    except OmnibotError as error:
        return [Finding("wrong", f"{str(error).rstrip('.')}.", getattr(error, "cure", ""))]
    except Exception as error:  # noqa: BLE001 - an adapter's mistake, whose words may hold anything, ends no interview
        return [Finding("wrong", f"It could not be tried ({type(error).__name__}).")]


def known_by(draft: Draft) -> Mapping[str, str]:
    """Return, for each network by its name, what a person's subject is there."""
    networks = draft.networks or (Entry("console", {"adapter": "console"}),)
    return {one.name: setup_of(str(one.options["adapter"])).who for one in networks}
