#!/bin/sh
# SPDX-License-Identifier: MIT
# Sees to libwebsockets and hiredis in the versions of recipe.sh.
#
#   libraries.sh ensure   use the system's where new enough; build what is missing, once, into the cache
#   libraries.sh ready    succeed when there is nothing to do
#   libraries.sh where    print the cache folder (the prefix that CMake looks in), built or not
#
# PARLEY_DEPS=DIR     that prefix, instead of ${XDG_CACHE_HOME:-~/.cache}/parley/deps-<recipe hash>
# PARLEY_SOURCES=DIR  source tarballs (NAME_VERSION.orig.tar.gz) to build from, instead of downloading them
set -eu
unset DESTDIR # of a `make install` that came here: the libraries are not what it installs

here=$(cd "$(dirname "$0")" && pwd)
. "$here/recipe.sh"

say() { echo "set-up: $*" >&2; }
die() { say "$@"; exit 1; }

# Static libraries are bound to the C library they were compiled with, so the system is part of the name.
system_name() {
    if [ -r /etc/os-release ]; then (. /etc/os-release && echo "$ID ${VERSION_ID:-rolling}"); fi
    uname -m
}

prefix=${PARLEY_DEPS:-}
case $prefix in
/* | "") ;;
*) prefix=$PWD/$prefix ;;
esac
if [ -z "$prefix" ]; then
    hash=$( (system_name; cat "$here/recipe.sh") | sha256sum | cut -c1-12)
    prefix=${XDG_CACHE_HOME:-$HOME/.cache}/parley/deps-$hash
fi

# system_has PACKAGE VERSION: new enough, and for libwebsockets with the hook that puts it on our loop.
system_has() {
    pkg-config --atleast-version="$2" "$1" 2>/dev/null || return 1
    [ "$1" = libwebsockets ] || return 0
    echo '#include <libwebsockets.h>
int probe(struct lws_context_creation_info *info);
int probe(struct lws_context_creation_info *info) { return info->event_lib_custom != 0; }' |
        ${CC:-cc} $(pkg-config --cflags libwebsockets) -x c -c -o /dev/null - 2>/dev/null
}

# Prints "URI<tab>keyring" for every archive of this machine's apt configuration that serves the machine's own
# release, whichever of the two formats says so. Security archives and CDs hold no source packages for us.
archives() {
    codename=$(. /etc/os-release && echo "${VERSION_CODENAME:-}")
    for file in /etc/apt/sources.list.d/*.sources; do
        [ -r "$file" ] || continue
        awk -v codename="$codename" '
            function flush(    i, n, uri) {
                if (types ~ /(^| )deb( |$)/ && (" " suites " ") ~ (" " codename " ") &&
                    (" " components " ") ~ / main / && tolower(enabled) != "no") {
                    n = split(uris, uri, " ")
                    for (i = 1; i <= n; i++) print uri[i] "\t" key
                }
                types = uris = suites = components = key = enabled = ""
            }
            /^#/ { next }
            /^[ \t]*$/ { flush(); next }
            /^[A-Za-z-]+:/ {
                field = tolower($1); value = $0
                sub(/^[^:]*:[ \t]*/, "", value); sub(/[ \t]+$/, "", value)
                if (field == "types:") types = value
                if (field == "uris:") uris = value
                if (field == "suites:") suites = value
                if (field == "components:") components = value
                if (field == "enabled:") enabled = value
                if (field == "signed-by:" && value ~ /^\//) key = value
            }
            END { flush() }' "$file"
    done
    for file in /etc/apt/sources.list /etc/apt/sources.list.d/*.list; do
        [ -r "$file" ] || continue
        awk -v codename="$codename" '
            $1 != "deb" { next }
            {
                line = $0; key = ""
                if (match(line, /\[[^]]*\]/)) {
                    options = substr(line, RSTART + 1, RLENGTH - 2)
                    line = substr(line, 1, RSTART - 1) " " substr(line, RSTART + RLENGTH)
                    if (match(options, /signed-by=[^ ]*/)) key = substr(options, RSTART + 10, RLENGTH - 10)
                }
                n = split(line, word, " ")
                if (word[3] == codename && line ~ / main( |$)/) print word[2] "\t" key
            }' "$file"
    done | sort -u
}

# fetch_from URI KEYRING: the tarballs, and Debian's patches where the mirror has them, into the current folder.
fetch_from() {
    lists=$work/lists
    rm -rf "$lists"
    mkdir -p "$lists/partial" "$work/apt/archives/partial"
    {
        printf 'Types: deb-src\nURIs: %s\nSuites: %s\nComponents: main\n' "$1" "$source_suite"
        [ -z "$2" ] || printf 'Signed-By: %s\n' "$2"
    } >"$work/parley.sources"
    set -- -qq -o "Dir::State::Lists=$lists" -o "Dir::Etc::sourcelist=$work/parley.sources" \
        -o Dir::Etc::sourceparts=- -o "Dir::Cache=$work/apt" -o "APT::Sandbox::User=$(id -un)"
    apt-get "$@" update </dev/null >&2 || return 1
    # The description file of the newest revision may be missing on a mirror, which fails a plain
    # `apt-get source`; the two halves by themselves do not need it.
    apt-get "$@" source --download-only --tar-only $wanted </dev/null >&2 || return 1
    apt-get "$@" source --download-only --diff-only $wanted </dev/null >&2 2>&1 ||
        say "Debian's patches could not be had; building without them"
}

