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
  --chat DIR         dialogues; with --full, --planning and --chat the model also practises (docs/training.md)
  -o, --output DIR   results and checkpoints (default: runs/speedrun); run again to go on where it stopped
  --full             the configurations of the shipped model instead of the debug ones
  --prepare FILE, --tokenizer FILE, --text FILE, --language FILE
                     other configurations for the first stages
  --threads N        CPU threads
  --device NAME      cpu, cuda, ... (default: a GPU when there is one)
TEXT
}

source "$(dirname "${BASH_SOURCE[0]}")/setup.sh"
CORPUS="" TEXTS="" PLANNING="" CHAT="" MORE=() OUT="$ROOT/runs/speedrun" FULL="" COMMON=()
PREPARE="" TOKENIZER="" TEXT="" LANGUAGE="" SMALL=()
while [ $# -gt 0 ]; do
    case "$1" in
    -h | --help) usage && exit ;;
    --full) FULL=1 && shift && continue ;;
    --corpus | --texts | --planning | --chat | -o | --output | --prepare | --tokenizer | --text | --language | --threads | --device) ;;
    *) echo "error: unknown option '$1'; bash scripts/speedrun.sh --help lists them" >&2 && exit 2 ;;
    esac
    [ $# -ge 2 ] || { echo "error: $1 needs a value" >&2 && exit 2; }
    case "$1" in
    --corpus) CORPUS="$2" ;;
    --texts) TEXTS="$2" ;;
    --planning) PLANNING="$2" ;;
    --chat) CHAT="$2" ;;
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
    PREPARE="${PREPARE:-$C/prepare/everyday.yaml}" TOKENIZER="${TOKENIZER:-$C/tokenizer/body.yaml}"
    TEXT="${TEXT:-$C/train/text.yaml}" LANGUAGE="${LANGUAGE:-$C/train/language.yaml}"
    MORE_TOKENIZER="$C/tokenizer/everyday.yaml" EVERYDAY="$C/train/everyday.yaml" REFINER="$C/train/refiner.yaml" MATCHER="$C/train/matcher.yaml"
else
    PREPARE="${PREPARE:-$C/prepare/debug-everyday.yaml}" TOKENIZER="${TOKENIZER:-$C/tokenizer/debug.yaml}"
    TEXT="${TEXT:-$C/train/debug-text.yaml}" LANGUAGE="${LANGUAGE:-$C/train/debug.yaml}"
    MORE_TOKENIZER="$C/tokenizer/debug.yaml" EVERYDAY="$C/train/debug-everyday.yaml"
    REFINER="$C/train/debug-refiner.yaml" MATCHER="$C/train/debug-matcher.yaml" SMALL=(--count 1)
fi

setup train
train() {
    echo "== $1 -> ${*: -1}" >&2
    "$PYTHON" "$ROOT/scripts/train.py" "${@:1:1}" ${COMMON[@]+"${COMMON[@]}"} "${@:2}"
}

# Stages without steps are skipped when their result is there; the others see themselves that nothing is left to do.
[ -f "$OUT/store/manifest.json" ] ||
    train prepare --corpus "$CORPUS" --texts "$TEXTS" --config "$PREPARE" -o "$OUT/store"
train tokenizer --config "$TOKENIZER" --store "$OUT/store" -o "$OUT/tokenizer"
FIRST="$OUT/tokenizer"
if [ -n "$FULL" ]; then # the decoder alone, for the same codes
    train tokenizer --config "$C/tokenizer/decoder.yaml" --store "$OUT/store" --start "$FIRST" -o "$OUT/decoder"
    FIRST="$OUT/decoder"
fi
TOKENS="$OUT/everyday-tokenizer"
train tokenizer --config "$MORE_TOKENIZER" --store "$OUT/store" --start "$FIRST" -o "$TOKENS"
if [ -n "$FULL" ]; then # the decoder alone again, for the same codes
    train tokenizer --config "$C/tokenizer/ends.yaml" --store "$OUT/store" --start "$TOKENS" -o "$OUT/ends-tokenizer"
    TOKENS="$OUT/even-tokenizer"
    train tokenizer --config "$C/tokenizer/even.yaml" --store "$OUT/store" --start "$OUT/ends-tokenizer" -o "$TOKENS"
fi
[ -f "$OUT/codes/manifest.json" ] || train codes --tokenizer "$TOKENS" --store "$OUT/store" -o "$OUT/codes"
[ -f "$OUT/grounding/grounding.safetensors" ] ||
    train ground --store "$OUT/store" --texts "$TEXTS" -o "$OUT/grounding"
train language --config "$TEXT" --texts "$TEXTS" ${PLANNING:+--planning "$PLANNING"} --store "$OUT/store" \
    --grounding "$OUT/grounding" -o "$OUT/text"
speak() { # CONFIG START RESULT
    train language --config "$1" --texts "$TEXTS" --tokenizer "$TOKENS" --codes "$OUT/codes" \
        --grounding "$OUT/grounding" ${MORE[@]+"${MORE[@]}"} --start "$2" -o "$3"
}
speak "$LANGUAGE" "$OUT/text" "$OUT/language"
speak "$EVERYDAY" "$OUT/language" "$OUT/everyday"
LAST="$OUT/everyday" DONE=""
if [ -n "$FULL" ] && [ -n "$PLANNING" ] && [ -n "$CHAT" ]; then # a debug model has nothing right to learn from
    for round in 1 2; do
        if [ ! -f "$OUT/practice$round/signatures.safetensors" ]; then
            train pack --language "$LAST" --tokenizer "$TOKENS" -o "$OUT/packed$round"
            rm -rf "$OUT/practice$round"
            train practice --config "$C/train/practice.yaml" --start "$OUT/packed$round" --codes "$OUT/codes" \
                -o "$OUT/practice$round"
        fi
        DONE="${DONE:+$DONE,}$OUT/practice$round"
        MORE=(--practice "$DONE" --planning "$PLANNING" --chat "$CHAT")
        speak "$C/train/practised.yaml" "$LAST" "$OUT/practised$round"
        LAST="$OUT/practised$round"
    done
fi
MORE=()
speak "$REFINER" "$LAST" "$OUT/refined" # last: the residual levels, on the finished model's states
[ -f "$OUT/book/wording.safetensors" ] ||
    train book --codes "$OUT/codes" --texts "$TEXTS" --grounding "$OUT/grounding" -o "$OUT/book"
[ -f "$OUT/library/library.safetensors" ] ||
    train library --tokenizer "$TOKENS" ${SMALL[@]+"${SMALL[@]}"} -o "$OUT/library"
[ -f "$OUT/matcher/matcher.safetensors" ] ||
    train matcher --config "$MATCHER" --codes "$OUT/codes" --tokenizer "$TOKENS" --grounding "$OUT/grounding" ${DONE:+--practice "$DONE"} -o "$OUT/matcher"
train pack --language "$OUT/refined" --tokenizer "$TOKENS" --book "$OUT/book" --library "$OUT/library" \
    --matcher "$OUT/matcher" -o "$OUT/model"
