#!/usr/bin/env bash
# tools/servers.sh: the real servers that the tests talk to, each installed once.
# What need not be part of the system is kept outside the clone, in ~/.cache/omnibot-tests or $OMNIBOT_TEST_CACHE.
# Without the right to install, the tests that need a server are skipped; where CI is set, that is a failure.
. "$(dirname "$0")/common.sh"

cache=${OMNIBOT_TEST_CACHE:-$HOME/.cache/omnibot-tests}
newer_node=22.23.3 # where the distribution's is too old, as Debian 12's is

missing() {
    say "$1 is not available: $2."
    if in_ci; then exit 1; fi
    say "The tests that need it will be skipped."
}

# npm_install DIRECTORY PACKAGE...: whole or not at all, and no matter if another run was faster.
npm_install() {
    local to=$1 new
    shift
    if [[ -d $to ]]; then return; fi
    say "Installing $* with npm ..."
    mkdir -p "$cache"
    new=$(mktemp -d "$cache/.new-XXXXXX")
    if npm install --prefix "$new" --ignore-scripts --no-audit --no-fund --loglevel=error "$@" >&2; then
        mv -T "$new" "$to" 2>/dev/null || rm -rf "$new"
    else
        rm -rf "$new"
        return 1
    fi
}

# Prints the path of a node that can run what comes from npm.
find_node() {
    local node newer=$cache/node-$newer_node package
    if runs node -e 'process.exit(require("crypto").hash && URL.parse ? 0 : 1)'; then
        node -p process.execPath
        return
    fi
    package=node-linux-$(node -p process.arch)
    [[ -d $newer ]] || need_space 250 "$cache" "node $newer_node"
    npm_install "$newer" "$package@$newer_node" || return 1
    node=$newer/node_modules/$package/bin/node
    runs "$node" --version && echo "$node"
}

# install_from_npm PACKAGE SERVER: in the version that tests/servers/SERVER/package.json names.
install_from_npm() {
    local package=$1 version home node
    version=$(sed -n "s/.*\"$package\": *\"\([0-9.]*\)\".*/\1/p" "tests/servers/$2/package.json")
    home=$cache/$package-$version
    if ! runs node --version || ! runs npm --version; then
        missing "$package" "node and npm are not installed, or do not run"
        return
    fi
    [[ -d $home ]] || need_space 50 "$cache" "$package"
    if node=$(find_node) && npm_install "$home" "$package@$version"; then
        ln -sfn "$node" "$home/node" # what the tests start it with
    else
        missing "$package" "npm could not install what it needs"
    fi
}

# install_from_pypi PACKAGE SERVER MEGABYTES [OPTION...]: in the versions that tests/servers/SERVER/requirements.txt
# names, in an environment of its own, which is moved once it is whole: it is started with `python -m` or a file only.
install_from_pypi() {
    local package=$1 wanted=tests/servers/$2/requirements.txt space=$3 home new uv
    shift 3
    home=$cache/$package-$(sed -n "s/^$package==//p" "$wanted")
    it_fits() { cmp -s "$wanted" "$home/requirements.txt" && runs "$home/bin/python" --version; }
    if it_fits; then return; fi
    need_space "$space" "$cache" "$package"
    say "Installing $package from PyPI ..."
    mkdir -p "$cache"
    new=$(mktemp -d "$cache/.new-XXXXXX")
    uv=$(find_uv)
    if venv_make "$uv" "$new" && venv_install "$uv" "$new" "$@" --requirement "$wanted"; then
        cp "$wanted" "$new/"
        it_fits || rm -rf "$home" # its Python is gone, or it has other requirements
        mv -T "$new" "$home" 2>/dev/null || rm -rf "$new"
    else
        rm -rf "$new"
        missing "$package" "its environment could not be made"
    fi
}

# install_with_apt NAME MEGABYTES PACKAGE...
install_with_apt() {
    local name=$1 space=$2
    shift 2
    if ! can_apt; then
        missing "$name" "it is not installed, and apt-get may not be used here"
        return
    fi
    need_space "$space" /usr "$name"
    apt_install "$@" || missing "$name" "apt-get could not install it"
}

install_chromium() {
    local name
    for name in chromium chromium-browser google-chrome; do
        if type -P "$name" >/dev/null; then return; fi
    done
    install_with_apt chromium 700 chromium
}

# unpack_redmine DIRECTORY: Debian's package, unpacked but not installed.  Its set-up would make an instance that nobody
# wants, and it fails since ruby3.1 3.1.7: `bundle install --local` takes many of Debian's gems for deleted.
unpack_redmine() {
    local new code
    need_space 100 "$cache" "redmine"
    say "Fetching redmine with apt-get ..."
    mkdir -p "$cache"
    new=$(mktemp -d "$cache/.new-XXXXXX")
    code=$new/redmine/usr/share/redmine
    if apt_get update && (cd "$new" && apt_get -o APT::Sandbox::User=root download redmine) &&
        dpkg-deb --raw-extract "$new"/redmine_*.deb "$new/redmine" &&
        rm "$code/instances" && mkdir "$code/instances"; then # it led to the machine's own
        mv -T "$new/redmine" "$1" 2>/dev/null || true # another run was faster
    fi
    rm -rf "$new"
    [[ -d $1 ]]
}

