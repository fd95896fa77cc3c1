"""What the bot hears, whom it knows, and how it notices that nobody is there."""

from typing import Any

import pytest

from adapters.irc.effects import Drop, Heard, Known, NotTaken, Ready, Said, Send
from adapters.irc.roster import MAX_USERS
from irc_talk import ALL, WALL, Talk, only, sent


def inside(isupport: str = "NETWORK=Test STATUSMSG=@+", caps: str = ALL, *, tls: bool = True, **options: Any) -> Talk:
    """Return a talk with the bot, ada and bob in #c."""
    talk = Talk(**{"channels": ["#c"], **options})
    talk.registers(caps, isupport, tls=tls)
    talk.hears(":omnibot!bot@example.org JOIN #c * :x", ":srv 353 omnibot = #c :omnibot @ada +bob!b@h")
    return talk


def heard(talk: Talk, *lines: str) -> list[Heard]:
    return only(Heard, talk.hears(*lines))


# ----------------------------------------------------------------- welcome


def test_the_realm_is_what_the_network_calls_itself() -> None:
    """The server's name where it has no other."""
    assert [Ready("Test Net", True)] == only(Ready, Talk().registers(isupport="NETWORK=Test\\x20Net"))
    assert [Ready("srv", True)] == only(Ready, Talk().registers(isupport="NICKLEN=9"))


def test_a_server_without_a_message_of_the_day() -> None:
    """422 ends it as well, and so does some time without either."""
    talk = Talk()
    talk.connect()
    talk.hears(":srv CAP * LS :", ":srv 001 omnibot :x")

    assert [] == only(Ready, talk.waits(14))
    assert [Ready("srv", False)] == only(Ready, talk.waits(2))
    assert [] == only(Ready, talk.hears(":srv 422 omnibot :x"))


def test_the_bot_says_that_it_is_one() -> None:
    """By the mode that the network has for it."""
    assert "MODE omnibot +B" in sent(Talk().registers(isupport="BOT=B"))
    assert not [line for line in sent(Talk().registers(isupport="BOT=--")) if "MODE" in line]


@pytest.mark.parametrize(
    ("caps", "tls", "options", "counts", "words"),
    [
        ("account-tag", True, {}, True, []),
        ("", True, {}, False, ["everybody is a guest"]),
        ("account-tag", False, {"tls": False}, False, ["without TLS"]),
        ("account-tag", False, {"tls": False, "allow_plain": True}, True, []),
    ],
)
def test_where_people_can_be_known(
    caps: str, tls: bool, options: dict[str, Any], counts: bool, words: list[str]
) -> None:
    """With account-tag, and over TLS unless the operator allows plain; else it is said, once."""
    talk = Talk(**options)
    effects = talk.registers(caps, tls=tls)

    assert [Ready("Test", counts)] == only(Ready, effects)
    assert all(word in one.text for word, one in zip(words, only(Said, effects), strict=True))
    [message] = heard(talk, "@account=ada :ada!u@h PRIVMSG omnibot :hi")
    assert ("ada" if counts else None) == message.account
    talk.loses()
    assert [] == only(Said, talk.registers(caps, tls=tls))


def test_what_is_said_before_the_end_of_the_welcome_is_heard_after_it() -> None:
    """Ready comes first: until then nobody knows which network it is."""
    talk = Talk()
    talk.connect()
    talk.hears(f":srv CAP * LS :{ALL}", f":srv CAP * ACK :{ALL}", ":srv 001 omnibot :x")
    early = talk.hears("@account=ada :ada!u@h PRIVMSG omnibot :hi")
    effects = talk.hears(":srv 376 omnibot :x")

    assert [] == early
    assert [Ready, Heard] == [type(one) for one in effects if isinstance(one, Ready | Heard)]


def test_what_was_said_of_old_is_not_heard_when_the_welcome_ends() -> None:
    """Its batch is over by then, and would no longer tell."""
    talk = Talk()
    talk.connect()
    talk.hears(f":srv CAP * LS :{ALL}", f":srv CAP * ACK :{ALL}", ":srv 001 omnibot :x")
    old = "@batch=x;account=ada :ada!u@h PRIVMSG omnibot :!old"
    talk.hears(":srv BATCH +x znc.in/playback ada", old, ":srv BATCH -x")

    assert [] == heard(talk, ":srv 376 omnibot :x")


