"""A person links AWS by an access key, and opens with a one-time code what the key alone may not do.

Behind the names of AWS are moto's IAM, STS and EC2; in front of them is a gate that checks every signature with
botocore, clocks and codes, and that keeps what was done as CloudTrail does (tests/servers/aws).
"""

import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from journeys.walks import until
from omnibot.catalogue import ProviderSettings
from omnibot.testing.bench import ADA, GRACE, Bench, Plan
from servers.aws.server import Aws, Named
from servers.browser import HttpBrowser

STOP_FIRST = "AWS does not allow you that. If it wants a code of yours for it, say `!aws mfa CODE` first."


@pytest.fixture
def plan(tmp_path: Path, aws: Aws) -> Plan:
    """A bot that knows AWS, and takes its keys in private chats too."""
    return Plan(
        tmp_path,
        skills=("accounts", "api", "following", "help", "aws"),
        settings=(("aws", ProviderSettings(chat_keys=True)),),
        http=lambda: Named(aws),
    )


@pytest.fixture
async def bench(plan: Plan) -> AsyncIterator[Bench]:
    async with Bench.open(plan) as bench:
        yield bench


@pytest.fixture
async def linked(bench: Bench, aws: Aws) -> Bench:
    """Ada has linked alice's key."""
    (said,) = await bench.say(f"!link aws {aws.key()}")
    assert said.startswith("Linked AWS as **arn:aws:iam::123456789012:user/alice**.")
    return bench


async def stopped(bench: Bench, which: str) -> list[str]:
    """Let Ada stop *which*, and say yes to the question."""
    asked = await bench.say(f"!aws stop {which}")
    return await bench.say("yes") if asked[-1].startswith("Stop **") else asked


async def told(bench: Bench, text: str) -> None:
    """Let time pass for what is followed, until Ada is told *text*."""

    async def is_told() -> bool:
        bench.clock.pass_(6)
        await bench.settle()
        return any(text in one for one in bench.network.texts(ADA))

    await until(is_told)


@pytest.mark.row("T9")
@pytest.mark.row("T10")
async def test_a_code_opens_what_the_key_alone_may_not_do(bench: Bench, aws: Aws) -> None:
    """Key by the form, list, stop, refused; the code, stop, followed to its end; and AWS's record names the person."""
    await bench.say("!link aws")
    async with HttpBrowser("alice") as browser:
        page = await browser.walk(bench.link_for())
        page = await browser.press(page, "Connect", key=aws.key())
    code = re.search(r"<code>([A-Z]{4}-[A-Z]{4})</code>", page.text)
    assert code is not None, page.text
    await bench.say(f"!confirm {code[1]}")

    listed = await bench.say("!aws list")
    refused = await stopped(bench, "1")
    before = await bench.say("!aws whoami")
    opened = await bench.say(f"!aws mfa {aws.code()}")
    after = await bench.say("!aws whoami")
    done = await stopped(bench, "1")
    await told(bench, "**alice-box** is stopped.")
    again = await stopped(bench, "1")

    boxes = [aws.instances["alice@eu-west-1"], aws.instances["alice@us-east-1"]]
    assert listed[0].splitlines() == [
        f"1. **alice-box** is running (t3.micro, eu-west-1, {boxes[0]})",
        f"2. **alice-box** is running (t3.micro, us-east-1, {boxes[1]})",
    ]
    assert [STOP_FIRST] == refused
    assert "You are **alice**, in the account 123456789012" in before[0]
    assert "No session is open" in before[0]
    assert re.fullmatch(r"Your session at AWS is open until \d\d:\d\d UTC\.", opened[0])
    assert "A session is open until" in after[0]
    assert f"**alice-box** ({boxes[0]}) stops; I tell you when it is stopped." in done
    assert ["**alice-box** is stopped already."] == again
    assert [("alice", False, "UnauthorizedOperation"), ("alice", True, "")] == aws.did("StopInstances")
    assert [("alice", False, "")] == aws.did("GetSessionToken")
    assert {"alice"} == {one["userIdentity"]["userName"] for one in aws.record()}
    assert not [one for one in aws.record() if one["errorCode"] == "SignatureDoesNotMatch"]


@pytest.mark.row("T10")
async def test_each_acts_as_themselves(linked: Bench, aws: Aws) -> None:
    """Grace is bob: her list is hers, her number is hers, and so is what she does."""
    await linked.say(f"!link aws {aws.key('bob')}", GRACE)
    await linked.say(f"!aws mfa {aws.code()}")
    await linked.say("!aws list eu-west-1")
    hers = await linked.say("!aws list us-east-1", GRACE)
    await linked.say("!aws stop 1", GRACE)
    refused = await linked.say("yes", GRACE)
    await stopped(linked, "1")

    assert hers == [f"1. **bob-box** is running (t3.micro, us-east-1, {aws.instances['bob@us-east-1']})"]
    assert [STOP_FIRST] == refused
    assert [("bob", False, "UnauthorizedOperation"), ("alice", True, "")] == aws.did("StopInstances")


