# Sourced by demo.sh and test.sh: makes .venv and installs the project into it, once per change of the requirements.
# Defines ROOT and PYTHON. Usage: source scripts/setup.sh; setup [EXTRAS]

ROOT="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
PYTHON="$ROOT/.venv/bin/python"

find_python() {
    local candidate
    for candidate in python3.11 python3.12 python3.13 python3 python; do
        if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            echo "$candidate"
            return
        fi
    done
    echo "error: Python 3.11 or newer is needed and was not found" >&2
    exit 2
}

# The index of CPU-only builds of torch, where it helps: on Linux without an NVIDIA driver the default build brings
# gigabytes of CUDA. Skipped when the index cannot be reached. TORCH_INDEX=URL names another index, empty means none.
torch_index() {
    if [ -n "${TORCH_INDEX+set}" ]; then
        [ -z "$TORCH_INDEX" ] || echo "--extra-index-url $TORCH_INDEX"
        return
    fi
    local url=https://download.pytorch.org/whl/cpu
    if [ "$(uname -s)" = Linux ] && ! command -v nvidia-smi >/dev/null 2>&1 &&
        "$PYTHON" -c "import urllib.request as u; u.urlopen('$url/torch/', timeout=5)" 2>/dev/null; then
        echo "--extra-index-url $url"
    fi
}

setup() {
    local extras="${1:-}" python wanted stamp
    [ -x "$PYTHON" ] || {
        python="$(find_python)"
        echo "making .venv" >&2
        "$python" -m venv "$ROOT/.venv"
    }
    wanted="$(cat "$ROOT/pyproject.toml" "$ROOT/constraints.txt" | cksum) $ROOT"
    stamp="$ROOT/.venv/installed-${extras:-core}.txt"
    [ "$(cat "$stamp" 2>/dev/null)" = "$wanted" ] && return
    echo "installing into .venv (about a minute)" >&2
    # shellcheck disable=SC2046 # the option and its value are two words
    "$PYTHON" -m pip install --quiet --disable-pip-version-check $(torch_index) \
        --editable "$ROOT${extras:+[$extras]}" --constraint "$ROOT/constraints.txt" >&2
    echo "$wanted" >"$stamp"
}