# ---------------------------------------------------------------- messages


def test_a_message_in_a_channel() -> None:
    """All that the line tells."""
    talk = inside()
    line = "@time=2027-01-15T08:00:01.500Z;msgid=m1;account=Lovelace :Ada!a@h PRIVMSG #C :!ping  x "

    assert [
        Heard(
            nick="Ada",
            host="h",
            channel="#C",
            text="!ping  x ",
            account="lovelace",
            time=WALL + 1.5,
            msgid="m1",
            kind="message",
            is_echo=False,
            is_bot=False,
            batch="",
        )
    ] == heard(talk, line)


def test_what_was_said_is_in_no_repr() -> None:
    """It may be a key, and a repr ends up in logs."""
    assert "sesame" not in repr(heard(inside(), ":ada!u@h PRIVMSG omnibot :sesame"))


@pytest.mark.parametrize(
    ("target", "channel"),
    [("omnibot", None), ("OMNIBOT", None), ("#c", "#c"), ("@#c", "#c"), ("#elsewhere", "#elsewhere")],
)
def test_where_it_was_said(target: str, channel: str | None) -> None:
    """To the bot alone, or in a channel, perhaps to some there only."""
    [message] = heard(inside(), f":ada!u@h PRIVMSG {target} :x")

    assert channel == message.channel


@pytest.mark.parametrize(
    "line",
    [
        ":srv.example.org NOTICE omnibot :*** hello",
        ":ada!u@h PRIVMSG $$* :to all",
        ":ada!u@h PRIVMSG somebody :x",
        ":ada!u@h PRIVMSG omnibot",
        "PRIVMSG omnibot :x",
        ": PRIVMSG omnibot :x",
        ":ada!u@h TAGMSG #c",
    ],
)
def test_what_is_not_said_to_the_bot(line: str) -> None:
    """By servers, to everybody, or by nobody."""
    assert [] == heard(inside(), line)


@pytest.mark.parametrize(
    ("words", "kind", "text"),
    [
        ("PRIVMSG #c :hi", "message", "hi"),
        ("NOTICE #c :hi", "notice", "hi"),
        ("NOTICE #c :\x01VERSION x\x01", "notice", "\x01VERSION x\x01"),
        ("PRIVMSG #c :\x01ACTION waves\x01", "action", "waves"),
        ("PRIVMSG #c :\x01ACTION\x01", "action", ""),
        ("PRIVMSG #c :\x01ACTIONS\x01", "ctcp", "ACTIONS"),
        ("PRIVMSG #c :\x01VERSION\x01", "ctcp", "VERSION"),
        ("PRIVMSG #c :\x01VERSION", "ctcp", "VERSION"),
        ("PRIVMSG #c :\x01", "ctcp", ""),
        ("PRIVMSG #c :", "message", ""),
    ],
)
def test_kinds(words: str, kind: str, text: str) -> None:
    """Words, notices, actions, and what clients ask each other."""
    [message] = heard(inside(), f":ada!u@h {words}")

    assert (kind, text) == (message.kind, message.text)


@pytest.mark.parametrize(
    ("tags", "account"),
    [
        ("", None),
        ("@account ", None),
        ("@account= ", None),
        ("@account=* ", None),
        ("@account=Ada[1] ", "ada{1}"),
        ("@+account=ada ", None),
        ("@account=eve;account=ada ", "ada"),
    ],
)
def test_whose_words(tags: str, account: str | None) -> None:
    """The account on this very message, as the network compares it; of two the last (IRCv3 Message Tags)."""
    [message] = heard(inside(), f"{tags}:ada!u@h PRIVMSG #c :x")

    assert account == message.account


def test_a_nick_is_nobody() -> None:
    """What was known of it a moment ago gives no account to the next message."""
    talk = inside()
    heard(talk, "@account=ada :ada!u@h PRIVMSG #c :x")
    talk.hears(":ada!u@h ACCOUNT ada", ":ada!u@h NICK away", ":eve!u@h NICK ada")

    assert [None] == [one.account for one in heard(talk, ":ada!u@h PRIVMSG #c :x")]
    assert [] == talk.machine.roster.nicks("ada")[1:]


