#!/bin/sh
# SPDX-License-Identifier: MIT
# Lists the project's files of one kind, one a line: c (sources and headers), sources (.c alone), shell, python, all.
# Foreign data under tests/data is nobody's style.
set -eu
cd "$(dirname "$0")/../.."

all() {
    if git rev-parse --git-dir >/dev/null 2>&1; then
        git ls-files --cached --others --exclude-standard
    else
        find . -type f ! -path './build*' ! -path './.git/*' ! -path '*/__pycache__/*' | sed 's|^\./||'
    fi | grep -v '^tests/data/' | while read -r file; do [ ! -f "$file" ] || echo "$file"; done | sort
}

# Scripts have no suffix here, so their first line tells what they are.
scripts() {
    all | while read -r file; do
        case ${file##*/} in
        *.sh | *.py) ;;
        *.*) continue ;;
        esac
        if head -c 200 "$file" | head -n 2 | grep -q "$1"; then echo "$file"; fi
    done
}

case ${1:-} in
all) all ;;
c) all | grep '\.[ch]$' || : ;;
sources) all | grep '^\(common\|gateway\|client\)/.*\.c$' || : ;;
shell) scripts '^#!/bin/\(ba\)\?sh\|shellcheck shell=sh' ;;
python) { all | grep '\.py$' || :; scripts '^#!.*python3'; } | sort -u ;;
*) echo "usage: files.sh all|c|sources|shell|python" >&2; exit 2 ;;
esac
