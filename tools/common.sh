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

# apt_install PACKAGE...: from the distribution, waiting its turn where another installation is under way.
apt_install() {
    local apt=(env DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=300)
    [[ $(id -u) == 0 ]] || apt=(sudo -n "${apt[@]}")
    say "Installing $* with apt-get ..."
    "${apt[@]}" update >&2 && "${apt[@]}" install -y --no-install-recommends "$@" >&2
}