def test_an_account_where_the_capability_is_not_in_force() -> None:
    """A server that does not know the tag may pass it on from a client."""
    [message] = heard(inside(caps="message-tags"), "@account=root :eve!u@h PRIVMSG #c :x")

    assert message.account is None


def test_echoes_and_bots() -> None:
    """Are marked, for the core to drop."""
    talk = inside()

    assert [True, False] == [one.is_echo for one in heard(talk, ":OmniBot!u@h PRIVMSG #c :x", ":ada!u@h PRIVMSG #c :x")]
    assert [True] == [one.is_echo for one in heard(talk, ":omnibot!u@h PRIVMSG ada :x")]
    assert [True, True, True, False] == [
        one.is_bot
        for one in heard(
            talk, *(f"@{tag} :ada!u@h PRIVMSG #c :x" for tag in ("bot", "draft/bot", "inspircd.org/bot", "+bot"))
        )
    ]


@pytest.mark.parametrize(
    ("stamp", "time"),
    [
        ("2027-01-15T08:00:01.500Z", WALL + 1.5),
        ("2027-01-15T08:00:01Z", WALL + 1),
        ("2027-01-15T08:00:01.123456789Z", WALL + 1.123456),
        ("2027-01-15T08:00:60Z", WALL),
        ("2027-13-15T08:00:01Z", WALL),
        ("0000-01-15T08:00:01Z", WALL),
        ("2027-01-15T08:00:01", WALL),
        ("yesterday", WALL),
        ("", WALL),
    ],
)
def test_when_it_was_said(stamp: str, time: float) -> None:
    """By the server where it tells (server-time), else now."""
    [message] = heard(inside(), f"@time={stamp} :ada!u@h PRIVMSG #c :x")

    assert time == pytest.approx(message.time, abs=1e-6)


def test_batches() -> None:
    """What is told again is marked."""
    talk = inside()
    messages = heard(
        talk,
        "@label=7 :srv BATCH +a labeled-response",
        "@batch=a :srv BATCH +b chathistory #c",
        "@batch=b;account=eve :ada!u@h PRIVMSG #c :old",
        "@batch=a :omnibot!u@h PRIVMSG #c :mine",
        ":srv BATCH -b",
        ":srv BATCH -a",
        "@batch=a :ada!u@h PRIVMSG #c :new",
        "@label=8 :omnibot!u@h PRIVMSG #c :mine",
    )

    assert ["chathistory", "labeled-response", "", ""] == [one.batch for one in messages]
    assert [] == talk.machine.roster.nicks("eve")


def test_batches_are_not_without_end_and_have_names() -> None:
    """A server that opens and never closes; one that opens nothing at all."""
    talk = inside()
    talk.hears(
        *(f":srv BATCH +{number} chathistory" for number in range(1000)), ":srv BATCH + chathistory", ":srv BATCH"
    )

    assert ["", "chathistory"] == [
        one.batch for one in heard(talk, "@batch=1 :ada!u@h PRIVMSG #c :x", "@batch=999 :ada!u@h PRIVMSG #c :x")
    ]
    assert [""] == [one.batch for one in heard(talk, ":ada!u@h PRIVMSG #c :x")]


@pytest.mark.parametrize("code", ["401", "403", "404", "407", "415", "442", "477", "531", "937"])
def test_what_the_network_did_not_take(code: str) -> None:
    """With what it was about."""
    talk = inside()

    assert [NotTaken("#x", code, "Cannot send")] == only(NotTaken, talk.hears(f":srv {code} omnibot #x :Cannot send"))


# ------------------------------------------------------------------ people


def test_who_logs_in_and_out() -> None:
    """ACCOUNT, with or without a colon; `*` is nobody."""
    talk = inside()
    talk.hears(":ada!u@h ACCOUNT Ada", ":stranger!u@h ACCOUNT ada")
    assert ["ada"] == talk.machine.roster.nicks("ada")
    assert talk.machine.roster.present("ada", "#C")
    talk.hears(":ada!u@h ACCOUNT :*")

    assert [] == talk.machine.roster.nicks("ada")


