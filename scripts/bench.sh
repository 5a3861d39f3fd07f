#!/usr/bin/env bash
# Measures the cost of the gateway, as ratios to a bare durable relay that the same client drives in the same minutes.
#
#   scripts/bench.sh [--only NAMES] [--record] [ROUNDS]
#   scripts/bench.sh --scale [--only NAMES] [--record] [ROUNDS]
#
# Two relays ("floor", and "floor-1000" with up to 1,000 items a push) and two gateways take turns on loopback, each pair on
# fresh data. NAMES are, with commas: updates, messages, transactions (messages to peers of that dialect), tls (mutual
# authentication), signed (signed requests), latency (a fixed rate), fanout (2, 100 and 1,000 peers), steady (past
# retain_items, feed trimmed), memory, syncs. Without --only all are measured. Prints CPU, rate, latency, syncs, system calls, context
# switches, rows and bytes written a message, their ratios to the relays, and the goals. Ratios are those of one round, because the speed of
# a machine drifts. Exits non-zero if an update is lost, arrives twice or out of order, or a server ends.
#
# --scale measures cost against size; its NAMES are peers (10 to 10,000), history (a context of 200 to 200,000 PDUs), contexts (10
# to 10,000 at once), backlog (1,000,000 updates for a peer that is down, SIGKILL, restart, delivery), store (up to 1 GB that is queued,
# SIGKILL, restart) and through (1,000,000 updates pass; the size of the files then).
# --record adds the figures to benches/history.jsonl and benches/RESULTS.md, and draws benches/plots again.
#
#   FERNPOST_BIN FLOOR_BIN LOAD_BIN  programs to use instead of those built here; with all three nothing is built
#   FERNPOST_BIN_B                   a second gateway, measured in the same rounds
#   MESSAGES_1 MESSAGES_50           updates a run (20000, 100000); messages in contexts are half as many
#   RATE SECONDS_LATENCY             updates a second, and for how long, in the latency run (100, 5)
#   DELIVERIES                       deliveries of a fan-out (50000)
#   BACKLOG BACKLOG_SIZE             items of backlog and through (1000000), bytes of one (600)
#   STORE                            greatest store in MB (1000; 10000 needs 25 GB of the disk)
#   LARGEST                          greatest size of --scale (200000)
#   CONNECTIONS SIZE                 connections that submit, bytes of an update (64, 600)
#   ACK                              how the feed is acknowledged: read (with the next read) or call (read)
#   DEADLINE                         maximum seconds of one run (300)
#   PORT                             the first of ten loopback ports to listen on (18700)
#   BENCH_DIR                        folder for the data, on the disk to measure ($TMPDIR or /tmp)
#   BENCH_COMMIT                     commit that the figures are recorded for (that of this folder)
set -euo pipefail
export LC_ALL=C
here=$(cd "$(dirname "$0")/.." && pwd)
command -v python3 >/dev/null || { echo "bench: python3 is not installed" >&2; exit 1; }

target=${CARGO_TARGET_DIR:-$here/target}
asks_only() { for argument in "$@"; do [[ $argument == --help || $argument == -h ]] && return; done; return 1; }
if ! asks_only "$@" && [[ -z ${FERNPOST_BIN:-} || -z ${FLOOR_BIN:-} || -z ${LOAD_BIN:-} ]]; then
  (cd "$here" && cargo build --release --locked --quiet -p fernpost -p floor)
fi
export FERNPOST_BIN=${FERNPOST_BIN:-$target/release/fernpost} FLOOR_BIN=${FLOOR_BIN:-$target/release/floor}
export LOAD_BIN=${LOAD_BIN:-$target/release/load}
commit=$(git -C "$here" rev-parse --short HEAD 2>/dev/null || echo unknown)
export BENCH_COMMIT=${BENCH_COMMIT:-$commit} PYTHONDONTWRITEBYTECODE=1
exec python3 "$here/benches/harness/main.py" "$@"
