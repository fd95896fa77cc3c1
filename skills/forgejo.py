"""Your issues and pull requests at Forgejo or Gitea: list, show, create, comment, close, merge, and follow.

Source: forgejo.org/docs and docs.gitea.com, API usage; a server's own /api/swagger (issue, repository).
"""

from typing import Any

from omnibot import Api, FollowContext, Skill
from skills._forge_commands import declare
from skills._forges import COMMENTS, LISTED, Event, Kind, Reference, State, Thing, moment, outcome, verdict

skill = Skill("forgejo", aliases=["fj"])

_MINE = {"issues": "assigned", "pulls": "created", "reviews": "review_requested"}


class _Forgejo:
    """Forgejo's and Gitea's paths and fields."""

    provider = "forgejo"
    merges: tuple[str, ...] = ("merge", "squash", "rebase")
    pull = "pull request"
    pulls = "pulls"
    reads: tuple[str, ...] = ()
    writes: tuple[str, ...] = ()

    async def mine(self, api: Api, kind: Kind) -> list[Thing]:
        which = {"type": "issues" if kind == "issues" else "pulls", _MINE[kind]: "true"}
        return [_thing(one) for one in await api.get("/repos/issues/search", state="open", limit=LISTED + 1, **which)]

    async def of(self, api: Api, project: str, kind: Kind) -> list[Thing]:
        which = "issues" if kind == "issues" else "pulls"
        found = await api.get(f"/repos/{project}/issues", state="open", type=which, limit=LISTED + 1)
        return [_thing(one) for one in found]

    async def thing(self, api: Api, what: Reference) -> Thing:
        data = await api.get(_path(what))
        return _thing(data, await api.get(_path(what, "pulls")) if data.get("pull_request") else None)

    async def changed(self, ctx: FollowContext, what: Reference) -> Thing | None:
        data = await ctx.changed(_path(what))  # it gives no validators, so that this is the whole issue each time
        if data is None:
            return None
        return _thing(data, await ctx.api.get(_path(what, "pulls")) if data.get("pull_request") else None)

    async def comments(self, api: Api, thing: Thing, what: Reference) -> list[Event]:
        found = await api.get(f"{_path(what)}/comments")
        return [_said(one) for one in found[-4 * COMMENTS :]]

    async def events(self, api: Api, thing: Thing, what: Reference) -> list[Event]:
        if not thing.pull:
            return []
        reviews = await api.get(f"{_path(what, 'pulls')}/reviews")
        found = [
            Event(moment(one.get("submitted_at")), _login(one["user"]), verdict(_login(one["user"]), one["state"]))
            for one in reviews
            if one["state"] not in ("PENDING", "REQUEST_REVIEW")
        ]
        status = await api.get(f"/repos/{what.project}/commits/{thing.sha}/status")
        checks = status.get("statuses") or []
        if checks and all(one["status"] != "pending" for one in checks):
            ended = outcome({one["context"]: one["status"] in ("success", "warning", "skipped") for one in checks})
            found.append(Event(max(moment(one["updated_at"]) for one in checks), "", ended))
        return found

    async def create(self, api: Api, project: str, title: str, body: str) -> Thing:
        return _thing(await api.post(f"/repos/{project}/issues", {"title": title, "body": body}))

    async def comment(self, api: Api, what: Reference, text: str) -> None:
        await api.post(f"{_path(what)}/comments", {"body": text})

    async def turn(self, api: Api, what: Reference, *, to_open: bool) -> Thing:
        return _thing(await api.patch(_path(what), {"state": "open" if to_open else "closed"}))

    async def merge(self, api: Api, what: Reference, thing: Thing, how: str) -> None:
        await api.post(f"{_path(what, 'pulls')}/merge", {"Do": how, "head_commit_id": thing.sha})


def _path(what: Reference, kind: str = "issues") -> str:
    return f"/repos/{what.project}/{kind}/{what.number}"


def _thing(data: dict[str, Any], pull: dict[str, Any] | None = None) -> Thing:
    short = data.get("pull_request")
    merged = bool((pull or short or {}).get("merged"))
    state: State = "merged" if merged else "open" if data["state"] == "open" else "closed"
    return Thing(
        name=f"{data['repository']['full_name']}#{data['number']}",
        title=data["title"],
        url=data["html_url"],
        author=_login(data["user"]),
        state=state,
        updated=moment(data["updated_at"]),
        pull=short is not None,
        ended_by=_login(pull.get("merged_by")) if pull else "",
        body=data.get("body") or "",
        draft=bool((pull or short or {}).get("draft")),
        blocked="it has conflicts" if pull and state == "open" and pull.get("mergeable") is False else "",
        sha=pull["head"]["sha"] if pull else "",
        labels=tuple(one["name"] for one in data.get("labels") or ()),
        assignees=tuple(_login(one) for one in data.get("assignees") or ()),
        comments=data.get("comments") or 0,
    )


def _said(data: dict[str, Any]) -> Event:
    return Event(moment(data["created_at"]), _login(data["user"]), f"{_login(data['user'])}: {data['body']}")


def _login(person: dict[str, Any] | None) -> str:
    return str(person["login"]) if person else ""


declare(skill, _Forgejo())