def test_who_comes_in_logged_in() -> None:
    """extended-join; and without it nothing is known."""
    talk = inside()
    talk.hears(":eve!u@h JOIN #c Evelyn :Eve", ":mallory!u@h JOIN #c * :M")
    assert ["eve"] == talk.machine.roster.nicks("evelyn")

    old = inside(caps="account-tag")
    old.hears(":eve!u@h JOIN #c")
    user = old.machine.roster.user("eve")
    assert user is not None
    assert user.account is None


def test_who_speaks_is_found_again() -> None:
    """By the account on the message; a message without one tells that they are logged out."""
    talk = inside()
    heard(talk, "@account=ada :ada!u@h PRIVMSG #c :x", "@account=s :stranger!u@h PRIVMSG omnibot :x")
    assert (["ada"], ["stranger"]) == (talk.machine.roster.nicks("ada"), talk.machine.roster.nicks("s"))
    heard(talk, ":ada!u@h PRIVMSG #c :x")

    assert [] == talk.machine.roster.nicks("ada")


def test_a_netsplit() -> None:
    """Who is split off is gone, and comes back as whoever the network says they are."""
    talk = inside()
    talk.hears(":ada!u@h ACCOUNT ada", ":srv BATCH +n netsplit a b", "@batch=n :ada!u@h QUIT :a b", ":srv BATCH -n")
    assert ["bob", "omnibot"] == sorted(talk.machine.roster.members("#c"))
    talk.hears(":ada!u@h JOIN #c * :x")

    assert [] == talk.machine.roster.nicks("ada")
    assert talk.machine.roster.in_channel("ada", "#c")


def test_hosts() -> None:
    """chghost, userhost in names, and the bot's own, whose length every line of its shares."""
    talk = inside()
    talk.hears(":ada!u@h CHGHOST au ah", ":omnibot!u@h CHGHOST nu nh", ":ada!u@h SETNAME :x", ":ada!u@h CHGHOST x")
    ada, bob = talk.machine.roster.user("ada"), talk.machine.roster.user("bob")

    assert ada is not None
    assert bob is not None
    assert ("au", "ah", "b", "h") == (ada.user, ada.host, bob.user, bob.host)
    assert "omnibot!nu@nh" == talk.machine.source


def test_the_bots_own_source() -> None:
    """By whatever tells it first; the nick alone until then."""
    talk = Talk()

    assert "USERHOST omnibot" in sent(talk.registers())
    assert "omnibot" == talk.machine.source
    talk.hears(":srv 302 omnibot :ada=+a@b omnibot*=-~bot@host.example.org ")
    assert "omnibot!~bot@host.example.org" == talk.machine.source
    talk.hears(":srv 396 omnibot cloaked :is now your visible host")
    assert "omnibot!~bot@cloaked" == talk.machine.source
    talk.hears(":srv 396 omnibot me@cloak :x")
    assert "omnibot!me@cloak" == talk.machine.source
    talk.hears(":omnibot!me@cloak NICK bot")
    assert "bot!me@cloak" == talk.machine.source
    talk.hears(":bot!x@y JOIN #c")
    assert "bot!x@y" == talk.machine.source


def test_who_is_in_a_channel_is_asked_where_the_server_can_tell() -> None:
    """WHOX, one channel after the other."""
    talk = Talk(channels=["#a", "#b"])
    talk.registers(isupport="WHOX NETWORK=T")

    assert ["WHO #a %tcuhnfa,417"] == sent(talk.hears(":omnibot!u@h JOIN #a", ":omnibot!u@h JOIN #b"))
    talk.hears(":srv 353 omnibot = #a :ada bob omnibot")
    talk.hears(
        ":srv 354 omnibot 417 #a au ah ada H@ Lovelace",
        ":srv 354 omnibot 417 #a bu bh bob H 0",
        ":srv 354 omnibot 999 #a bu bh bob H eve",
        ":srv 354 omnibot 417 #a u h stranger H eve",
        ":srv 354 omnibot 417",
    )
    assert (["ada"], []) == (talk.machine.roster.nicks("lovelace"), talk.machine.roster.nicks("eve"))
    assert ["WHO #b %tcuhnfa,417"] == sent(talk.hears(":srv 315 omnibot #A :End"))
    assert [] == sent(talk.hears(":srv 315 omnibot #x :End", ":srv 315 omnibot #b :End"))


