#!/usr/bin/env bash
# Measures a gateway with 9,900 connections that say nothing beside 100 honest peers, plain and by TLS: memory of a silent connection,
# and the delay of the honest peers' updates. Takes about three minutes. Fails if the silent ones take more than 64 MiB, or if the
# middle p99 of the honest peers is more than 1.2 times that without them.
#
#   scripts/silent.sh [SILENT]        silent connections (9900)
#
#   FERNPOST_BIN      the program to use instead of building it
#   FERNPOST_HONEST   honest peers, with four updates a second each (100)
#   FERNPOST_SECONDS  length of each of the two turns of a round (5)
#   FERNPOST_ROUNDS   rounds (7)
#   FERNPOST_RATIO    largest ratio of p99 (1.2)
set -euo pipefail
export LC_ALL=C
cd "$(dirname "$0")/.."

silent=${1:-9900}
[[ $silent =~ ^[1-9][0-9]*$ ]] || { echo "silent: the number of connections is a number above 0, unlike '$silent'" >&2; exit 2; }
if [[ -z ${FERNPOST_BIN:-} ]]; then
  cargo build --release --locked --quiet --bin fernpost
  FERNPOST_BIN=${CARGO_TARGET_DIR:-$PWD/target}/release/fernpost
fi
export FERNPOST_BIN FERNPOST_SILENT=$silent FERNPOST_HONEST=${FERNPOST_HONEST:-100} FERNPOST_SECONDS=${FERNPOST_SECONDS:-5}
export FERNPOST_ROUNDS=${FERNPOST_ROUNDS:-7} FERNPOST_RATIO=${FERNPOST_RATIO:-1.2}

output=$(mktemp)
trap 'rm -f "$output"' EXIT
# The tests run one after the other, so that each is measured alone.
status=0
cargo test --quiet --locked --test process silent:: -- --nocapture --test-threads=1 >"$output" 2>&1 || status=$?
model=$(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1)
echo "machine: $(nproc) cores, ${model:-unknown CPU}, $(uname -sr); load average now $(cut -d' ' -f1-3 /proc/loadavg)"
echo "command: scripts/silent.sh $silent"
sed -n 's/^\.*figures: //p' "$output"
if [[ $status != 0 ]]; then
  grep -A 4 'panicked at' "$output" | cut -c 1-400 | head -n 30 >&2
  echo "silent: FAILED" >&2
  exit 1
fi
