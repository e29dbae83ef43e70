#!/bin/sh
# SPDX-License-Identifier: MIT
# Makes a machine ready: `deploy/setup.sh build`, `deploy/setup.sh build run`, `deploy/setup.sh build run test`.
# Does nothing, quickly, when nothing is missing. `make`, `make run` and `make test` call it by themselves.
set -eu
here=$(dirname "$0")
"$here/setup/packages.sh" "$@"
"$here/setup/libraries.sh" ensure
