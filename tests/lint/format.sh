#!/bin/sh
# SPDX-License-Identifier: MIT
# Names every C file that `make format` would change.
set -eu
cd "$(dirname "$0")/../.."

work=$(mktemp)
trap 'rm -f "$work"' EXIT
tests/lint/files.sh c | while read -r file; do
    clang-format "$file" >"$work"
    cmp -s "$file" "$work" || echo "$file: not formatted; run make format"
done | tee "$work.found"
if [ -s "$work.found" ]; then rm -f "$work.found"; exit 1; fi
rm -f "$work.found"
echo "format: ok"
