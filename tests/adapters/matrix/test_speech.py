"""What is said fits, mentions whom it should and smuggles nothing; what was said is read, whatever it is."""

import json
import re
import time
from html.parser import HTMLParser
from typing import override
from urllib.parse import quote

import pytest
import vodozemac
from hypothesis import example, given
from hypothesis import strategies as st

from adapters.matrix import speech
from adapters.matrix.speech import (
    BUDGET,
    MOST_EVENTS,
    Answered,
    Content,
    Heard,
    Me,
    Named,
    TooLong,
    edit,
    hear,
    react,
    say,
    whole,
)
from nasty import NASTY, inkless
from omnibot.markup import Block, code, code_block, escape, fmt, link
from omnibot.message import Link, Reply
from omnibot.testing.conformance import EVIL

ADA = Named("@ada:hs.example", "Ada")
ME = Me("@omnibot:hs.example", ("Omni Bot", "omni"))

# Of the tags and attributes that the client-server API allows, those that are used (`m.room.message` msgtypes).
ALLOWED = {tag: set[str]() for tag in ("p", "strong", "em", "del", "pre", "blockquote", "ul", "li", "br")}
ALLOWED |= {f"h{level}": set() for level in range(1, 7)} | {"a": {"href"}, "code": {"class"}, "ol": {"start"}}

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | NASTY,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
)


