"""Your issues, pull requests, notifications and workflows at GitHub.

Source: docs.github.com/rest (issues, pulls, search, activity/notifications, actions, checks, releases).
"""

import hashlib
import re
from typing import Any, Literal
from urllib.parse import quote

from omnibot import Api, FollowContext, LinkedContext, Progress, Skill, Upstream, UserError, code, fmt, link
from skills._forge_commands import FOLLOW_SECONDS, LOOK_SECONDS, declare
from skills._forges import (
    COMMENTS,
    LISTED,
    Event,
    Kind,
    Reference,
    State,
    Thing,
    cut,
    moment,
    outcome,
    project_named,
    reference,
    site_of,
    told,
    unsaid,
    verdict,
)

skill = Skill("github", aliases=["gh"])

_FETCHED = 50
"""Of what is listed with pull requests among it, so many are asked for."""

_MINE = {"pulls": "author:@me", "reviews": "review-requested:@me"}
_GOOD = frozenset({"success", "neutral", "skipped"})
_RUN_SECONDS = 86400.0
_REASONS = {
    "assign": "assigned to you",
    "author": "yours",
    "comment": "you commented",
    "mention": "you are mentioned",
    "review_requested": "your review is asked for",
    "state_change": "you changed its state",
    "team_mention": "your team is mentioned",
}
_SUBJECT = re.compile(r"/repos/([\w.-]+/[\w.-]+)/(issues|pulls)/([0-9]+)$", re.ASCII)
_INPUT = re.compile(r"([A-Za-z_][\w-]*)=(.*)", re.ASCII | re.DOTALL)
_LONGEST_POST = 480


