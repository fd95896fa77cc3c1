"""How `aws` finds out what is meant; what it does is seen at a real server (tests/journeys/test_aws.py)."""

from collections.abc import Mapping
from typing import Any, cast

import pytest

from omnibot import Api, Upstream, UserError
from skills import aws
from skills.aws import _Box, _box, _boxes, _caller, _device, _items, _line, _refused

ADA = "arn:aws:iam::123456789012:user/team/ada"
DENIED = Upstream("no", status=403)


class Service:
    """AWS, as far as it is asked: answers by action, or by action and host; an error is raised."""

    stepped_up: float | None = None

    def __init__(self, arn: str = ADA, **answers: Any) -> None:
        self.answers = answers
        self.asked: list[str] = []
        said = {"Arn": arn, "Account": "123456789012", "UserId": "AIDA"}
        self.identity = {"GetCallerIdentityResponse": {"GetCallerIdentityResult": said}}

    def base(self, name: str) -> str:
        return {"iam": "https://iam", "ec2.us-east-1": "https://us", "ec2.eu-west-1": "https://eu"}[name]

    async def get(self, path: str, **params: object) -> Any:
        assert "GetCallerIdentity" == params["Action"]
        return self.identity

    async def request(self, method: str, path: str, *, params: Mapping[str, object]) -> Any:
        assert "GET" == method
        self.asked.append(f"{path.removeprefix('https://')}{params['Action']}")
        answer = self.answers.get(f"{params['Action']}_{path.strip('/')[-2:]}", self.answers.get(str(params["Action"])))
        if isinstance(answer, Exception):
            raise answer
        return answer


def api(service: Service) -> Api:
    return cast(Api, service)


def devices(*serials: str) -> Any:
    """What IAM says of them: once, more than once, or not at all."""
    members: Any = [{"SerialNumber": one} for one in serials]
    inside = {"member": members if len(members) > 1 else members[0]} if members else ""
    return {"ListMFADevicesResponse": {"ListMFADevicesResult": {"IsTruncated": "false", "MFADevices": inside}}}


PHONE, PAD = "arn:aws:iam::123456789012:mfa/phone", "arn:aws:iam::123456789012:mfa/pad"
STICK = "arn:aws:iam::123456789012:u2f/user/ada/stick"


@pytest.mark.parametrize(
    ("named", "known", "meant"),
    [
        ("", devices(PHONE), PHONE),
        ("", devices(STICK, PHONE), PHONE),
        ("", devices("GAHT12345678"), "GAHT12345678"),
        ("pad", devices(PHONE, PAD), PAD),
        (PAD, None, PAD),
        ("GAHT12345678", None, "GAHT12345678"),
        ("", devices(), "arn:aws:iam::123456789012:mfa/ada"),
        ("", DENIED, "arn:aws:iam::123456789012:mfa/ada"),
        ("gary", DENIED, "arn:aws:iam::123456789012:mfa/gary"),
        ("", devices(STICK), "arn:aws:iam::123456789012:mfa/ada"),
    ],
)
async def test_the_device_that_is_meant(named: str, known: Any, meant: str) -> None:
    """Said in full, it is taken at the person's word; else it is the one they have; else what it would be called."""
    assert meant == await _device(api(Service(ListMFADevices=known)), named)


async def test_another_partition_has_other_arns() -> None:
    service = Service("arn:aws-cn:iam::123456789012:user/ada", ListMFADevices=DENIED)
    assert "arn:aws-cn:iam::123456789012:mfa/ada" == await _device(api(service), "")


@pytest.mark.parametrize(
    ("arn", "known", "words"),
    [
        (ADA, devices(PHONE, PAD), "You have several devices: `phone`, `pad`."),
        ("arn:aws:iam::123456789012:root", devices(), "say its ARN behind the code"),
    ],
)
async def test_where_it_cannot_be_told_it_is_asked_for(arn: str, known: Any, words: str) -> None:
    with pytest.raises(UserError) as caught:
        await _device(api(Service(arn, ListMFADevices=known)), "")
    assert words in str(caught.value)


async def test_trouble_at_iam_is_no_refusal() -> None:
    with pytest.raises(Upstream):
        await _device(api(Service(ListMFADevices=Upstream("slow", status=503))), "")


@pytest.mark.parametrize(
    ("arn", "user"),
    [
        (ADA, "ada"),
        ("arn:aws:iam::123456789012:user/ada", "ada"),
        ("arn:aws:iam::123456789012:root", ""),
        ("arn:aws:sts::123456789012:assumed-role/ops/ada", ""),
    ],
)
async def test_who_the_caller_is(arn: str, user: str) -> None:
    assert user == (await _caller(api(Service(arn)))).user


