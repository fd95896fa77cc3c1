"""What people do on their journeys with a forge: link it when a command needs it, and wait for what they follow."""

from journeys.walks import code_in, told
from omnibot.catalogue import ProviderSettings
from omnibot.identity import Identity
from omnibot.provider import Secret
from omnibot.testing.bench import ADA, Bench
from servers.browser import HttpBrowser
from servers.forges import Forge


def settings(forge: Forge, provider: str, port: int) -> tuple[str, ProviderSettings]:
    """Register a bot that listens on *port* with *forge*; return what its operator writes of it."""
    app = forge.register(f"http://127.0.0.1:{port}/callback/{provider}/default")
    api = forge.origin + forge.api_base
    return provider, ProviderSettings(app.client_id, Secret(app.client_secret), base=forge.origin, api=api)


async def allow(bench: Bench, login: str = "alice", speaker: Identity = ADA) -> list[str]:
    """Go from the link that *speaker* was sent through the forge's pages, as *login*; return what the code sets off."""
    async with HttpBrowser(login) as browser:
        code = code_in((await browser.walk(bench.link_for(speaker))).text)
    return await bench.say(f"!confirm {code}", speaker)


async def say_linked(bench: Bench, text: str, login: str = "alice", speaker: Identity = ADA) -> str:
    """Say *text*, allow what it needs, once; return the answer to it."""
    answers = await bench.say(text, speaker)
    if "open your link" in answers[-1]:
        answers = await allow(bench, login, speaker)
    return answers[-1]


async def news(bench: Bench, seconds: float = 90.0, speaker: Identity = ADA) -> list[str]:
    """Let *seconds* pass; return what *speaker* was told of what is followed for them."""
    before = len(told(bench, speaker))
    bench.clock.pass_(seconds)
    await bench.settle()
    return told(bench, speaker)[before:]
