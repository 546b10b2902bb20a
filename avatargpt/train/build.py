"""Puts a language run together: texts, codes, model, examples, validation."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from avatargpt.config import AvatarGPTConfig
from avatargpt.model import AvatarGPTModel
from avatargpt.text import SentenceGrounder, TextTokenizer
from avatargpt.train.examples import Example, ExampleOptions, Examples
from avatargpt.train.language import LanguageTraining, Trainer
from avatargpt.train.runtime import Runtime
from instruct_data.captions import CaptionBank
from instruct_data.clip import Clip
from instruct_data.mixture import Draw, generator
from instruct_data.rewrites import Rewrites
from instruct_data.store import ClipCodes, Store
from vqvae.errors import UserError
from vqvae.tokenizer import MotionTokenizer


LONGEST_LINE = 26  # words; longer lines cost more time than they teach


def planning_lines(folder: Path) -> list[str]:
    """Scenes, activities and steps of the training split as plain sentences."""
    lines = []
    for name in ("train.jsonl", "virtualhome.jsonl"):
        path = folder / name
        if not path.is_file():
            continue
        for row in path.read_text(encoding="utf-8").splitlines():
            data = json.loads(row)
            activities = data.get("activities") or [data]
            if data.get("scene"):
                lines.append(str(data["scene"]))
            for activity in activities:
                steps = [str(s) for s in activity.get("steps", [])]
                if steps:
                    lines.append(f"{activity.get('task', '')}: {'; '.join(steps)}".strip(": "))
    return lines


def text_corpus(texts: Path, planning: Path | None, items: Sequence[Clip | ClipCodes]) -> tuple[list[str], dict[str, list[tuple[str, str]]]]:
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
        draws = [Draw(task, i, int(generator(5, i).integers(2**31))) for i in range(len(held.single))]
        out[task] = [held.make(d) for d in draws]
    return out


def build_run(config: dict[str, Any], args: argparse.Namespace, runtime: Runtime, engine: dict[str, Any] | None) -> Trainer:
    """A trainer ready to run, from the YAML and the command line.

    Raises:
        UserError: codes of another tokenizer than the one given, or motion tasks without codes.
    """
    out = Path(args.output)
    items: list[ClipCodes] = []
    held: list[ClipCodes] = []
    tokenizer = MotionTokenizer.load(args.tokenizer) if args.tokenizer else None
    if args.codes:
        store = Store.open(args.codes)
        if tokenizer is None or store.manifest["fingerprint"] != tokenizer.fingerprint:
            raise UserError(f"{args.codes}: codes of another tokenizer; run the codes stage with the one given")
        items, held = list(store.codes("train")), list(store.codes("val"))
    said: list[Any] = list(items)
    if args.store:
        said = list(Store.open(args.store).clips("train"))
    lines, pairs = text_corpus(Path(args.texts), Path(args.planning) if args.planning else None, said)
    start = Path(args.start) if args.start else None
    source = next((f for f in (out, start) if f is not None and (f / "spiece.model").is_file()), None)
    if source is not None:
        text = TextTokenizer.load(source)
    else:
        text = TextTokenizer.train(lines, int(config["model"].get("vocab_size", 4096)), out)
    model = _model(config["model"], start, tokenizer, text)
    grounder = SentenceGrounder() if model.config.grounding_dim else None
    if grounder is not None and args.grounding:
        grounder.load_states(args.grounding)
    t = LanguageTraining(**config.get("train", {}))
    options = ExampleOptions(**t.options)
    examples = Examples(items, lines, pairs, text, model.config, options)
    return Trainer(model, examples, validation(examples, held), grounder, t, out, runtime, engine)


def _model(spec: dict[str, Any], start: Path | None, tokenizer: MotionTokenizer | None, text: TextTokenizer) -> AvatarGPTModel:
    if start is not None:
        model = AvatarGPTModel.from_pretrained(start)
    else:
        model = AvatarGPTModel(AvatarGPTConfig(**{**spec, "vocab_size": text.size}))
    if tokenizer is not None:
        model.set_codebooks(tokenizer.config.modality, tokenizer.codebooks, tokenizer.fingerprint)
    return model
