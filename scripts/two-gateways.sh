#!/usr/bin/env bash
# Starts gateways from config/two-gateways that are peers of each other, until Ctrl-C: red and blue, and with the argument
# `green` a third one, to which both send transactions.
#
#   scripts/two-gateways.sh [green]
#
#   FERNPOST_BIN  the program (built with `cargo build --release` unless given)
#
# Their data stays in target/two-gateways between runs; remove that folder to start with empty stores.
set -euo pipefail
cd "$(dirname "$0")/.."

names=(red blue)
case "${1:-}" in
  "") ;;
  green) names+=(green) ;;
  *)
    echo "usage: scripts/two-gateways.sh [green]" >&2
    exit 2
    ;;
esac

binary=${FERNPOST_BIN:-}
if [[ -z $binary ]]; then
  cargo build --release --locked --bin fernpost
  binary=${CARGO_TARGET_DIR:-target}/release/fernpost
fi

data=target/two-gateways
pids=()
stop() {
  # Stops only the processes started here; each finishes its requests in progress.
  for pid in ${pids[@]+"${pids[@]}"}; do kill -TERM "$pid" 2>/dev/null || true; done
  wait
  echo "all have stopped; their data is in $data"
}
trap stop EXIT
trap 'exit 0' INT TERM

mkdir -p "$data"
declare -A ports=([red]=988 [blue]=989 [green]=990)
for name in "${names[@]}"; do
  "$binary" serve --config "config/two-gateways/$name.toml" 2>>"$data/$name.log" &
  pids+=($!)
  at=http://127.0.0.1:${ports[$name]}
  printf '%-6s peers %s0  messenger %s1/v1  health %s2/health/ready  log %s\n' "$name" "$at" "$at" "$at" "$data/$name.log"
done
echo "Ctrl-C stops them."

# If one ends by itself, the others are stopped.
wait -n || true
for name in "${names[@]}"; do tail -n 3 "$data/$name.log" >&2; done
exit 1
