"""HTTP as one person: a token is renewed once for all who wait, and an error becomes a sentence of ours."""

import asyncio
import json
from collections.abc import AsyncIterator, Generator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from acting import Act, Watching, account_of, me, refreshes, run
from omnibot import accounts
from omnibot.bodies import read_body
from omnibot.demo.browser import Browser
from omnibot.demo.provider import DemoProvider
from omnibot.errors import AddressRefused, NotLinked, Upstream
from omnibot.provider import Token
from omnibot.rotation import Moved, Renewing
from omnibot.session import ApiSession, EffectError, _address, _blotted
from omnibot.skill import LinkedContext, Skill
from omnibot.testing.bench import ADA, Bench, Plan
from omnibot.wire import Answer, Request

JSON = {"Content-Type": "application/json"}
BASE = "https://api.example/v1"


@pytest.fixture
def act() -> Act:
    return Act()


@pytest.fixture
async def provider() -> AsyncIterator[DemoProvider]:
    async with DemoProvider() as provider:
        yield provider


@pytest.fixture
async def bench(tmp_path: Path, provider: DemoProvider, act: Act) -> AsyncIterator[Bench]:
    """A bot to which Ada's account is linked, with the right to read and write notes."""
    async with Bench.open(Plan(tmp_path, skills=("accounts", act.skill), provider=provider, http=Watching)) as bench:
        await bench.say("!act")
        await bench.link()
        yield bench


# --------------------------------------------------------------------------------------- requests


async def test_a_request_carries_the_persons_own_token(bench: Bench, act: Act, provider: DemoProvider) -> None:
    """JSON comes back as it is; the service sees the person."""
    await run(bench, act, me)

    assert "ada" == act.result
    assert ("ada", "GET", "/api/me") == (
        provider.calls[-1].user,
        provider.calls[-1].method,
        provider.calls[-1].path,
    )


async def test_every_method_has_its_name(bench: Bench, act: Act, provider: DemoProvider) -> None:
    """With JSON to send where there is any, and the answer parsed."""
    provider.fail("/api/thing", status=200, times=None, body='{"ok": true}', headers=JSON)
    seen: list[Request] = []

    async def look(request: Request) -> None:
        seen.append(request)

    async def do(ctx: LinkedContext) -> object:
        http = bench.core.options.http
        assert isinstance(http, Watching)
        http.look = look
        answers = [await ctx.api.get("/api/thing", q="a b")]
        answers.append(await ctx.api.post("/api/thing", {"a": 1}))
        answers.append(await ctx.api.put("/api/thing", {"a": 2}, n=1))
        answers.append(await ctx.api.patch("/api/thing", [3]))
        answers.append(await ctx.api.delete("/api/thing", force=None))
        answers.append(await ctx.api.request("head", "/api/thing"))
        return answers

    await run(bench, act, do)
    sent = [(one.method, one.url.removeprefix(provider.origin), one.body) for one in seen]

    assert [{"ok": True}] * 5 + [None] == act.result
    assert [
        ("GET", "/api/thing?q=a+b", b""),
        ("POST", "/api/thing", b'{"a":1}'),
        ("PUT", "/api/thing?n=1", b'{"a":2}'),
        ("PATCH", "/api/thing", b"[3]"),
        ("DELETE", "/api/thing", b""),
        ("HEAD", "/api/thing", b""),
    ] == sent
    assert [None, "application/json"] == [one.headers.get("Content-Type") for one in seen[:2]]


async def test_what_is_not_json_comes_as_text(bench: Bench, act: Act, provider: DemoProvider) -> None:
    """And nothing as None."""
    bodies = ["", " \n", "plain words", "[1, 2]", "null", "<p>no json</p>"]
    for body in bodies:
        provider.fail("/api/thing", status=200, body=body)

    async def do(ctx: LinkedContext) -> object:
        return [await ctx.api.get("/api/thing") for _ in bodies]

    await run(bench, act, do)

    assert [None, None, "plain words", [1, 2], None, "<p>no json</p>"] == act.result


