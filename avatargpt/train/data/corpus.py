"""Training texts: lines to denoise, pairs of text tasks, steps of composed clips; and tokenised clips."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import numpy as np

from avatargpt.lm.text_encoder import SentenceGrounder
from avatargpt.train.runtime import Runtime
from instruct_data.clip import Clip
from instruct_data.factory.dialogues import dialogue_pairs
from instruct_data.factory.mixture import clip_class
from instruct_data.factory.text.captions import CaptionBank
from instruct_data.factory.text.everyday import everyday_requests
from instruct_data.factory.text.rewrites import Rewrites
from instruct_data.planning import Pair, join_steps, read_planning_pairs
from instruct_data.registry import MODEL_TASKS, add_folder, get_task
from instruct_data.store import ClipCodes, Store
from vqvae.errors import UserError
from vqvae.io.data_files import json_rows
from vqvae.tokenizer import MotionTokenizer

PAIRED = ("text", "motion")  # kinds of slots that a pair can fill
LONGEST_LINE = 26  # words; longer lines cost more time than they teach


@dataclass(frozen=True)
class Folders:
    """Folders of texts; None = not used."""

    texts: Path  # caption bank and rewrites
    planning: Path | None = None  # scenes with activities and steps, for the planning tasks
    chat: Path | None = None  # dialogues, for `chat_turn`
    # Files ``TASK.jsonl`` with lines ``{"slots": {NAME: TEXT}, "answer": TEXT}``, for any text task; of a motion slot
    # TEXT is the id of a clip
    pairs: Path | None = None


def folders_of(args: SimpleNamespace) -> Folders:
    """The folders of the command line."""
    planning, chat, pairs = (Path(p) if p else None for p in (args.planning, args.chat, args.pairs))
    return Folders(Path(args.texts), planning, chat, pairs)


def add_own_tasks(args: SimpleNamespace) -> list[Path]:
    """Register tasks of the user's own, and those of the model that is begun from; their folders."""
    folders = [Path(args.tasks)] if args.tasks else []
    if getattr(args, "start", None) and (earlier := Path(args.start) / MODEL_TASKS).is_dir():
        folders.append(earlier)
    for folder in folders:
        add_folder(folder)
    return folders


def read_planning_lines(folder: Path) -> list[str]:
    """Scenes, activities and steps of the training split as plain sentences."""
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder; one with train.jsonl or virtualhome.jsonl is needed")
    lines = []
    for name in ("train.jsonl", "virtualhome.jsonl"):
        path = folder / name
        if not path.is_file():
            continue
        for n, row in json_rows(path):
            try:
                data = dict(row)
            except (ValueError, TypeError) as e:
                raise UserError(f"{path}: line {n}: not a JSON object ({e})") from None
            # VirtualHome has one activity a line, our own scenes several.
            activities = data.get("activities") or [data]
            if data.get("scene"):
                lines.append(str(data["scene"]))
            for activity in activities:
                steps = [str(s) for s in activity.get("steps", [])]
                if steps:
                    lines.append(f"{activity.get('task', '')}: {'; '.join(steps)}".strip(": "))
    return lines


def user_pairs(folder: Path) -> dict[str, list[Pair]]:
    """Pairs of every ``TASK.jsonl`` in a folder; a motion slot holds the id of a clip."""
    files = sorted(folder.glob("*.jsonl"))
    if not files:
        raise UserError(f"{folder}: no TASK.jsonl in it")
    out: dict[str, list[Pair]] = {}
    for path in files:
        task = get_task(path.stem)
        if task.output != "text":
            raise UserError(f"{path}: task {task.name} answers with {task.output}; accepted: text tasks")
        if task.examples != "pairs":
            raise UserError(f"{path}: task {task.name} learns from clips themselves; accepted: tasks of pairs")
        kinds = {s.name: s.kind for s in task.inputs if s.kind in PAIRED}
        token = np.zeros((1, 1), np.int64)  # in place of a clip
        for n, row in json_rows(path):
            try:
                slots, answer = dict(row["slots"]), row["answer"]
                if not set(slots) <= set(kinds) or not all(isinstance(v, str) for v in (*slots.values(), answer)):
                    names = ", ".join(kinds)
                    raise ValueError(f"slots {', '.join(slots)}; accepted: texts, or ids of clips, for {names}")
                if not answer.strip():
                    raise ValueError("an empty answer")
                task.render({k: token if kinds[k] == "motion" else v for k, v in slots.items()})
            except (ValueError, TypeError, KeyError) as e:
                raise UserError(f'{path}: line {n}: {e}; a line is {{"slots": {{...}}, "answer": "..."}}') from None
            out.setdefault(path.stem, []).append((slots, answer))
    return out


