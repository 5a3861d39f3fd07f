#!/usr/bin/env bash
# A peer is down while N items are queued for it, and then comes back. Release binaries on loopback, data in $TMPDIR.
#
#   scripts/outage.sh [N]      N items of about 150 bytes (1000000)
#
# Prints memory, disk, the time to readiness after a clean stop and after SIGKILL, and the rate at which the queue drains.
# Fails if memory grows with the queue, a start takes over five seconds, or an item is missing, twice or out of order.
set -euo pipefail
cd "$(dirname "$0")/.."
n=${1:-1000000}
[[ $n =~ ^[1-9][0-9]*$ ]] || { echo "outage: N must be a number above 0, not '$n'" >&2; exit 1; }
FERNPOST_OUTAGE=$n exec cargo test --release --quiet --test process outage -- --nocapture