def test_a_server_too_busy_to_tell() -> None:
    """263: it is asked again, behind the others, and not without end."""
    talk = Talk(channels=["#a"])
    talk.registers(isupport="WHOX NETWORK=T")
    talk.hears(":omnibot!u@h JOIN #a", *[":srv 263 omnibot WHO :busy"] * 100)

    assert ["WHO #a %tcuhnfa,417"] == [line for line in sent(talk.waits(61)) if line.startswith("WHO")]
    assert [] == sent(talk.hears(":srv 315 omnibot #a :End"))


def test_asking_about_somebody() -> None:
    """Which account a nick has at this moment."""
    talk = inside()

    assert ["@label=1 WHOIS Stranger"] == sent(talk.machine.ask("Stranger", talk.now))
    assert [] == talk.machine.ask("stranger", talk.now)
    effects = talk.hears(
        ":srv 311 omnibot stranger u h * :x",
        ":srv 330 omnibot stranger Acc :is logged in as",
        ":srv 318 omnibot stranger :End",
    )
    assert [Known("Stranger", "acc")] == effects
    assert ["Stranger"] == talk.machine.roster.nicks("acc")
    talk.machine.ask("stranger", talk.now)
    assert [Known("stranger", None)] == talk.hears(":srv 401 omnibot x :no", ":srv 318 omnibot stranger :End")[1:]
    assert [] == talk.machine.roster.nicks("acc")


@pytest.mark.parametrize(
    "answer",
    [
        ["@label=1 :srv 263 omnibot WHOIS :Wait a while"],
        ["@label=1 :srv ACK"],
        ["@label=1 :srv BATCH +a labeled-response", "@batch=a :srv 311 omnibot ada u h * :x", ":srv BATCH -a"],
    ],
    ids=["refused", "nothing", "cut short"],
)
def test_a_labelled_answer_has_an_end(answer: list[str]) -> None:
    """Whatever it is, nobody waits for more; the answer to something else ends nothing."""
    talk = inside()
    talk.machine.ask("ada", talk.now)

    assert [] == talk.hears("@label=2 :srv ACK", ":srv 263 omnibot WHOIS :Wait a while")
    assert [Known("ada", None)] == talk.hears(*answer)
    assert [] == talk.hears("@label=1 :srv ACK")


def test_a_labelled_answer_in_full() -> None:
    """Counts once."""
    talk = inside()
    talk.machine.ask("ada", talk.now)

    assert [Known("ada", "acc")] == talk.hears(
        "@label=1 :srv BATCH +a labeled-response",
        "@batch=a :srv 330 omnibot ada acc :is logged in as",
        "@batch=a :srv 318 omnibot ada :End",
        ":srv BATCH -a",
    )


def test_a_network_without_labels() -> None:
    """Gets none."""
    talk = Talk()
    talk.registers("account-tag batch")

    assert ["WHOIS ada"] == sent(talk.machine.ask("ada", talk.now))


def test_a_question_without_an_answer() -> None:
    """Is given up after twenty seconds; a nick that is none is not asked for."""
    talk = inside()
    talk.machine.ask("ada", talk.now)

    assert [Known("ada", None)] == talk.waits(21)
    assert [Known("a b", None)] == talk.machine.ask("a b", talk.now)
    assert [Known("a,b", None)] == talk.machine.ask("a,b", talk.now)
    talk.loses()
    assert [Known("ada", None)] == talk.machine.ask("ada", talk.now)


def test_an_answer_over_a_plain_connection_does_not_count() -> None:
    """Whoever sits between may have written it."""
    talk = inside(tls=False)
    talk.machine.ask("ada", talk.now)

    assert [Known("ada", None)] == talk.hears(":srv 330 omnibot ada acc :x", ":srv 318 omnibot ada :End")


# -------------------------------------------------------- is anybody there


@pytest.mark.parametrize(("ping", "pong"), [("PING x", "PONG x"), (":srv PING :a b", "PONG :a b"), ("PING", "PONG")])
def test_ping(ping: str, pong: str) -> None:
    """Is answered before anything else, at any time."""
    talk = Talk()
    talk.connect()
    [effect] = talk.hears(ping)

    assert isinstance(effect, Send)
    assert (pong, True) == (sent([effect])[0], effect.urgent)