def text_corpus(folders: Folders, items: Sequence[Clip | ClipCodes]) -> tuple[list[str], dict[str, list[Pair]]]:
    """Lines to denoise, and (slots, answer) pairs of every text task; nothing of a validation split.

    Pairs of the `rewrite` task: users' requests -> plain captions, and the wider prompts of a clip -> its caption.
    """
    bank = CaptionBank(folders.texts / "body_captions.json")
    lines = [
        template.replace("{person}", "a person").replace("{manner}", "").strip()
        for group in bank.actions.values() for template in group
    ]  # fmt: skip
    rewrites = Rewrites(folders.texts / "rewrites_train.jsonl", bank)
    requests = rewrites.pairs()
    requests += [(r.mirror().prompt, r.mirror().target) for r in rewrites.items if r.side in ("left", "right")]
    lines += [p for pair in requests for p in pair]
    # Users' requests are rarer than prompts of clips; four times as many keep the balance.
    requests = [*requests] * 4
    known_lines = set(lines)
    for item in items:
        prompts = [str(p) for p in item.extra.get("prompts", [])]
        for text in (*item.captions, *prompts):
            if text not in known_lines:
                known_lines.add(text)
                lines.append(text)
        if getattr(item, "modality", "body") != "body" or not item.captions:
            continue  # a face's prompt is no request for a body, and without a caption there is no answer
        requests += [(p, item.captions[0].lower().rstrip(".")) for p in prompts[-2:]]
    pairs: dict[str, list[Pair]] = {"rewrite": [({"request": source}, target) for source, target in requests]}
    if folders.planning is not None:
        lines += read_planning_lines(folders.planning)
        pairs |= read_planning_pairs(folders.planning)
    if folders.chat is not None:
        pairs["chat_turn"] = dialogue_pairs(folders.chat)
    if folders.pairs is not None:
        for task, rows in user_pairs(folders.pairs).items():
            pairs[task] = [*pairs.get(task, []), *rows]
    return [line for line in lines if len(line.split()) <= LONGEST_LINE], pairs


def clip_steps(items: Sequence[Clip | ClipCodes]) -> dict[str, str]:
    """Clip id -> its steps, for composed clips whose parts are among `items` too."""
    captions = {i.id: i.captions[0] for i in items if i.captions}
    out = {}
    for item in items:
        parts = [str(p) for p in item.extra.get("parts", [])]
        if item.source == "composed" and parts and all(p in captions for p in parts):
            out[item.id] = join_steps(captions[p].lower() for p in parts)
    return out


def list_grounded_texts(pairs: Mapping[str, Sequence[Pair]], items: Sequence[Clip | ClipCodes]) -> Iterator[str]:
    """Texts that the sentence encoder reads in training."""
    for item in items:
        yield from item.captions
        yield from (str(p) for p in item.extra.get("prompts", []))
    yield from clip_steps(items).values()
    for task, rows in pairs.items():
        names = {s.name for s in get_task(task).of_kind("text")}
        for slots, _ in rows:
            yield from (text for name, text in slots.items() if name in names)


def read_tokenizers(folders: str | None) -> list[MotionTokenizer]:
    """The tokenizers of one or several folders with commas between, one for each modality."""
    tokenizers = [MotionTokenizer.load(f) for f in folders.split(",")] if folders else []
    names = [t.config.modality for t in tokenizers]
    if len(set(names)) < len(names):
        raise UserError(f"--tokenizer {folders}: {', '.join(names)}; accepted: one for each modality")
    return tokenizers


def read_codes(folders: str, tokenizers: Sequence[MotionTokenizer]) -> tuple[list[ClipCodes], list[ClipCodes]]:
    """Training and validation clips of one or several tokenised caches, with commas between."""
    items: list[ClipCodes] = []
    val: list[ClipCodes] = []
    for folder in folders.split(","):
        store = Store.open(folder)
        if not tokenizers:
            raise UserError(f"--codes {folder}: needs the tokenizer that made them; give --tokenizer FOLDER")
        fingerprint = store.manifest.get("fingerprint")
        if fingerprint is None:
            raise UserError(f"{folder}: holds {store.kind}; --codes takes the result of the codes stage")
        if fingerprint not in {t.fingerprint for t in tokenizers}:
            names = ", ".join(t.fingerprint[:12] for t in tokenizers)
            raise UserError(
                f"{folder}: codes of another tokenizer ({str(fingerprint)[:12]}, the one given is {names}); "
                "run the codes stage with the one given"
            )
        items += store.codes("train")
        val += store.codes("val")
    return items, val


def ground_stage(args: SimpleNamespace) -> None:
    """Sentence-encoder states of every training text, once, so that training need not run that network."""
    runtime = Runtime.start(args.threads, args.device)
    add_own_tasks(args)
    clips = list(Store.open(args.store).clips("train"))
    _, pairs = text_corpus(folders_of(args), clips)
    texts = list(list_grounded_texts(pairs, clips))
    requests, actions = everyday_requests(), {clip_class(c) for c in clips}
    texts += [t for name in requests.classes() if name in actions for t in requests.requests(name)]
    grounder = SentenceGrounder(device=runtime.device)
    if args.grounding:
        grounder.load_states(args.grounding)
    grounder.save_states(texts, args.output)
