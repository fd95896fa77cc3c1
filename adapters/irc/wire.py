"""What the parts of the machine share: the time, and what is to be done."""

from math import inf

from adapters.irc.effects import Drop, Effect, Refused, Said, Send, Upgrade
from adapters.irc.lines import build

_MAX_SAID = 1000


class Wire:
    """Gathers effects; after one that ends the connection it takes no more until the next one."""

    def __init__(self) -> None:
        """Begin closed."""
        self.now = -inf
        self.open = False
        self._effects: list[Effect] = []
        self._said: set[str] = set()

    def do(self, effect: Effect) -> None:
        """Have *effect* done."""
        if self.open:
            self._effects.append(effect)
            self.open = not isinstance(effect, Refused | Drop | Upgrade)

    def send(self, command: str, *params: str, urgent: bool = False, label: str = "") -> None:
        """Send a line, with a *label* for its answer unless that is empty (labeled-response).

        Raises:
            ValueError: a parameter but the last is not one word.
        """
        self.do(Send(build(command, *params, tags={"label": label} if label else {}), urgent))

    def say(self, text: str) -> None:
        """Have *text* logged, once over all connections."""
        if text not in self._said and len(self._said) < _MAX_SAID:
            self._said.add(text)
            self.do(Said(text))

    def take(self) -> list[Effect]:
        """Return what is to be done, and begin anew."""
        effects, self._effects = self._effects, []
        return effects
