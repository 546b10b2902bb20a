#!/usr/bin/env bash
# From a sentence to a moving person, from a fresh clone: bash scripts/demo.sh ["a person jumps"]
# Writes out/demo/motion.{glb,bvh,npz,png} and prints their paths.
set -euo pipefail

source "$(dirname "${BASH_SOURCE[0]}")/setup.sh"
TEXT="${1:-a person walks forward and waves with the left hand}"
OUT="$ROOT/out/demo"

setup
mkdir -p "$OUT"
"$PYTHON" -m avatargpt generate --seed 0 \
    -o "$OUT/motion.glb" -o "$OUT/motion.bvh" -o "$OUT/motion.npz" -o "$OUT/motion.png" -- "$TEXT"
echo "Type, see it move, edit and export in a browser: bash scripts/studio.sh" >&2
