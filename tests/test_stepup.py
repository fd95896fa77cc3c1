"""Sessions that a one-time code opens: what is asked, what is read, and how long it is kept."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from omnibot import accounts
from omnibot.accounts import Account
from omnibot.catalogue import SHIPPED, Instances, ProviderSettings, load_catalogue
from omnibot.demo.provider import DemoProvider
from omnibot.errors import GrantError, KeyMissing, Tampered, Upstream, UserError
from omnibot.provider import Instance, Token
from omnibot.stepup import StepUps, check_code, read_session, session_request
from omnibot.testing.bench import ADA, Bench, Plan
from omnibot.vault import PersonKeys
from omnibot.wire import Answer

DEVICE = "arn:aws:iam::123456789012:mfa/ada"
ORIGIN = "https://sts.example"


def instance(provider: str = "aws", **said: str) -> Instance:
    return Instances(load_catalogue(SHIPPED), {provider: ProviderSettings(**said)}).get(provider)  # type: ignore[arg-type]


# ---------------------------------------------------------------- the conversation


def test_what_is_asked() -> None:
    """The code is in the body: addresses are written into logs."""
    request = session_request(instance(), "012345", DEVICE)

    assert ("POST", "https://sts.amazonaws.com/") == (request.method, request.url)
    assert (
        b"Action=GetSessionToken&Version=2011-06-15&DurationSeconds=3600"
        b"&SerialNumber=arn%3Aaws%3Aiam%3A%3A123456789012%3Amfa%2Fada&TokenCode=012345"
    ) == request.body
    assert "012345" not in repr(request)


@pytest.mark.parametrize("device", ["", "short", "with space 123", "x" * 257, "arn:aws:iam::1:mfa/ä"])
def test_what_is_no_device_is_not_sent(device: str) -> None:
    with pytest.raises(UserError, match="not the name of a device"):
        session_request(instance(), "012345", device)


def test_where_there_is_no_such_thing_it_is_said() -> None:
    with pytest.raises(UserError, match="opens no sessions by one-time codes"):
        session_request(instance("redmine", base="https://redmine.example"), "012345", DEVICE)


@pytest.mark.parametrize("code", ["", "12345", "1234567", " 123456", "123456\n", "١٢٣٤٥٦", "12a456"])
def test_a_code_is_six_digits(code: str) -> None:
    with pytest.raises(UserError, match="six digits") as caught:
        check_code(code)
    assert not code.strip() or code.strip() not in str(caught.value)


def answered(status: int = 200, **changed: str) -> Answer:
    said = {
        "AccessKeyId": "ASIAEXAMPLE",
        "SecretAccessKey": "secret/+",
        "SessionToken": "to:ken//==",
        "Expiration": "2015-08-30T12:36:00Z",
    } | changed
    inside = "".join(f"<{name}>{value}</{name}>" for name, value in said.items())
    result = f"<GetSessionTokenResult><Credentials>{inside}</Credentials></GetSessionTokenResult>"
    body = f'<GetSessionTokenResponse xmlns="https://sts">{result}</GetSessionTokenResponse>'
    return Answer(status, {"content-type": "text/xml"}, body.encode())


def test_a_session_with_a_colon_in_its_token_is_no_session() -> None:
    """What is kept are three words with colons between; AWS's have none."""
    with pytest.raises(Upstream):
        read_session(instance(), answered(), DEVICE)


def test_what_is_read() -> None:
    token = read_session(instance(), answered(SessionToken="token//=="), DEVICE)

    assert "ASIAEXAMPLE:secret/+:token//==" == token.access
    assert 1440938160.0 == token.expires


@pytest.mark.parametrize(
    "answer",
    [
        answered(SessionToken=""),
        answered(SecretAccessKey="a b"),
        answered(SessionToken="t", Expiration=""),
        answered(SessionToken="t", Expiration="2015-08-30T12:36:00"),
        answered(SessionToken="t", Expiration="soon"),
        Answer(200, {"content-type": "text/xml"}, b"<GetSessionTokenResponse/>"),
        Answer(200, {"content-type": "text/xml"}, b"<broken"),
        Answer(200, {}, b"[]"),
        Answer(500, {}, b"secret"),
        Answer(400, {}, b"secret"),
        Answer(302, {"location": "https://elsewhere"}, b""),
    ],
)
def test_what_is_no_session_is_an_error_of_ours(answer: Answer) -> None:
    with pytest.raises(Upstream) as caught:
        read_session(instance(), answer, DEVICE)
    assert "secret" not in str(caught.value)


def test_a_refusal_names_the_device_and_no_word_of_the_services() -> None:
    refused = Answer(403, {"content-type": "text/xml"}, b"<E><Message>ha <b>pwned</b></Message></E>")
    with pytest.raises(UserError, match="did not take that code for `arn:aws:iam::123456789012:mfa/ada`") as caught:
        read_session(instance(), refused, DEVICE)
    assert "pwned" not in str(caught.value)


# ---------------------------------------------------------------- what is kept