@pytest.mark.parametrize(
    ("token", "body"),
    [
        ("demo-token-1", "you are demo-token-1"),
        ("ab+/cd==", r'{"key": "ab+\/cd=="}'),
        ("ab+/cd==", r'{"key": "ab\u002b\u002Fcd\u003d="}'),
        ('ab"cdefgh', r'{"key": "ab\"cdefgh"}'),
    ],
)
def test_a_token_that_an_answer_repeats_is_blotted_out(token: str, body: str) -> None:
    """However its letters are written in JSON."""
    for said in (Token(token), Token("other-token", refresh=token)):
        content = read_body(_blotted(Answer(200, {}, body.encode()), said))

        assert content in ("you are ****", {"key": "****"})


def test_an_answer_that_repeats_no_token_stays_as_it_is() -> None:
    """To the byte."""
    answer = Answer(200, {}, rb'{"key": "a\/b", "key": 1.50}')

    assert answer is _blotted(answer, Token("ab+/cd=="))


async def test_a_reading_command_changes_nothing(bench: Bench, act: Act, provider: DemoProvider) -> None:
    """Nothing is sent; the author is told in the log."""
    before = len(provider.requests)
    for method in ("POST", "PUT", "PATCH", "DELETE", "post", "OPTIONS"):

        async def do(ctx: LinkedContext, method: str = method) -> object:
            return await ctx.api.request(method, "/api/notes", json={"text": "x"})

        said = await run(bench, act, do, "look")

        assert isinstance(act.error, EffectError)
        assert said[0].startswith("Something broke")
    assert before == len(provider.requests)


async def test_a_reading_command_may_read(bench: Bench, act: Act) -> None:
    """GET and HEAD, in any case."""

    async def do(ctx: LinkedContext) -> object:
        return [await me(ctx), await ctx.api.request("head", "/api/me")]

    await run(bench, act, do, "look")

    assert ["ada", None] == act.result


async def test_a_session_shows_whose_account_it_is_and_no_more(bench: Bench, act: Act) -> None:
    """The view has no token; printing the session shows not even that."""

    async def do(ctx: LinkedContext) -> object:
        view = ctx.account
        return [view.login, view.title, view.status, *ctx.api.methods, repr(ctx.api)]

    await run(bench, act, do)

    assert ["ada", "Demo notes", "active", "GET", "HEAD", "<ApiSession demo@default>"] == act.result


async def test_what_was_sent_is_counted(bench: Bench, act: Act, provider: DemoProvider) -> None:
    """A request that was refused with 401 and sent again has changed something once."""
    provider.expire_access_tokens()

    async def do(ctx: LinkedContext) -> object:
        await ctx.api.get("/api/me")
        return await ctx.api.post("/api/notes", {"text": "x"})

    await run(bench, act, do)
    await bench.core.audit.flush()
    rows = await bench.rows("SELECT detail FROM audit WHERE event = 'command' ORDER BY seq DESC LIMIT 1")
    provider.expire_access_tokens()

    async def post(ctx: LinkedContext) -> object:
        return await ctx.api.post("/api/notes", {"text": "y"})

    await run(bench, act, post)
    await bench.core.audit.flush()
    rows += await bench.rows("SELECT detail FROM audit WHERE event = 'command' ORDER BY seq DESC LIMIT 1")

    assert [3, 2] == [json.loads(str(row["detail"]))["requests"] for row in rows]
    assert [1, 1] == [json.loads(str(row["detail"]))["changes"] for row in rows]
    assert ["x", "y"] == provider.notes("ada")


class Steps:
    """A signer that asks for something first, as a crumb is asked for."""

    def __init__(self, steps: int) -> None:
        self.steps = steps

    def sign(self, request: Request, token: Token) -> Generator[Request, Answer, None]:
        for _ in range(self.steps):
            yield replace(request, headers={"Authorization": f"Bearer {token.access}"})


