"""Your instances at AWS: list, start, stop; and the one-time code that opens what your key alone may not do.

Source: the API references of AWS STS (GetCallerIdentity), IAM (ListMFADevices) and Amazon EC2 (DescribeRegions,
DescribeInstances, StartInstances, StopInstances).
"""

import asyncio
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from omnibot import Api, FollowContext, LinkedContext, Progress, Skill, Upstream, UserError, code, fmt

skill = Skill("aws")

_EC2, _IAM, _STS = "2016-11-15", "2010-05-08", "2011-06-15"
_HOME = "us-east-1"
_LISTED = 10
_SECONDS = 1800.0
_USER = re.compile(r"arn:[a-z-]+:iam::(?P<account>\d{12}):user/(?:.*/)?(?P<name>[^/]+)")
_SERIAL = re.compile(r"arn:[!-~]+|[A-Z0-9]{9,}")
"""How a device is called in full: by an ARN, or by what is printed on a thing that one holds."""

_REGION = re.compile(r"[a-z]{2,4}(-[a-z]+)+-\d{1,2}")


@dataclass(frozen=True, slots=True)
class _Caller:
    """Whose key it is."""

    arn: str
    account: str
    """Twelve digits."""

    user: str
    """Name of the IAM user; empty for root, or a role."""


@dataclass(frozen=True, slots=True)
class _Box:
    """An instance."""

    id: str
    region: str
    state: str
    """``pending``, ``running``, ``stopping``, ``stopped``, ``shutting-down`` or ``terminated``."""

    kind: str
    tags: Mapping[str, str]

    @property
    def name(self) -> str:
        return self.tags.get("Name") or self.id

    def is_of(self, user: str) -> bool:
        """Whether a tag ``Owner``, in whatever case, says that it is *user*'s."""
        owner = next((said for tag, said in self.tags.items() if tag.lower() == "owner"), "")
        return bool(user) and owner.lower() == user.lower()


@skill.linked("aws", secret="code")  # noqa: S106 - the parameter's name
async def mfa(ctx: LinkedContext, code: str, device: str = "") -> str:
    """Open a session for an hour, with the code that your device shows.

    For accounts that want a second factor for what you do. The code is good once; say it in private.

    Args:
        code: six digits
        device: its name at IAM, or its ARN; left out, the one that you have
    """
    until = await ctx.api.step_up(code.strip(), await _device(ctx.api, device.strip()))
    return fmt("Your session at {} is open until {}.", ctx.account.title, _clock(until))


@skill.linked("aws")
async def whoami(ctx: LinkedContext) -> str:
    """Tell who you are at AWS, and whether a session is open."""
    caller = await _caller(ctx.api)
    until = ctx.api.stepped_up
    session = f"A session is open until {_clock(until)}." if until else "No session is open: your key acts by itself."
    return fmt("You are **{}**, in the account {} ({}).", caller.user or "no IAM user", caller.account, caller.arn) + (
        f"\n{session}"
    )


@skill.linked("aws")
async def list_(ctx: LinkedContext, region: str = "", *, all: bool = False) -> str:  # noqa: A002 - what people type
    """List your instances: those that a tag Owner says are yours.

    Args:
        region: eu-west-1, say; left out, all of them
        all: everybody's
    """
    caller = await _caller(ctx.api)
    found = await _boxes(ctx.api, region.strip().lower())
    shown = [one for one in found if all or one.is_of(caller.user)]
    if not shown:
        where = fmt(" in {}", region.strip()) if region else ""
        return f"I see no instance{where}." if all else _none_yours(ctx, caller, where)
    ctx.number([f"{one.region}/{one.id}" for one in shown[:_LISTED]])
    lines = [_line(number, one) for number, one in enumerate(shown[:_LISTED], 1)]
    if len(shown) > _LISTED:
        lines.append(f"… and {len(shown) - _LISTED} more; name a region.")
    return "\n".join(lines)


@skill.linked("aws", effect="destroy", asks=True)
async def start(ctx: LinkedContext, instance: str, *, all: bool = False) -> str:  # noqa: A002 - what people type
    """Start an instance of yours, and hear when it runs; asks first, for it costs money.

    Args:
        instance: its number in the list, its id, or its name
        all: also one that is not tagged as yours
    """
    box = await _meant(ctx, instance.strip(), anybodys=all)
    question = fmt("Start **{}**, {}{}? It costs money while it runs.", box.name, box.id, await _whose(ctx, box))
    if box.state != "running" and not await ctx.confirm(question):
        raise UserError("Not done.")
    return await _switch(ctx, box, "StartInstances", "running")


