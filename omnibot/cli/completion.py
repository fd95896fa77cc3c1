"""``omnibot completion bash|zsh|fish``: what a shell completes the command line by.

Each script has one table, made from the parser itself, and a few lines that look up in it what the words before the
cursor leave to be said.  None of them starts the bot.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path
from shlex import quote

from omnibot.cli.words import Commands

type Table = dict[str, list[str]]
"""What may come next, by the words so far: ``omnibot keys`` → ``new``, ``omnibot demo --network`` → ``irc``."""

_BASH = """\
# omnibot's completion for bash: eval "$(omnibot completion bash)"
declare -gA _omnibot_words=(
{table}
)
_omnibot() {{
    local word=${{COMP_WORDS[COMP_CWORD]}} before=${{COMP_WORDS[COMP_CWORD - 1]}} at=omnibot one
    for one in "${{COMP_WORDS[@]:1:COMP_CWORD - 1}}"; do
        [[ $one != -* && -n ${{_omnibot_words["$at $one"]+is}} ]] && at+=" $one"
    done
    [[ $before == -* && -n ${{_omnibot_words["$at $before"]+is}} ]] && at+=" $before"
    one=${{_omnibot_words[$at]}}
    mapfile -t COMPREPLY < <(compgen -W "${{one%FILE}}" -- "$word")
    if [[ $one == *FILE ]]; then
        compopt -o filenames 2>/dev/null
        mapfile -t -O ${{#COMPREPLY[@]}} COMPREPLY < <(compgen -f -- "$word")
    fi
}}
complete -F _omnibot omnibot
"""

_ZSH = """\
#compdef omnibot
# omnibot's completion for zsh: eval "$(omnibot completion zsh)", or as the file _omnibot in a folder of $fpath
_omnibot() {{
    local at=omnibot one
    local -A table=(
{table}
    )
    for one in ${{words[2,CURRENT-1]}}; do
        [[ $one != -* && -n ${{table[$at $one]+is}} ]] && at+=" $one"
    done
    one=${{words[CURRENT-1]}}
    [[ $one == -* && -n ${{table[$at $one]+is}} ]] && at+=" $one"
    one=${{table[$at]}}
    compadd -- ${{=one%FILE}}
    [[ $one == *FILE ]] && _files
}}
if [[ ${{funcstack[1]}} == _omnibot ]]; then _omnibot "$@"; else compdef _omnibot omnibot; fi
"""

_FISH = """\
# omnibot's completion for fish: omnibot completion fish | source
function __omnibot_words
    switch "$argv"
{table}
        case '*'
            return 1
    end
end
function __omnibot_next
    set -l at omnibot
    set -l before (commandline -opc)
    for one in $before[2..]
        string match -q -- '-*' $one; and continue
        __omnibot_words $at $one >/dev/null; and set at $at $one
    end
    string match -q -- '-*' $before[-1]; and __omnibot_words $at $before[-1] >/dev/null; and set at $at $before[-1]
    for one in (__omnibot_words $at)
        if test $one = FILE
            __fish_complete_path (commandline -ct)
        else
            echo $one
        end
    end
end
complete -c omnibot -f -a '(__omnibot_next)'
"""


def add(commands: Commands) -> None:
    """Add it to *commands*."""
    what = "print what a shell completes these commands by"
    one = commands.add_parser("completion", help=what, description=what)
    one.add_argument("shell", choices=["bash", "zsh", "fish"])
    one.set_defaults(action=_completion)


def _completion(arguments: argparse.Namespace) -> int:
    from omnibot.cli import parser

    print(script(arguments.shell, table(parser())), end="")
    return 0


def script(shell: str, words: Table) -> str:
    """Return what *shell* (``bash``, ``zsh`` or ``fish``) is to source, to complete by *words*."""
    if shell == "fish":
        cases = (
            f"        case {quote(at)}\n            printf '%s\\n' {' '.join(map(quote, w))}" for at, w in words.items()
        )
        return _FISH.format(table="\n".join(cases))
    mould, row = (_BASH, "    [{}]={}") if shell == "bash" else (_ZSH, "        {} {}")
    return mould.format(table="\n".join(row.format(quote(at), quote(" ".join(w))) for at, w in words.items()))


def table(top: argparse.ArgumentParser) -> Table:
    """Return what may come next in *top*, and in all that is under it.

    Where a file may come next, ``FILE`` is the last word.
    """
    return dict(_rows(top, top.prog))


def _rows(parser: argparse.ArgumentParser, at: str) -> Iterator[tuple[str, list[str]]]:
    words, file = list[str](), False
    for action in parser._actions:  # noqa: SLF001 - argparse tells nobody what it was given
        if action.help == argparse.SUPPRESS:
            continue
        long = [one for one in action.option_strings if one.startswith("--")]
        words += long
        if isinstance(action, argparse._SubParsersAction):  # noqa: SLF001
            words += action.choices
            for name, below in action.choices.items():
                yield from _rows(below, f"{at} {name}")
        elif not long and action.choices is not None:
            words += map(str, action.choices)
        elif not long:
            file |= action.type is Path
        for one in long if action.nargs != 0 else ():
            yield f"{at} {one}", _values(action)
    yield at, [*words, *(["FILE"] if file else [])]  # last: the scripts look for it there


def _values(action: argparse.Action) -> list[str]:
    """Return what the value of an option may be; nothing where only a person knows."""
    if action.choices is not None:
        return list(map(str, action.choices))
    return ["FILE"] if action.type is Path else []