async def test_a_signers_conversation_is_seen_to_its_end(
    bench: Bench, act: Act, provider: DemoProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last answer counts; one that never ends is ended."""
    sent = []
    for steps in (1, 2, 5, 99):
        monkeypatch.setattr("omnibot.session.signer_of", lambda instance, by_key, steps=steps: Steps(steps))
        before = len(provider.requests)
        await run(bench, act, me)
        sent.append(len(provider.requests) - before)

        assert "ada" == act.result
    assert [1, 2, 5, 6] == sent


# -------------------------------------------------------------------------------------- addresses


@pytest.mark.parametrize(
    ("path", "url"),
    [
        ("/notes", "/notes"),
        ("notes", "/notes"),
        ("", "/"),
        ("//notes", "/notes"),
        ("//evil.example/x", "/evil.example/x"),
        ("/a b/ü", "/a%20b/%C3%BC"),
        ("/a%20b", "/a%20b"),
        ("/a?x=1", "/a?x=1"),
        ("/a?next=https://elsewhere.example/", "/a?next=https://elsewhere.example/"),
        ("/a#part", "/a"),
        ("/a:b@c", "/a:b@c"),
        ("/a\\..\\b", "/a%5C..%5Cb"),
        ("user@evil.example", "/user@evil.example"),
        ("/..a/.b/c..", "/..a/.b/c.."),
        (f"{BASE}/next?page=2", "/next?page=2"),
        ("HTTPS://API.example:443/v1/next", "/next"),
    ],
)
def test_a_path_is_below_the_services_address(path: str, url: str) -> None:
    """Or it is a whole address of the same origin, as services give for the next page."""
    found = _address(BASE, path, {})

    assert (BASE + url).lower().replace(":443", "") == found.lower().replace(":443", "")


@pytest.mark.parametrize(
    "path",
    [
        "https://evil.example/",
        "http://api.example/v1/x",
        "https://api.example:8443/v1/x",
        "https://api.example@evil.example/",
        "https://api.example\\@evil.example/",
        "https://api.example.evil.example/",
        "https://api.example//evil.example/x",
        "ftp://api.example/x",
        "file:///etc/passwd",
        "https://",
        "https://[::1",
        "..",
        "../admin",
        "/a/../../admin",
        "/a/%2e%2e/admin",
        "/%2E./x",
        "/./x",
        "/a/\t../b",
        f"{BASE}/../x",
        "https://api.example:99999/x",
    ],
)
def test_an_address_that_leads_elsewhere_is_refused(path: str) -> None:
    """A23: another origin, or up and out of the service's part of it, in whatever spelling."""
    with pytest.raises(AddressRefused):
        _address(BASE, path, {})


def test_parameters_are_joined_to_those_in_the_path() -> None:
    """None is left out, a list repeated, everything escaped."""
    url = _address(BASE, "/a?x=1", {"y": "ü&=", "none": None, "n": [1, 2], "yes": True})

    assert f"{BASE}/a?x=1&y=%C3%BC%26%3D&n=1&n=2&yes=True" == url
    assert f"{BASE}/a" == _address(BASE, "/a", {"none": None})


async def test_a_token_goes_to_its_own_origin_only(bench: Bench, act: Act) -> None:
    """A23: an address of another service is refused before anything is sent."""
    async with DemoProvider() as other:

        async def do(ctx: LinkedContext) -> object:
            return await ctx.api.get(f"{other.origin}/api/me")

        await run(bench, act, do)

        assert isinstance(act.error, AddressRefused)
        assert [] == other.requests


# ----------------------------------------------------------------------------------------- renewal


async def test_a_refused_token_is_renewed_once_and_the_request_sent_again(
    bench: Bench, act: Act, provider: DemoProvider
) -> None:
    """The new pair is stored: the next renewal starts from it."""
    for generation in (2, 3):
        provider.expire_access_tokens()
        said = await run(bench, act, me)
        account = await account_of(bench)

        assert (["done"], "ada") == (said, act.result)
        assert (generation, 0, "active") == (account.generation, account.refreshing, account.status)
    assert [True, True] == [one.ok for one in refreshes(provider)]


async def test_a_token_about_to_run_out_is_renewed_before_it_is_sent(
    bench: Bench, act: Act, provider: DemoProvider
) -> None:
    """Half a minute before; not earlier."""
    bench.clock.pass_(3600 - 40)
    await run(bench, act, me)
    before = len(refreshes(provider))
    bench.clock.pass_(15)
    await run(bench, act, me)
    tokens = [one.token for one in provider.calls[-2:]]

    assert 0 == before
    assert 1 == len(refreshes(provider))
    assert "ada" == act.result
    assert 2 == len(set(tokens))


async def test_twenty_requests_at_once_renew_once(bench: Bench, act: Act, provider: DemoProvider) -> None:
    """A44: the provider ends everything when a refresh token comes twice, so it must not."""
    provider.expire_access_tokens()

    async def do(ctx: LinkedContext) -> object:
        return await asyncio.gather(*(me(ctx) for _ in range(20)))

    await run(bench, act, do)

    assert ["ada"] * 20 == act.result
    assert 1 == len(refreshes(provider))
    assert [] == provider.revoked


async def test_twenty_requests_at_expiry_renew_once(bench: Bench, act: Act, provider: DemoProvider) -> None:
    """The same before the token is even refused."""
    bench.clock.pass_(3600)

    async def do(ctx: LinkedContext) -> object:
        return await asyncio.gather(*(me(ctx) for _ in range(20)))

    await run(bench, act, do)

    assert ["ada"] * 20 == act.result
    assert 1 == len(refreshes(provider))


async def test_the_intent_to_renew_is_written_first(bench: Bench, act: Act, provider: DemoProvider) -> None:
    """A45: whoever finds the row after a crash knows that the refresh token may be spent."""
    provider.expire_access_tokens()
    marks: list[tuple[int, int]] = []
    http = bench.core.options.http
    assert isinstance(http, Watching)

    async def look(request: Request) -> None:
        if request.url.endswith("/token"):
            account = await account_of(bench)
            marks.append((account.generation, account.refreshing))

    http.look = look
    await run(bench, act, me)

    assert [(1, 2)] == marks
    assert "ada" == act.result


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ({}, (("notes:read", "notes:write"), None)),
        ({"scope": "notes:read", "expires_in": 60}, (("notes:read",), 60)),
        ({"scope": "", "expires_in": -5}, ((), None)),
    ],
)
async def test_what_a_renewal_leaves_unsaid_stays(
    bench: Bench, act: Act, provider: DemoProvider, answer: dict[str, Any], expected: tuple[Any, Any]
) -> None:
    """Scopes and refresh token as before where the service does not say; otherwise as it says."""
    provider.expire_access_tokens()
    token = provider.issue("ada", "omnibot", ("notes:read",))["access_token"]
    body = {"access_token": token, "token_type": "Bearer", **answer}
    provider.fail("/token", status=200, body=json.dumps(body), headers=JSON)
    await run(bench, act, me, "act")
    account = await account_of(bench)
    scopes, seconds = expected

    assert "ada" == act.result
    assert scopes == account.scopes
    assert seconds == (account.expires and round(account.expires - bench.clock()))


