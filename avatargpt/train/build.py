"""Puts a language run together: texts, codes, model, examples, validation."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from avatargpt.checkpoint import load_model, start_from_t5
from avatargpt.config import AvatarGPTConfig
from avatargpt.model import AvatarGPTModel
from avatargpt.text import SentenceGrounder, TextTokenizer
from avatargpt.train.examples import Example, ExampleOptions, Examples
from avatargpt.train.language import LanguageTraining, Trainer
from avatargpt.train.lora import LoraOptions, add_lora
from avatargpt.train.prepare import MADE_UP
from avatargpt.train.runtime import Runtime, check_keys, from_mapping, load_json
from instruct_data.captions import CaptionBank
from instruct_data.clip import Clip
from instruct_data.mixture import Draw, generator
from instruct_data.rewrites import Rewrites
from instruct_data.store import ClipCodes, Store
from vqvae.errors import UserError
from vqvae.tokenizer import MotionTokenizer

LONGEST_LINE = 26  # words; longer lines cost more time than they teach


# What a configuration file may say of the model. The rest of T5's configuration follows from it or is fixed.
SHAPE = (
    "vocab_size", "d_model", "d_kv", "d_ff", "num_layers", "num_decoder_layers", "num_heads", "feed_forward_proj",
    "dropout_rate", "relative_attention_num_buckets", "relative_attention_max_distance",
)  # fmt: skip
OURS = (
    "modalities", "grounding_dim", "extra_inputs", "countdown_buckets", "refiner_dim", "refiner_layers", "refiner_heads"
)
MOTION_TASKS = ("text_to_motion", "motion_to_text", "in_between", "continuation")


def planning_lines(folder: Path) -> list[str]:
    """Scenes, activities and steps of the training split as plain sentences.

    Raises:
        UserError: no such folder, or a line that is no JSON object.
    """
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder; one with train.jsonl or virtualhome.jsonl is needed")
    lines = []
    for name in ("train.jsonl", "virtualhome.jsonl"):
        path = folder / name
        if not path.is_file():
            continue
        for n, row in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            try:
                data = dict(json.loads(row))
            except (ValueError, TypeError) as e:
                raise UserError(f"{path}: line {n}: not a JSON object ({e})") from None
            activities = data.get("activities") or [data]
            if data.get("scene"):
                lines.append(str(data["scene"]))
            for activity in activities:
                steps = [str(s) for s in activity.get("steps", [])]
                if steps:
                    lines.append(f"{activity.get('task', '')}: {'; '.join(steps)}".strip(": "))
    return lines


def text_corpus(
    texts: Path, planning: Path | None, items: Sequence[Clip | ClipCodes]
) -> tuple[list[str], dict[str, list[tuple[str, str]]]]:
    """Lines to denoise and text-to-text pairs; nothing of the validation split.

    Pairs of the `rewrite` task: users' requests -> plain captions, and the wider prompts of a clip -> its caption.
    """
    bank = CaptionBank(texts / "body_captions.json")
    lines = [
        template.replace("{person}", "a person").replace("{manner}", "").strip()
        for group in bank.actions.values() for template in group
    ]  # fmt: skip
    rewrites = Rewrites(texts / "rewrites_train.jsonl", bank)
    pairs = rewrites.pairs()
    pairs += [(r.mirrored().prompt, r.mirrored().target) for r in rewrites.items if r.side in ("left", "right")]
    lines += [p for pair in pairs for p in pair]
    pairs = [*pairs] * 4
    seen: set[str] = set(lines)
    for item in items:
        prompts = [str(p) for p in item.extra.get("prompts", [])]
        for text in (*item.captions, *prompts):
            if text not in seen:
                seen.add(text)
                lines.append(text)
        pairs += [(p, item.captions[0].lower().rstrip(".")) for p in prompts[-2:]]
    if planning is not None:
        lines += planning_lines(planning)
    return [line for line in lines if len(line.split()) <= LONGEST_LINE], {"rewrite": pairs}


def validation(examples: Examples, items: Sequence[ClipCodes]) -> dict[str, list[Example]]:
    """Fixed validation rows per motion task."""
    out: dict[str, list[Example]] = {}
    if not items:
        return out
    held = Examples(items, [], {}, examples.text, examples.config, ExampleOptions())
    for task in ("text_to_motion", "motion_to_text", "continuation", "in_between"):
        draws = [Draw(task, i, int(generator(5, i).integers(2**31))) for i in range(len(held.parts[""]))]
        out[task] = [held.make(d) for d in draws]
    return out


def _codes(folder: str, tokenizer: MotionTokenizer | None) -> tuple[list[ClipCodes], list[ClipCodes]]:
    """Training and validation clips of a tokenised cache."""
    store = Store.open(folder)
    if tokenizer is None:
        raise UserError(f"--codes {folder}: needs the tokenizer that made them; give --tokenizer FOLDER")
    made = store.manifest.get("fingerprint")
    if made is None:
        raise UserError(f"{folder}: holds {store.kind}; --codes takes the result of the codes stage")
    if made != tokenizer.fingerprint:
        raise UserError(
            f"{folder}: codes of another tokenizer ({str(made)[:12]}, the one given is {tokenizer.fingerprint[:12]}); "
            "run the codes stage with the one given"
        )
    return list(store.codes("train")), list(store.codes("val"))


def build_run(
    config: dict[str, Any], args: argparse.Namespace, runtime: Runtime, engine: dict[str, Any] | None
) -> Trainer:
    """A trainer ready to run, from the YAML and the command line.

    Raises:
        UserError: unknown keys in the YAML, missing files, codes of another tokenizer than the one given, or motion
            tasks without codes.
    """
    out, where = Path(args.output), str(args.config)
    check_keys(config, ("model", "train", "lora"), where)
    t = from_mapping(LanguageTraining, config.get("train"), f"{where}: train")
    options = from_mapping(ExampleOptions, t.options, f"{where}: train: options")
    spec = check_keys(config.get("model"), (*SHAPE, *OURS), f"{where}: model")
    tokenizer = MotionTokenizer.load(args.tokenizer) if args.tokenizer else None
    items, held = _codes(args.codes, tokenizer) if args.codes else ([], [])
    said: list[Any] = list(items)
    if args.store:
        said = list(Store.open(args.store).clips("train"))
    lines, pairs = text_corpus(Path(args.texts), Path(args.planning) if args.planning else None, said)
    start = Path(args.start) if args.start else None
    source = next((f for f in (out, start) if f is not None and (f / "spiece.model").is_file()), None)
    if source is not None:
        text = TextTokenizer.load(source)
    elif start is not None:
        raise UserError(f"{start}: no spiece.model in it; --start takes the folder of a language run or of a T5")
    else:
        text = TextTokenizer.train(lines, int(spec.get("vocab_size", 4096)), out)
    torch.manual_seed(t.seed)
    model = _model(spec, start, tokenizer, text, where)
    if config.get("lora") is not None:
        add_lora(model, from_mapping(LoraOptions, config["lora"], f"{where}: lora"))
    grounder = SentenceGrounder(device=runtime.device) if model.config.grounding_dim else None
    if grounder is not None and args.grounding:
        if not (Path(args.grounding) / "grounding.safetensors").is_file():
            raise UserError(f"{args.grounding}: no grounding.safetensors in it; run the ground stage")
        grounder.load_states(args.grounding)
    examples = Examples(items, lines, pairs, text, model.config, options)
    _check_streams(examples, where)
    return Trainer(model, examples, validation(examples, held), grounder, t, out, runtime, engine, args.until)


def _check_streams(examples: Examples, where: str) -> None:
    """Every task with a weight must have something to draw from: left out, it would change the mixture in silence."""
    place = f"{where}: train: options: weights"
    motion = [*MOTION_TASKS, *(f"{task}/{source}" for task in MOTION_TASKS for source in MADE_UP)]
    check_keys(examples.options.weights, ("denoise", *examples.pairs, *motion), place)
    known = {s.task for s in examples.streams()}
    empty = [name for name, weight in examples.options.weights.items() if weight > 0 and name not in known]
    if empty:
        raise UserError(f"{place}: {empty[0]}: nothing to draw from; give --codes with such clips, or take it out")
    if not known:
        raise UserError(f"{place}: no task has a weight")


def _model(
    spec: dict[str, Any], start: Path | None, tokenizer: MotionTokenizer | None, text: TextTokenizer, where: str
) -> AvatarGPTModel:
    """A new model, that of an earlier run, or one around a T5 or Flan-T5 checkpoint."""
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
            model = load_model(start)
    if tokenizer is not None:
        model.set_codebooks(tokenizer.config.modality, tokenizer.codebooks, tokenizer.fingerprint)
    return model
