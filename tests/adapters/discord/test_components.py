"""Buttons, menus and forms: what their ids say, and how far Discord's limits let them."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.discord import components
from adapters.discord.components import Answer, Fill, Open, Part, Pick, build, read
from omnibot.identity import Identity
from omnibot.message import Form, Link, Reply

ADA = Identity("discord", "111111111111111111", display="Ada")
ASKER = ADA.subject
WORDS = st.text(max_size=200)


def rows(reply: Reply, *, private: bool = False, types: bool = True, asker: str = ASKER) -> list[list[dict[str, Any]]]:
    """Return what stands below *reply*, row by row."""
    view = build(reply, asker, private=private, types=types)
    return [] if view is None else [row["components"] for row in view.to_components()]


@pytest.mark.parametrize(
    "part",
    [
        Pick("1f", ASKER, "2"),
        Pick("1f", ASKER),
        Fill(ASKER, "confirm", "The code: 6 digits"),
        Fill(ASKER, "", "The whole address"),
        Fill(ASKER, "link redmine@work:2", "API key"),
        Answer("1f", ASKER),
        Open(ASKER),
    ],
)
def test_a_custom_id_says_what_was_put_in(part: Part) -> None:
    assert read(str(part)) == part


@given(WORDS, WORDS)
def test_a_form_keeps_its_asker_and_command_whatever_its_field_says(command: str, field: str) -> None:
    reply = Reply("Type it.", form=Form("Type", field, command))

    for row in rows(reply, private=True):
        for one in row:
            found = read(one["custom_id"])
            assert isinstance(found, Fill)
            assert (found.asker, found.command) == (ASKER, command)
            assert field.startswith(found.field)
            assert len(one["custom_id"]) <= 100


@given(WORDS)
def test_what_is_no_custom_id_is_nothing(custom_id: str) -> None:
    part = read(custom_id)

    assert part is None or custom_id.startswith(("pick:", "form:", "answer:", "open:"))


def test_few_choices_are_buttons_of_the_asker() -> None:
    found = rows(Reply("Really?", ("yes", "no"), question="1f"))

    assert found == [
        [
            {"type": 2, "style": 4, "label": "yes", "disabled": False, "custom_id": f"pick:1f:{ASKER}:1"},
            {"type": 2, "style": 2, "label": "no", "disabled": False, "custom_id": f"pick:1f:{ASKER}:2"},
        ]
    ]


def test_many_choices_are_a_menu_of_numbers() -> None:
    ((menu,),) = rows(Reply("Which?", tuple(f"x{one} " * 60 for one in range(25)), question="1f"))

    assert menu["custom_id"] == f"pick:1f:{ASKER}:"
    assert [one["value"] for one in menu["options"]] == [str(one) for one in range(1, 26)]
    assert {len(one["label"]) for one in menu["options"]} == {100}


@pytest.mark.parametrize(
    ("reply", "asker"),
    [
        (Reply("Which?", ("a", "b")), ASKER),
        (Reply("Which?", ("a", "b"), question="1f"), ""),
        (Reply("Which?", ("a", "b"), question="1:f"), ASKER),
        (Reply("Which?", ("a", "b"), question="f" * 80), ASKER),
        (Reply("Which?", tuple(map(str, range(26))), question="1f"), ASKER),
    ],
)
def test_what_cannot_be_picked_is_no_button(reply: Reply, asker: str) -> None:
    assert not components.shows_choices(reply, asker)
    assert rows(reply, asker=asker) == []


def test_a_label_is_never_empty_nor_too_long() -> None:
    ((blank, long),) = rows(Reply("Which?", (" \n", "x" * 81), question="1f"))

    assert blank["label"] == "…"
    assert long["label"] == "x" * 79 + "…"


def test_a_link_is_a_button_where_it_fits() -> None:
    link = Link("Connect", "https://bot.example/l/" + "t" * 490)
    ((button,),) = rows(Reply("Open it.", link=link))

    assert (button["style"], button["label"], button["url"]) == (5, "Connect", link.url)
    assert rows(Reply("Open it.", link=Link("Connect", link.url + "t"))) == []
    assert rows(Reply("Open it.", link=Link("Connect", "javascript:alert(1)"))) == []


def test_a_form_is_offered_in_private_only() -> None:
    reply = Reply("Type it.", form=Form("Type the code", "The code", "confirm"))
    ((button,),) = rows(reply, private=True)

    assert (button["label"], button["custom_id"]) == ("Type the code", f"form:{ASKER}:confirm:The code")
    assert rows(reply, private=False) == []


def test_a_private_place_is_opened_from_a_public_one_only() -> None:
    reply = Reply("Something waits for you.", opens=ADA)
    ((button,),) = rows(reply, asker="")

    assert (button["label"], button["custom_id"]) == ("Continue in private", f"open:{ASKER}")
    assert rows(reply, private=True) == []


def test_a_question_in_words_has_a_form_where_what_is_typed_is_not_heard() -> None:
    reply = Reply("What is it called?", question="1f")
    ((button,),) = rows(reply, types=False)

    assert (button["label"], button["custom_id"]) == ("Answer", f"answer:1f:{ASKER}")
    assert rows(reply, types=True) == []


def test_more_choices_than_a_menu_takes_are_answered_in_a_form_where_what_is_typed_is_not_heard() -> None:
    reply = Reply("Which?", tuple(map(str, range(26))), question="1f")
    ((button,),) = rows(reply, types=False)

    assert (button["label"], button["custom_id"]) == ("Answer", f"answer:1f:{ASKER}")
    assert rows(reply, types=True) == []


@pytest.mark.parametrize("url", ["http://localhost:8000/l/x", "http://[::1/l/x", "https:///l/x", "ftp://example.org/x"])
def test_an_address_that_discord_may_not_take_is_no_button(url: str) -> None:
    assert rows(Reply("Open it", link=Link("Open", url))) == []


@pytest.mark.parametrize("old", [True, False])
def test_what_was_typed_into_a_form_is_one_line(*, old: bool) -> None:
    line = {"type": 4, "custom_id": "value", "value": " 12 34\n56 "}
    other = {"type": 4, "custom_id": "other", "value": "no"}
    wrapped = [{"type": 1, "components": [one]} if old else {"type": 18, "component": one} for one in (other, line)]

    assert components.typed({"custom_id": "x", "components": wrapped}) == "12 34 56"
    assert components.typed({"custom_id": "x", "components": wrapped[:1]}) == ""
    assert components.typed({}) == ""


async def test_views_are_stopped_or_discord_py_would_keep_them() -> None:
    view = build(Reply("Really?", ("yes", "no"), question="1f"), ASKER, private=False, types=True)

    assert view is not None
    assert view.is_finished()
    assert components.form("form:1:x:y", "A title " * 9, "A field " * 9).is_finished()
