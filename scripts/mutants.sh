#!/usr/bin/env bash
# Runs cargo-mutants on a sample of the mutants of the machines and of the store's write side.
#
#   scripts/mutants.sh [K/N]     every Nth mutant, beginning with the Kth (0/30: about an hour on two cores)
#
# Each mutant of the machines is tested by the tests of `actors`, and one that these miss by the tests of whole gateways
# (conversations, supervision). Each mutant of the store is tested by the tests of the store. Prints a line for each survivor and
# the share that is caught; exits 1 if that is below 95 % of those that compile, 2 if nothing could be run.
#
#   MUTANTS_OUT    folder for the logs of each mutant (a new one below TMPDIR)
#   MUTANTS_JOBS   mutants tested at the same time (1)
set -euo pipefail
export LC_ALL=C CARGO_TERM_COLOR=never RUST_BACKTRACE=0
cd "$(dirname "$0")/.."

fail() { echo "mutants: $*" >&2; exit 2; }
shard=${1:-0/30}
[[ $shard =~ ^[0-9]+/[1-9][0-9]*$ && $# -le 1 ]] || fail "usage: scripts/mutants.sh [K/N]"
cargo mutants --version >/dev/null 2>&1 || fail "cargo-mutants is not there; add it with: cargo install cargo-mutants --locked"
out=${MUTANTS_OUT:-$(mktemp -d "${TMPDIR:-/tmp}/fernpost-mutants.XXXXXX")}
mkdir -p "$out"

# The files that decide: machines, without their actors, messages and test helpers.
machines=(
  --package fernpost-actors
  --file 'actors/src/context/**' --file 'actors/src/peer/**' --file 'actors/src/overload/**' --file actors/src/backoff.rs
  --exclude '**/actor.rs' --exclude '**/messages.rs' --exclude '**/pages.rs' --exclude '**/tests/**'
)
store=(--package fernpost --file 'src/store/write/**' --file 'src/store/pending/**' --file 'src/store/schema/codec/**')

# run NAME TIMEOUT ARGS...: calls cargo-mutants once; its exit code reports survivors, which are counted at the end.
run() {
  local name=$1 timeout=$2 code=0
  shift 2
  cargo mutants --jobs "${MUTANTS_JOBS:-1}" --colors never --no-times --caught --unviable --timeout "$timeout" --output "$out/$name" "$@" >"$out/$name.log" 2>&1 ||
    code=$?
  case $code in
    0 | 2 | 3) ;;
    *) tail -n 20 "$out/$name.log" >&2; fail "cargo-mutants stopped with $code; its log is $out/$name.log" ;;
  esac
}
lines() { cat "$@" 2>/dev/null || true; }
count() { lines "$@" | grep -c . || true; }

began=$SECONDS
echo "machines, by the tests of actors"
run machines 120 "${machines[@]}" --sharding round-robin --shard "$shard" -- --lib
missed=$out/machines/mutants.out/missed.txt
again=()
while IFS= read -r mutant; do
  again+=(--re "^$(sed 's/[][\\.*^$+?(){}|/]/\\&/g' <<<"$mutant")\$")
done < <(lines "$missed")
if [[ ${#again[@]} -gt 0 ]]; then
  echo "$((${#again[@]} / 2)) of them again, by the tests of whole gateways"
  run gateways 600 "${machines[@]}" "${again[@]}" --baseline skip --test-package fernpost -- --test conversations --test supervision
fi
echo "the store's write side, by the tests of the store"
run store 120 "${store[@]}" --sharding round-robin --shard "$shard" -- --lib --test store

survivors=$(lines "$out"/{gateways,store}/mutants.out/missed.txt)
unviable=$(count "$out"/{machines,store}/mutants.out/unviable.txt)
stopped=$(count "$out"/{machines,store}/mutants.out/timeout.txt)
first=$(count "$out"/{machines,store}/mutants.out/caught.txt)
second=$(count "$out"/gateways/mutants.out/caught.txt "$out"/gateways/mutants.out/timeout.txt)
missed=$(grep -c . <<<"$survivors" || true)
caught=$((first + stopped + second)) viable=$((first + stopped + second + missed))
[[ $viable -gt 0 ]] || fail "the sample $shard holds no mutant that compiles"
[[ -z $survivors ]] || sed 's/^/survived: /' <<<"$survivors"
echo "$viable viable mutants, $caught caught ($((1000 * caught / viable)) of 1,000), $unviable did not compile, $((SECONDS - began)) s; logs: $out"
[[ $((100 * caught)) -ge $((95 * viable)) ]]
