#!/bin/sh
# SPDX-License-Identifier: MIT
# Generated parts of documents stand between `<!-- NAME:begin -->` and `<!-- NAME:end -->`.
#
#   generator | fresh.sh --check FILE NAME   fails, with a diff, when the part is not what the generator says
#   generator | fresh.sh --write FILE NAME   replaces it
set -eu
mode=$1 file=$2 name=$3

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cat >"$work/new"
[ -s "$work/new" ] || { echo "$file: the generator of \"$name\" printed nothing" >&2; exit 1; }
for mark in begin end; do
    grep -qx "<!-- $name:$mark -->" "$file" || { echo "$file: no line <!-- $name:$mark -->" >&2; exit 1; }
done
awk -v part="$work/new" -v name="$name" '
    $0 == "<!-- " name ":end -->" { inside = 0 }
    !inside { print }
    $0 == "<!-- " name ":begin -->" { inside = 1; while ((getline line < part) > 0) print line }
' "$file" >"$work/file"
case $mode in
--write) cat "$work/file" >"$file" ;;
--check)
    diff -u "$file" "$work/file" || { echo "$file: \"$name\" is stale; run make docs" >&2; exit 1; }
    ;;
esac
