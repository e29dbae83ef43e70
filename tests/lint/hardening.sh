#!/bin/sh
# SPDX-License-Identifier: MIT
# hardening.sh PROGRAM: it is position independent, its relocations are read-only before main, its stack cannot run,
# and its functions guard their stack frames and their buffers.
set -eu
program=$1
fail() { echo "$program: $1"; bad=1; }
bad=0

headers=$(LC_ALL=C readelf -W -h -l -d -s "$program")
has() { echo "$headers" | grep -Eq "$1"; }

has '^ *Type: +DYN' || fail "is not position independent"
has 'GNU_RELRO' || fail "has no read-only relocations"
has 'BIND_NOW|Flags: .*NOW' || fail "binds lazily"
! has 'GNU_STACK.* RWE ' || fail "has an executable stack"
has '__stack_chk_fail' || fail "has no stack protector"
has '__[a-z]+_chk' || fail "has no fortified calls"
[ $bad = 0 ] && echo "hardening: ok"
exit $bad
