#!/usr/bin/env bash
# Everything that must be green: style, types, direction of imports, sizes, tests. Further arguments go to pytest.
set -euo pipefail

source "$(dirname "${BASH_SOURCE[0]}")/setup.sh"
setup dev,eval,video,video-in,train,deepspeed,align,watch,datasets,smplx,serve,onnx
cd "$ROOT"
BIN="$ROOT/.venv/bin"

"$BIN/ruff" check .
"$BIN/mypy"
"$BIN/lint-imports"
"$PYTHON" scripts/structure.py --check
# Two processes, a file of tests to each in turn, that share the cores between them; TEST_WORKERS=0 means none.
WORKERS="${TEST_WORKERS:-2}"
CORES="$("$PYTHON" -c 'import os; print(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count())')"
export OMP_NUM_THREADS="${OMP_NUM_THREADS:-$((WORKERS > 0 && CORES > WORKERS ? CORES / WORKERS : 1))}"
"$PYTHON" -m pytest -q --numprocesses "$WORKERS" --dist loadfile "$@"