@skill.linked("aws", effect="destroy", asks=True)
async def stop(ctx: LinkedContext, instance: str, *, all: bool = False) -> str:  # noqa: A002 - what people type
    """Stop an instance of yours, and hear when it has stopped; what it holds in memory is lost.

    Args:
        instance: its number in the list, its id, or its name
        all: also one that is not tagged as yours
    """
    box = await _meant(ctx, instance.strip(), anybodys=all)
    question = fmt("Stop **{}**, {}{}? What it holds in memory is lost.", box.name, box.id, await _whose(ctx, box))
    if box.state != "stopped" and not await ctx.confirm(question):
        raise UserError("Not done.")
    return await _switch(ctx, box, "StopInstances", "stopped")


@skill.follower(every=5.0)
async def _watch(ctx: FollowContext, region: str, instance: str, wanted: str) -> Progress:
    """Look how an instance is, until it is as *wanted*."""
    found = await _in_region(ctx.api, region, instance)
    if not found:
        return Progress(fmt("{} is gone.", instance), done=True)
    box = found[0]
    on_its_way = box.state == ("stopping" if wanted == "stopped" else "pending")
    if box.state != wanted and not on_its_way:
        return Progress(fmt("**{}** is not {}: it is {}.", box.name, wanted, box.state), done=True)
    return Progress(fmt("**{}** is {}.", box.name, box.state), done=box.state == wanted)


async def _switch(ctx: LinkedContext, box: _Box, action: str, wanted: str) -> str:
    if box.state == wanted:
        return fmt("**{}** is {} already.", box.name, wanted)
    form = {"Action": action, "Version": _EC2, "InstanceId.1": box.id}
    try:
        await ctx.api.send("POST", _ec2(ctx.api, box.region), form=form)
    except Upstream as error:
        raise _refused(ctx, error) from None
    done = fmt("**{}** ({}) {}", box.name, box.id, "starts" if wanted == "running" else "stops")
    followed = {"region": box.region, "instance": box.id, "wanted": wanted}
    try:
        await ctx.follow(_watch, fmt("{} at AWS", box.name), lasting=_SECONDS, **followed)
    except UserError as error:  # it is done all the same
        return f"{done}. I cannot tell you when it is {wanted}: {error}"
    return f"{done}; I tell you when it is {wanted}."


def _refused(ctx: LinkedContext, error: Upstream) -> UserError:
    """Return what to tell of *error*; AWS does not say whether it is for want of a code."""
    if error.status in (400, 409):
        return UserError("AWS did not do that: the state that the instance is in does not allow it, or it is gone.")
    if error.status != 403:
        return error
    if ctx.api.stepped_up:
        return UserError("AWS does not allow you that, not even with your code: your user's policies would have to.")
    hint = code(f"{ctx.prefix}aws mfa CODE")
    return UserError(f"AWS does not allow you that. If it wants a code of yours for it, say {hint} first.")


async def _meant(ctx: LinkedContext, said: str, *, anybodys: bool) -> _Box:
    """Return the instance that *said* means: a number of the list that was shown, an id, or a name."""
    if said.isascii() and said.isdecimal() and len(said) <= 4:
        region, _, name = ctx.numbered(int(said)).partition("/")
        found = await _in_region(ctx.api, region, name)
    else:
        caller = await _caller(ctx.api)
        here = [one for one in await _boxes(ctx.api) if said in (one.id, one.name)]
        found = [one for one in here if anybodys or one.is_of(caller.user)]
        if here and not found:
            raise UserError(fmt("{} is not tagged as yours. If you mean it all the same, add `--all`.", said))
    if len(found) > 1:
        raise UserError(fmt("There are {} instances called {}. Say which by its id.", len(found), said))
    if not found:
        raise UserError(fmt("I see no instance {}. `{}aws list` shows yours.", said, ctx.prefix))
    return found[0]


async def _whose(ctx: LinkedContext, box: _Box) -> str:
    """Return, to be put behind its name, that *box* is not tagged as the person's own; nothing where it is."""
    return "" if box.is_of((await _caller(ctx.api)).user) else ", which is not tagged as yours"


# ------------------------------------------------------------------------ asking


async def _caller(api: Api) -> _Caller:
    said = await api.get("/", Action="GetCallerIdentity", Version=_STS)
    result = _within(said, "GetCallerIdentityResponse", "GetCallerIdentityResult")
    found = _USER.fullmatch(str(result["Arn"]))
    return _Caller(str(result["Arn"]), str(result["Account"]), found["name"] if found else "")


async def _device(api: Api, named: str) -> str:
    """Return the ARN, or serial number, of the person's device: *named* so, or the one that there is."""
    if _SERIAL.fullmatch(named):
        return named
    known = await _devices(api)
    found = [one for one in known if named in ("", one, one.rpartition("/")[2])]
    if len(found) > 1:
        names = ", ".join(code(one.rpartition("/")[2]) for one in found)
        raise UserError(f"You have several devices: {names}. Say which one behind the code.")
    if found:
        return found[0]
    caller = await _caller(api)
    if not (named or caller.user):
        raise UserError("I cannot tell which device is yours: say its ARN behind the code.")
    return f"{caller.arn.partition(':iam:')[0]}:iam::{caller.account}:mfa/{named or caller.user}"


