"""Your notes at the demo service: the smallest linked skill, and what `omnibot demo` shows."""

from omnibot import FollowContext, LinkedContext, Progress, Skill, escape, fmt

skill = Skill("notes")


@skill.linked("demo", scopes=["notes:read"])
async def notes(ctx: LinkedContext) -> str:
    """List your notes."""
    found = await ctx.api.get("/api/notes")
    return "\n".join(fmt("- {}: {}", one["id"], one["text"]) for one in found) or "You have no notes."


@skill.linked("demo", scopes=["notes:write"], effect="change")
async def add(ctx: LinkedContext, text: str) -> str:
    """Write a note, as yourself.

    Args:
        text: what it says
    """
    note = await ctx.api.post("/api/notes", {"text": text})
    return fmt("Note {} is written as **{}**.", note["id"], ctx.account.login)


@skill.linked("demo", scopes=["notes:write"], effect="destroy")
async def delete(ctx: LinkedContext, number: int) -> str:
    """Delete one of your notes.

    Args:
        number: as the list shows it
    """
    await ctx.api.delete(f"/api/notes/{number}")
    return f"Note {escape(number)} is gone."


@skill.follower(every=2.0)
async def _exporting(ctx: FollowContext, number: int) -> Progress:
    job = await ctx.api.get(f"/api/exports/{number}")
    if job["percent"] < 100:
        return Progress(fmt("Your notes are being exported: {} %.", job["percent"]))
    return Progress(fmt("Your export is ready; notes in it: {}.", job["notes"]), done=True)


@skill.linked("demo", scopes=["notes:read"], effect="change")
async def export(ctx: LinkedContext) -> str:
    """Export your notes, which takes a while."""
    job = await ctx.api.post("/api/exports")
    await ctx.follow(_exporting, "the export of your notes", number=job["id"], lasting=600)
    return "I am exporting your notes, and tell you when that is done."
