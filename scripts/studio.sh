#!/usr/bin/env bash
# The studio in a browser, from a fresh clone: bash scripts/studio.sh [OPTIONS OF avatargpt serve]
# Prints its address and serves until Ctrl-C.
set -euo pipefail

source "$(dirname "${BASH_SOURCE[0]}")/setup.sh"

setup serve
exec "$PYTHON" -m avatargpt serve "$@"
