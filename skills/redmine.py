"""Your issues at Redmine: list, show, create, comment, take, close, and log time.

Source: the REST API pages of www.redmine.org (Rest_Issues, Rest_TimeEntries, Rest_IssueStatuses,
Rest_Enumerations).
"""

from typing import Any

from omnibot import LinkedContext, Skill, Upstream, UserError, escape, fmt, link

skill = Skill("redmine", aliases=["rm"])

_LISTED = 15
_COMMENTS = 5
_LONGEST = 1500
_MOST_HOURS = 24.0


@skill.linked("redmine")
async def list_(ctx: LinkedContext, project: str = "", *, all: bool = False) -> str:  # noqa: A002 - what people type
    """List open issues: those assigned to you, or those of a project.

    Args:
        project: its identifier, as in its address
        all: closed ones, too
    """
    which = {"project_id": project.strip()} if project else {"assigned_to_id": "me"}
    status = "*" if all else "open"
    found = await ctx.api.get("/issues.json", **which, status_id=status, sort="updated_on:desc", limit=_LISTED)
    lines = [_line(ctx, one) for one in found["issues"]]
    if found["total_count"] > len(lines):
        lines.append(f"… and {found['total_count'] - len(lines)} more")
    if lines:
        return "\n".join(lines)
    kind = "issue" if all else "open issue"
    return fmt("There is no {} in {} that you may see.", kind, project.strip()) if project else f"You have no {kind}."


@skill.linked("redmine")
async def show(ctx: LinkedContext, number: int) -> str:
    """Show an issue, with its latest comments.

    Args:
        number: the issue's
    """
    issue = await _issue(ctx, number, "journals")
    lines: list[str] = [
        fmt("{} {}: **{}**", _link(ctx, number), issue["tracker"]["name"], issue["subject"]),
        fmt("{}, {}, in {}", issue["status"]["name"], _who(issue), issue["project"]["name"]),
    ]
    if issue.get("description"):
        lines.append(escape(_cut(issue["description"])))
    comments = [one for one in issue.get("journals", ()) if one.get("notes")]
    lines += [fmt("- **{}**: {}", one["user"]["name"], _cut(one["notes"])) for one in comments[-_COMMENTS:]]
    return "\n".join(lines)


@skill.linked("redmine", effect="change")
async def create(ctx: LinkedContext, project: str, subject: str) -> str:
    """Open an issue, as yourself.

    Args:
        project: its identifier, as in its address
        subject: one line; what follows on further lines is the description
    """
    head, _, body = subject.strip().partition("\n")
    said = {"project_id": project, "subject": head.strip(), "description": body.strip()}
    try:
        issue = (await ctx.api.post("/issues.json", {"issue": said}))["issue"]
    except Upstream as error:
        if error.status != 422:  # Redmine's own words may hold anything, so they are not repeated
            raise
        known = fmt("Is there a project {} that you may open issues in? Its identifier is in its address.", project)
        raise UserError(f"Redmine did not take that issue. {known}") from None
    where = issue["project"]["name"]
    return fmt("Opened {} in {} as **{}**.", _link(ctx, issue["id"]), where, ctx.account.login)


@skill.linked("redmine", effect="change")
async def comment(ctx: LinkedContext, number: int, text: str) -> str:
    """Comment on an issue, as yourself.

    Args:
        number: the issue's
        text: what you say
    """
    await _change(ctx, number, notes=text)
    return fmt("Commented on {}.", _link(ctx, number))


@skill.linked("redmine", effect="change")
async def assign(ctx: LinkedContext, number: int) -> str:
    """Assign an issue to yourself.

    Args:
        number: the issue's
    """
    me = (await ctx.api.get("/users/current.json"))["user"]
    await _change(ctx, number, assigned_to_id=me["id"])
    if (await _issue(ctx, number)).get("assigned_to", {}).get("id") != me["id"]:  # Redmine answers 204 all the same
        raise UserError(f"Redmine did not let you take #{number}: you may not be a member who can be assigned.")
    return fmt("{} is yours now.", _link(ctx, number))


@skill.linked("redmine", effect="change")
async def close(ctx: LinkedContext, number: int, comment: str = "") -> str:
    """Close an issue.

    Args:
        number: the issue's
        comment: what you say about it
    """
    issue = await _issue(ctx, number, "allowed_statuses")
    known = (await ctx.api.get("/issue_statuses.json"))["issue_statuses"]
    closed = {one["id"]: one["name"] for one in known if one.get("is_closed")}
    if issue["status"]["id"] in closed:
        return fmt("{} is closed already: {}.", _link(ctx, number), issue["status"]["name"])
    allowed = [one["id"] for one in issue.get("allowed_statuses", known)]
    status = next((one for one in closed if one in allowed), None)
    if status is None:
        raise UserError(f"Redmine does not let you close #{number}: your role there has no such step.")
    await _change(ctx, number, status_id=status, notes=comment)
    if (await _issue(ctx, number))["status"]["id"] != status:  # Redmine answers 204 all the same
        raise UserError(f"Redmine did not close #{number}: something there forbids it, an open subtask, say.")
    return fmt("{} is {} now.", _link(ctx, number), closed[status])


@skill.linked("redmine", effect="change")
async def log(ctx: LinkedContext, number: int, hours: float, comment: str = "", *, activity: str = "") -> str:
    """Log time that you spent on an issue.

    Args:
        number: the issue's
        hours: 1.5 is one hour and a half
        comment: what you did
        activity: its name; left out, Redmine's own default
    """
    if not 0 < hours <= _MOST_HOURS:
        raise UserError("`hours` is more than 0 and at most 24.")
    entry: dict[str, object] = {"issue_id": number, "hours": hours, "comments": comment}
    kind = await _activity(ctx, activity)
    if kind is not None:
        entry["activity_id"] = kind["id"]
    made = (await ctx.api.post("/time_entries.json", {"time_entry": entry}))["time_entry"]
    return fmt("Logged {} h of {} on {}.", f"{made['hours']:g}", made["activity"]["name"], _link(ctx, number))


async def _activity(ctx: LinkedContext, name: str) -> dict[str, Any] | None:
    """Return the activity called *name*; without a name the default, or the first where there is none."""
    found = (await ctx.api.get("/enumerations/time_entry_activities.json"))["time_entry_activities"]
    usable = [one for one in found if one.get("active", True)]
    if not name:
        return next((one for one in usable if one.get("is_default")), usable[0] if usable else None)
    for one in usable:
        if one["name"].lower() == name.lower():
            return dict(one)
    known = ", ".join(one["name"] for one in usable)
    raise UserError(fmt("There is no activity {}. I know: {}.", name, known))


async def _issue(ctx: LinkedContext, number: int, include: str = "") -> dict[str, Any]:
    found = await ctx.api.get(f"/issues/{number}.json", include=include or None)
    return dict(found["issue"])


async def _change(ctx: LinkedContext, number: int, **fields: object) -> None:
    await ctx.api.put(f"/issues/{number}.json", {"issue": {key: said for key, said in fields.items() if said != ""}})


def _line(ctx: LinkedContext, issue: dict[str, Any]) -> str:
    return fmt("- {} {} ({}, {})", _link(ctx, issue["id"]), issue["subject"], issue["status"]["name"], _who(issue))


def _who(issue: dict[str, Any]) -> str:
    return f"for {issue['assigned_to']['name']}" if "assigned_to" in issue else "for nobody"


def _link(ctx: LinkedContext, number: int) -> str:
    """Return the issue's number, as a link to its page."""
    return link(f"#{number}", ctx.api.url(f"/issues/{number}"))


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST else text[:_LONGEST] + " …"
