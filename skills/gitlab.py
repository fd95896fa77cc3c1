"""Your issues and merge requests at GitLab: list, show, create, comment, close, merge, and follow.

Source: docs.gitlab.com/api (issues, merge_requests, notes, merge_request_approvals, rest).
"""

from typing import Any
from urllib.parse import quote

from omnibot import Api, FollowContext, Skill
from skills._forge_commands import declare
from skills._forges import COMMENTS, LISTED, Event, Kind, Reference, State, Thing, moment, verdict

skill = Skill("gitlab", aliases=["gl"])

_MINE = {"issues": "assigned_to_me", "pulls": "created_by_me", "reviews": "all"}
_NEWEST: dict[str, object] = {"order_by": "updated_at", "per_page": LISTED + 1}
_GOOD = frozenset({"success", "skipped", "manual"})
_ENDED = _GOOD | {"failed", "canceled"}


class _GitLab:
    """GitLab's paths and fields."""

    provider = "gitlab"
    merges: tuple[str, ...] = ("merge", "squash")  # it rebases on its own page
    pull = "merge request"
    pulls = "mrs"
    reads: tuple[str, ...] = ("read_api",)
    writes: tuple[str, ...] = ("read_api", "api")

    async def mine(self, api: Api, kind: Kind) -> list[Thing]:
        path = "/issues" if kind == "issues" else "/merge_requests"
        reviewer = {"reviewer_username": api.account.login} if kind == "reviews" else {}
        found = await api.get(path, scope=_MINE[kind], state="opened", **_NEWEST, **reviewer)
        return [_thing(one) for one in found]

    async def of(self, api: Api, project: str, kind: Kind) -> list[Thing]:
        path = f"/projects/{quote(project, safe='')}/{'issues' if kind == 'issues' else 'merge_requests'}"
        found = await api.get(path, state="opened", **_NEWEST)
        return [_thing(one) for one in found]

    async def thing(self, api: Api, what: Reference) -> Thing:
        return _thing(await api.get(_path(what)))

    async def changed(self, ctx: FollowContext, what: Reference) -> Thing | None:
        data = await ctx.changed(_path(what))
        pipelines = await ctx.changed(f"{_path(what)}/pipelines", per_page=1) if what.pull else None
        if data is None and pipelines is None:
            return None
        return _thing(await ctx.api.get(_path(what)) if data is None else data)

    async def comments(self, api: Api, thing: Thing, what: Reference) -> list[Event]:
        found = await api.get(f"{_path(what)}/notes", sort="desc", order_by="created_at", per_page=4 * COMMENTS)
        said = [one for one in reversed(found) if not one.get("system")]
        return [_event(one["created_at"], one["author"], f"{_login(one['author'])}: {one['body']}") for one in said]

    async def events(self, api: Api, thing: Thing, what: Reference) -> list[Event]:
        if not what.pull:
            return []
        approvals = await api.get(f"{_path(what)}/approvals")
        found = [
            _event(one.get("approved_at"), one["user"], verdict(_login(one["user"]), "approved"))
            for one in approvals["approved_by"]
        ]
        pipelines = await api.get(f"{_path(what)}/pipelines", per_page=1)
        for one in (one for one in pipelines[:1] if one["status"] in _ENDED):
            words = "the pipeline passed" if one["status"] in _GOOD else "the pipeline failed"
            found.append(_event(one.get("updated_at"), None, words))
        return found

    async def create(self, api: Api, project: str, title: str, body: str) -> Thing:
        made = {"title": title, "description": body}
        return _thing(await api.post(f"/projects/{quote(project, safe='')}/issues", made))

    async def comment(self, api: Api, what: Reference, text: str) -> None:
        await api.post(f"{_path(what)}/notes", {"body": text})

    async def turn(self, api: Api, what: Reference, *, to_open: bool) -> Thing:
        return _thing(await api.put(_path(what), {"state_event": "reopen" if to_open else "close"}))

    async def merge(self, api: Api, what: Reference, thing: Thing, how: str) -> None:
        await api.put(f"{_path(what)}/merge", {"sha": thing.sha, "squash": how == "squash"})


def _path(what: Reference) -> str:
    kind = "merge_requests" if what.pull else "issues"
    return f"/projects/{quote(what.project, safe='')}/{kind}/{what.number}"


def _thing(data: dict[str, Any]) -> Thing:
    pull = "source_branch" in data
    states: dict[str, State] = {"opened": "open", "merged": "merged"}
    return Thing(
        name=data["references"]["full"],
        title=data["title"],
        url=data["web_url"],
        author=_login(data["author"]),
        state=states.get(data["state"], "closed"),
        updated=moment(data["updated_at"]),
        pull=pull,
        ended_by=_login(data.get("merge_user") or data.get("closed_by")),
        body=data.get("description") or "",
        draft=bool(data.get("draft")),
        blocked=_blocked(data) if pull else "",
        sha=data.get("sha") or "",
        labels=tuple(data["labels"]),
        assignees=tuple(_login(one) for one in data["assignees"]),
        comments=data["user_notes_count"],
    )


def _blocked(data: dict[str, Any]) -> str:
    if data.get("has_conflicts"):
        return "it has conflicts"
    # To a merge that one may not do GitLab answers 401, as to a token that it knows no more.
    return "you may not merge there" if data.get("user", {}).get("can_merge") is False else ""


def _event(at: object, person: dict[str, Any] | None, text: str) -> Event:
    return Event(moment(at), _login(person), text)


def _login(person: dict[str, Any] | None) -> str:
    return str(person["username"]) if person else ""


declare(skill, _GitLab())