async def test_a_refresh_token_that_was_not_replaced_is_kept(bench: Bench, act: Act, provider: DemoProvider) -> None:
    """Some services never rotate: the next renewal uses it again."""
    provider.expire_access_tokens()
    body = {"access_token": provider.issue("ada", "omnibot", ())["access_token"], "token_type": "bearer"}
    provider.fail("/token", status=200, body=json.dumps(body), headers=JSON)
    await run(bench, act, me)
    provider.expire_access_tokens()
    await run(bench, act, me)

    assert "ada" == act.result
    assert [True] == [one.ok for one in refreshes(provider)]


# ------------------------------------------------------------------------------- no longer accepted


async def test_a_grant_that_is_gone_breaks_the_account_and_asks_for_a_new_link(
    bench: Bench, act: Act, provider: DemoProvider
) -> None:
    """A46: invalid_grant is the one sign that nothing will help; the command waits for the new link."""
    provider.forget_grants()
    said = await run(bench, act, me)
    account = await account_of(bench)
    await bench.core.audit.flush()
    events = await bench.rows("SELECT detail FROM audit WHERE event = 'account.broken'")

    assert isinstance(act.error, NotLinked)
    assert ("demo", "default") == (act.error.provider, act.error.instance)
    assert 1 == len(said)
    assert "Demo notes no longer accepts your link." in said[0]
    assert "After that I run what you asked for: `!act`" in said[0]
    assert ("broken", 0) == (account.status, account.refreshing)
    assert ['{"provider":"demo","why":"invalid_grant"}'] == [row["detail"] for row in events]


