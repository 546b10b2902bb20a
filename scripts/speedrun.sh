#!/usr/bin/env bash
# The whole training, from corpora to a language model, in one go. With the debug configurations (the default) it takes
# minutes and makes a model that is good for nothing; with --full it makes what is shipped.
set -euo pipefail

usage() {
    cat <<'TEXT'
usage: bash scripts/speedrun.sh --corpus DIR --texts DIR [options]

  --corpus DIR       clips: captions.jsonl, skeleton.json, motions_NN.npz (docs/data.md)
  --texts DIR        body_captions.json, rewrites_train.jsonl
  --planning DIR     train.jsonl, virtualhome.jsonl: more sentences for the text stage
  -o, --output DIR   results and checkpoints (default: runs/speedrun); run again to go on where it stopped
  --full             the configurations of the shipped model instead of the debug ones
  --prepare FILE, --tokenizer FILE, --text FILE, --language FILE
                     other configurations for single stages
  --threads N        CPU threads
  --device NAME      cpu, cuda, ... (default: a GPU when there is one)
TEXT
}

source "$(dirname "${BASH_SOURCE[0]}")/setup.sh"
CORPUS="" TEXTS="" PLANNING="" OUT="$ROOT/runs/speedrun" FULL="" COMMON=()
PREPARE="" TOKENIZER="" TEXT="" LANGUAGE=""
while [ $# -gt 0 ]; do
    case "$1" in
    -h | --help) usage && exit ;;
    --full) FULL=1 && shift && continue ;;
    --corpus | --texts | --planning | -o | --output | --prepare | --tokenizer | --text | --language | --threads | --device) ;;
    *) echo "error: unknown option '$1'; bash scripts/speedrun.sh --help lists them" >&2 && exit 2 ;;
    esac
    [ $# -ge 2 ] || { echo "error: $1 needs a value" >&2 && exit 2; }
    case "$1" in
    --corpus) CORPUS="$2" ;;
    --texts) TEXTS="$2" ;;
    --planning) PLANNING="$2" ;;
    -o | --output) OUT="$2" ;;
    --prepare) PREPARE="$2" ;;
    --tokenizer) TOKENIZER="$2" ;;
    --text) TEXT="$2" ;;
    --language) LANGUAGE="$2" ;;
    --threads | --device) COMMON+=("$1" "$2") ;;
    esac
    shift 2
done
for need in CORPUS:--corpus TEXTS:--texts; do
    name="${need%%:*}"
    [ -n "${!name}" ] || { echo "error: ${need#*:} DIR is needed; bash scripts/speedrun.sh --help" >&2 && exit 2; }
done
C="$ROOT/configs"
if [ -n "$FULL" ]; then
    TOKENIZER="${TOKENIZER:-$C/tokenizer/body.yaml}"
    TEXT="${TEXT:-$C/train/text.yaml}" LANGUAGE="${LANGUAGE:-$C/train/language.yaml}"
else
    PREPARE="${PREPARE:-$C/prepare/debug.yaml}" TOKENIZER="${TOKENIZER:-$C/tokenizer/debug.yaml}"
    TEXT="${TEXT:-$C/train/debug-text.yaml}" LANGUAGE="${LANGUAGE:-$C/train/debug.yaml}"
fi

setup train
train() {
    echo "== $1 -> ${*: -1}" >&2
    "$PYTHON" "$ROOT/scripts/train.py" "${@:1:1}" ${COMMON[@]+"${COMMON[@]}"} "${@:2}"
}

# Stages without steps are skipped when their result is there; the others see themselves that nothing is left to do.
[ -f "$OUT/store/manifest.json" ] ||
    train prepare --corpus "$CORPUS" --texts "$TEXTS" ${PREPARE:+--config "$PREPARE"} -o "$OUT/store"
train tokenizer --config "$TOKENIZER" --store "$OUT/store" -o "$OUT/tokenizer"
if [ -n "$FULL" ]; then # the second stage: the decoder alone, for the same codes
    train tokenizer --config "$C/tokenizer/decoder.yaml" --store "$OUT/store" --start "$OUT/tokenizer" -o "$OUT/decoder"
    FINAL="$OUT/decoder"
else
    FINAL="$OUT/tokenizer"
fi
[ -f "$OUT/codes/manifest.json" ] || train codes --tokenizer "$FINAL" --store "$OUT/store" -o "$OUT/codes"
[ -f "$OUT/grounding/grounding.safetensors" ] ||
    train ground --store "$OUT/store" --texts "$TEXTS" -o "$OUT/grounding"
train language --config "$TEXT" --texts "$TEXTS" ${PLANNING:+--planning "$PLANNING"} --store "$OUT/store" \
    --grounding "$OUT/grounding" -o "$OUT/text"
train language --config "$LANGUAGE" --texts "$TEXTS" --tokenizer "$FINAL" --codes "$OUT/codes" \
    --grounding "$OUT/grounding" --start "$OUT/text" -o "$OUT/language"
if [ -n "$FULL" ]; then # the residual levels, on the finished model's states
    train language --config "$C/train/refiner.yaml" --texts "$TEXTS" --tokenizer "$FINAL" --codes "$OUT/codes" \
        --grounding "$OUT/grounding" --start "$OUT/language" -o "$OUT/refined"
    LAST="$OUT/refined"
else
    LAST="$OUT/language"
fi
train pack --language "$LAST" --tokenizer "$FINAL" -o "$OUT/model"