async def test_a_stopped_instance_starts_again(linked: Bench, aws: Aws) -> None:
    """By its number, its id, or its name; what is not one's own only where that is said."""
    await linked.say(f"!aws mfa {aws.code()}")
    mine, theirs = aws.instances["alice@eu-west-1"], aws.instances["bob@eu-west-1"]
    await stopped(linked, mine)
    asked = await linked.say(f"!aws start {mine}")
    undone = await linked.say("no")
    await linked.say(f"!aws start {mine}")
    started = await linked.say("yes")
    await told(linked, "**alice-box** is running.")
    twice = await linked.say("!aws start alice-box")
    foreign = await linked.say(f"!aws start {theirs}")
    everybodys = await linked.say("!aws list eu-west-1 --all")
    meant = await linked.say(f"!aws start {theirs} --all")
    unknown = await linked.say("!aws start i-0123456789abcdef0")
    nowhere = await linked.say("!aws list mars-north-1")

    assert [f"Start **alice-box**, {mine}? It costs money while it runs."] == asked
    assert ["Not done."] == undone
    assert [f"**alice-box** ({mine}) starts; I tell you when it is running."] == started
    assert ["There are 2 instances called alice-box. Say which by its id."] == twice
    assert foreign[0].startswith(f"{theirs} is not tagged as yours.")
    assert 3 == len(everybodys[0].splitlines())
    assert ["**bob-box** is running already."] == meant
    assert unknown[0].startswith("I see no instance i-0123456789abcdef0.")
    assert nowhere[0].startswith("I know no region mars-north-1 at AWS.")
    assert [("alice", True, "")] == aws.did("StartInstances")


async def test_the_device_may_be_named(linked: Bench, aws: Aws) -> None:
    """By its name or its ARN; where IAM does not tell, a person's device is taken to be called as they are."""
    by_arn = await linked.say(f"!aws mfa {aws.code(steps=-1)} {aws.device()}")
    asked = len(aws.record("ListMFADevices"))
    by_name = await linked.say(f"!aws mfa {aws.code()} alice")
    aws.forbid_listing_devices()
    derived = await linked.say(f"!aws mfa {aws.code(steps=1)}")
    other = await linked.say(f"!aws mfa {aws.wrong_code()} {aws.device('bob')}")

    assert all("is open until" in said[0] for said in (by_arn, by_name, derived))
    assert 0 == asked
    assert other[0].startswith(f"AWS did not take that code for `{aws.device('bob')}`.")
    assert 4 == len(aws.did("GetSessionToken"))


@pytest.mark.parametrize("said", ["12345", "1234567", "12345a", "١٢٣٤٥٦"])
async def test_a_code_is_six_digits(linked: Bench, aws: Aws, said: str) -> None:
    """Nothing else goes out."""
    answer = await linked.say(f"!aws mfa {said}")

    assert ["The code is the six digits that your device shows now."] == answer
    assert [] == aws.did("GetSessionToken")


async def test_a_wrong_code_opens_nothing(linked: Bench, aws: Aws) -> None:
    """And unlinks nothing: AWS refuses it with the status of a key that it does not know."""
    wrong = aws.wrong_code()
    said = await linked.say(f"!aws mfa {wrong}")
    after = await linked.say("!aws whoami")

    assert said[0].startswith("AWS did not take that code for ")
    assert wrong not in said[0]
    assert "No session is open" in after[0]
    assert [("alice", False, "AccessDenied")] == aws.did("GetSessionToken")


async def test_a_session_that_was_ended_at_aws_is_forgotten(linked: Bench, aws: Aws) -> None:
    """The key goes on by itself, and the code is asked for again."""
    await linked.say(f"!aws mfa {aws.code()}")
    await linked.say("!aws list eu-west-1")
    aws.end_sessions()
    said = await stopped(linked, "1")

    assert [STOP_FIRST] == said
    assert linked.core.stepups.__repr__() == "<StepUps 0>"


async def test_a_key_that_was_deactivated_is_asked_for_again(linked: Bench, aws: Aws) -> None:
    """Also where it is noticed by the code; which is not kept for later."""
    aws.deactivate("alice")
    said = await linked.say(f"!aws mfa {aws.code()}")

    assert "AWS no longer accepts your link." in said[0]
    assert [] == await linked.rows("SELECT * FROM waiting")


async def test_without_a_link_the_code_waits_for_nothing(bench: Bench, aws: Aws) -> None:
    """The link goes out; the code, which would be stale, is not parked."""
    said = await bench.say(f"!aws mfa {aws.code()}")
    waits = await bench.rows("SELECT * FROM waiting")

    assert "AWS" in said[0]
    assert [] == waits


@pytest.mark.parametrize("ahead", [-3600.0, 3600.0])
async def test_a_clock_that_is_off_unlinks_nobody(bench: Bench, aws: Aws, ahead: float) -> None:
    """What is refused for its time is signed again by AWS's own, already when the key is said."""
    aws.set_clock(ahead)
    linked = await bench.say(f"!link aws {aws.key()}")
    listed = await bench.say("!aws list eu-west-1")
    who = await bench.say("!aws whoami")

    assert linked[0].startswith("Linked AWS")
    assert "alice-box" in listed[0]
    assert "You are **alice**" in who[0]
    assert {"", "RequestExpired", "SignatureDoesNotMatch"} == {one["errorCode"] for one in aws.record()}


async def test_a_command_that_reads_can_stop_nothing_by_get(linked: Bench, aws: Aws) -> None:
    """At AWS a GET may do anything; a skill that declares that it reads is held to that, and nobody sends by hand."""
    from omnibot import LinkedContext, Skill

    skill = Skill("sly")

    @skill.linked("aws")
    async def sly(ctx: LinkedContext) -> None:
        """Stop something by the way."""
        await ctx.api.get("/", Action="StopInstances")

    linked.core.book.add(skill.commands[0])
    said = await linked.say("!sly")
    by_hand = await linked.say("!api aws GET /?Action=GetSessionToken")

    assert said[0].startswith("Something broke")
    assert ["Nothing may be sent by hand to AWS."] == by_hand
    assert [] == aws.did("StopInstances")
    assert [] == aws.did("GetSessionToken")


async def test_help_shows_the_commands(bench: Bench) -> None:
    said = await bench.say("!help aws", ADA)
    assert "aws mfa" in "\n".join(said)
