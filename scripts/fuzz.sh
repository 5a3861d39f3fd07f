#!/usr/bin/env bash
# Runs the fuzz targets under libFuzzer with the stable compiler: fuzz.sh [RUNS] [TARGET...]; default: 10,000,000 runs of each target.
#
# Coverage is instrumented by stable code generation options, and libFuzzer itself comes with the crate libfuzzer-sys, so that
# neither nightly nor cargo-fuzz is needed (`cargo +nightly fuzz run target` works as well). A finding is written to fuzz/artifacts.
set -euo pipefail
cd "$(dirname "$0")/.."
runs=${1:-10000000}
shift || true
targets=("$@")
if [[ ${#targets[@]} = 0 ]]; then
  mapfile -t targets < <(sed -n 's/^    ("\([a-z_]*\)", [a-z_]*),$/\1/p' src/fuzz_targets.rs)
fi
export RUSTFLAGS="-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
-Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
-Cllvm-args=-sanitizer-coverage-trace-compares --cfg fuzzing -Cdebug-assertions"
target_dir=${CARGO_TARGET_DIR:-$PWD/fuzz/target}
triple=$(rustc -vV | sed -n 's/^host: //p')
# With --target, build scripts and macros are built without the instrumentation.
cargo build --release --manifest-path fuzz/Cargo.toml --target "$triple" --target-dir "$target_dir"
for target in "${targets[@]}"; do
  corpus=fuzz/corpus/$target
  mkdir -p "$corpus" fuzz/artifacts
  began=$SECONDS
  log=$(mktemp)
  FUZZ_TARGET=$target "$target_dir/$triple/release/target" -runs="$runs" -max_len=4096 -timeout=10 -print_final_stats=1 \
    -artifact_prefix="fuzz/artifacts/$target-" "$corpus" >"$log" 2>&1 || { tail -30 "$log"; echo "$target: FAILED" >&2; exit 1; }
  echo "$target: $(sed -n 's/^stat::number_of_executed_units: *//p' "$log") runs in $((SECONDS - began)) s"
  rm -f "$log"
done
