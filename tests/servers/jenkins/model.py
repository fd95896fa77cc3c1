"""What is in the stand-in for Jenkins: folders, jobs with parameters, the queue's items, builds and their stages."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from servers.jenkins.answers import Refusal, oops

COLORS = {"SUCCESS": "blue", "UNSTABLE": "yellow", "FAILURE": "red", "ABORTED": "aborted", "NOT_BUILT": "notbuilt"}


@dataclass(frozen=True, slots=True)
class Parameter:
    """A parameter of a job: *kind* is String, Text, Boolean, Choice or Password."""

    name: str
    default: str = ""
    kind: str = "String"
    choices: tuple[str, ...] = ()
    description: str = ""

    def taken(self, said: str) -> Any:
        """Return the value that a build gets for what was *said*."""
        if self.kind == "Choice" and said not in self.choices:
            raise Refusal(oops(f"Illegal choice for parameter {self.name}"))
        return said.lower() == "true" if self.kind == "Boolean" else said

    @property
    def given(self) -> Any:
        """Its value where none was said."""
        return self.taken(self.default or (self.choices[0] if self.choices else ""))


@dataclass(eq=False, slots=True)
class Stage:
    """A stage of a Pipeline's build, with one step in it that has the log."""

    name: str
    node: int
    status: str = "IN_PROGRESS"
    log: str = ""
    """As it is shown on the page: HTML."""


@dataclass(eq=False, slots=True)
class Build:
    """A build, running or done."""

    job: "Job"
    number: int
    item: "Item"
    timestamp: float
    result: str | None = None
    building: bool = True
    duration: float = 0.0
    """Seconds."""

    log: bytes = b""
    stages: list[Stage] = field(default_factory=list)


@dataclass(eq=False, slots=True)
class Item:
    """What waits in the queue, or has left it."""

    id: int
    job: "Job"
    users: list[str]
    values: dict[str, Any]
    since: float
    build: Build | None = None
    cancelled: bool = False
    forgotten: bool = False
    """Whether it has left so long ago that the queue knows it no more."""


@dataclass(eq=False, slots=True)
class Folder:
    """A folder, or the root, whose name is empty."""

    name: str
    parent: "Folder | None" = None
    inside: dict[str, "Folder | Job"] = field(default_factory=dict)

    @property
    def full_name(self) -> str:
        """``a/b``."""
        return _full_name(self)


@dataclass(eq=False, slots=True)
class Job:
    """A free-style job, or a Pipeline."""

    name: str
    parent: Folder
    pipeline: bool = False
    parameters: tuple[Parameter, ...] = ()
    description: str | None = None
    disabled: bool = False
    token: str = ""
    """Of "Trigger builds remotely"."""

    builds: list[Build] = field(default_factory=list)
    """Oldest first."""

    @property
    def full_name(self) -> str:
        """``a/b/job``."""
        return _full_name(self)

    @property
    def color(self) -> str:
        """How its ball looks: after the last build that is done."""
        done = [one for one in self.builds if not one.building]
        color = "disabled" if self.disabled else COLORS[done[-1].result or "NOT_BUILT"] if done else "notbuilt"
        return color + "_anime" * any(one.building for one in self.builds)


def _full_name(node: "Folder | Job") -> str:
    above = node.parent.full_name if node.parent is not None else ""
    return f"{above}/{node.name}" if above else node.name


LINKS: dict[str, Callable[[Build], bool]] = {
    "lastBuild": lambda one: True,
    "lastCompletedBuild": lambda one: not one.building,
    "lastFailedBuild": lambda one: one.result == "FAILURE",
    "lastStableBuild": lambda one: one.result == "SUCCESS",
    "lastSuccessfulBuild": lambda one: one.result in ("SUCCESS", "UNSTABLE"),
    "lastUnstableBuild": lambda one: one.result == "UNSTABLE",
    "lastUnsuccessfulBuild": lambda one: one.result in ("FAILURE", "UNSTABLE", "ABORTED", "NOT_BUILT"),
}
"""Jenkins' permalinks: the newest build of which this holds."""
