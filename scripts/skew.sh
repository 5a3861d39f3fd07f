#!/usr/bin/env bash
# Lets this version talk with another one, as in the days of an upgrade: the conversation of tests/process/peers/skew.rs, with each of
# the two versions on each side.
#
#   scripts/skew.sh [COMMIT]
#
#   COMMIT          the other version; without it the last tag before this commit
#   FERNPOST_BIN    the program of this version (a debug build unless given)
#   SKEW_DIR        folder of the other version's program, which is kept there (skew in the target folder)
set -euo pipefail
cd "$(dirname "$0")/.."

other=${1:-$(git describe --tags --abbrev=0 HEAD^ 2>/dev/null || true)}
[[ -n $other ]] || { echo "no version is tagged yet; name a commit: scripts/skew.sh COMMIT" >&2; exit 2; }
commit=$(git rev-parse --verify "$other^{commit}")
target=${CARGO_TARGET_DIR:-$PWD/target}
folder=${SKEW_DIR:-$target/skew}
old=$folder/$commit/fernpost

if [[ ! -x $old ]]; then
  echo "==> build of $other"
  source=$(mktemp -d)
  trap 'rm -rf "$source"' EXIT
  git archive "$commit" | tar --extract --directory "$source"
  # A target folder of its own, which the next version to compare with uses again.
  (cd "$source" && FERNPOST_COMMIT=$commit CARGO_TARGET_DIR=$folder/build cargo build --locked --bin fernpost)
  install -D -m 755 "$folder/build/debug/fernpost" "$old"
fi
new=${FERNPOST_BIN:-}
if [[ -z $new ]]; then
  cargo build --locked --bin fernpost
  new=$target/debug/fernpost
fi

# talk BINARY PEER: the conversation, counted, because a filter that fits no test would pass.
talk() {
  echo "==> $1 with $2"
  FERNPOST_BIN=$1 FERNPOST_PEER_BIN=$2 cargo test --locked --test process peers::skew:: | tee "$folder/output"
  grep -q '^test result: ok. 2 passed' "$folder/output"
}
talk "$new" "$old"
talk "$old" "$new"
echo "$commit and this version understand each other"