class Html(HTMLParser):
    """Somebody's client, which takes exactly what is allowed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.links: list[str] = []
        self.words: list[str] = []
        self.feed(text)
        self.close()
        assert not self.open

    @override
    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert {name for name, _ in attrs} <= ALLOWED[tag]
        for name, value in attrs:
            assert value is not None
            if name == "href":
                assert value.startswith(("https://", "http://", "mailto:"))
                self.links.append(value)
            elif name == "class":
                assert value.startswith("language-")
        if tag != "br":
            self.open.append(tag)

    @override
    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    @override
    def handle_data(self, data: str) -> None:
        if "code" not in self.open and not ("a" in self.open and "matrix.to" in self.links[-1]):
            self.words.append(data)

    @override
    def handle_comment(self, data: str) -> None:
        raise AssertionError

    @override
    def handle_decl(self, decl: str) -> None:
        raise AssertionError


def only(contents: list[Content]) -> Content:
    (content,) = contents
    return content


def words(text: str, named: Named | None = None) -> str:
    return str(only(say(Reply(text), named=named))["body"])


# ------------------------------------------------------------------- saying


def test_every_construct_has_its_form() -> None:
    """As text there is no noise of Markdown; the HTML is what Matrix allows."""
    content = only(
        say(
            Reply(
                "# T\n\n**a** *b* ~~c~~ `d` [e](https://e.org/?x=1&y=2)\nnext\n\n"
                "> q\n\n3. x\n4. y\n\n```py\nz < 1\n```\n\n<https://f.org>"
            )
        )
    )

    assert {
        "msgtype": "m.notice",
        "body": "T\n\na b c d e <https://e.org/?x=1&y=2>\nnext\n> q\n\n3. x\n4. y\n\n    z < 1\n\nhttps://f.org",
        "format": "org.matrix.custom.html",
        "formatted_body": "<h1>T</h1><p><strong>a</strong> <em>b</em> <del>c</del> <code>d</code> "
        '<a href="https://e.org/?x=1&amp;y=2">e</a><br>next</p><blockquote>q</blockquote>'
        '<ol start="3"><li>x</li><li>y</li></ol><pre><code class="language-py">z &lt; 1\n</code></pre>'
        '<p><a href="https://f.org">https://f.org</a></p>',
        "m.mentions": {},
    } == content


@pytest.mark.parametrize("text", ["pong", "a < b & c", "one\ntwo\n\nthree", escape("*_`<b>"), "see https://x.org/a_b"])
def test_html_that_adds_nothing_is_left_out(text: str) -> None:
    """Words and lines are shown as they are anyhow."""
    content = only(say(Reply(text)))

    assert {"msgtype", "body", "m.mentions"} == set(content)


def test_a_reply_has_numbered_choices_and_a_link() -> None:
    """The link is one to open, its label on it; as text its address is there in full."""
    content = only(say(Reply("Sure?", ("yes", "n\r\no"), Link("Open [it]", "https://x.org/a_b*c?x=1&y=%20z"))))

    assert "Sure?\n1. yes\n2. n o\n\nOpen [it] <https://x.org/a_b*c?x=1&y=%20z>" == content["body"]
    assert (
        '<p>Sure?</p><ol><li>yes</li><li>n o</li></ol><p><a href="https://x.org/a_b*c?x=1&amp;y=%20z">Open [it]</a></p>'
    ) == content["formatted_body"]


def test_who_is_answered_is_mentioned() -> None:
    """By a pill, by name in the text, and to be notified."""
    content = only(say(Reply("pong"), named=ADA))

    assert "Ada: pong" == content["body"]
    assert '<a href="https://matrix.to/#/@ada:hs.example">Ada</a>: pong' == content["formatted_body"]
    assert {"user_ids": ["@ada:hs.example"]} == content["m.mentions"]


def test_a_mention_is_whom_it_names() -> None:
    """Whatever is in the name or the MXID, it is one link to that person, and it stands before a list as well."""
    named = Named('@a/b?c"<d>:hs.example', '</a><b>@room "x"\n')
    content = only(say(Reply("- a"), named=named))
    html = Html(str(content["formatted_body"]))

    assert ["https://matrix.to/#/@a%2Fb%3Fc%22%3Cd%3E:hs.example"] == html.links
    assert '</a><b>@\u200broom "x":\n- a' == content["body"]
    assert "@ada:hs.example: x" == words("x", named=Named("@ada:hs.example"))


@pytest.mark.parametrize(
    ("answered", "relation"),
    [
        (Answered("$a"), {"m.in_reply_to": {"event_id": "$a"}}),
        (
            Answered("$a", "$root"),
            {
                "rel_type": "m.thread",
                "event_id": "$root",
                "is_falling_back": True,
                "m.in_reply_to": {"event_id": "$a"},
            },
        ),
    ],
)
def test_what_is_answered_is_told(answered: Answered, relation: Content) -> None:
    """As a reply, or in the thread; and what looks like the fallback of a reply is not stripped as one."""
    content = only(say(Reply("> quoted"), answered=answered))

    assert relation == content["m.relates_to"]
    assert " > quoted" == content["body"]
    assert "> quoted" == words("> quoted")


def test_an_edit_replaces() -> None:
    """Who was named stays named and is not notified; what the first version answered stands."""
    content = only(edit("$e", Reply("**done**"), named=ADA, answered=Answered("$a")))

    assert {
        "msgtype": "m.notice",
        "body": "* Ada: done",
        "m.mentions": {},
        "m.new_content": {
            "msgtype": "m.notice",
            "body": "Ada: done",
            "format": "org.matrix.custom.html",
            "formatted_body": '<a href="https://matrix.to/#/@ada:hs.example">Ada</a>: <strong>done</strong>',
            "m.mentions": {"user_ids": ["@ada:hs.example"]},
        },
        "m.relates_to": {"rel_type": "m.replace", "event_id": "$e"},
    } == content


def test_what_does_not_fit_an_edit_follows_it() -> None:
    """In the thread, if it was there; old clients see the beginning."""
    first, second = edit("$e", Reply("word " * 10_000), answered=Answered("$a", "$root"))

    assert len(str(first["body"]).encode()) < 1010
    assert str(first["body"]).startswith("* word word ")
    assert str(first["body"]).endswith("word …")
    assert "$root" == dict_of(second["m.relates_to"])["event_id"]
    assert "m.new_content" not in second


def dict_of(value: object) -> dict[str, object]:
    assert isinstance(value, dict)
    return value


def test_a_reaction_annotates() -> None:
    """That is its whole content."""
    assert {"m.relates_to": {"rel_type": "m.annotation", "event_id": "$e", "key": "👀"}} == react("$e", "👀")


@pytest.mark.parametrize("text", ["", " \n ", "\u200b\x00", "#", "```\n```"])
def test_nothing_to_say_is_no_event(text: str) -> None:
    """Not even one that only mentions."""
    assert [] == say(Reply(text), named=ADA)
    assert [] == edit("$e", Reply(text), named=ADA)


# -------------------------------------------------------- data is only shown


@given(NASTY)
@example("###")
def test_data_is_shown_and_nothing_else(text: str) -> None:
    """Put in by whichever way, it makes no tag, no attribute, no scheme and no mention that is not ours."""
    put = f"{escape(text)} {code(text)} {link(text, text)}\n{code_block(text)}\n{text}"
    for content in say(Reply(put, (text,), Link(text, "https://x.org")), named=ADA):
        html = Html(str(content.get("formatted_body", "")))

        assert not re.search("@room", "".join([str(content["body"]), *html.words]), re.IGNORECASE)
        assert ["https://matrix.to/#/@ada:hs.example"] == [one for one in html.links if "matrix.to" in one]
        assert {"user_ids": ["@ada:hs.example"]} == content["m.mentions"]


@pytest.mark.parametrize("scheme", ["javascript:alert(1)", "data:text/html,x", "matrix:u/ada:hs", "vbscript:x", "//x"])
def test_no_link_has_another_scheme(scheme: str) -> None:
    """Only http, https and mailto are addresses."""
    content = only(say(Reply(f"[x]({scheme}) {link('x', scheme)} <{scheme}>", link=Link("Open", scheme))))

    assert [] == Html(str(content.get("formatted_body", ""))).links


@pytest.mark.parametrize(
    "text", ["@room", "@ROOM now", "hey @room!", "@**room**", "https://x.org/@room", "<b>@room</b>"]
)
@pytest.mark.parametrize("put", [str, escape, code, code_block, lambda text: f"<https://x.org/{text}>"])
def test_nobody_calls_the_room(text: str, put: type[str]) -> None:
    """Neither in the text, where servers looked for it, nor in what clients show as words."""
    content = only(say(Reply(put(text), (text,), Link(text, f"https://x.org/{quote(text, safe='@/')}"))))
    html = Html(str(content["formatted_body"]))

    assert not re.search("@room", f"{content['body']}{html.words}", re.IGNORECASE)
    assert {} == content["m.mentions"]


def test_a_link_to_what_sounds_like_the_room_still_works() -> None:
    """Percent-encoded, where its address is text."""
    content = only(say(Reply("[x](https://x.org/@room/y)")))

    assert "x <https://x.org/%40room/y>" == content["body"]
    assert ["https://x.org/@room/y"] == Html(str(content["formatted_body"])).links


@pytest.mark.parametrize(
    "url",
    [
        "https://matrix.to/#/@ada:hs.example",
        "https://matrix.to/#/%40ada:hs.example",
        "https://matrix.to/%23/@ada:hs.example",
        "https://matrix.to/%2523/%2540ada:hs.example",
        "https://MATRIX.to:443/#/@ada:hs.example",
        "https://matrix%2Eto/#/@ada:hs.example",
        "http://matrix.to/#/!room:hs.example/$event",
        "https://app.element.io/#/user/@ada:hs.example",
        "https://app.element.io/#/room/%23ops:hs.example",
    ],
)
def test_no_link_of_data_is_a_pill(url: str) -> None:
    """Some clients take an address of a person for a mention, however it is encoded; it is shown as code."""
    content = only(say(Reply(f"{link('Ada', url)} {url} <{url}>", link=Link("Ada", url))))
    html = Html(str(content["formatted_body"]))

    assert [] == html.links
    assert html.words
    for shown in (*html.words, str(content["body"])):
        assert not re.search(r"matrix\.to/(?:#|%23)", shown)


@pytest.mark.parametrize("text", ["@ada:hs.example", "(@ada:hs)", "**@ada:hs.example**", "matrix:u/ada:hs.example"])
def test_no_words_are_a_pill(text: str) -> None:
    """Some clients find MXIDs in the text; in code they do not, and there it can be copied."""
    content = only(say(Reply(f"{text}\n\n`{text}`\n")))
    html = Html(str(content["formatted_body"]))

    assert not re.search(r"@ada:|matrix:u", "".join(html.words))
    assert not re.search(r"@ada:|matrix:u", str(content["body"]).split("\n")[0])
    assert f"<code>{text}</code>" in str(content["formatted_body"])


@pytest.mark.parametrize(
    "text", ["ada@hs.example", "git@hs.example:ops/x.git", "https://x.org/@ada", "a @ b: c", "@ada"]
)
def test_what_names_nobody_is_left_alone(text: str) -> None:
    """Addresses can still be copied."""
    assert text == words(text)


def test_what_smuggles_on_any_network_is_plain_here() -> None:
    """No control is left; escaped, it is one line."""
    content = only(say(Reply(fmt("Title: {}", EVIL), choices=(EVIL,))))
    first, second = str(content["body"]).split("\n")

    assert first.isprintable()
    assert second.isprintable()
    assert first.startswith("Title: before QUIT :smuggled PRIVMSG")


# ------------------------------------------------------------------ cutting


def size(content: Content) -> int:
    return len(json.dumps({key: content[key] for key in ("body", "format", "formatted_body") if key in content}))


MARKDOWN = st.lists(
    st.sampled_from(
        [
            *(
                "word ",
                "word\n",
                "ä",
                "👍🏽 ",
                "<&>\"' ",
                "**bold words** ",
                "`co de` ",
                "\n\n",
                "\n\n- item\n- two\n  - three\n",
            ),
            *(
                "\n\n1. one\n2. two\n",
                "\n\n# Title\n\n",
                "\n\n```py\nsome code\n\n  more = 1\n```\n\n",
                "\n~~so *it* was~~ ",
            ),
            *(
                "[a label of words](https://x.org/y) ",
                "\n\n" + "long" * 40,
                "\n\n- " + "item words " * 30 + "\n- last\n\n",
            ),
        ]
    ),
    min_size=1,
    max_size=40,
).map("".join)


@given(MARKDOWN, st.integers(700, 1500))
def test_a_cut_reply_is_whole_in_every_piece(text: str, budget: int) -> None:
    """Each piece fits and is HTML by itself, and together they are all there was."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(speech, "BUDGET", 10**9)
        uncut = "".join(str(one["body"]) for one in say(Reply(text)))
        patch.setattr(speech, "BUDGET", budget)
        patch.setattr(speech, "MOST_EVENTS", 10**6)
        contents = say(Reply(text))

    assert inkless(uncut) == inkless("".join(str(one["body"]) for one in contents))
    for content in contents:
        Html(str(content.get("formatted_body", "")))
        assert inkless(str(content["body"]))
        assert size(content) <= budget


