"""The Dockerfile and the compose file shut the bot off, and name what is there.  Nothing is built here."""

import re
from pathlib import Path
from typing import Any

import yaml

import omnibot

DEPLOY = Path(__file__).parents[2] / "deploy"


def stages() -> list[list[tuple[str, str]]]:
    """Return the stages of the Dockerfile, each as its instructions with their words."""
    text = re.sub(r"^#.*\n", "", (DEPLOY / "Dockerfile").read_text(), flags=re.MULTILINE).replace("\\\n", " ")
    found = list[list[tuple[str, str]]]()
    for line in filter(str.strip, text.splitlines()):
        word, _, rest = line.partition(" ")
        if word == "FROM":
            found.append([])
        if found:
            found[-1].append((word, rest.strip()))
    return found


def test_the_image_has_no_tools_and_no_root() -> None:
    """Nothing is installed or fetched in the last stage; a user of its own runs the bot."""
    build, last = stages()
    words = " ".join(rest for _, rest in last)

    assert ["${BASE} AS build", "${BASE}"] == [build[0][1], last[0][1]]
    assert [] == re.findall(r"\b(apt-get|apt|pip|curl|wget|gcc|git)\b", words)
    assert [("USER", "10001:10001")] == [one for one in last if one[0] == "USER"]
    assert [name for name, _ in last].index("USER") < [name for name, _ in last].index("ENTRYPOINT")
    assert ["COPY"] == [name for name, rest in last if "--from=build" in rest]
    assert any(name == "HEALTHCHECK" and "omnibot status" in rest for name, rest in last)


def test_what_is_copied_is_there_and_is_let_through() -> None:
    """By the ignore file beside it, which lets nothing else into the build: no key, no configuration, no data."""
    ignored = (DEPLOY / "Dockerfile.dockerignore").read_text().splitlines()
    sources = [one for name, rest in stages()[0] if name == "COPY" for one in rest.split()[:-1]]

    assert [] == [one for one in sources if not (DEPLOY.parent / one).exists()]
    assert "*" in ignored
    assert {one[1:] for one in ignored if one.startswith("!")} == set(sources)


def test_versions_are_named() -> None:
    """Of the base at least the minor version; of all that is installed the exact one, from the constraints."""
    text = (DEPLOY / "Dockerfile").read_text()

    assert re.search(r"^ARG BASE=\S+:\d+\.\d+\S*$", text, re.MULTILINE)
    assert "--constraint constraints.txt" in text
    assert ":latest" not in text


def test_compose_gives_the_bot_next_to_nothing() -> None:
    """And what it names is there."""
    compose: Any = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
    (bot,) = compose["services"].values()
    context = (DEPLOY / bot["build"]["context"]).resolve()

    assert (True, ["ALL"], ["no-new-privileges:true"]) == (bot["read_only"], bot["cap_drop"], bot["security_opt"])
    assert [] == [one for one in ("privileged", "cap_add", "network_mode", "pid", "devices", "env_file") if one in bot]
    assert "10001:10001" == bot["user"]
    assert all("noexec" in one and "size=" in one for one in bot["tmpfs"])
    assert all(one.startswith("127.0.0.1:") for one in bot["ports"])
    assert f"omnibot:{omnibot.__version__}" == bot["image"]
    assert (context / bot["build"]["dockerfile"]).is_file()
    assert set(bot["secrets"]) == set(compose["secrets"])
    assert {one.split(":")[0] for one in bot["volumes"] if not one.startswith(".")} == set(compose["volumes"])
