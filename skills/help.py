"""Find out what the bot can do."""

from collections.abc import Sequence

from omnibot import Context, Skill, UserError, escape

skill = Skill("help")

_MOST = 40
"""More commands than that are listed by their first words."""


@skill.command
async def help(ctx: Context, command: str = "") -> str:  # noqa: A001 - the function's name is the command's
    """List the commands, or explain one.

    Args:
        command: its words, without the prefix; a skill's word lists what belongs to it
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
    if len(found) > _MOST and not words:
        return _by_word(ctx.prefix, [one.path for one in found])
    return "\n".join(f"- `{one.usage(ctx.prefix)}`: {escape(one.summary)}" for one in found)


def _by_word(prefix: str, paths: Sequence[tuple[str, ...]]) -> str:
    """Return a line for each first word of *paths*, with what may follow it, and how to read on."""
    words: dict[str, list[str]] = {}
    for first, *more in paths:
        words.setdefault(first, []).append(" ".join(more))
    alone = [f"`{prefix}{first}`" for first, rest in words.items() if rest == [""]]
    lines = [f"- `{prefix}{first}`: {', '.join(filter(None, rest))}" for first, rest in words.items() if rest != [""]]
    return "\n".join([*lines, f"- {', '.join(alone)}", f"`{prefix}help WORD` tells more of each."])