@given(
    st.lists(st.sampled_from(["> ", "> > ", "- ", "  ", "word " * 20, "x" * 200, "\n", "```\n", "<" * 60])).map("".join)
)
def test_nested_things_are_cut_as_well(text: str) -> None:
    """Quotes in lists in quotes: what is around a part is around its other part too."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(speech, "BUDGET", 1500)
        patch.setattr(speech, "MOST_EVENTS", 10**6)
        contents = say(Reply(text))

    assert inkless(text).count("x") == sum(str(one["body"]).count("x") for one in contents)
    for content in contents:
        Html(str(content.get("formatted_body", "")))
        assert size(content) <= 1500


def test_code_stays_code_on_both_sides_of_a_cut() -> None:
    """In its language; indents and empty lines stay."""
    lines = [f"    line {number} <of> code" for number in range(2000)]
    contents = say(Reply(str(code_block("\n".join(lines), "py"))))
    blocks = [str(one["formatted_body"]) for one in contents]

    assert len(blocks) > 1
    for block in blocks:
        assert block.startswith('<pre><code class="language-py">    line')
        assert block.endswith("\n</code></pre>")
    assert [line.replace("<of>", "&lt;of&gt;") for line in lines] == [
        line for block in blocks for line in re.sub(r"</?(?:pre|code)[^>]*>", "", block).splitlines()
    ]


def test_a_list_goes_on_counting() -> None:
    """An item that is cut itself has one number only."""
    text = f"1. {'a ' * 9000}\n2. {'b ' * 20_000}\n3. c"
    contents = say(Reply(text))
    numbers = re.findall(r"(?m)^\d+\.", "\n".join(str(one["body"]) for one in contents))

    assert ["1.", "2.", "3."] == numbers
    assert str(contents[-1]["formatted_body"]).endswith('<ol start="3"><li>c</li></ol>')


def test_only_the_first_piece_mentions_and_answers() -> None:
    """One ping for one answer; but in a thread all of it is in the thread."""
    long = Reply("**word** " * 4000)
    replies = say(long, named=ADA, answered=Answered("$a"))
    threaded = say(long, answered=Answered("$a", "$root"))

    assert len(replies) > 2
    assert [{"user_ids": ["@ada:hs.example"]}, {}] == [one["m.mentions"] for one in replies[:2]]
    assert [True, False] == ["m.relates_to" in one for one in replies[:2]]
    assert all("m.relates_to" in one for one in threaded)


@pytest.mark.parametrize("text", ["<*x*>", "\u20ac", "👍", '"', "\\", "`<\u00e4>` ", "- x\n", "a\n\n"])
def test_the_longest_event_is_taken_encrypted(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    """Megolm, base64 and all that stands around it included, and for edits as well (client-server API: 65,536)."""
    named = Named(f"@{'ä' * 120}:hs.example", "ä" * 100)
    answered = Answered("$" + "e" * 250, "$" + "r" * 250)
    reply = Reply(text * (40_000 // len(text)))
    monkeypatch.setattr(speech, "MOST_EVENTS", 100)
    for content in (
        *say(reply, named=named, answered=answered),
        *edit(answered.event, reply, named=named, answered=answered),
    ):
        payload = json.dumps({"type": "m.room.message", "content": content, "room_id": "!" + "o" * 254})
        encrypted = {
            "algorithm": "m.megolm.v1.aes-sha2",
            "ciphertext": vodozemac.GroupSession().encrypt(payload.encode()).to_base64(),
            "sender_key": "k" * 43,
            "session_id": "s" * 43,
            "device_id": "d" * 255,
            "m.relates_to": content.get("m.relates_to"),
        }
        ids = ["$" + "i" * 254] * 30  # `auth_events` and `prev_events`, longer than they are
        names = ["n" * 255] * 4  # room, sender, its server, and the key's name
        around = [ids, *names, {"hashes": "h" * 43, "signatures": "s" * 86, "ts": 2**53, "depth": 2**53, "age": 2**53}]

        assert len(json.dumps([encrypted, around, "m.room.encrypted"], ensure_ascii=False).encode()) < 65_536


def unread(text: str) -> tuple[Block, ...]:
    raise AssertionError


def test_a_reply_for_a_file_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """More than a few events are too many; what is longer by far is not even read, for that holds up everybody."""
    assert len(say(Reply("ä" * 20_000))) <= MOST_EVENTS  # the conformance suite's longest
    with pytest.raises(TooLong):
        say(Reply("x " * (MOST_EVENTS * BUDGET // 2 - 1000) + "**b**"))

    monkeypatch.setattr(speech, "parse", unread)
    with pytest.raises(TooLong):
        say(Reply("*x*\n\n" * 200_000))


def test_the_whole_is_one_text() -> None:
    """For a file: all of it, choices and link too."""
    reply = Reply("**a** " * 3, ("one",), Link("Open", "https://x.org"))

    assert "a a a\n1. one\n\nOpen <https://x.org>" == whole(reply)


# ------------------------------------------------------------------ hearing


def event(body: object, **content: object) -> Content:
    """Return an event with this *body*; ``__`` in a key is a dot, as in ``m__mentions``."""
    told = {key.replace("__", "."): value for key, value in content.items()}
    return {"type": "m.room.message", "content": {"msgtype": "m.text", "body": body} | told}


def heard(body: str, **content: object) -> Heard:
    found = hear(event(body, **content), ME)
    assert found is not None
    return found


def replying(to: str = "$a") -> Content:
    return {"m.in_reply_to": {"event_id": to}}


def test_words_are_heard() -> None:
    """As they were said, line by line."""
    assert Heard("!ping\nonce more") == heard("!ping\r\nonce\tmore ")


@pytest.mark.parametrize(
    ("said", "text"),
    [
        ("!pi\u200bng\x00\x1b[31m", "!ping[31m"),
        ("\u202eabc\u2066d\u200f\ufeff", "abcd"),
        ("a\ud800b", "ab"),
        ("a\x0bb\u2028c\x85d", "a\nb\nc\nd"),
        ("👩\u200d💻 \u0645\u06cc\u200c\u0634", "👩\u200d💻 \u0645\u06cc\u200c\u0634"),
        (" \n ", ""),
    ],
)
def test_controls_are_not_heard(said: str, text: str) -> None:
    """Directions and what has no ink are dropped; joiners are part of words."""
    assert text == heard(said).text


@pytest.mark.parametrize(
    ("body", "text"),
    [
        # the specification's own ("Fallbacks for rich replies")
        (
            "> <@alice:example.org> This is the original body\n\nThis is where the reply goes",
            "This is where the reply goes",
        ),
        (
            "> <@alice:example.org> This is the first line\n> This is the second line\n\nThis is the reply",
            "This is the reply",
        ),
        (
            "> * <@alice:example.org> feels like today is going to be a great day\n\nThis is the reply",
            "This is the reply",
        ),
        ("> <@alice:example.org> sent a file.\n\nThis is the reply", "This is the reply"),
        ("> <@a:b> !deploy\r\n>\r\n> !deploy\r\n\r\n!ping", "!ping"),
        ("no fallback", "no fallback"),
        ("first\n> then quoted", "first\n> then quoted"),
        ("> <@a:b> !deploy", ""),
    ],
)
def test_what_a_reply_quotes_is_not_said(body: str, text: str) -> None:
    """Old clients repeat it in the body (A31)."""
    found = heard(body, m__relates_to=replying("$original"))

    assert (text, "$original") == (found.text, found.reply_to)


THREAD = {"rel_type": "m.thread", "event_id": "$root", "is_falling_back": True, "m.in_reply_to": {"event_id": "$last"}}


@pytest.mark.parametrize(
    ("relation", "thread", "reply_to"),
    [
        (THREAD, "$root", None),
        (THREAD | {"is_falling_back": False}, "$root", "$last"),
        (THREAD | {"event_id": "root"}, None, None),
        (THREAD | {"event_id": ["$root"]}, None, None),
        (THREAD | {"event_id": "$ro\not"}, None, None),
        (THREAD | {"event_id": "$" + "x" * 255}, None, None),
        (THREAD | {"rel_type": ["m.thread"], "is_falling_back": 1}, None, "$last"),
        (replying("$a b"), None, None),
        ({"m.in_reply_to": "$a"}, None, None),
        ("m.thread", None, None),
        (None, None, None),
    ],
)
def test_threads_and_replies_are_followed(relation: object, thread: str | None, reply_to: str | None) -> None:
    """Only to what may be an event."""
    found = heard("x", m__relates_to=relation)

    assert (thread, reply_to) == (found.thread, found.reply_to)


REPLACE = {"rel_type": "m.replace", "event_id": "$some_event_id"}
NEW = {"msgtype": "m.text", "body": "!deploy"}


@pytest.mark.parametrize(
    ("content", "clear"),
    [
        ({"m__relates_to": REPLACE, "m__new_content": NEW}, None),
        ({"m__relates_to": REPLACE}, None),
        ({"m__new_content": NEW}, None),
        ({"m__new_content": None}, None),
        ({"m__new_content": NEW | {"m.relates_to": REPLACE}}, None),
        ({"m__new_content": NEW}, {"m.relates_to": REPLACE}),
        ({"m__relates_to": replying()}, {"m.relates_to": REPLACE}),
        ({"m__relates_to": THREAD}, {"m.relates_to": REPLACE}),
    ],
)
def test_an_edit_is_an_edit(content: Content, clear: object) -> None:
    """Wherever it says so: it must never run (A30)."""
    found = hear(event("* !deploy", **content), ME, clear)

    assert found is not None
    assert found.edit


def test_an_edit_says_its_new_text() -> None:
    """Without the star for old clients."""
    assert "!deploy" == heard("* !deploy", m__relates_to=REPLACE, m__new_content=NEW).text
    assert not heard("* !deploy").edit


def test_relations_of_encrypted_events_are_told_in_clear() -> None:
    """And those inside are not looked at ("Editing encrypted events")."""
    found = hear(event("x", m__relates_to=replying("$inside")), ME, {"m.relates_to": THREAD})

    assert found is not None
    assert ("$root", None) == (found.thread, found.reply_to)


@pytest.mark.parametrize(
    ("body", "text", "addressed"),
    [
        ("@omnibot:hs.example: !ping", "!ping", True),
        ("@omnibot:hs.example, ping", "ping", True),
        ("Omni Bot: ping", "ping", True),
        ("omni bot , ping", "ping", True),
        ("omni: ping", "ping", True),
        ("@omni: ping", "ping", True),
        ("[Omni Bot](https://matrix.to/#/@omnibot:hs.example) ping", "ping", True),
        ("[x](https://matrix.to/#/%40omnibot%3Ahs.example): ping", "ping", True),
        ("[x](https://matrix.to/#/@other:hs.example) ping", "[x](https://matrix.to/#/@other:hs.example) ping", False),
        ("omni ping", "omni ping", False),
        ("omnivore: ping", "omnivore: ping", False),
        ("omnibot: ping", "omnibot: ping", False),
        ("@omnibot:hs.example:8448: ping", "@omnibot:hs.example:8448: ping", False),
        ("hey omni: ping", "hey omni: ping", False),
        (": ping", ": ping", False),
    ],
)
def test_a_name_in_front_addresses(body: str, text: str, addressed: bool) -> None:
    """The bot's, with a colon or a comma; it is not part of what was said."""
    found = heard(body)

    assert (text, addressed) == (found.text, found.addressed)


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ("Omni Bot ping", "ping"),
        ("omni: ping", "ping"),
        ("@omnibot:hs.example ping", "ping"),
        ("@omnibot ping", "ping"),
        ("omnibot", ""),
        ("ping, Omni Bot", "ping, Omni Bot"),
        ("omnibotics", "omnibotics"),
    ],
)
def test_a_mention_addresses(body: str, text: str) -> None:
    """Wherever it stands; in front, it needs no colon."""
    found = heard(body, m__mentions={"user_ids": ["@omnibot:hs.example", "@ada:hs.example"]})

    assert (text, True) == (found.text, found.addressed)
    assert {"@omnibot:hs.example", "@ada:hs.example"} == found.mentions


