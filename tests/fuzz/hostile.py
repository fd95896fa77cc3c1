"""Inputs at their worst, each made from a seed: rubbish, and what is nearly right, which goes deeper."""

import json
import string
from collections.abc import Sequence
from random import Random
from typing import Any

_SCRAPS = (
    "", " ", "\t", "\n", "\r\n", "\x00", "\x01", "\x1b[2J", "\x7f", "\x85", "\u200b", "\u202e", "\u2028", "\ufeff",
    "�", "\ud800", "\udfff", "é", "é", "日本", "👍🏽", "\U0001d54f", "ﷺ", "İ", "ß", "ᛒ", "'", '"', "`", "```", "~~~",
    "\\", "\\u0000", "%00", "%", "%zz", "%s", "%n", "{}", "{0}", "{{7*7}}", "${x}", "$(x)",
    "<script>alert(1)</script>", "<!--", "]]>", "&lt;", "&#0;", "@everyone", "<@1>", "</a>", "javascript:x",
    "http://", "https://a@b:c", "//evil", "../..", "C:\\", "-- ", "--", "---", "-", "--x=", "=", "==", "0", "-0",
    "-1", "1e999", "NaN", "1_0", "٣", "²", '9' * 400, "0x10", "null", "true", "[]", "{", "}", "[", "]", "((((", "*",
    "**", "_", "__", "#", ">", "> ", "> >", "1. ", "- ", "|", "||", 'A' * 5000, 'a b' * 300, ':' * 200, '[](' * 60,
    '*_' * 90, '>' * 120, "!!!!!!!!!", "!!", "/", "//", "/l/", "?", "?a=1&a=2", "&", ";", "#x",
)  # fmt: skip
_STARTS = ("  ", "- ", "\t", "? ", "&a ", "*a ", "!!python/object:os.system ", "<<: ")
_NUMBERS = (0, -1, 1, 2**31, 2**63, 10**30, 0.5, -1e308, 1e-300, True, False, None)


def text(random: Random, words: Sequence[str] = ()) -> str:
    """Return a text; some of it is of *words*, which mean something to whoever reads it."""
    chance = random.random()
    if chance < 0.1:
        return "".join(chr(random.choice((random.randrange(128), random.randrange(0x11000)))) for _ in range(20))
    parts = [
        random.choice(words) if words and random.random() < 0.6 else random.choice(_SCRAPS)
        for _ in range(random.choice((1, 1, 2, 3, 3, 5, 9)))
    ]
    return random.choice(("", " ", " ", "\n")).join(parts)


def data(random: Random, words: Sequence[str] = ()) -> bytes:
    """Return bytes."""
    if random.random() < 0.15:
        return random.randbytes(random.choice((0, 1, 7, 300)))
    return text(random, words).encode("utf-8", "surrogatepass")


def value(random: Random, keys: Sequence[str], words: Sequence[str] = (), depth: int = 3) -> Any:
    """Return what JSON can say; objects often have *keys* that mean something."""
    chance = random.random()
    if depth and chance < 0.35:
        names = [random.choice(keys) if keys and random.random() < 0.85 else text(random) for _ in range(6)]
        return {name: value(random, keys, words, depth - 1) for name in names[: random.randrange(7)]}
    if depth and chance < 0.5:
        return [value(random, keys, words, depth - 1) for _ in range(random.randrange(4))]
    return random.choice(_NUMBERS) if chance < 0.65 else text(random, words)


def object_of(random: Random, keys: Sequence[str], words: Sequence[str] = ()) -> dict[str, Any]:
    """Return a JSON object with most of *keys*, each with something."""
    return {key: value(random, keys, words, 2) for key in keys if random.random() < 0.7}


def body(random: Random, keys: Sequence[str], words: Sequence[str] = ()) -> bytes:
    """Return the body of an answer: JSON, cut or nested JSON, a form, or rubbish."""
    chance = random.random()
    if chance < 0.6:
        return json.dumps(object_of(random, keys, words)).encode()
    if chance < 0.7:
        whole = json.dumps(object_of(random, keys, words)).encode()
        return whole[: random.randrange(len(whole) + 1)]
    if chance < 0.75:
        return random.choice((b"[", b'{"a":', b"<a>", b"(")) * random.choice((50, 2000))
    if chance < 0.85:
        return "&".join(f"{random.choice(keys)}={text(random, words)}" for _ in range(4)).encode("utf-8", "replace")
    return data(random, (*keys, *words))


def mutated(random: Random, whole: str) -> str:
    """Return *whole* with a few of its lines or characters changed, taken out or doubled."""
    lines = whole.split("\n")
    for _ in range(random.choice((1, 1, 2, 4))):
        at = random.randrange(len(lines))
        line = lines[at]
        match random.randrange(6):
            case 0:
                del lines[at]
                lines = lines or [""]
            case 1:
                lines.insert(at, line)
            case 2:
                lines[at] = line.partition(":")[0] + ": " + text(random)
            case 3:
                lines[at] = (
                    random.choice(("  ", "- ", "\t", "? ", "&a ", "*a ", "!!python/object:os.system ", "<<: ")) + line
                )
            case 4:
                place = random.randrange(len(line) + 1)
                lines[at] = line[:place] + random.choice((*_SCRAPS, random.choice(string.printable))) + line[place:]
            case _:
                lines[at] = json.dumps(value(random, ["adapter", "who", "instances"], [], 4), ensure_ascii=False)
    return "\n".join(lines)
