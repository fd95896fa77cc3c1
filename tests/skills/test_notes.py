"""The notes are written, listed and deleted as the person themselves."""

import pytest

from omnibot.demo.browser import Browser
from omnibot.testing.bench import ADA, GRACE, Bench


@pytest.fixture
async def writing(bench: Bench) -> Bench:
    """Ada and Grace may read and write notes."""
    for speaker, login in ((ADA, "ada"), (GRACE, "grace")):
        await bench.say("!notes add first", speaker)
        async with Browser() as browser:
            await bench.authorise(browser, bench.link_for(speaker), login)
            await bench.say(f"!confirm {browser.code}", speaker)
    return bench


async def test_a_note_is_written_as_oneself(writing: Bench) -> None:
    """It is the service that says whose it is."""
    said = await writing.say("!notes add  two  words ", GRACE)

    assert ["Note 2 is written as **grace**."] == said
    assert ["first", "two  words"] == writing.provider.notes("grace")
    assert ["first"] == writing.provider.notes("ada")


async def test_ones_own_notes_are_listed(writing: Bench) -> None:
    """Whatever stands in them stands there harmless."""
    await writing.say("!notes add *bold* @everyone")
    said = await writing.say("!notes")
    lines = said[0].split("\n")

    assert "- 1: first" == lines[0]
    assert "*bold*" not in lines[1].replace("\\*", "")
    assert 2 == len(lines)


async def test_there_may_be_none(bench: Bench) -> None:
    """It is said."""
    await bench.link()

    assert ["You have no notes."] == await bench.say("!notes")


async def test_a_note_is_deleted_after_a_yes(writing: Bench) -> None:
    """And not without."""
    asked = await writing.say("!notes delete 1")
    refused = await writing.say("no")
    kept = writing.provider.notes("ada")
    await writing.say("!notes delete #1")

    assert ["Really `notes delete 1`? Delete one of your notes."] == asked
    assert ["Not done."] == refused
    assert ["first"] == kept
    assert ["Note 1 is gone."] == await writing.say("yes")
    assert [] == writing.provider.notes("ada")


async def test_a_note_that_is_not_there_is_the_services_word(writing: Bench) -> None:
    """In ours."""
    await writing.say("!notes delete 9")

    assert ["Demo notes does not know that, or does not show it to you (status 404)."] == await writing.say("yes")


async def test_an_export_is_told_when_it_is_ready(writing: Bench) -> None:
    """Long after the command has ended."""
    writing.provider.export_seconds = 3600
    said = await writing.say("!notes export")
    writing.clock.pass_(5)
    await writing.settle()
    going = writing.network.private_texts(ADA)[-1]
    writing.provider.export_seconds = 0
    writing.clock.pass_(5)
    await writing.settle()

    assert ["I am exporting your notes, and tell you when that is done."] == said
    assert "Your notes are being exported: 0 %." == going
    assert "Your export is ready; notes in it: 1." == writing.network.private_texts(ADA)[-1]
