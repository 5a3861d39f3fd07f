#!/usr/bin/env bash
# Compares a context of 200,000 PDUs with one of 200: composing, accepting and serving messages, on real files in $TMPDIR.
#
#   scripts/history-bench.sh
#
# Prints medians and their ratios; fails if the long context is slower by more than a fifth.
set -euo pipefail
cd "$(dirname "$0")/.."
exec cargo bench --quiet --bench history
