#!/usr/bin/env bash
# Counts the instructions of three hot paths by callgrind and compares them with benches/costs/instructions.txt. A count does not
# depend on what else the machine does.
#
#   scripts/instructions.sh            fails if a path takes over 5 % more, or over 5 % less: then record the gain
#   scripts/instructions.sh --record   writes the counts of this run into the file
#
# It uses the build of the tests, so that it costs no second build: our own crates are not optimised there, the storage engine and the core
# are. What counts show is calls, copies, allocations and rows.
#
# Counts hold for one compiler and for x86-64 with AVX2, because libraries choose other code for other processors: elsewhere they are
# printed and not compared.
#
#   INSTRUCTIONS_BIN  the program, instead of building it with the tests
set -euo pipefail
export LC_ALL=C
cd "$(dirname "$0")/.."
recorded=benches/costs/instructions.txt
paths=(update push message)
bound=5 # percent

command -v valgrind >/dev/null || { echo "instructions: valgrind is not installed" >&2; exit 1; }
program=${INSTRUCTIONS_BIN:-${CARGO_TARGET_DIR:-target}/debug/instructions}
# For the whole workspace, because a part of it would be built again with other features.
if [[ -z ${INSTRUCTIONS_BIN:-} ]]; then cargo test --workspace --no-run --locked --quiet; fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# The address space is laid out the same in every run, and the C library uses the same code on processors with and without AVX-512.
count() {
  GLIBC_TUNABLES=glibc.cpu.hwcaps=-AVX512F,-AVX512VL,-AVX512BW,-ERMS,-FSRM MALLOC_ARENA_MAX=1 \
    setarch -R valgrind --tool=callgrind --toggle-collect='*counted_path*' --callgrind-out-file="$work/$1" \
    "$program" "$1" >"$work/$1.log" 2>&1 || { tail -n 5 "$work/$1.log" >&2; exit 1; }
  awk '/^(summary|totals):/ { n = $2 } END { print n + 0; exit n == 0 }' "$work/$1" ||
    { echo "instructions: nothing was counted for $1" >&2; exit 1; }
}
compiler=$(rustc --version)
# At most as many at once as there are cores: they are independent.
pids=()
for path in "${paths[@]}"; do count "$path" >"$work/$path.count" & pids+=($!); done
for pid in "${pids[@]}"; do wait "$pid"; done

if [[ ${1:-} == --record ]]; then
  {
    echo "# Instructions of 100 updates that are submitted and delivered, 40 pushes of 50 updates, 20 times 50 messages in a context."
    echo "# Written by scripts/instructions.sh --record."
    echo "compiler $compiler"
    for path in "${paths[@]}"; do echo "$path $(cat "$work/$path.count")"; done
  } >"$recorded"
  cat "$recorded"
  exit
fi

compared=yes
[[ $(uname -m) == x86_64 ]] && grep -qw avx2 /proc/cpuinfo || compared="no: they hold for x86-64 with AVX2"
[[ $(sed -n 's/^compiler //p' "$recorded") == "$compiler" ]] || compared="no: they were recorded with another compiler"
status=0
for path in "${paths[@]}"; do
  before=$(awk -v path="$path" '$1 == path { print $2 }' "$recorded") now=$(cat "$work/$path.count")
  awk -v path="$path" -v before="$before" -v now="$now" -v bound=$bound 'BEGIN {
    change = before > 0 ? (now - before) / before * 100 : 100
    printf "%-8s %14d instructions, %14d recorded, %+.1f %%\n", path, now, before, change
    exit change > bound || change < -bound
  }' || status=1
done
if [[ $compared != yes ]]; then
  echo "not compared ($compared)"
elif [[ $status != 0 ]]; then
  echo "instructions: a path changed by more than $bound %. If that is meant, run scripts/instructions.sh --record and say why" >&2
  exit 1
fi