@pytest.mark.parametrize(
    ("formatted", "addressed"),
    [
        ('<a href="https://matrix.to/#/@omnibot:hs.example">Omni</a>: ping', True),
        ("x <A class='x' HREF = 'https://matrix.to/#/%40omnibot%3Ahs.example?via=hs'>Omni</a>", True),
        ('<a href="matrix:u/omnibot:hs.example?action=chat">Omni</a>', True),
        ('<a href="https://matrix.to/#/&#64;omnibot:hs.example">Omni</a>', True),
        ('<a href="https://matrix.to/#/@omnibot:hs.example.evil">Omni</a>', False),
        ('<a href="https://evil/?https://matrix.to/#/@omnibot:hs.example">Omni</a>', False),
        ('&lt;a href="https://matrix.to/#/@omnibot:hs.example"&gt;', False),
        ('<mx-reply><a href="https://matrix.to/#/@omnibot:hs.example">Omni</a></mx-reply>ping', False),
        ('<mx-reply><a href="https://matrix.to/#/@omnibot:hs.example">Omni</a>ping', False),
        ("<a <a <a href=", False),
        ("&#" + "9" * 5000, False),
        (["<a>"], False),
    ],
)
def test_a_pill_addresses_where_clients_know_no_mentions(formatted: object, addressed: bool) -> None:
    """Not one in what a reply quotes; and where mentions are told, they are what is meant."""
    assert addressed == heard("ping", formatted_body=formatted).addressed
    assert not heard("ping", formatted_body=formatted, m__mentions={}).addressed


