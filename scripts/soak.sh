#!/usr/bin/env bash
# Runs many seeds of the simulation on all cores, in a release build.
#
#   scripts/soak.sh N [FIRST]
#
# Runs the seeds FIRST (0) to FIRST+N-1, one process on each core, with a line of progress on a terminal. Each seed that fails
# is printed with the command that repeats it and the log with its last events. Then come the counts
# of all seeds: how often each fault occurred and each path was executed. The last line is `N seeds, F failed, T s`.
# Exits 1 if a seed failed, 2 if nothing could be run.
#
#   SOAK_BIN   the simulation's test binary, to use instead of building it
#   SOAK_STOP  seconds after which a chunk of 50 seeds is stopped; the seed that runs then fails (900)
set -euo pipefail
export LC_ALL=C RUST_BACKTRACE=0
cd "$(dirname "$0")/.."

fail() { echo "soak: $*" >&2; exit 2; }
[[ ${1:-} =~ ^[1-9][0-9]*$ && ${2:-0} =~ ^[0-9]+$ && $# -le 2 ]] || fail "usage: scripts/soak.sh N [FIRST]"
count=$1 first=${2:-0} chunk=50
end=$((first + count))

binary=${SOAK_BIN:-}
if [[ -z $binary ]]; then
  # The path of the binary is the last part of cargo's output.
  binary=$(cargo test --release --locked --test simulation --no-run 2>&1 | tee /dev/stderr |
    sed -n 's/.*Executable.*(\(.*\))$/\1/p') || fail "the simulation does not build"
fi
[[ -x $binary ]] || fail "no program at $binary"

logs=$(mktemp -d "${TMPDIR:-/tmp}/fernpost-soak.XXXXXX")
cores=$(getconf _NPROCESSORS_ONLN)
workers=()
# Stops only the processes started here, by their ids.
trap 'for pid in ${workers[@]+"${workers[@]}"}; do kill "$pid" 2>/dev/null || true; done; exit 2' INT TERM

# worker K: runs every cores-th chunk of seeds, one after the other.
worker() {
  local at last
  for ((at = first + $1 * chunk; at < end; at += cores * chunk)); do
    last=$((at + chunk < end ? at + chunk : end))
    FERNPOST_THREADS=1 FERNPOST_SEEDS=$at..$last timeout "${SOAK_STOP:-900}" "$binary" --nocapture --test-threads 1 seeds_keep_every_promise \
      >"$logs/$at" 2>&1 ||
      echo "$at" >>"$logs/failed"
    echo $((last - at)) >>"$logs/done"
  done
}

began=$SECONDS
for ((k = 0; k < cores; k++)); do worker "$k" & workers+=($!); done

ran() { awk '{ sum += $1 } END { print sum + 0 }' "$logs/done" 2>/dev/null || echo 0; }
if [[ -t 1 ]]; then
  while [[ $(ran) -lt $count ]] && jobs -r | grep -q .; do
    printf '\r%d of %d seeds, %d s ' "$(ran)" "$count" $((SECONDS - began))
    sleep 1
  done
  printf '\r\033[K'
fi
wait

failed=0
for log in $(sort -n "$logs/failed" 2>/dev/null || true); do
  commands=$(sed -n 's/^again: //p' "$logs/$log")
  # A seed without a verdict failed too: its process died, or never ended.
  [[ -n $commands ]] || commands="(no verdict on seed $((log + $(grep -c '^seed [0-9]*$' "$logs/$log" || true))))"
  failed=$((failed + $(wc -l <<<"$commands")))
  sed "s|\$|   # $logs/$log|" <<<"$commands"
done
cat "$logs"/[0-9]* | awk '
  $1 == "count" { number = $2; sub(/^count +[0-9]+ +/, ""); sum[$0] += number }
  END { for (what in sum) printf "%10d  %s\n", sum[what], what }' | sort -k 2
echo "$(ran) seeds, $failed failed, $((SECONDS - began)) s"
[[ $failed -eq 0 ]] || exit 1
rm -rf "$logs"
