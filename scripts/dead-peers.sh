#!/usr/bin/env bash
# Measures a gateway with a thousand peers, nine hundred of them dead in various ways, simulated by `fernpost peer-sim`: the
# delay of the hundred healthy ones, and the gateway's memory, log and descriptors. Takes about eight minutes.
#
#   scripts/dead-peers.sh [PEERS]     peers (1000)
#
#   FERNPOST_BIN      the program to use instead of building it
#   FERNPOST_RATE     updates per second to the healthy peers (100)
#   FERNPOST_DEAD     number of dead peers (nine of ten); 0 shows the noise of the ratios on this machine
#   FERNPOST_SECONDS  length of each of the two turns of a round (5)
#   FERNPOST_ROUNDS   rounds (20)
set -euo pipefail
export LC_ALL=C
cd "$(dirname "$0")/.."

peers=${1:-1000}
[[ $peers =~ ^[1-9][0-9]*0$ ]] || { echo "dead-peers: the number of peers ends in 0, unlike '$peers'" >&2; exit 2; }
if [[ -z ${FERNPOST_BIN:-} ]]; then
  cargo build --release --locked --quiet --bin fernpost
  FERNPOST_BIN=${CARGO_TARGET_DIR:-$PWD/target}/release/fernpost
fi
export FERNPOST_BIN FERNPOST_PEERS=$peers FERNPOST_RATE=${FERNPOST_RATE:-100} FERNPOST_SECONDS=${FERNPOST_SECONDS:-5}
export FERNPOST_ROUNDS=${FERNPOST_ROUNDS:-20} FERNPOST_CONNECTS=10000

output=$(mktemp)
trap 'rm -f "$output"' EXIT
# The tests run one after the other, so that each is measured alone.
status=0
cargo test --quiet --locked --test process dead:: -- --nocapture --test-threads=1 >"$output" 2>&1 || status=$?
model=$(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1)
echo "machine: $(nproc) cores, ${model:-unknown CPU}, $(uname -sr); load average now $(cut -d' ' -f1-3 /proc/loadavg)"
echo "command: scripts/dead-peers.sh $peers"
sed -n 's/^\.*figures: //p' "$output"
if [[ $status != 0 ]]; then
  grep -A 4 'panicked at' "$output" | cut -c 1-400 | head -n 30 >&2
  echo "dead-peers: FAILED" >&2
  exit 1
fi
