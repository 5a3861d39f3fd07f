#!/usr/bin/env bash
# Runs all checks of a change: formatting, lints, documentation, the demo, the tests, and where valgrind is, instruction counts.
#
# Ends at the first step that fails. The last line counts the tests that ran; the exit code is 0 only if all passed.
set -euo pipefail
export LC_ALL=C CARGO_TERM_COLOR=${CARGO_TERM_COLOR:-never}
cd "$(dirname "$0")/.."

target=${CARGO_TARGET_DIR:-$PWD/target}
output=$(mktemp)
trap 'rm -f "$output"' EXIT

# step TITLE COMMAND...: runs the command and prints how long it took.
step() {
  local title=$1 began=$SECONDS
  shift
  echo "==> $title"
  "$@" || { echo "==> $title: FAILED after $((SECONDS - began)) s" >&2; exit 1; }
  echo "==> $title: fine, $((SECONDS - began)) s"
}

for name in rustfmt clippy; do
  cargo "${name#rust}" --version >/dev/null 2>&1 ||
    { echo "$name is not there; add it with: rustup component add $name" >&2; exit 1; }
done

# Runs the README's command and keeps its output for the count at the end.
# A snapshot that differs fails, whatever the caller's environment says: no snapshot is updated here.
run_tests() { INSTA_UPDATE=no INSTA_FORCE_PASS=0 cargo test --workspace 2>&1 | tee "$output"; }

step "form" cargo fmt --all --check
# --locked: a manifest that does not fit Cargo.lock ends the run before another command could update the lock file.
step "lints" cargo clippy --workspace --all-targets --locked -- -D warnings
step "lints of otlp" cargo clippy --features otlp --lib --test otlp --locked -- -D warnings
step "documentation" env RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --locked --quiet
# The demo uses the build of the tests, so that it costs no second build.
step "build" cargo test --workspace --no-run --locked --quiet
step "demo" "$target/debug/fernpost" demo --check
step "tests" run_tests
step "otlp" cargo test --features otlp --test otlp --locked
if command -v valgrind >/dev/null; then
  step "instructions" scripts/instructions.sh
else
  echo "==> instructions: left out, because valgrind is not installed"
fi

awk '/^test result:/ { passed += $4; failed += $6; ignored += $8 }
  END { print passed + 0 " passed, " failed + 0 " failed, " ignored + 0 " skipped"; exit !(passed > 0 && failed == 0) }' "$output"