async def _devices(api: Api) -> list[str]:
    """Return the serial numbers of the person's devices that show codes; none where IAM does not tell."""
    try:
        said = await api.request("GET", f"{api.base('iam')}/", params={"Action": "ListMFADevices", "Version": _IAM})
    except Upstream as error:
        if error.status != 403:
            raise
        return []
    members = _listed(_within(said, "ListMFADevicesResponse", "ListMFADevicesResult", "MFADevices").get("member"))
    return [one["SerialNumber"] for one in members if ":u2f/" not in one["SerialNumber"]]


async def _boxes(api: Api, region: str = "") -> list[_Box]:
    """Return the instances that the person may see, in *region* or everywhere; those that are gone are left out."""
    regions = [region] if region else await _regions(api)
    answers = await asyncio.gather(*(_in_region(api, one) for one in regions), return_exceptions=True)
    found: list[_Box] = []
    for answer in answers:
        if not isinstance(answer, BaseException):
            found += answer
        elif not (isinstance(answer, Upstream) and answer.status == 403 and len(regions) > 1):
            raise answer  # a region that one may not use is no reason to show nothing of the others
    alive = [one for one in found if one.state != "terminated"]
    return sorted(alive, key=lambda one: (one.region, one.name, one.id))


async def _regions(api: Api) -> list[str]:
    """Return the regions that the account has, as far as the bot knows their addresses."""
    said = await api.request("GET", _ec2(api, _HOME), params={"Action": "DescribeRegions", "Version": _EC2})
    names = [str(one["regionName"]) for one in _items(_within(said, "DescribeRegionsResponse"), "regionInfo")]
    return [one for one in names if _is_known(api, one)]


async def _in_region(api: Api, region: str, instance: str = "") -> list[_Box]:
    params = {"Action": "DescribeInstances", "Version": _EC2} | ({"InstanceId.1": instance} if instance else {})
    try:
        said = await api.request("GET", _ec2(api, region), params=params)
    except Upstream as error:
        if instance and error.status == 400:  # InvalidInstanceID.NotFound
            return []
        raise
    reservations = _items(_within(said, "DescribeInstancesResponse"), "reservationSet")
    return [_box(region, one) for reservation in reservations for one in _items(reservation, "instancesSet")]


def _box(region: str, said: dict[str, Any]) -> _Box:
    tags = {one["key"]: one.get("value", "") for one in _items(said, "tagSet")}
    return _Box(said["instanceId"], region, said["instanceState"]["name"], said.get("instanceType", ""), tags)


def _ec2(api: Api, region: str) -> str:
    """Return the address of EC2 in *region*.

    Raises:
        UserError: there is no such region here.
    """
    if not _is_known(api, region):
        raise UserError(fmt("I know no region {} at AWS. They are called like {}.", region, "eu-west-1"))
    return f"{api.base(f'ec2.{region}')}/"


def _is_known(api: Api, region: str) -> bool:
    try:
        return bool(_REGION.fullmatch(region) and api.base(f"ec2.{region}"))
    except LookupError:
        return False


# ------------------------------------------------------------------------ reading and telling


def _within(said: Any, *names: str) -> dict[str, Any]:
    """Return the mapping found by *names* in an answer; XML says nothing with an empty text."""
    for name in names:
        said = said.get(name) if isinstance(said, Mapping) else None
    return dict(said) if isinstance(said, Mapping) else {}


def _items(said: Mapping[str, Any], name: str) -> list[dict[str, Any]]:
    """Return the items of the set *name*."""
    return _listed(_within(said, name).get("item"))


def _listed(found: Any) -> list[dict[str, Any]]:
    """Return what is there once, more than once or not at all, as a list."""
    return found if isinstance(found, list) else [dict(found)] if isinstance(found, Mapping) else []


def _line(number: int, box: _Box) -> str:
    return fmt("{}. **{}** is {} ({}, {}, {})", number, box.name, box.state, box.kind, box.region, box.id)


def _none_yours(ctx: LinkedContext, caller: _Caller, where: str) -> str:
    if not caller.user:
        return f"Your key is no IAM user's, so I cannot tell which are yours: `{ctx.prefix}aws list --all`."
    tag = code(f"Owner: {caller.user}")
    return f"No instance{where} has the tag {tag}. {code(f'{ctx.prefix}aws list --all')} shows everybody's."


def _clock(until: float) -> str:
    return f"{time.strftime('%H:%M', time.gmtime(until))} UTC"
