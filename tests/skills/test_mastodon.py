"""The skill for Mastodon: what it offers, and how the HTML of a post becomes words."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nasty import NASTY
from omnibot.markup import escape
from omnibot.providerfile import SHIPPED, load_catalogue
from servers.mastodon import SCOPES
from skills.mastodon import plain, skill

LONG_LINK = (
    '<p>See <a href="https://a.example/long/path"><span class="invisible">https://</span>'
    '<span class="ellipsis">a.example/lo</span><span class="invisible">ng/path</span></a></p>'
)
"""An address as Mastodon shows it: its ends are hidden by a style."""


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("<p>Hello</p>", "Hello"),
        ("<p>one</p><p>two<br />three</p>", "one two three"),
        ("<p>a &lt;b&gt; &amp;amp; c</p>", "a <b> &amp; c"),
        ("<ul><li>one</li><li>two</li></ul>", "one two"),
        (LONG_LINK, "See https://a.example/long/path"),
        ('<span class="h-card"><a href="https://a.example/@bob">@<span>bob</span></a></span>', "@bob"),
        ("<script>alert(1)</script><style>p{}</style>shown", "shown"),
        ("</script>still", "still"),
        ("<!-- nothing -->x<img src=x onerror=alert(1)>", "x"),
        ("", ""),
    ],
)
def test_html_becomes_words(content: str, words: str) -> None:
    """Paragraphs stay apart, hidden ends of an address come back, and nothing else of the markup is left."""
    assert words == plain(content)


@given(st.one_of(NASTY, st.text(alphabet="<>/&;!-pabrscit \"'=\n", max_size=60)))
def test_any_html_is_one_harmless_line(content: str) -> None:
    """Whatever a server sends, it can be read, and shown."""
    words = plain(content)

    assert "\n" not in words
    assert "\n" not in escape(words)


def test_a_huge_post_is_read_as_far_as_it_is_shown() -> None:
    """However it is nested; the rest is for a browser."""
    assert "x" == plain("<div>" * 2_000 + "x")
    assert len(plain("word " * 100_000)) <= 20_000


def test_what_changes_says_so() -> None:
    """Reading sends nothing that changes, to delete is asked back, and all of it is answered in private."""
    effects = {one.path[1:]: one.effect for one in skill.commands}

    assert {"change"} == {effects[(word,)] for word in ("post", "boost", "favourite")}
    assert {"read"} == {effects[(word,)] for word in ("search", "timeline")}
    assert "destroy" == effects["delete", "last"]
    assert {"private"} == {one.answer for one in skill.commands}


def test_it_asks_for_scopes_that_there_are() -> None:
    """Reading alone at first; to post and to mark are asked for when they are wanted."""
    provider = load_catalogue(SHIPPED)["mastodon"]
    asked = {scope for one in skill.commands for scope in one.scopes}

    assert asked <= set(provider.scopes) <= SCOPES
    assert {"write:statuses", "write:favourites"} == asked - set(provider.base_scopes)
