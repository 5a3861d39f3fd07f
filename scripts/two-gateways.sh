#!/usr/bin/env bash
# Two gateways on this machine that know each other, from config/two-gateways, until Ctrl-C.
#
#   FERNPOST_BIN  the program (built with `cargo build --release` unless given)
#
# Their data stays in target/two-gateways between runs; remove that folder to begin anew.
set -euo pipefail
cd "$(dirname "$0")/.."

binary=${FERNPOST_BIN:-}
if [[ -z $binary ]]; then
  cargo build --release --locked --bin fernpost
  binary=${CARGO_TARGET_DIR:-target}/release/fernpost
fi

data=target/two-gateways
pids=()
stop() {
  # Only what was started here; each finishes what is under way.
  for pid in ${pids[@]+"${pids[@]}"}; do kill -TERM "$pid" 2>/dev/null || true; done
  wait
  echo "both have stopped; their data is in $data"
}
trap stop EXIT
trap 'exit 0' INT TERM

mkdir -p "$data"
for name in red blue; do
  "$binary" serve --config "config/two-gateways/$name.toml" 2>>"$data/$name.log" &
  pids+=($!)
done
cat <<TEXT
red    peers http://127.0.0.1:9880  messenger http://127.0.0.1:9881/v1  health http://127.0.0.1:9882/health/ready  log $data/red.log
blue   peers http://127.0.0.1:9890  messenger http://127.0.0.1:9891/v1  health http://127.0.0.1:9892/health/ready  log $data/blue.log
Ctrl-C stops both.
TEXT

# One that ends by itself ends the other.
wait -n || true
tail -n 3 "$data/red.log" "$data/blue.log" >&2
exit 1
