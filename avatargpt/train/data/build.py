"""Puts a language run together: texts, codes, model, examples, validation."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from avatargpt.model.checkpoint import load_model, start_from_t5, with_modalities
from avatargpt.model.config import AvatarGPTConfig
from avatargpt.model.model import AvatarGPTModel
from avatargpt.model.text_encoder import SPIECE, SentenceGrounder, TextTokenizer
from avatargpt.train.checkpoints import begun
from avatargpt.train.data.codes import read_codes
from avatargpt.train.data.corpus import Folders, text_corpus
from avatargpt.train.data.examples import Example, ExampleOptions, Examples
from avatargpt.train.data.prepare import MADE_UP
from avatargpt.train.language import LanguageTraining, Trainer
from avatargpt.train.lora import LoraOptions, add_lora
from avatargpt.train.runtime import Runtime, check_keys, from_mapping, load_json, number_in
from avatargpt.train.self_training import lessons
from instruct_data.mixture import Draw, generator
from instruct_data.registry import get_task, list_tasks
from instruct_data.store import ClipCodes, Store
from vqvae.errors import UserError
from vqvae.tokenizer import MotionTokenizer

# What a configuration file may say of the model. The rest of T5's configuration follows from it or is fixed.
SHAPE = (
    "vocab_size", "d_model", "d_kv", "d_ff", "num_layers", "num_decoder_layers", "num_heads", "feed_forward_proj",
    "dropout_rate", "relative_attention_num_buckets", "relative_attention_max_distance",
)  # fmt: skip
OURS = (
    "modalities", "grounding_dim", "extra_inputs", "countdown_buckets", "refiner_dim", "refiner_layers", "refiner_heads"
)
FEED_FORWARD = ("relu", "gelu", "silu", "gated-relu", "gated-gelu", "gated-silu")
REMEMBERED = 40_000  # texts whose states are computed once: about half a gigabyte
CORE_TASKS = (  # what validation watches
    "text_to_motion", "motion_to_text", "continuation", "in_between",
    "text_to_face", "emotion_to_face", "face_to_text", "face_to_emotion", "face_in_between",
)  # fmt: skip


def model_fields(values: Any, where: str) -> dict[str, Any]:
    """What a configuration file says of the model, as fields of `AvatarGPTConfig`.

    Raises:
        UserError: an unknown key, or a value of the wrong type or out of bounds.
    """
    spec = check_keys(values, (*SHAPE, *OURS), where)
    for key, value in spec.items():
        if key in ("modalities", "extra_inputs"):
            if not isinstance(value, dict):
                raise UserError(f"{where}: {key}: {value!r}; accepted: a mapping")
            if key == "extra_inputs":
                spec[key] = {k: int(number_in("width", v, "int", f"{where}: {key}: {k}")) for k, v in value.items()}
        elif key == "feed_forward_proj":
            if value not in FEED_FORWARD:
                raise UserError(f"{where}: {key}: {value!r}; accepted: {', '.join(FEED_FORWARD)}")
        elif key == "dropout_rate":
            spec[key] = number_in(key, value, "float", where)
        else:
            spec[key] = int(number_in(key, value, "int", where))
    return spec


def validation(examples: Examples, items: Sequence[ClipCodes]) -> dict[str, list[Example]]:
    """Fixed validation rows per motion task."""
    out: dict[str, list[Example]] = {}
    if not items:
        return out
    held = Examples(items, [], {}, examples.text, examples.config, ExampleOptions(), examples.rates)
    for task in CORE_TASKS:
        draws = [Draw(task, i, int(generator(5, i).integers(2**31))) for i in range(len(held.pools(task)))]
        if draws:
            out[task] = [held.make(d) for d in draws]
    return out


def folders_of(args: argparse.Namespace) -> Folders:
    """What the command line says of texts."""
    planning, chat, pairs = (Path(p) if p else None for p in (args.planning, args.chat, args.pairs))
    return Folders(Path(args.texts), planning, chat, pairs)


def read_tokenizers(folders: str | None) -> list[MotionTokenizer]:
    """The tokenizers of one or several folders with commas between, one for each modality.

    Raises:
        UserError: a folder that is no tokenizer's, or two of one modality.
    """
    found = [MotionTokenizer.load(f) for f in folders.split(",")] if folders else []
    names = [t.config.modality for t in found]
    if len(set(names)) < len(names):
        raise UserError(f"--tokenizer {folders}: {', '.join(names)}; accepted: one for each modality")
    return found


def build_run(
    config: dict[str, Any], args: argparse.Namespace, runtime: Runtime, engine: dict[str, Any] | None
) -> Trainer:
    """A trainer ready to run, from the YAML and the command line.

    Raises:
        UserError: unknown keys in the YAML, missing files, codes of another tokenizer than the one given, another
            tokenizer than that of the model to begin from, or motion tasks without codes.
    """
    out, where = Path(args.output), str(args.config)
    check_keys(config, ("model", "train", "lora"), where)
    t = from_mapping(LanguageTraining, config.get("train"), f"{where}: train")
    options = from_mapping(ExampleOptions, t.options, f"{where}: train: options")
    spec = model_fields(config.get("model"), f"{where}: model")
    tokenizers = read_tokenizers(args.tokenizer)
    items, held = read_codes(args.codes, tokenizers) if args.codes else ([], [])
    said: list[Any] = list(items)
    if getattr(args, "practice", None):
        items += lessons(args.self_training, tokenizers, [i for i in items if i.modality == "body"])
    if args.store:
        said = list(Store.open(args.store).clips("train"))
    lines, pairs = text_corpus(folders_of(args), said)
    start = Path(args.start) if args.start else None
    source = out if begun(out) else start  # what a refused run may have left in `out` does not count
    if source is None:
        text = TextTokenizer.train(lines, spec.get("vocab_size", 4096))
    elif (source / SPIECE).is_file():
        text = TextTokenizer.load(source)
    else:
        raise UserError(f"{source}: no {SPIECE} in it; --start takes the folder of a language run or of a T5")
    torch.manual_seed(t.seed)
    model = _model(spec, start, tokenizers, text, where)
    if config.get("lora") is not None:
        add_lora(model, from_mapping(LoraOptions, config["lora"], f"{where}: lora"))
    if model.config.grounding_dim not in (0, SentenceGrounder.width):
        accepted = f"0 (off) or {SentenceGrounder.width}"
        raise UserError(f"{where}: model: grounding_dim: {model.config.grounding_dim}; accepted: {accepted}")
    grounder = None
    if model.config.grounding_dim:  # alone: a resumed run meets the texts in other company
        grounder = SentenceGrounder(remember=REMEMBERED, device=runtime.device, alone=True)
    if grounder is not None and args.grounding:
        if not (Path(args.grounding) / "grounding.safetensors").is_file():
            raise UserError(f"{args.grounding}: no grounding.safetensors in it; run the ground stage")
        grounder.load_states(args.grounding)
    rates = {t.config.modality: t.tokens_per_second for t in tokenizers}
    examples = Examples(items, lines, pairs, text, model.config, options, rates)
    _check_streams(examples, where)
    return Trainer(model, examples, validation(examples, held), grounder, t, out, runtime, engine, args.until)


def _check_streams(examples: Examples, where: str) -> None:
    """Every task with a weight must have something to draw from: left out, it would change the mixture in silence."""
    place = f"{where}: train: options: weights"
    made = [name for name in list_tasks() if get_task(name).examples != "pairs"]
    text_tasks = set(list_tasks()) - set(made)
    motion = [*made, *(f"{task}/{source}" for task in made for source in MADE_UP)]
    for name in ("weights", "alpha"):
        options = getattr(examples.options, name)
        if absent := [task for task in options if task in text_tasks and task not in examples.pairs]:
            raise UserError(f"{where}: train: options: {name}: {absent[0]}: nothing to draw from; give --pairs "
                            f"(a folder with {absent[0]}.jsonl), --planning or --chat, or take it out")  # fmt: skip
        check_keys(options, ("denoise", *examples.pairs, *motion), f"{where}: train: options: {name}")
    known = {s.task for s in examples.streams()}
    empty = [name for name, weight in examples.options.weights.items() if weight > 0 and name not in known]
    if empty:
        raise UserError(f"{place}: {empty[0]}: nothing to draw from; give --codes with such clips, or take it out")
    if not known:
        raise UserError(f"{place}: no task has a weight")


def _model(
    spec: dict[str, Any], start: Path | None, tokenizers: Sequence[MotionTokenizer], text: TextTokenizer, where: str
) -> AvatarGPTModel:
    """A new model, that of an earlier run, or one around a T5 or Flan-T5 checkpoint.

    An earlier run's model learns the modalities of `spec` that it does not know yet; its ids stay what they are.

    Raises:
        UserError: another tokenizer than an earlier run's model was trained with, or a shape that is not a T5's.
    """
    if start is None:
        model = AvatarGPTModel(AvatarGPTConfig(**{**spec, "vocab_size": text.size}))
    else:
        kind = load_json(start / "config.json")
        if kind.get("model_type") == "t5":
            given = [k for k in SHAPE if k in spec and k != "dropout_rate" and spec[k] != kind.get(k)]
            if given:
                key, has = given[0], kind.get(given[0])
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
