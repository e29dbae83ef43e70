#!/bin/sh
# SPDX-License-Identifier: MIT
# Installs what is missing of the sets named as arguments: build, run, test, bench.
# A thing counts as there when its probe finds it, wherever it came from; only what is missing is installed.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
. "$here/recipe.sh"

# set  Debian package  probe
table="
build gcc             command:cc
build libc6-dev       header:stdio.h
build cmake           command:cmake
build pkg-config      command:pkg-config
build patch           command:patch
build xz-utils        command:xz
build libevent-dev    pc:libevent_core
build libcjson-dev    pc:libcjson
build liburing-dev    pc:liburing
build libssl-dev      pc:openssl
build zlib1g-dev      pc:zlib
run   python3         command:python3
run   redis-server    command:redis-server
run   redis-tools     command:redis-cli
run   haproxy         command:haproxy
test  check           pc:check
test  clang           command:clang
test  clang-format    command:clang-format
test  clang-tidy      command:clang-tidy
test  nodejs          command:node
test  spin            command:spin
test  chromium        command:chromium
test  chromium-driver command:chromedriver
test  valgrind        command:callgrind_control
test  faketime        command:faketime
test  iproute2        command:ip
test  iptables        command:iptables
bench nodejs          command:node
bench npm             command:npm
bench python3-fastapi    python:fastapi
bench python3-uvicorn    python:uvicorn
bench python3-websockets python:websockets
bench python3-httptools  python:httptools
bench python3-uvloop     python:uvloop
bench python3-redis      python:redis
bench python3-hiredis    python:hiredis
bench libnginx-mod-nchan nginx:ngx_nchan_module.so
"

say() { echo "set-up: $*" >&2; }
die() { say "$@"; exit 1; }

# Servers live in sbin, which is not on every user's path.
PATH=$PATH:/usr/sbin:/sbin

present() {
    case $1 in
    command:*) command -v "${1#*:}" >/dev/null 2>&1 ;;
    pc:*) pkg-config --exists "${1#*:}" 2>/dev/null ;;
    # Debian's packages are for Debian's Python, whichever else comes first on the path.
    python:*) /usr/bin/python3 -c "import ${1#*:}" 2>/dev/null ;;
    nginx:*) [ -e "/usr/lib/nginx/modules/${1#*:}" ] || [ -e "/usr/share/nginx/modules/${1#*:}" ] ;;
    header:*) echo "#include <${1#*:}>" | cc -E -x c - >/dev/null 2>&1 ;;
    esac
}

# missing SET...: the packages of these sets whose probe finds nothing.
missing() {
    echo "$table" | while read -r name package probe; do
        case " $* " in *" $name "*) present "$probe" || echo "$package" ;; esac
    done
}

# offered PACKAGE PC VERSION: prints PACKAGE when the system's own is absent or old, but apt has one new enough.
offered() {
    if pkg-config --atleast-version="$3" "$2" 2>/dev/null; then return; fi
    candidate=$(apt-cache policy "$1" | awk '/Candidate:/ { print $2 }')
    case $candidate in "" | "(none)") return ;; esac
    if dpkg --compare-versions "$candidate" ge "$3"; then echo "$1"; fi
}

as_root() {
    if [ "$(id -u)" = 0 ]; then
        "$@"
    elif command -v sudo >/dev/null 2>&1; then
        sudo "$@"
    else
        die "root is needed to install packages, and there is no sudo; run as root: $here/packages.sh $sets"
    fi
}

install() {
    as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq -y install --no-install-recommends "$@" </dev/null >&2 ||
        die "apt-get could not install: $*"
}

sets=$*
packages=$(missing "$@")
if ! command -v apt-get >/dev/null 2>&1; then
    [ -z "$packages" ] && exit 0
    die "this is not a Debian system, so nothing is installed by itself. Please install what Debian calls:
$(echo "$packages" | sed 's/^/        /')
        and libwebsockets >= $lws_min with hiredis >= $hiredis_min, or their sources (PARLEY_SOURCES=DIR)."
fi
if [ -n "$packages" ]; then
    say "missing: $(echo $packages)"
    as_root apt-get -qq update </dev/null >&2 || say "the package lists could not be refreshed; trying with the old ones"
    # shellcheck disable=SC2086 # a list of words
    install $packages
    say "installed"
fi
# Where apt has both guests new enough, they are better than a build of ours.
case " $* " in
*" build "*)
    if "$here/libraries.sh" ready; then exit 0; fi
    packages=$(offered libwebsockets-dev libwebsockets $lws_min; offered libhiredis-dev hiredis $hiredis_min)
    # shellcheck disable=SC2086 # a list of words
    [ -z "$packages" ] || install $packages
    ;;
esac
