#!/usr/bin/env bash
# Composing, taking and serving older messages in a context of 200,000 PDUs against one of 200, on real files in $TMPDIR.
#
#   scripts/history-bench.sh
#
# Prints medians and their ratios; fails when the long one is slower by more than a fifth.
set -euo pipefail
cd "$(dirname "$0")/.."
exec cargo bench --quiet --bench history
