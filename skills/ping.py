"""See whether the bot is there."""

from omnibot import Context, Skill

skill = Skill("ping")


@skill.command
async def ping(ctx: Context) -> str:
    """Answer at once."""
    return "pong"
