#!/usr/bin/env bash
# Measures TLS handshakes with client certificates: full and resumed ones a second, their cost to the gateway, and the delay of honest
# peers' updates beside a flood of full ones. The callers share the cores with the gateway. Takes about half a minute.
#
#   scripts/handshakes.sh
#
#   FERNPOST_BIN      the program to use instead of building it
#   FERNPOST_HONEST   honest peers, with four updates a second each (100)
#   FERNPOST_SECONDS  length of each part (5)
set -euo pipefail
export LC_ALL=C
cd "$(dirname "$0")/.."

if [[ -z ${FERNPOST_BIN:-} ]]; then
  cargo build --release --locked --quiet --bin fernpost
  FERNPOST_BIN=${CARGO_TARGET_DIR:-$PWD/target}/release/fernpost
fi
export FERNPOST_BIN FERNPOST_HONEST=${FERNPOST_HONEST:-100} FERNPOST_SECONDS=${FERNPOST_SECONDS:-5}

output=$(mktemp)
trap 'rm -f "$output"' EXIT
status=0
cargo test --quiet --locked --test process handshakes::handshakes -- --nocapture --test-threads=1 >"$output" 2>&1 || status=$?
model=$(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1)
echo "machine: $(nproc) cores, ${model:-unknown CPU}, $(uname -sr); load average now $(cut -d' ' -f1-3 /proc/loadavg)"
echo "command: scripts/handshakes.sh"
sed -n 's/^\.*figures: //p' "$output"
if [[ $status != 0 ]]; then
  grep -A 4 'panicked at' "$output" | cut -c 1-400 | head -n 30 >&2
  echo "handshakes: FAILED" >&2
  exit 1
fi
