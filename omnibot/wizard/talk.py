"""How the wizard speaks with whoever runs it, and how it takes an answer."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from getpass import getpass

from omnibot.markup import printable


def _say(text: str) -> None:
    print(text, flush=True)


@dataclass(frozen=True, slots=True)
class Talk:
    """A conversation in lines; what is typed ends at any point with EOFError or KeyboardInterrupt."""

    say: Callable[[str], None] = _say
    typed: Callable[[str], str] = input
    typed_unseen: Callable[[str], str] = getpass

    def ask(self, prompt: str, default: str = "") -> str:
        """Return what is answered, without spaces around it: the *default* where that is nothing."""
        shown = f"{prompt} [{default}]: " if default else f"{prompt}: "
        while not (answer := self.typed(shown).strip()).isprintable():
            self.say("  That holds characters that cannot be shown. Once more.")
        return answer or default

    def ask_secret(self, prompt: str, kept: str = "") -> str:
        """Return what is typed unseen; what was *kept* from before, where that is nothing."""
        shown = f"{prompt} (not shown{'; empty: as before' if kept else ''}): "
        while not _is_text(answer := self.typed_unseen(shown)):
            self.say("  That holds characters that no password has. Once more.")
        if answer != answer.strip() and not self.agrees("  It begins or ends with a space. Keep that?", default=False):
            answer = answer.strip()
        return answer or kept

    def agrees(self, question: str, *, default: bool) -> bool:
        """Return whether the answer is yes."""
        return self.choose(question, {"yes": "y", "no": "n"}, "yes" if default else "no") == "yes"

    def choose(self, question: str, choices: Mapping[str, str], default: str) -> str:
        """Return one of *choices*: each has, behind it, the letter that is enough of it."""
        shown = "/".join(letter.upper() if name == default else letter for name, letter in choices.items())
        while True:
            answer = self.ask(f"{question} [{shown}]").lower()
            if not answer:
                return default
            found = [name for name, letter in choices.items() if answer in (name, letter)]
            if found:
                return found[0]
            self.say(f"  {printable(answer)} is none of {', '.join(choices)}.")


def _is_text(answer: str) -> bool:
    return not any(char < " " or char == "\x7f" or "\ud800" <= char <= "\udfff" for char in answer)