def test_a_silent_server() -> None:
    """Is asked after 90 seconds, and left after another 60: the connection may be half open."""
    talk = inside()

    assert [] == talk.waits(89)
    assert ["PING omnibot"] == sent(talk.waits(2))
    assert [] == talk.waits(58)
    assert [Drop("the network has been silent for 150 seconds")] == talk.waits(2)


def test_any_line_is_a_sign_of_life() -> None:
    """Also one that is none."""
    talk = inside()
    talk.waits(91)
    talk.hears(b"\xff\xff")

    assert [] == only(Drop, talk.waits(85))


def test_a_killed_bot() -> None:
    """Comes back; another's end is another's."""
    talk = inside()

    assert [] == talk.hears(":oper!u@h KILL ada :x")
    assert [Drop("the bot was killed: spam")] == talk.hears(":oper!u@h KILL omnibot :spam")


def test_after_the_end_nothing_is_heard_and_nothing_is_due() -> None:
    """Until the next connection."""
    talk = inside()
    talk.hears("ERROR :bye")

    assert [] == talk.hears("PING x", ":ada!u@h PRIVMSG #c :x")
    assert [] == talk.machine.tick(talk.now + 1000)
    assert float("inf") == talk.machine.next_tick
    assert [] == talk.loses()
    assert not talk.machine.ready
    assert "CAP LS 302" == sent(talk.connect())[0]


def test_nothing_of_the_last_connection_stays() -> None:
    """Neither capabilities nor people: they may be others now."""
    talk = inside()
    talk.hears(":ada!u@h ACCOUNT ada")
    talk.loses()
    talk.connect()

    assert ([], False, "") == (talk.machine.roster.nicks("ada"), talk.machine.has("account-tag"), talk.machine.nick)


def test_what_a_server_says_of_itself_is_fit_for_a_log() -> None:
    """One line, nothing in it that a terminal obeys, and not too long."""
    talk = inside()
    effects = talk.hears(":srv FAIL X CODE :\x1b[31m" + "x" * 400, ":srv 010 omnibot \x1b[2J 1 :x", ":srv 466 omnibot")

    assert 3 == len(effects)
    assert all(isinstance(one, Said) and one.text.isprintable() and len(one.text) < 300 for one in effects)


@pytest.mark.parametrize("nick", [":ada", "ada,#c"])
def test_a_source_that_nobody_could_answer_is_nobody(nick: str) -> None:
    """No such nick exists; an answer would be no line, or go to others as well."""
    assert [] == heard(inside(), f"@account=ada :{nick}!u@h PRIVMSG omnibot :hi")


def test_an_account_is_one_word() -> None:
    """Else it could be read as an account and the time of its registration."""
    [message] = heard(inside(), "@account=ada\\s1795346148 :ada!u@h PRIVMSG omnibot :hi")

    assert message.account is None


def test_accounts_that_nobody_told_of_for_a_while_are_forgotten() -> None:
    """The network took account-notify back, and gives it again: who logged out meanwhile is not known."""
    talk = inside()
    talk.hears(":ada!u@h ACCOUNT ada")
    before = talk.machine.roster.nicks("ada")
    talk.hears(":srv CAP omnibot DEL :account-notify", ":srv CAP omnibot NEW :account-notify")
    talk.hears(":srv CAP omnibot ACK :account-notify")

    assert ["ada"] == before
    assert talk.machine.tells_of("ada")
    assert [] == talk.machine.roster.nicks("ada")


def test_people_are_not_without_end() -> None:
    """Those a server tells of beyond that are strangers, and so asked about before they are told anything."""
    talk = inside()
    for start in range(0, MAX_USERS + 100, 100):
        talk.hears(f":srv 353 omnibot = #c :{' '.join(f'n{start + number}' for number in range(100))}")
    talk.hears(f":n{MAX_USERS + 99}!u@h PART #c")

    assert MAX_USERS == len(talk.machine.roster.members("#c"))
    assert not talk.machine.tells_of(f"n{MAX_USERS + 50}")
