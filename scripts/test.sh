#!/usr/bin/env bash
# Everything that must be green: style, types, direction of imports, sizes, tests. Further arguments go to pytest.
set -euo pipefail

source "$(dirname "${BASH_SOURCE[0]}")/setup.sh"
setup dev,eval,video,train,deepspeed
cd "$ROOT"
BIN="$ROOT/.venv/bin"

"$BIN/ruff" check .
"$BIN/mypy"
"$BIN/lint-imports"
"$PYTHON" scripts/house.py --check
"$PYTHON" -m pytest -q "$@"
