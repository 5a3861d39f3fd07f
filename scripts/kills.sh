#!/usr/bin/env bash
# Kills gateways (SIGKILL) at random moments under load: three release binaries with both dialects, real files, real sockets.
#
#   scripts/kills.sh [N]     kills (200)
#
#   FERNPOST_BIN   the program to use instead of building it
#   FERNPOST_SEED  seed of the random choice of kills
#
# Prints one line of figures; exits non-zero if an acknowledged item is lost, or is twice or out of order in a feed.
set -euo pipefail
export LC_ALL=C
cd "$(dirname "$0")/.."

kills=${1:-200}
[[ $kills =~ ^[1-9][0-9]*$ ]] || { echo "kills: the number of kills is above 0, not '$kills'" >&2; exit 2; }
if [[ -z ${FERNPOST_BIN:-} ]]; then
  cargo build --release --locked --quiet --bin fernpost
  FERNPOST_BIN=${CARGO_TARGET_DIR:-$PWD/target}/release/fernpost
fi
export FERNPOST_BIN FERNPOST_KILLS=$kills

output=$(mktemp)
trap 'rm -f "$output"' EXIT
cargo test --quiet --locked --test process kills::acknowledged_survives_repeated_sigkill -- --nocapture >"$output" 2>&1 ||
  { tail -n 60 "$output" >&2; echo "kills: FAILED" >&2; exit 1; }
model=$(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1)
echo "machine: $(nproc) cores, ${model:-unknown CPU}, $(uname -sr); load average now $(cut -d' ' -f1-3 /proc/loadavg)"
echo "command: scripts/kills.sh $kills"
grep '^figures: ' "$output"
