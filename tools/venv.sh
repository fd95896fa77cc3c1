#!/usr/bin/env bash
# tools/venv.sh [dev]: .venv with what omnibot needs, and with `dev` what its tests need as well.
# Does nothing where pyproject.toml, constraints.txt, the Python and the folder are those of the last time.
. "$(dirname "$0")/common.sh"

extra=${1:-}
pyenv=${PYENV_ROOT:-$HOME/.pyenv}
fits='import sys; assert sys.version_info[:2] in {(3, 12), (3, 13)}; print(sys.executable)'

# Inside the clone a pyenv shim for uv may refuse to run, because uv lives in another of its Pythons.
find_uv() {
    local uv
    for uv in uv "$HOME/.local/bin/uv" "$pyenv"/versions/*/bin/uv; do
        if runs "$uv" --version; then echo "$uv"; return; fi
    done
}

find_python() {
    local python
    for python in python3.12 python3.13 python3 python "$pyenv"/versions/3.1[23].*/bin/python; do
        if "$python" -c "$fits" 2>/dev/null; then return; fi
    done
    [[ -n $uv ]] || return 1
    "$uv" python find --quiet 3.12 2>/dev/null && return
    "$uv" python install --quiet 3.12 >&2 && "$uv" python find --quiet 3.12
}

make_venv() {
    local python
    python=$(find_python) || fail "omnibot needs Python 3.12 or 3.13, and none is on PATH, in pyenv or to be had from uv: install one of them."
    rm -rf .venv
    if [[ -n $uv ]]; then
        "$uv" venv --quiet --python "$python" .venv
    elif runs "$python" -c 'import ensurepip, venv'; then
        "$python" -m venv .venv
    else
        fail "$python cannot make virtual environments: install its venv package (on Debian: apt-get install python3-venv), or uv."
    fi
}

install() {
    local target=.${extra:+[$extra]}
    say "Installing omnibot${extra:+ and what its tests need} into .venv ..."
    if [[ -n $uv ]]; then
        "$uv" pip install --quiet --python .venv/bin/python --constraints constraints.txt --editable "$target"
    else
        .venv/bin/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable "$target"
    fi
}

# A .venv that was moved or copied still names its old folder.
works() { runs .venv/bin/python -c "$fits" && grep -qsF "$PWD/.venv" .venv/bin/activate; }
wanted="$(cat pyproject.toml constraints.txt | cksum) $PWD"
for done in ".venv/.installed-${extra:-run}" .venv/.installed-dev; do
    if [[ -f $done && $(<"$done") == "$wanted" ]] && works; then exit 0; fi
done

need_space 600 "$PWD" "omnibot's .venv"
uv=$(find_uv)
if ! works || [[ -z $uv ]] && ! runs .venv/bin/python -m pip --version; then make_venv; fi
install
echo "$wanted" >".venv/.installed-${extra:-run}"