async def test_a_broken_account_is_linked_again_in_its_place(bench: Bench, act: Act, provider: DemoProvider) -> None:
    """Said again, it asks for a link at once; after it the same account works, under its old name."""
    provider.forget_grants()
    await run(bench, act, me)
    before = await account_of(bench)
    exchanged = len(provider.exchanges)
    await bench.say("!act")
    asked = len(provider.exchanges)
    await bench.link()
    after = await account_of(bench)

    assert exchanged == asked
    assert ("broken", "active") == (before.status, after.status)
    assert before.alias == after.alias
    assert 1 == len(await bench.rows("SELECT id FROM accounts"))


async def test_a_service_that_refuses_even_a_fresh_token_is_left(
    bench: Bench, act: Act, provider: DemoProvider
) -> None:
    """One renewal, one more try, and no loop."""
    provider.fail("/api/me", status=401, times=None)
    said = await run(bench, act, me)

    assert "no longer accepts your link" in said[0]
    assert "broken" == (await account_of(bench)).status
    assert 1 == len(refreshes(provider))
    assert 3 == provider.requests.count("GET /api/me")  # the first was whoami's, when it was linked


async def test_without_a_refresh_token_a_refusal_is_the_end(bench: Bench, act: Act, provider: DemoProvider) -> None:
    """There is nothing to ask with, so nobody is asked."""
    account = await account_of(bench)
    keys = await bench.core.people.keys(bench.core.database, account.person)
    sealed = bench.core.sealer.seal(keys.public_key, account.head(provider.origin), Token("gone"))
    async with bench.core.database.transaction() as tx:
        await accounts.change(tx, bench.core.sealer, account.id, lambda one: replace(one, token=sealed))
    said = await run(bench, act, me)
    await bench.core.audit.flush()
    rows = await bench.rows("SELECT detail FROM audit WHERE event = 'account.broken'")

    assert "no longer accepts your link" in said[0]
    assert "no_refresh_token" in str(rows[0]["detail"])
    assert [] == refreshes(provider)


async def test_a_change_that_was_made_is_not_made_again(bench: Bench, act: Act, provider: DemoProvider) -> None:
    """What stopped after a change is told, and not parked: it would be done twice."""

    async def do(ctx: LinkedContext) -> object:
        await ctx.api.post("/api/notes", {"text": "x"})
        provider.forget_grants()
        return await ctx.api.get("/api/me")

    said = await run(bench, act, do)

    assert "`act` had done this, so I will not run it again: POST at Demo notes" in said[0]
    assert "After that I run" not in said[0]
    assert [] == await bench.rows("SELECT * FROM waiting")


async def unlink(bench: Bench, ctx: LinkedContext) -> None:
    await ctx.accounts.unlink("demo")


async def test_an_account_unlinked_meanwhile_acts_no_more(bench: Bench, act: Act, provider: DemoProvider) -> None:
    """It is gone, whatever a running command still holds; the person is told, and not asked for a new link."""

    async def do(ctx: LinkedContext) -> object:
        await unlink(bench, ctx)
        return await ctx.api.get("/api/me")

    before = len(provider.calls)
    said = await run(bench, act, do)

    assert ["Your Demo notes account has been unlinked meanwhile, so this was not done."] == said
    assert before == len(provider.calls)
    assert [] == refreshes(provider)