# redmine_needs DIRECTORY: the packages that Redmine's code needs, and those to run it with.
redmine_needs() {
    sed -n 's/^Depends: //p' "$1/DEBIAN/control" | tr ',' '\n' | sed 's/^ *//; s/[ :|(].*//' |
        grep -vE '^(dbconfig|debconf|libjs|redmine)'
    printf '%s\n' puma ruby-sqlite3
}

install_redmine() {
    local home=$cache/redmine needs
    if [[ ! -d $home ]] && can_apt; then unpack_redmine "$home" || true; fi
    if [[ ! -d $home ]]; then
        missing redmine "its package is not to be had with apt-get here"
        return
    fi
    mapfile -t needs < <(redmine_needs "$home")
    apt_has "${needs[@]}" || install_with_apt redmine 300 "${needs[@]}"
}

# unpack_all DIRECTORY FILE...: packages; what they depend on goes to the file `depends`.
unpack_all() {
    local to=$1 file
    shift
    for file; do
        dpkg-deb --field "$file" Depends >>"$to/depends" && dpkg-deb --extract "$file" "$to" || return 1
    done
}

# unpack_irc DIRECTORY: Debian's packages, unpacked but not installed: their set-up would start each server, now and with
# the machine.
unpack_irc() {
    local new
    need_space 50 "$cache" "irc"
    say "Fetching inspircd, atheme-services and ngircd with apt-get ..."
    mkdir -p "$cache"
    new=$(mktemp -d "$cache/.new-XXXXXX")
    mkdir "$new/irc"
    if apt_get update && (cd "$new" && apt_get -o APT::Sandbox::User=root download inspircd atheme-services ngircd) &&
        unpack_all "$new/irc" "$new"/*.deb; then
        mv -T "$new/irc" "$1" 2>/dev/null || true # another run was faster
    fi
    rm -rf "$new"
    [[ -d $1 ]]
}

# irc_lacks DIRECTORY: the libraries that the servers need and the machine does not have (one that it has is not upgraded
# for this), without those of modules that the tests do not load.
irc_lacks() {
    local library
    tr ',' '\n' <"$1/depends" | sed 's/^ *//; s/[ :|(].*//' | grep '^lib' | sort -u |
        grep -vE '^lib(argon2|http-parser|io-socket-ssl|ldap|mariadb|maxminddb|pcre2|pq|re2|sqlite3|tre)' |
        while read -r library; do apt_has "$library" || echo "$library"; done
}

install_irc() {
    local home=$cache/irc lacks
    if [[ ! -d $home ]] && can_apt; then unpack_irc "$home" || true; fi
    if [[ ! -d $home ]]; then
        missing irc "its packages are not to be had with apt-get here"
        return
    fi
    mapfile -t lacks < <(irc_lacks "$home")
    ((${#lacks[@]} == 0)) || install_with_apt irc 20 "${lacks[@]}"
    [[ $("$home/usr/sbin/inspircd" --version) == InspIRCd-3.* ]] || missing irc "this is not InspIRCd 3"
}

# unpack_proxies DIRECTORY: likewise; each is one program that needs little else.
unpack_proxies() {
    local new
    need_space 60 "$cache" "caddy and nginx"
    say "Fetching caddy and nginx with apt-get ..."
    mkdir -p "$cache"
    new=$(mktemp -d "$cache/.new-XXXXXX")
    mkdir "$new/proxies"
    if apt_get update && (cd "$new" && apt_get -o APT::Sandbox::User=root download caddy nginx) &&
        unpack_all "$new/proxies" "$new"/*.deb; then
        mv -T "$new/proxies" "$1" 2>/dev/null || true # another run was faster
    fi
    rm -rf "$new"
    [[ -d $1 ]]
}

install_proxies() {
    local home=$cache/proxies
    if [[ ! -d $home ]] && can_apt; then unpack_proxies "$home" || true; fi
    if [[ ! -d $home ]]; then
        missing "caddy and nginx" "their packages are not to be had with apt-get here"
        return
    fi
    runs "$home/usr/sbin/nginx" -v || install_with_apt nginx 5 libpcre2-8-0
    runs "$home/usr/bin/caddy" version || missing caddy "it does not run"
}

# What deploy/ is looked over with.
install_tools() {
    type -P systemd-analyze >/dev/null || install_with_apt systemd 60 systemd
    type -P zsh >/dev/null || install_with_apt zsh 20 zsh
    type -P fish >/dev/null || install_with_apt fish 50 fish
}

# One after the other: apt-get does one thing at a time, and two that need a newer node or Python would both fetch it.
from_apt() {
    install_chromium
    install_redmine
    install_irc
    install_proxies
    install_tools
}
from_npm() {
    install_from_npm oidc-provider oidc
    install_from_npm configurable-http-proxy jupyterhub
}
from_pypi() {
    install_from_pypi jupyterhub jupyterhub 300
    install_from_pypi matrix-synapse synapse 250
    install_from_pypi moto aws 200
    install_from_pypi homeassistant homeassistant 450 --no-deps # a quarter of what it asks for is never loaded here
}

if ! type -P npm >/dev/null && can_apt; then
    need_space 400 /usr "node with npm"
    apt_install nodejs npm || say "apt-get could not install node and npm."
fi
status=0
from_npm & waiting=($!)
from_pypi & waiting+=($!)
from_apt & waiting+=($!)
for one in "${waiting[@]}"; do
    wait "$one" || status=1
done
exit $status