def instances(*names: str, state: str = "running") -> Any:
    sets: list[Any] = [
        {
            "instanceId": f"i-{name}",
            "instanceState": {"code": "16", "name": state},
            "instanceType": "t3.micro",
            "tagSet": {"item": {"key": "Name", "value": name}},
        }
        for name in names
    ]
    inside = {"item": sets if len(sets) != 1 else sets[0]} if sets else ""
    reservations = {"item": {"instancesSet": inside}} if sets else ""
    return {"DescribeInstancesResponse": {"reservationSet": reservations}}


REGIONS = {
    "DescribeRegionsResponse": {
        "regionInfo": {"item": [{"regionName": one} for one in ("us-east-1", "eu-west-1", "me-south-1")]}
    }
}


async def test_regions_that_nobody_knows_or_may_use_are_passed_over() -> None:
    """One more that the account has and the bot knows no address of, and one that its policies forbid."""
    service = Service(DescribeRegions=REGIONS, DescribeInstances_eu=instances("b", "a"), DescribeInstances_us=DENIED)
    found = await _boxes(api(service))

    assert ["a", "b"] == [one.name for one in found]
    assert ["us/DescribeRegions", "us/DescribeInstances", "eu/DescribeInstances"] == service.asked


async def test_other_trouble_is_told() -> None:
    service = Service(
        DescribeRegions=REGIONS, DescribeInstances_eu=instances("a"), DescribeInstances_us=Upstream("x", status=500)
    )
    with pytest.raises(Upstream):
        await _boxes(api(service))


async def test_the_one_region_that_was_named_and_is_forbidden_is_told() -> None:
    with pytest.raises(Upstream):
        await _boxes(api(Service(DescribeInstances=DENIED)), "us-east-1")


async def test_what_is_gone_is_not_listed() -> None:
    assert [] == await _boxes(api(Service(DescribeInstances=instances("a", state="terminated"))), "us-east-1")
    assert [] == await _boxes(api(Service(DescribeInstances=instances())), "us-east-1")


@pytest.mark.parametrize(
    ("tags", "mine"),
    [
        ({"Owner": "ada"}, True),
        ({"owner": "Ada"}, True),
        ({"Owner": "adam"}, False),
        ({"Name": "ada"}, False),
        ({}, False),
    ],
)
def test_whose_an_instance_is(tags: dict[str, str], mine: bool) -> None:
    """A tag says so; where a key is nobody's user, nothing is."""
    box = _Box("i-1", "eu-west-1", "running", "t3.micro", tags)

    assert mine == box.is_of("ada")
    assert not box.is_of("")


def test_names_are_data() -> None:
    """Somebody who may tag an instance writes no Markdown into a list, and no second line."""
    said = {"instanceId": "i-1", "instanceState": {"name": "*up*"}, "tagSet": _tags("**x**\n2.")}
    line = _line(1, _box("eu-west-1", said))

    assert r"\*\*x\*\*" in line
    assert r"\*up\*" in line
    assert "\n" not in line


def _tags(name: str) -> Any:
    return {"item": [{"key": "Name", "value": name}, {"key": "empty"}]}


@pytest.mark.parametrize("said", [{}, {"x": ""}, {"x": {"item": ""}}, {"x": {}}])
def test_nothing_is_an_empty_set(said: dict[str, Any]) -> None:
    assert [] == _items(said, "x")


@pytest.mark.parametrize(
    ("status", "session", "words"),
    [
        (403, None, "say `!aws mfa CODE` first"),
        (403, 1.0, "not even with your code"),
        (400, None, "the state that the instance is in"),
        (503, None, "AWS is out of order"),
    ],
)
def test_a_refusal_says_what_helps(status: int, session: float | None, words: str) -> None:
    class Context:
        prefix = "!"
        api = Service()

    Context.api.stepped_up = session
    said = _refused(cast(Any, Context), Upstream("AWS is out of order (status 503).", status=status))

    assert words in str(said)


def test_the_code_is_a_secret_parameter() -> None:
    """So it is taken in private only, repeated nowhere, and kept for nothing."""
    mfa = next(one for one in aws.skill.commands if one.path == ("aws", "mfa"))

    assert ("code", "private") == (mfa.secret, mfa.answer)
    assert {"destroy"} == {one.effect for one in aws.skill.commands if one.path[-1] == "stop"}