@pytest.mark.parametrize(
    "part", ["<a ", "<a href ", '<a href="', "<mx-reply", "<mx-reply></mx-reply ", "&#9", '<a x href="y']
)
def test_html_takes_no_time(part: str) -> None:
    """Whoever sends as much of it as an event takes; read naively, each of these is minutes of work."""
    before = time.process_time()
    heard("x", formatted_body=part * (65_000 // len(part)))

    assert time.process_time() - before < 2


@pytest.mark.parametrize(
    ("mentions", "found"),
    [
        ({"room": True}, set[str]()),
        ({"user_ids": "@omnibot:hs.example"}, set[str]()),
        ({"user_ids": [["@omnibot:hs.example"], None, "@a:b"]}, {"@a:b"}),
        (["@omnibot:hs.example"], set[str]()),
        (None, set[str]()),
    ],
)
def test_odd_mentions_are_none(mentions: object, found: set[str]) -> None:
    """A call to the room is no word to the bot."""
    one = heard("x", m__mentions=mentions)

    assert (frozenset(found), False) == (one.mentions, one.addressed)


def test_an_emote_is_told_and_no_command() -> None:
    """Even when it names the bot."""
    found = heard("omni: !ping", msgtype="m.emote", m__mentions={"user_ids": [ME.mxid]})

    assert ("emote", "* !ping", False) == (found.kind, found.text, found.addressed)


def test_a_notice_is_told_as_one() -> None:
    """The caller drops it: only bots send notices."""
    assert "notice" == heard("!ping", msgtype="m.notice").kind


@pytest.mark.parametrize("kind", ["image", "file", "audio", "video"])
def test_a_file_name_is_nothing_said(kind: str) -> None:
    """A caption is."""
    assert Heard("", kind) == heard("!deploy", msgtype=f"m.{kind}")  # type: ignore[arg-type]  # one of four words
    assert Heard("", kind) == heard("!deploy", msgtype=f"m.{kind}", filename="!deploy")  # type: ignore[arg-type]
    assert Heard("!ping", kind) == heard("!ping", msgtype=f"m.{kind}", filename="a.png")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "odd",
    [
        *(None, [], "x", 7, {}, {"type": "m.room.message"}, {"type": "m.room.message", "content": []}),
        event("x", msgtype="m.key.verification.request"),
        event("x", msgtype="m.location"),
        event("x", msgtype=["m.text"]),
        event("x", msgtype=None),
        event(None),
        event({"x": 1}),
        event("x" * 65_537),
        event("x") | {"state_key": ""},
        event("x") | {"type": "m.sticker"},
        {"type": "m.room.message", "content": {}},
    ],
)
def test_what_says_nothing_is_not_heard(odd: object) -> None:
    """Other events, redacted ones, unknown types, and what no server should have let through."""
    assert hear(odd, ME) is None


KEYS = st.sampled_from(
    [
        *("type", "content", "msgtype", "body", "format", "formatted_body", "filename", "m.mentions", "user_ids"),
        *("m.relates_to", "m.in_reply_to", "event_id", "rel_type", "m.new_content", "is_falling_back", "state_key"),
    ]
)
VALUES = st.sampled_from(
    ["m.room.message", "m.text", "m.replace", "m.thread", "$a", ME.mxid, "omni: x", "> <@a:b> x\n\ny"]
)
EVENTS = st.recursive(
    JSON | VALUES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=6), max_leaves=20
)


@given(EVENTS, EVENTS)
def test_no_json_makes_it_raise(content: object, clear: object) -> None:
    """Whatever a client or a server makes up."""
    hear(content, ME, clear)
    hear({"type": "m.room.message", "content": content}, ME, clear)
    if isinstance(content, dict):
        found = hear({"type": "m.room.message", "content": {"msgtype": "m.text", "body": "x"} | content}, ME, clear)
        assert found is None or not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e\ud800-\udfff]", found.text)


def test_what_was_said_does_not_get_into_logs() -> None:
    """Its representation has no words of it."""
    assert "secret" not in repr(heard("my secret"))