fetch() {
    if [ -n "${PARLEY_SOURCES:-}" ]; then
        cp "$PARLEY_SOURCES"/*.tar.* . || die "PARLEY_SOURCES=$PARLEY_SOURCES holds no tarballs"
        return
    fi
    help="put libwebsockets_$lws_version.orig.tar.gz and hiredis_$hiredis_version.orig.tar.gz
        into a folder and name it: make PARLEY_SOURCES=DIR"
    command -v apt-get >/dev/null || die "the sources come through apt-get, which is not here;
        $help"
    archives >"$work/archives"
    [ -s "$work/archives" ] || die "no archive for this release in /etc/apt/sources.list or
        /etc/apt/sources.list.d; add one, or $help"
    while IFS="$(printf '\t')" read -r uri keyring; do
        case $uri in cdrom:*) continue ;; esac
        if fetch_from "$uri" "$keyring"; then return; fi
    done <"$work/archives"
    die "no archive of this machine's apt configuration could give the $source_suite sources of
        $wanted; is there a network? Else $help"
}

# unpack NAME VERSION SHA256: checked against the pinned hash, with the distribution's patches.
unpack() {
    tarball=$1_$2.orig.tar.gz
    [ -f "$tarball" ] || die "$tarball is missing"
    echo "$3  $tarball" | sha256sum -c --quiet - >&2 || die "$tarball is not the file that is pinned in recipe.sh"
    tar xf "$tarball"
    for patches in "$1_$2"-*.debian.tar.*; do
        [ -f "$patches" ] || continue
        rm -rf debian
        tar xf "$patches"
        [ -f debian/patches/series ] || continue
        sed 's/#.*//' debian/patches/series | while read -r name; do
            [ -n "$name" ] || continue
            patch -d "$1-$2" -sNp1 -i "../debian/patches/$name" >&2 || die "$1: patch $name does not apply"
        done
    done
}

# compile NAME VERSION OPTIONS
compile() {
    say "building $1 $2 (once)"
    # shellcheck disable=SC2086 # the options are a list of words
    {
        cmake -S "$1-$2" -B "build-$1" -DCMAKE_BUILD_TYPE=Release -DCMAKE_INSTALL_PREFIX="$partial" \
            -DCMAKE_INSTALL_LIBDIR=lib -DCMAKE_POSITION_INDEPENDENT_CODE=ON $3 &&
            cmake --build "build-$1" -j"$(nproc)" && cmake --install "build-$1"
    } >"$work/$1.log" 2>&1 || { tail -n 40 "$work/$1.log" >&2; die "$1 could not be built"; }
}

# Everything happens in a folder beside the cache and is renamed at the end: an interrupted build leaves
# nothing that looks finished.
build() {
    # An empty folder may be replaced; one with somebody's things in it may not.
    [ ! -d "$prefix" ] || rmdir "$prefix" 2>/dev/null || die "$prefix holds other things; name another PARLEY_DEPS"
    partial=$prefix.partial
    work=$(mktemp -d)
    trap 'rm -rf "$work" "$partial"' EXIT
    trap 'exit 130' INT TERM HUP
    rm -rf "$partial"
    mkdir -p "$partial" "$work/src"
    cd "$work/src"
    fetch
    unpack libwebsockets $lws_version $lws_sha256
    unpack hiredis $hiredis_version $hiredis_sha256
    compile libwebsockets $lws_version "$lws_options"
    compile hiredis $hiredis_version "$hiredis_options"
    # These speak of the temporary folder; CMakeLists.txt names the archives itself.
    rm -rf "$partial/lib/pkgconfig" "$partial/lib/cmake" "$partial/share" "$partial/bin" "$partial/build"
    cd /
    [ -f "$partial/lib/libwebsockets.a" ] && [ -f "$partial/lib/libhiredis.a" ] || die "nothing was installed"
    mv "$partial" "$prefix"
    say "libraries are in $prefix"
}

built() {
    for name in $wanted; do [ -f "$prefix/lib/lib${name#lib}.a" ] || return 1; done
}

ready() {
    wanted=""
    if [ -n "${PARLEY_DEPS:-}" ] || ! system_has libwebsockets $lws_min; then wanted=libwebsockets; fi
    if [ -n "${PARLEY_DEPS:-}" ] || ! system_has hiredis $hiredis_min; then wanted="$wanted hiredis"; fi
    built
}

ensure() {
    if ready; then return; fi
    mkdir -p "$(dirname "$prefix")"
    # Of two runs at once one builds, the other waits and finds it done.
    exec 9>"$prefix.lock"
    flock 9
    if built; then return; fi
    wanted="libwebsockets hiredis" # both, always: a cache is whole or absent
    build
}

case ${1:-} in
ensure) ensure ;;
ready) ready ;;
where) echo "$prefix" ;;
*) die "usage: libraries.sh ensure|ready|where" ;;
esac
