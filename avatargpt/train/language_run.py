"""The language stage of `scripts/train.py`: texts, codes, model, examples and validation of a run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch

from avatargpt.lm.checkpoint import load_model, start_from_t5, with_modalities
from avatargpt.lm.model import AvatarGPTConfig, AvatarGPTModel
from avatargpt.lm.text_encoder import SPIECE, SentenceGrounder, TextTokenizer
from avatargpt.train.data.corpus import folders_of, read_codes, read_tokenizers, text_corpus
from avatargpt.train.data.examples import Example, ExampleOptions, Examples
from avatargpt.train.data.judged_answers import lessons
from avatargpt.train.data.prepare import MADE_UP
from avatargpt.train.engines import begun, check_readable
from avatargpt.train.language import SHAPE, LanguageRecipe, LanguageStage
from avatargpt.train.loop import run
from avatargpt.train.lora import add_lora
from avatargpt.train.runtime import Runtime
from avatargpt.train.zero import read_zero
from instruct_data.mixture import Draw, generator
from instruct_data.registry import get_task, list_tasks
from instruct_data.store import ClipCodes, Store
from vqvae.errors import UserError
from vqvae.io.data_files import read_object
from vqvae.strict import check_keys
from vqvae.tokenizer import MotionTokenizer

CACHED_TEXTS = 40_000  # whose states are computed once: about half a gigabyte
VALIDATION_TASKS = (
    "text_to_motion", "motion_to_text", "continuation", "in_between",
    "text_to_face", "emotion_to_face", "face_to_text", "face_to_emotion", "face_in_between",
    "speech_to_gesture", "text_to_gesture", "gesture_to_text",
)  # fmt: skip


def validation(
    examples: Examples, items: Sequence[ClipCodes], options: ExampleOptions | None = None
) -> dict[str, list[Example]]:
    """Fixed validation rows per motion task, with the variation of `options`."""
    out: dict[str, list[Example]] = {}
    if not items:
        return out
    source = Examples(items, [], {}, examples.text, examples.config, options or ExampleOptions(), examples.rates)
    for task in VALIDATION_TASKS:
        draws = [Draw(task, i, int(generator(5, i).integers(2**31))) for i in range(len(source.pools(task)))]
        if draws:
            out[task] = [source.make(d) for d in draws]
    return out


def language_stage(recipe: LanguageRecipe, args: SimpleNamespace) -> None:
    """Train the language model; without `--codes`, on text alone.

    Raises:
        UserError: missing files, codes of another tokenizer than the one given, another tokenizer than that of the
            model to begin from, motion tasks without codes, a batch that the processes cannot share, a checkpoint
            that is damaged or another model's.
    """
    out, zero = Path(args.output), Path(args.deepspeed_config) if args.deepspeed_config else None
    check(recipe, str(args.config), zero is not None)
    runtime = Runtime.start(args.threads, args.device)
    runtime.share(recipe.train.batch, f"{args.config}: train")
    check_readable(out)
    deepspeed = read_zero(zero, recipe.train, runtime) if zero else None
    if deepspeed and recipe.train.ema and deepspeed["zero_optimization"]["stage"] == 3:
        raise UserError(f"{args.config}: train: ema: {recipe.train.ema}; stage 3 of {zero} shards the weights that it "
                        "averages; accepted: 0, or stage 1 or 2")  # fmt: skip
    stage = make_stage(recipe, args, runtime)
    run(stage, out, runtime, args.until, deepspeed)


def check(recipe: LanguageRecipe, where: str, through_deepspeed: bool) -> None:
    """Raises UserError for an unknown stream, another width of grounding, or an optimizer that DeepSpeed does not
    shard: checks beyond single fields, before anything is read."""
    optimizer = recipe.train.optimizer
    if through_deepspeed and optimizer != "adamw":
        raise UserError(f"{where}: train: optimizer: {optimizer}; DeepSpeed shards only adamw here; accepted: adamw")
    _check_width(recipe.model.grounding_dim, where)
    motion = [name for name in list_tasks() if get_task(name).examples != "pairs"]
    streams = ("denoise", *list_tasks(), *(f"{task}/{source}" for task in motion for source in MADE_UP))
    for name in ("weights", "alpha"):
        check_keys(getattr(recipe.train.options, name), streams, f"{where}: train: options: {name}")


def _check_width(width: int | None, where: str) -> None:
    if width not in (None, 0, SentenceGrounder.width):
        raise UserError(f"{where}: model: grounding_dim: {width}; accepted: 0 (off) or {SentenceGrounder.width}")


def make_stage(recipe: LanguageRecipe, args: SimpleNamespace, runtime: Runtime) -> LanguageStage:
    """A stage ready to run, see `language_stage`."""
    out, where = Path(args.output), str(args.config)
    spec = recipe.model.model_dump(exclude_none=True)
    tokenizers = read_tokenizers(args.tokenizer)
    items, val = read_codes(args.codes, tokenizers) if args.codes else ([], [])
    texts: list[Any] = list(items)
    if args.self_training:
        items += lessons(args.self_training, tokenizers, [i for i in items if i.modality == "body"])
    if args.store:
        texts = list(Store.open(args.store).clips("train"))
    lines, pairs = text_corpus(folders_of(args), texts)
    start = Path(args.start) if args.start else None
    source = out if begun(out) else start  # files of a refused run in `out` do not count
    if source is None:
        text = TextTokenizer.train(lines, spec.get("vocab_size", 4096))
    elif (source / SPIECE).is_file():
        text = TextTokenizer.load(source)
    else:
        raise UserError(f"{source}: no {SPIECE} in it; --start takes the folder of a language run or of a T5")
    torch.manual_seed(recipe.train.seed)
    model = _model(spec, start, tokenizers, text, where)
    if recipe.lora is not None:
        add_lora(model, recipe.lora)
    _check_width(model.config.grounding_dim, where)
    grounder = None
    if model.config.grounding_dim:  # alone: a resumed run meets the texts in other company
        grounder = SentenceGrounder(cache_size=CACHED_TEXTS, device=runtime.device, alone=True)
    if grounder is not None and args.grounding:
        if not (Path(args.grounding) / "grounding.safetensors").is_file():
            raise UserError(f"{args.grounding}: no grounding.safetensors in it; run the ground stage")
        grounder.load_states(args.grounding)
    rates = {t.config.modality: t.tokens_per_second for t in tokenizers}
    examples = Examples(items, lines, pairs, text, model.config, recipe.train.options, rates)
    _check_streams(examples, where)
    return LanguageStage(recipe, model, examples, validation(examples, val), grounder, runtime, tokenizers)


def _check_streams(examples: Examples, where: str) -> None:
    """Raises UserError for a task with a weight and no data: left out, it would change the mixture in silence."""
    place = f"{where}: train: options: weights"
    text_tasks = {name for name in list_tasks() if get_task(name).examples == "pairs"}
    for name in ("weights", "alpha"):
        options = getattr(examples.options, name)
        if absent := [task for task in options if task in text_tasks and task not in examples.pairs]:
            raise UserError(f"{where}: train: options: {name}: {absent[0]}: nothing to draw from; give --pairs "
                            f"(a folder with {absent[0]}.jsonl), --planning or --chat, or take it out")  # fmt: skip
    streams = {s.task for s in examples.streams()}
    empty = [name for name, weight in examples.options.weights.items() if weight > 0 and name not in streams]
    if empty:
        raise UserError(f"{place}: {empty[0]}: nothing to draw from; give --codes with such clips, or take it out")
    if not streams:
        raise UserError(f"{place}: no task has a weight")


def _model(
    spec: dict[str, Any], start: Path | None, tokenizers: Sequence[MotionTokenizer], text: TextTokenizer, where: str
) -> AvatarGPTModel:
    """A new model, that of an earlier run, or one around a T5 or Flan-T5 checkpoint.

    An earlier run's model gets the modalities of `spec` that it lacks; its ids stay.

    Raises:
        UserError: another tokenizer than an earlier run's model was trained with, or a shape that is not a T5's.
    """
    if start is None:
        model = AvatarGPTModel(AvatarGPTConfig(**{**spec, "vocab_size": text.size}))
    else:
        kind = read_object(start / "config.json")
        if kind.get("model_type") == "t5":
            different = [k for k in SHAPE if k in spec and k != "dropout_rate" and spec[k] != kind.get(k)]
            if different:
                key, has = different[0], kind.get(different[0])
                raise UserError(f"{where}: model: {key}: {spec[key]!r}, but {start} has {has!r}; leave it out")
            model = start_from_t5(start, **spec)
        else:
            model = load_model(start, dtype=torch.float32)  # packed weights are bfloat16: small steps would be lost
            model = with_modalities(model, spec.get("modalities") or {})
    for tokenizer in tokenizers:
        modality = tokenizer.config.modality
        if modality in (model.config.fingerprints or {}):
            model.check_fingerprint(modality, tokenizer.fingerprint)
        model.set_codebooks(modality, tokenizer.codebooks, tokenizer.fingerprint)
    return model
