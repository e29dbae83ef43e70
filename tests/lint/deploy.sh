#!/bin/sh
# SPDX-License-Identifier: MIT
# The shipped configurations are valid: HAProxy's as it stands and as the local cluster fills it in; nginx's and the
# systemd unit where this machine has the programs to ask.
set -eu
cd "$(dirname "$0")/../.."
PATH=$PATH:/usr/sbin:/sbin

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -B - "$work" >"$work/local.cfg" <<'PY'
import sys
sys.path.insert(0, "deploy/local")
import haproxy
sys.stdout.write(haproxy.render(8080, [("gw-1", 8081, 9081), ("gw-2", 8082, 9082)], sys.argv[1] + "/socket"))
PY
for config in deploy/haproxy/haproxy.cfg "$work/local.cfg"; do
    # A warning is a line that does not do what it says.
    output=$(haproxy -c -f "$config" 2>&1) || { echo "$output"; exit 1; }
    case $output in
    *WARNING*) echo "$output"; exit 1 ;;
    esac
done

if command -v nginx >/dev/null; then
    nginx -t -q -c "$PWD/deploy/nginx/nginx.conf" -g "pid $work/pid; error_log $work/log;"
fi

# systemd's own score of what the service could do if it were taken over; 10 is the worst.
if command -v systemd-analyze >/dev/null; then
    systemd-analyze security --offline=true --threshold=20 deploy/systemd/parley.service >"$work/score" ||
        { cat "$work/score"; exit 1; }
fi
echo "deploy: ok"
