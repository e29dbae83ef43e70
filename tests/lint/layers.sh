#!/bin/sh
# SPDX-License-Identifier: MIT
# Fails when an include points upwards or sideways, when modules of one layer include each other in a circle, or
# when a library's header is used outside the modules that own it. The two tables are the architecture: change
# them in the same commit as the code, with the reason.
#
#   layers.sh            check
#   layers.sh --picture  print which layer includes which, and which libraries, as gateway/README.md shows it
set -eu
cd "$(dirname "$0")/../.."

# layer, rank, then its modules or folders. Layers of one rank are siblings and never include each other. A file
# of a folder that has layers below it (gateway/) belongs to the longest match.
layers="
main   5 gateway/main gateway/serve gateway/workers
ops    4 gateway/ops/
chat   3 gateway/chat/
edge   2 gateway/edge/
bus    2 gateway/bus/
base   1 gateway/
cli    1 client/cli/
common 0 common/
"

# Header (or its folder), what the picture calls it, then the modules (or folders) that may include it.
# common/ does no I/O, so sockets begin in the gateway.
libraries="
libwebsockets.h libwebsockets gateway/edge/
hiredis/        hiredis       gateway/bus/
cjson/          cJSON         common/json
event2/         libevent      gateway/loop gateway/edge/evlib gateway/edge/listener gateway/bus/redis gateway/bus/link
openssl/        OpenSSL       gateway/edge/
zlib.h          zlib          gateway/edge/
sys/socket.h    -             gateway/ client/cli/
netinet/        -             gateway/ client/cli/
netdb.h         -             gateway/ client/cli/
sys/epoll.h     -             client/cli/
pthread.h       -             -
check.h         -             -
"

# One line for each include: "file header".
includes() {
    tests/lint/files.sh c | grep '^\(common\|gateway\|client\)/' | while read -r file; do
        sed -n 's/^[ \t]*#[ \t]*include[ \t]*[<"]\([^">]*\)[">].*/\1/p' "$file" | sed "s|^|$file |"
    done
}

includes | awk -v layers="$layers" -v libraries="$libraries" -v picture="${1:-}" '
function fail(text) { if (picture == "") print "layers: " text; bad = picture == "" }

function layer_of(path,    i, best, longest) {
    best = longest = 0
    for (i in folder)
        if (length(i) > longest && matches(path, i)) { longest = length(i); best = folder[i] }
    return best
}

# A folder ends in a slash and holds everything below it; anything else is one module.
function matches(module, owner) {
    return module == owner || (owner ~ /\/$/ && index(module, owner) == 1)
}

function owned_by(module, owners,    i, n, owner) {
    n = split(owners, owner, " ")
    for (i = 1; i <= n; i++) if (matches(module, owner[i])) return 1
    return 0
}

BEGIN {
    n = split(layers, line, "\n")
    for (i = 1; i <= n; i++)
        if ((k = split(line[i], word, " ")) >= 3) {
            layer_count++; name[layer_count] = word[1]; rank[layer_count] = word[2]
            for (j = 3; j <= k; j++) folder[word[j]] = layer_count
        }
    n = split(libraries, line, "\n")
    for (i = 1; i <= n; i++)
        if ((k = split(line[i], word, " ")) >= 3) {
            library_count++; header[library_count] = word[1]; title[library_count] = word[2]
            for (j = 3; j <= k; j++) owners[library_count] = owners[library_count] " " word[j]
        }
}

{
    from = $1; sub(/\.[ch]$/, "", from)
    to = $2; sub(/\.h$/, "", to)
    here = layer_of(from)
    seen[here] = 1
    for (i = 1; i <= library_count; i++)
        if (index($2, header[i]) == 1) {
            if (!owned_by(from, owners[i])) fail($1 " may not include <" $2 ">: it belongs to" owners[i])
            else if (title[i] != "-") uses_library[here, i] = 1
        }
    if ($2 !~ /\//  || $2 !~ /^(common|gateway|client|deploy|tests)\//) next
    there = layer_of(to)
    if (!there) { fail($1 " may not include " $2 ": it is in no layer"); next }
    if (there != here) {
        if (rank[there] >= rank[here]) fail($1 " (" name[here] ") may not include " $2 " (" name[there] ")")
        uses[here, there] = 1
    } else if (to != from) {
        near++; near_from[near] = from; near_to[near] = to
    }
    file[from] = 1
}

# A module that grew is split into parts: json_scan.c is a part of json, and they may share what is inside it.
function module_of(path,    whole) {
    whole = path
    while (match(whole, /_[^_\/]*$/)) {
        whole = substr(whole, 1, RSTART - 1)
        if (whole in file) return whole
    }
    return path
}

function collect_edges(    i, from, to) {
    for (i = 1; i <= near; i++) {
        from = module_of(near_from[i]); to = module_of(near_to[i])
        if (from == to || (from, to) in edge) continue
        edge[from, to] = node[from] = node[to] = 1
    }
}

# Takes away modules that include nothing that is left, or that nothing left includes; the rest is circles.
function circles(    changed, m, pair, end, out, into) {
    do {
        changed = 0
        delete out; delete into
        for (pair in edge) {
            split(pair, end, SUBSEP)
            if (node[end[1]] && node[end[2]]) { out[end[1]] = 1; into[end[2]] = 1 }
        }
        for (m in node) if (node[m] && !(out[m] && into[m])) { node[m] = 0; changed = 1 }
    } while (changed)
    for (pair in edge) {
        split(pair, end, SUBSEP)
        if (node[end[1]] && node[end[2]]) fail("a circle of includes: " end[1] " includes " end[2])
    }
}

END {
    collect_edges()
    circles()
    if (picture == "--picture") {
        print "```text"
        for (i = 1; i <= layer_count; i++) {
            if (!seen[i]) continue
            row = ""; libs = ""
            for (j = 1; j <= layer_count; j++) if (uses[i, j]) row = row " " name[j]
            for (j = 1; j <= library_count; j++) if (uses_library[i, j]) libs = libs " " title[j]
            text = sprintf("%-7s -> %s", name[i], row == "" ? "nothing of ours" : substr(row, 2))
            if (libs != "") text = sprintf("%-45s |%s", text, libs)
            print text
        }
        print "```"
    } else if (!bad) print "layers: ok"
    exit bad
}'
