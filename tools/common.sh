# Shared by the scripts beside it: sourced, never run.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

say() { printf '%s\n' "$*" >&2; }
fail() { say "$*"; exit 1; }
in_ci() { [[ ${CI:-} == true || ${CI:-} == 1 ]]; }

# runs COMMAND...: whether it really runs; a version manager's shim may be there and do nothing but complain.
runs() { "$@" >/dev/null 2>&1; }

# need_space MEGABYTES DIRECTORY WHAT: fail early rather than with a half-written disk.
need_space() {
    local dir=$2 free
    while [[ ! -d $dir ]]; do dir=$(dirname "$dir"); done
    free=$(($(df -Pk "$dir" | awk 'NR == 2 { print $4 }') / 1024))
    ((free >= $1)) || fail "$3 needs $1 MB of disk space at $2, and only $free MB are free."
}

can_apt() { command -v apt-get >/dev/null && { [[ $(id -u) == 0 ]] || runs sudo -n true; }; }

# apt_get ARGUMENT...: asks nothing, and waits its turn where another installation is under way.
apt_get() {
    local apt=(env DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=300)
    [[ $(id -u) == 0 ]] || apt=(sudo -n "${apt[@]}")
    "${apt[@]}" "$@" >&2
}

# apt_install PACKAGE...: from the distribution.
apt_install() {
    say "Installing $* with apt-get ..."
    apt_get update && apt_get install -y --no-install-recommends "$@"
}

# apt_has PACKAGE...: whether all of them are installed.
apt_has() { dpkg-query -Wf '${db:Status-Status}\n' "$@" 2>/dev/null | { ! grep -qvx installed; }; }

pyenv=${PYENV_ROOT:-$HOME/.pyenv}
fits='import sys; assert sys.version_info[:2] in {(3, 12), (3, 13)}; print(sys.executable)'

# Inside the clone a pyenv shim for uv may refuse to run, because uv lives in another of its Pythons.
find_uv() {
    local uv
    for uv in uv "$HOME/.local/bin/uv" "$pyenv"/versions/*/bin/uv; do
        if runs "$uv" --version; then echo "$uv"; return; fi
    done
}

# find_python [UV]: prints the path of a Python that omnibot runs with, which UV may fetch.
find_python() {
    local python uv=${1:-}
    for python in python3.12 python3.13 python3 python "$pyenv"/versions/3.1[23].*/bin/python; do
        if "$python" -c "$fits" 2>/dev/null; then return; fi
    done
    [[ -n $uv ]] || return 1
    "$uv" python find --quiet 3.12 2>/dev/null && return
    "$uv" python install --quiet 3.12 >&2 && "$uv" python find --quiet 3.12
}

# venv_make UV DIRECTORY: a new virtual environment, in place of what is there; with uv's help unless UV is empty.
venv_make() {
    local uv=$1 dir=$2 python
    if ! python=$(find_python "$uv"); then
        say "omnibot needs Python 3.12 or 3.13, and none is on PATH, in pyenv or to be had from uv: install one of them."
        return 1
    fi
    rm -rf "$dir"
    if [[ -n $uv ]]; then
        "$uv" venv --quiet --python "$python" "$dir"
    elif runs "$python" -c 'import ensurepip, venv'; then
        "$python" -m venv "$dir"
    else
        say "$python cannot make virtual environments: install its venv package (on Debian: apt-get install python3-venv), or uv."
        return 1
    fi
}

# venv_install UV DIRECTORY ARGUMENT...: what uv's or pip's `install` is told to.
venv_install() {
    local uv=$1 dir=$2
    shift 2
    if [[ -n $uv ]]; then
        "$uv" pip install --quiet --python "$dir/bin/python" "$@"
    else
        "$dir/bin/python" -m pip install --quiet --disable-pip-version-check "$@"
    fi
}
