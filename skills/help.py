"""Find out what the bot can do."""

from omnibot import Context, Skill, UserError, escape

skill = Skill("help")


@skill.command
async def help(ctx: Context, command: str = "") -> str:  # noqa: A001 - the function's name is the command's
    """List the commands, or explain one.

    Args:
        command: its words, without the prefix
    """
    found = ctx.commands()
    words = tuple(command.lower().removeprefix(ctx.prefix).split())
    if words:
        found = [one for one in found if one.is_below(words)]
        if not found:
            raise UserError(f"I know no `{escape(command)}`. `{ctx.prefix}help` lists what I can do.")
    if len(found) == 1:
        one = found[0]
        lines = [f"`{one.usage(ctx.prefix)}`", f"{one.summary}.", one.details]
        lines += [f"- `{arg.usage}`: {arg.description}" for arg in one.parameters if arg.description]
        if one.also:
            lines.append(f"Also: {', '.join(f'`{ctx.prefix}{" ".join(path)}`' for path in one.also)}.")
        return "\n".join(line for line in lines if line)
    return "\n".join(f"- `{one.usage(ctx.prefix)}`: {escape(one.summary)}" for one in found)
