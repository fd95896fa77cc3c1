#!/usr/bin/env bash
# tools/servers.sh: the real servers that the tests talk to, each installed once.
# What npm brings is kept by version outside the clone, in ~/.cache/omnibot-tests or $OMNIBOT_TEST_CACHE.
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

# Prints the path of a node that can run oidc-provider.
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

install_oidc_provider() {
    local version home node
    version=$(sed -n 's/.*"oidc-provider": *"\([0-9.]*\)".*/\1/p' tests/servers/oidc/package.json)
    home=$cache/oidc-provider-$version
    if ! runs node --version || ! runs npm --version; then
        missing oidc-provider "node and npm are not installed, or do not run"
        return
    fi
    [[ -d $home ]] || need_space 50 "$cache" "oidc-provider"
    if node=$(find_node) && npm_install "$home" "oidc-provider@$version"; then
        ln -sfn "$node" "$home/node" # what the tests start it with
    else
        missing oidc-provider "npm could not install what it needs"
    fi
}

install_chromium() {
    local name
    for name in chromium chromium-browser google-chrome; do
        if type -P "$name" >/dev/null; then return; fi
    done
    if ! can_apt; then
        missing chromium "it is not installed, and apt-get may not be used here"
        return
    fi
    need_space 700 /usr "chromium"
    apt_install chromium || missing chromium "apt-get could not install it"
}

# Not beside chromium's installation: apt-get does one at a time.
if ! type -P npm >/dev/null && can_apt; then
    need_space 400 /usr "node with npm"
    apt_install nodejs npm || say "apt-get could not install node and npm."
fi
install_oidc_provider & first=$!
install_chromium & second=$!
status=0
wait $first || status=1
wait $second || status=1
exit $status