class _GitHub:
    """GitHub's paths and fields."""

    provider = "github"
    merges: tuple[str, ...] = ("merge", "squash", "rebase")
    pull = "pull request"
    pulls = "pulls"
    reads: tuple[str, ...] = ("repo",)
    writes: tuple[str, ...] = ("repo",)

    async def mine(self, api: Api, kind: Kind) -> list[Thing]:
        if kind == "issues":
            found = await api.get("/issues", filter="assigned", state="open", sort="updated", per_page=_FETCHED)
            return [_thing(one) for one in found if "pull_request" not in one]
        words = f"is:pr is:open archived:false {_MINE[kind]}"
        found = await api.get("/search/issues", q=words, sort="updated", per_page=LISTED + 1)
        return [_thing(one) for one in found["items"]]

    async def of(self, api: Api, project: str, kind: Kind) -> list[Thing]:
        if kind == "pulls":
            which = {"state": "open", "sort": "updated", "direction": "desc", "per_page": LISTED + 1}
            return [_thing(one) for one in await api.get(f"/repos/{project}/pulls", **which)]
        found = await api.get(f"/repos/{project}/issues", state="open", sort="updated", per_page=_FETCHED)
        return [_thing(one) for one in found if "pull_request" not in one]

    async def thing(self, api: Api, what: Reference) -> Thing:
        data = await api.get(_path(what))
        return _thing(data, await api.get(_path(what, "pulls")) if "pull_request" in data else None)

    async def changed(self, ctx: FollowContext, what: Reference) -> Thing | None:
        data = await ctx.changed(_path(what))
        if not what.pull:
            return None if data is None else _thing(data)
        pull = await ctx.api.get(_path(what, "pulls"))
        checks = await ctx.changed(
            _checks(what, pull["head"]["sha"]), per_page=100
        )  # new ones leave the issue as it is
        if data is None and checks is None:
            return None
        return _thing(await ctx.api.get(_path(what)) if data is None else data, pull)

    async def comments(self, api: Api, thing: Thing, what: Reference) -> list[Event]:
        size = 4 * COMMENTS
        last = max(1, -(-thing.comments // size))
        found = []
        for number in {max(1, last - 1), last}:  # the last page may hold one only
            found += await api.get(f"{_path(what)}/comments", per_page=size, page=number)
        return sorted((_said(one) for one in found), key=lambda one: one.at)

    async def events(self, api: Api, thing: Thing, what: Reference) -> list[Event]:
        if not thing.pull:
            return []
        found = [
            Event(moment(one.get("submitted_at")), _login(one["user"]), verdict(_login(one["user"]), one["state"]))
            for one in await api.get(f"{_path(what, 'pulls')}/reviews", per_page=100)
            if one["state"] != "PENDING"
        ]
        runs = (await api.get(_checks(what, thing.sha), per_page=100))["check_runs"]
        if runs and all(one["status"] == "completed" for one in runs):
            ended = outcome({one["name"]: one["conclusion"] in _GOOD for one in runs})
            found.append(Event(max(moment(one["completed_at"]) for one in runs), "", ended))
        return found

    async def create(self, api: Api, project: str, title: str, body: str) -> Thing:
        return _thing(await api.post(f"/repos/{project}/issues", {"title": title, "body": body}))

    async def comment(self, api: Api, what: Reference, text: str) -> None:
        await api.post(f"{_path(what)}/comments", {"body": text})

    async def turn(self, api: Api, what: Reference, *, to_open: bool) -> Thing:
        return _thing(await api.patch(_path(what), {"state": "open" if to_open else "closed"}))

    async def merge(self, api: Api, what: Reference, thing: Thing, how: str) -> None:
        await api.put(f"{_path(what, 'pulls')}/merge", {"sha": thing.sha, "merge_method": how})


declare(skill, _GitHub())


# ------------------------------------------------------------------------------------------ labels


@skill.linked("github", scopes=["repo"], effect="change")
async def label(ctx: LinkedContext, which: str, labels: str, *, remove: bool = False) -> str:
    """Put labels on an issue or a pull request, or take them off.

    Args:
        which: owner/name#12, or its address
        labels: with commas between them
        remove: take them off
    """
    what = reference(which, ctx.api)
    names = [one.strip() for one in labels.split(",") if one.strip()]
    if not names:
        raise UserError("Which labels? Write them with commas between them.")
    try:
        if not remove:
            await ctx.api.post(f"{_path(what)}/labels", {"labels": names})
        for name in names if remove else ():
            await ctx.api.delete(f"{_path(what)}/labels/{quote(name, safe='')}")
    except Upstream as error:
        if error.status != 404:
            raise
        more = ", or it does not have that label" if remove else ""
        raise UserError(fmt("There is no {} that you may label{}.", what.short, more)) from None
    return fmt("{} {} {}.", "Took off" if remove else "Put on", what.short, ", ".join(names))


# ------------------------------------------------------------------------------------------ notifications


@skill.linked("github", scopes=["notifications"])
async def notifications(ctx: LinkedContext) -> str:
    """List your unread notifications."""
    found = await ctx.api.get("/notifications", per_page=LISTED + 1)
    lines = [fmt("- {} {}", _subject(ctx.api, one), _why(one)) for one in found[:LISTED]]
    more = ["… and more"] if len(found) > LISTED else []
    return "\n".join([*lines, *more]) or "You have no unread notifications."


@skill.linked("github", scopes=["notifications"])
async def follow_notifications(ctx: LinkedContext) -> str:
    """Tell me of new notifications, for a week."""
    newest = await ctx.api.get("/notifications", all="true", per_page=1)
    since = max((moment(one["updated_at"]) for one in newest), default=0.0)
    await ctx.follow(_inbox, "your GitHub notifications", lasting=FOLLOW_SECONDS, since=since)
    return "I tell you of new notifications."


@skill.follower(every=LOOK_SECONDS)  # as often as GitHub lets one ask: X-Poll-Interval
async def _inbox(ctx: FollowContext, since: float) -> Progress:
    """Look what notifications have come after *since*."""
    found = await ctx.changed("/notifications")
    if found is None:
        return Progress("")
    events = [Event(moment(one["updated_at"]), "", _why(one), _subject(ctx.api, one)) for one in found]
    news = unsaid(events, since, ctx.said)
    return Progress(told("New at GitHub:", news) if news else "", news=True)


def _subject(api: Api, data: dict[str, Any]) -> str:
    """Return, as a link, what a notification is about."""
    found, repository = _SUBJECT.search(data["subject"].get("url") or ""), data["repository"]
    if not found:
        return link(repository["full_name"], repository["html_url"])
    kind = "pull" if found[2] == "pulls" else "issues"
    return link(f"{found[1]}#{found[3]}", f"{site_of(api)}/{found[1]}/{kind}/{found[3]}")


def _why(data: dict[str, Any]) -> str:
    """Return the title of what a notification is about, and why it came."""
    reason = data["reason"]
    return f"{data['subject']['title']} ({_REASONS.get(reason, reason.replace('_', ' '))})"


# ------------------------------------------------------------------------------------------ workflows


@skill.linked("github", scopes=["repo"], effect="change")
async def run(ctx: LinkedContext, project: str, workflow: str, inputs: str = "", *, ref: str = "") -> str:
    """Start a workflow, and hear how it ends.

    Args:
        project: owner/name
        workflow: the name of its file: deploy.yml
        inputs: name=value, with spaces between them
        ref: the branch or tag; left out, the default branch
    """
    named, values = project_named(project), _inputs(inputs)
    path = f"/repos/{named}/actions/workflows/{quote(workflow, safe='')}"
    try:
        branch = ref or (await ctx.api.get(f"/repos/{named}"))["default_branch"]
        before = (await ctx.api.get(f"{path}/runs", event="workflow_dispatch", per_page=1))["workflow_runs"]
        await ctx.api.post(f"{path}/dispatches", {"ref": branch, "inputs": values})
    except Upstream as error:
        raise UserError(_not_started(error, named, workflow, ref)) from None
    after = before[0]["id"] if before else 0
    title = fmt("{} of {}", cut(workflow, 60), cut(named, 90))
    done = fmt("Started **{}** of {} on {}", workflow, named, branch)
    try:
        await ctx.follow(_running, title, lasting=_RUN_SECONDS, project=named, workflow=workflow, after=after)
    except UserError as error:  # it is done all the same
        return f"{done}. I cannot tell you how it ends: {error}"
    return f"{done}; I tell you how it ends."


@skill.follower(every=10.0)
async def _running(ctx: FollowContext, project: str, workflow: str, after: int) -> Progress:
    """Look how the run stands that this person started as the first one after the run *after*."""
    path = f"/repos/{project}/actions"
    which = {"event": "workflow_dispatch", "actor": ctx.account.login, "per_page": 20}
    found = await ctx.api.get(f"{path}/workflows/{quote(workflow, safe='')}/runs", **which)
    run = min((one for one in found["workflow_runs"] if one["id"] > after), key=lambda one: one["id"], default=None)
    if run is None:
        return Progress(fmt("**{}** of {} is about to start.", workflow, project))
    name = fmt(
        "**{}** {} of {} on {}", workflow, link(f"#{run['run_number']}", run["html_url"]), project, run["head_branch"]
    )
    if run["status"] != "completed":
        return Progress(fmt("{}: {}.", name, run["status"].replace("_", " ")))
    seconds = max(0.0, moment(run["updated_at"]) - moment(run["run_started_at"]))
    why = "" if run["conclusion"] in _GOOD else _failed((await ctx.api.get(f"{path}/runs/{run['id']}/jobs"))["jobs"])
    return Progress(
        fmt("{}: {} after {}{}.", name, run["conclusion"].replace("_", " "), _span(seconds), why), done=True
    )


def _inputs(said: str) -> dict[str, str]:
    """Return the inputs of a workflow as *said*: name=value, a value with spaces going on until the next name."""
    values = dict[str, str]()
    last = ""
    for word in said.split():
        if found := _INPUT.fullmatch(word):
            last = found[1]
            values[last] = found[2]
        elif last:
            values[last] += f" {word}"
        else:
            raise UserError(fmt("{} is no input. Write name=value.", code(word)))
    return values


def _not_started(error: Upstream, project: str, workflow: str, ref: str) -> str:
    """Return why a workflow was not started; anything else than a refusal as it stands."""
    if error.status == 404:
        return fmt("There is no {} in {} that you may run. It is called as its file is.", code(workflow), project)
    if error.status == 422:
        branch = fmt(", has no {}", code(ref)) if ref else ""
        return fmt(
            "GitHub did not start {}: it is not run by hand{}, or does not know these inputs.", code(workflow), branch
        )
    if error.status == 403 and not error.retry_after:
        return fmt("You may not run workflows of {}.", project)
    raise error


def _failed(jobs: list[dict[str, Any]]) -> str:
    """Return which of *jobs* did not end well, and at which step."""
    bad = [one for one in jobs if one["conclusion"] not in _GOOD]
    names = []
    for job in bad[:3]:
        steps = [one["name"] for one in job.get("steps") or () if one["conclusion"] not in (None, *_GOOD)]
        names.append(f"{job['name']} ({steps[0]})" if steps else job["name"])
    return f", in {', '.join(names)}{' …' if len(bad) > 3 else ''}" if names else ""


def _span(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


# ------------------------------------------------------------------------------------------ releases


@skill.linked("github", "mastodon", scopes={"mastodon": ["write:statuses"]}, effect="change")
async def announce(
    ctx: LinkedContext,
    project: str,
    words: str = "",
    *,
    visibility: Literal["public", "unlisted", "private"] = "public",
) -> str:
    """Post a repository's latest release on Mastodon, as you.

    Args:
        project: owner/name
        words: what you say about it
        visibility: who may see the post
    """
    named = project_named(project)
    try:
        if (await ctx.api.get(f"/repos/{named}"))["private"]:
            raise UserError(fmt("{} is private, so I do not tell others of its releases.", named))
        release = await ctx.api.get(f"/repos/{named}/releases/latest")
    except Upstream as error:
        if error.status != 404:
            raise
        raise UserError(fmt("There is no release in {} that you may see.", named)) from None
    name = release.get("name") or f"{named} {release['tag_name']}"
    text = "\n\n".join(filter(None, [cut(words.strip(), _LONGEST_POST - 200), cut(name, 100), release["html_url"]]))
    once = hashlib.sha256(repr((ctx.message.network, ctx.message.channel.id, ctx.message.id)).encode()).hexdigest()
    posted = await ctx.apis["mastodon"].send(
        "POST",
        "/api/v1/statuses",
        json={"status": text, "visibility": visibility},
        headers={"Idempotency-Key": once},  # asked again, the server answers with the first post
    )
    return fmt("Announced {} as **{}**: {}.", name, ctx.apis["mastodon"].account.login, link("", posted.data["url"]))


# ------------------------------------------------------------------------------------------ GitHub's shapes


def _path(what: Reference, kind: str = "issues") -> str:
    return f"/repos/{what.project}/{kind}/{what.number}"


def _checks(what: Reference, sha: str) -> str:
    return f"/repos/{what.project}/commits/{sha}/check-runs"


def _thing(data: dict[str, Any], pull: dict[str, Any] | None = None) -> Thing:
    """Return what *data* of an issue, and of its *pull* request, say; *data* may be a pull request's own."""
    whole = data if "head" in data else pull or {}
    merged = bool(whole.get("merged") or whole.get("merged_at"))
    state: State = "merged" if merged else "open" if data["state"] == "open" else "closed"
    return Thing(
        name=_name(data["html_url"]),
        title=data["title"],
        url=data["html_url"],
        author=_login(data["user"]),
        state=state,
        updated=moment(data["updated_at"]),
        pull=bool(whole) or "pull_request" in data,
        ended_by=_login(whole.get("merged_by") or data.get("closed_by")),
        body=data.get("body") or "",
        draft=bool(whole.get("draft") or data.get("draft")),
        blocked="it has conflicts" if state == "open" and whole.get("mergeable") is False else "",
        sha=whole["head"]["sha"] if whole else "",
        labels=tuple(one["name"] for one in data.get("labels") or ()),
        assignees=tuple(_login(one) for one in data.get("assignees") or ()),
        comments=data.get("comments") or 0,
    )


def _name(url: str) -> str:
    """Return ``acme/site#12`` of the address of its page."""
    owner, repository, _, number = url.rstrip("/").rsplit("/", 4)[1:]
    return f"{owner}/{repository}#{number}"


def _said(data: dict[str, Any]) -> Event:
    return Event(moment(data["created_at"]), _login(data["user"]), f"{_login(data['user'])}: {data['body']}")


def _login(person: dict[str, Any] | None) -> str:
    return str(person["login"]) if person else ""
