#!/usr/bin/env bash
# Installs what checks /openapi.json into the folder FOLDER, unless it is there: openapi-tools.sh FOLDER
set -euo pipefail
wanted=$(cd "$(dirname "$0")/.." && pwd)/tests/process/openapi/requirements.txt
folder=$1
if cmp --silent "$wanted" "$folder/installed.txt"; then exit 0; fi
python3 -m venv --clear "$folder"
"$folder/bin/pip" install --quiet --disable-pip-version-check --requirement "$wanted"
# Written last, so that an interrupted installation is repeated.
cp "$wanted" "$folder/installed.txt"