@dataclass
class Kept:
    """An account, its person's keys, and a bot."""

    bench: Bench
    account: Account
    keys: PersonKeys

    @property
    def stepups(self) -> StepUps:
        return self.bench.core.stepups

    def open(self) -> None:
        token = Token("ASIA:secret:token", expires=self.bench.clock() + 3600)
        self.stepups.keep(self.account, self.keys, self.account.head(ORIGIN), token)


@pytest.fixture
async def kept(tmp_path: Path) -> AsyncIterator[Kept]:
    """Ada has linked the demo service, and a session is open."""
    async with DemoProvider() as provider, Bench.open(Plan(tmp_path, provider=provider)) as bench:
        await bench.link()
        profile = await bench.core.people.find(ADA)
        assert profile is not None
        kept = Kept(bench, profile.accounts[0], profile.keys)
        kept.open()
        yield kept


def test_its_token_opens_under_a_grant_for_that_account(kept: Kept) -> None:
    """As every token does: not without, not for another account, not for another origin."""
    core, account = kept.bench.core, kept.account
    sealed = kept.stepups.sealed(account, kept.keys)
    assert sealed is not None
    assert b"secret" not in sealed
    grant = core.grants.open(account.person, "test", frozenset({account.id}))
    opened = core.opener.open(grant, kept.keys, account.id, account.head(ORIGIN), sealed)
    with pytest.raises(Tampered):
        core.opener.open(grant, kept.keys, account.id, account.head("https://elsewhere.example"), sealed)
    with pytest.raises(GrantError):
        core.opener.open(grant, kept.keys, "another", account.head(ORIGIN), sealed)
    core.grants.close(grant)
    with pytest.raises(GrantError):
        core.opener.open(grant, kept.keys, account.id, account.head(ORIGIN), sealed)

    assert "ASIA:secret:token" == opened.access


@pytest.mark.parametrize(
    "changed", [{"generation": 99}, {"person": "another"}, {"status": "broken"}, {"status": "held"}]
)
def test_what_was_renewed_moved_or_broken_has_none(kept: Kept, changed: dict[str, object]) -> None:
    """And it is forgotten, not only hidden."""
    other = replace(kept.account, **changed)  # type: ignore[arg-type]

    assert kept.stepups.until(other) is None
    assert kept.stepups.sealed(other, kept.keys) is None
    assert kept.stepups.sealed(kept.account, kept.keys) is None


def test_who_got_new_keys_has_none(kept: Kept) -> None:
    """It is sealed to the old ones, and would open no more."""
    assert kept.stepups.sealed(kept.account, replace(kept.keys, public_key=b"x" * 32)) is None


def test_it_ends_a_little_early(kept: Kept) -> None:
    """What would run out on its way is not sent."""
    kept.bench.clock.pass_(3560)
    still = kept.stepups.until(kept.account)
    kept.bench.clock.pass_(20)

    assert still is not None
    assert kept.stepups.until(kept.account) is None
    assert kept.stepups.sealed(kept.account, kept.keys) is None


async def test_a_change_of_something_else_leaves_it(kept: Kept) -> None:
    """A row of the same person is written; the account is what it was."""
    core = kept.bench.core
    async with core.database.transaction() as tx:
        await accounts.change(tx, core.sealer, kept.account.id, lambda one: replace(one, alias="other"))
    await kept.stepups.settle()
    left = kept.stepups.until(kept.account)
    async with core.database.transaction() as tx:
        await accounts.change(tx, core.sealer, kept.account.id, lambda one: replace(one, generation=one.generation + 1))
    await kept.stepups.settle()

    assert left is not None
    assert "<StepUps 0>" == repr(kept.stepups)


async def test_a_row_that_was_written_to_ends_it(kept: Kept) -> None:
    """What cannot be checked is not trusted."""
    core = kept.bench.core
    async with core.database.transaction() as tx:
        await tx.execute("UPDATE accounts SET alias = 'forged' WHERE id = ?", (kept.account.id,))
        tx.touch(kept.account.person)
    await kept.stepups.settle()

    assert "<StepUps 0>" == repr(kept.stepups)


def test_without_a_key_nothing_is_kept_or_spent(kept: Kept) -> None:
    kept.bench.core.keyring.lock("missing")

    with pytest.raises(KeyMissing):
        kept.open()
    with pytest.raises(KeyMissing):
        kept.stepups.spend(kept.account, "123456")


def test_codes_are_forgotten_in_time(kept: Kept) -> None:
    """And another account's codes are its own."""
    kept.stepups.spend(kept.account, "123456")
    kept.stepups.spend(replace(kept.account, external="another"), "123456")
    with pytest.raises(UserError, match="was said before"):
        kept.stepups.spend(kept.account, "123456")
    kept.bench.clock.pass_(301)
    kept.stepups.spend(kept.account, "123456")


def test_a_code_is_known_under_a_new_master_key(kept: Kept, tmp_path: Path) -> None:
    """A rotation meanwhile makes none good again."""
    from omnibot.vault import Keyring, add_key

    kept.stepups.spend(kept.account, "123456")
    add_key(tmp_path / "omnibot.key")
    kept.bench.core.keyring.adopt(Keyring.load(tmp_path / "omnibot.key"))

    with pytest.raises(UserError, match="was said before"):
        kept.stepups.spend(kept.account, "123456")