async def test_a_key_pair_renewed_meanwhile_opens_the_renewed_token(
    bench: Bench, act: Act, provider: DemoProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The person's keys were being renewed when the command began; its token was sealed to the new ones."""
    core, provider_asked = bench.core, bench.core.options.http
    assert isinstance(provider_asked, Watching)
    provider.expire_access_tokens()
    monkeypatch.setattr(core.grants, "acts", lambda _: False)  # nobody did, when that was looked at

    async def look(request: Request) -> None:
        if request.url.endswith("/token"):
            await Renewing(core.database, core.sealer, core.opener, core.grants, "newer").run(Moved())

    provider_asked.look = look

    assert ["done"] == await run(bench, act, me)


async def test_an_account_that_broke_meanwhile_is_to_be_linked_again(
    bench: Bench, act: Act, provider: DemoProvider
) -> None:
    """Nothing is sent with what the service no longer takes."""

    async def do(ctx: LinkedContext) -> object:
        await bench.core.renewals.give_up(await account_of(bench), "unauthorised")
        return await ctx.api.get("/api/me")

    before = len(provider.calls)
    said = await run(bench, act, do)

    assert isinstance(act.error, NotLinked)
    assert "Demo notes no longer accepts your link." in said[0]
    assert before == len(provider.calls)


async def test_a_token_renewed_for_an_account_that_is_gone_goes_back(
    bench: Bench, act: Act, provider: DemoProvider
) -> None:
    """It was unlinked while the provider was answering: both tokens are handed back."""
    for task in bench.core._tasks:
        if task.get_name() == "revocations":
            task.cancel()
    provider.expire_access_tokens()
    http = bench.core.options.http
    assert isinstance(http, Watching)

    async def do(ctx: LinkedContext) -> object:
        async def look(request: Request) -> None:
            if request.url.endswith("/token"):
                await unlink(bench, ctx)

        http.look = look
        return await ctx.api.get("/api/me")

    await run(bench, act, do)
    queued = await bench.rows("SELECT * FROM revocations")
    await bench.core.revoking.work()

    assert isinstance(act.error, NotLinked)
    assert [] == await bench.rows("SELECT * FROM accounts")
    assert [True] == [one.ok for one in refreshes(provider)]
    assert 2 == len(queued)
    assert ["ada"] == provider.revoked


async def test_a_renewal_goes_on_when_who_wanted_it_is_stopped(bench: Bench, act: Act, provider: DemoProvider) -> None:
    """A rotated token that is not stored is lost: the next command finds it."""
    provider.expire_access_tokens()
    provider.fail("/token", status=None, delay=0.03)
    before = provider.requests.count("POST /token")

    async def do(ctx: LinkedContext) -> object:
        wanting = asyncio.create_task(ctx.api.get("/api/me"))
        while provider.requests.count("POST /token") == before:  # noqa: ASYNC110 - the provider sets no event
            await asyncio.sleep(0.001)
        wanting.cancel()
        return await wanting

    act.do = do
    await bench.network.hear("!act", ADA)
    async with asyncio.timeout(2):
        while not act.error:  # noqa: ASYNC110 - nor does a command
            await asyncio.sleep(0.001)
    unfinished = await account_of(bench)
    await bench.core.renewals.settle()
    account = await account_of(bench)
    await run(bench, act, me)

    assert (1, 2) == (unfinished.generation, unfinished.refreshing)
    assert (2, 0) == (account.generation, account.refreshing)
    assert "ada" == act.result
    assert 1 == len(refreshes(provider))


# ----------------------------------------------------------------------------------- out of order


WORDS = {
    302: "sent me elsewhere (status 302), and I do not follow.",
    400: "did not understand that (status 400).",
    403: "does not allow you that (status 403).",
    404: "does not know that, or does not show it to you (status 404).",
    409: "says that it conflicts with something there (status 409).",
    418: "refused that (status 418).",
    422: "did not accept that (status 422).",
    429: "asks you to slow down.",
    500: "is out of order (status 500). Try again in a while.",
    503: "is out of order (status 503). Try again in a while.",
}


async def test_an_error_is_a_sentence_of_ours(bench: Bench, act: Act, provider: DemoProvider) -> None:
    """A42: nothing of the service's own words is repeated, and the account is left as it is."""
    headers = {"Location": "https://canary.example/", "X-Note": "canary"}
    for status, words in WORDS.items():
        provider.fail("/api/me", status=status, body="canary <b>@everyone</b>", headers=headers)
        said = await run(bench, act, me)

        assert [f"Demo notes {words}"] == said
        assert isinstance(act.error, Upstream)
        assert status == act.error.status
        assert "active" == (await account_of(bench)).status


async def test_a_service_may_say_how_long_to_wait(bench: Bench, act: Act, provider: DemoProvider) -> None:
    """In seconds, and not for ever; what is no number is not said."""
    told = {"7": 7.0, "0": 0.0, "9" * 400: 86400.0, "soon": None, "-5": None, "²": None}
    for text, seconds in told.items():
        provider.fail("/api/me", status=429, headers={"Retry-After": text})
        said = await run(bench, act, me)

        assert isinstance(act.error, Upstream)
        assert seconds == act.error.retry_after
        assert (f" Try again in {seconds:.0f} seconds." if seconds else "") == said[0].partition("slow down.")[2]


async def test_a_services_reference_is_told_if_it_is_one(bench: Bench, act: Act, provider: DemoProvider) -> None:
    """Letters, digits and dashes; its support will ask for it."""
    for reference, told in {"ab-12": True, "a" * 65: False, "<b>": False, "": False}.items():
        provider.fail("/api/me", status=500, headers={"X-Request-Id": reference})
        said = await run(bench, act, me)

        assert told == said[0].endswith(f" Its reference: {reference}.")
        assert told == ("reference" in said[0])


async def test_a_service_that_does_not_answer_is_told(bench: Bench, act: Act, provider: DemoProvider) -> None:
    """In one sentence, and the account is left as it is."""
    provider.fail("/api/me", drop=True)
    said = await run(bench, act, me)

    assert isinstance(act.error, Upstream)
    assert ["127.0.0.1 broke off before its answer was complete."] == said
    assert "active" == (await account_of(bench)).status


@pytest.mark.parametrize(
    ("headers", "error"), [({"x-ratelimit-remaining": "0", "x-ratelimit-reset": "60"}, Upstream), ({}, NotLinked)]
)
async def test_who_asked_too_much_is_not_taken_for_dead(
    bench: Bench, act: Act, monkeypatch: pytest.MonkeyPatch, headers: dict[str, str], error: type[Exception]
) -> None:
    """A46: a service that answers 403 to a token it does not know does so as well to whom it has heard too often."""

    async def forbidden(self: ApiSession, request: Request, *, bare: bool = False) -> Answer:
        return Answer(403, headers)

    async def ask(ctx: LinkedContext) -> object:
        assert isinstance(ctx.api, ApiSession)

        known = ctx.api._instance
        ctx.api._instance = replace(known, provider=replace(known.provider, dead="forbidden"))
        with monkeypatch.context() as patch:
            patch.setattr(ApiSession, "_converse", forbidden)
            return await ctx.api.get("/api/me")

    await run(bench, act, ask)

    assert isinstance(act.error, error)


async def test_a_command_that_asks_by_itself_only_reads_before_the_yes(tmp_path: Path, provider: DemoProvider) -> None:
    """Whatever its author forgets: nothing is changed before the person has said yes, nor after a no."""
    skill, errors = Skill("tearing", bare=True), list[str]()

    @skill.linked("demo", scopes=["notes:write"], effect="destroy", asks=True)
    async def tear(ctx: LinkedContext) -> str:
        """Tear."""
        try:
            await ctx.api.post("/api/notes", {"text": "too early"})
        except EffectError as error:
            errors.append(str(error))
        sure = await ctx.confirm("Sure?")
        await ctx.api.post("/api/notes", {"text": "now"})
        return str(sure)

    async with Bench.open(Plan(tmp_path, skills=("accounts", skill), provider=provider)) as bench:
        await bench.link()
        await bench.say("!tear")
        async with Browser() as browser:
            await bench.authorise(browser, bench.link_for(ADA))
            await bench.say(f"!confirm {browser.code}")

        assert ["Something broke"] == [one[:15] for one in await bench.say("no")]
        assert [] == provider.notes("ada")

        await bench.say("!tear")

        assert ["True"] == await bench.say("yes")
        assert ["now"] == provider.notes("ada")
    assert 2 == len(errors)


@pytest.mark.parametrize("name", ["Authorization", "X-HTTP-Method-Override", "Cookie"])
async def test_a_skill_sets_no_header_that_is_not_its_own(
    bench: Bench, act: Act, provider: DemoProvider, name: str
) -> None:
    """Nothing is sent at all."""
    before = len(provider.requests)

    async def send(ctx: LinkedContext) -> object:
        return await ctx.api.send("GET", "/api/me", headers={name: "DELETE"})

    await run(bench, act, send)

    assert isinstance(act.error, ValueError)
    assert before == len(provider.requests)
