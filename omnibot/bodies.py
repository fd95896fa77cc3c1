"""What a service's answer says, as plain data: JSON, XML, or text.

XML becomes ``{tag: text | mapping | list}``: namespaces and attributes are left out, and what is there more
than once is a list.  It is the word of a stranger: a document that defines types or entities is not read
(they can blow up, or fetch), and neither is one that is broken, or nested or split up beyond all reason.
"""

import json
from dataclasses import dataclass, field
from typing import Any
from xml.parsers import expat

from omnibot.wire import Answer

_DEEPEST = 64
_MOST_ELEMENTS = 100_000


class _Refused(Exception):
    """This is no XML that is read here."""


def read_body(answer: Answer) -> Any:
    """Return what the body of *answer* says; None if there is none, the text where it cannot be read otherwise."""
    text = answer.body.decode("utf-8", "replace")
    if not text.strip():
        return None
    if is_xml(answer):
        try:
            return _Reader().read(answer.body)
        except (_Refused, expat.ExpatError, LookupError, ValueError):  # the latter two: of its encoding
            return text
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def is_xml(answer: Answer) -> bool:
    """Whether *answer* says that its body is XML (RFC 7303)."""
    kind = answer.headers.get("content-type", "").partition(";")[0].strip().lower()
    return kind in ("text/xml", "application/xml") or kind.endswith("+xml")


@dataclass(slots=True)
class _Element:
    tag: str
    text: list[str] = field(default_factory=list)
    inside: dict[str, Any] = field(default_factory=dict)
    repeated: set[str] = field(default_factory=set)

    def take(self, tag: str, value: Any) -> None:
        """Put in what the next element within this one is."""
        if tag in self.repeated:
            self.inside[tag].append(value)
        elif tag in self.inside:
            self.inside[tag] = [self.inside[tag], value]
            self.repeated.add(tag)
        else:
            self.inside[tag] = value

    @property
    def value(self) -> Any:
        return self.inside or "".join(self.text).strip()


class _Reader:
    """Reads one document, without recursion."""

    def __init__(self) -> None:
        self._open = [_Element("")]
        self._seen = 0

    def read(self, body: bytes) -> dict[str, Any]:
        parser = expat.ParserCreate(namespace_separator=" ")
        parser.buffer_text = True
        parser.StartDoctypeDeclHandler = self._refuse
        parser.EntityDeclHandler = self._refuse
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._said
        parser.Parse(body, True)
        return self._open[0].inside

    def _refuse(self, *_: object) -> None:
        raise _Refused

    def _start(self, name: str, _: object) -> None:
        self._seen += 1
        if len(self._open) > _DEEPEST or self._seen > _MOST_ELEMENTS:
            raise _Refused
        self._open.append(_Element(name.rpartition(" ")[2]))

    def _end(self, _: str) -> None:
        done = self._open.pop()
        self._open[-1].take(done.tag, done.value)

    def _said(self, text: str) -> None:
        self._open[-1].text.append(text)
