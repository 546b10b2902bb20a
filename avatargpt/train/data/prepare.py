"""The prepare stage of `scripts/train.py`: corpora -> the motion store of the other stages, with prompt pools.

The store holds, per clip, its captions (for `motion_to_text`) and, under ``extra["prompts"]``, a wider pool of true
requests (for `text_to_motion`). Beside the clips of the corpus, mirrored too, it may hold keyframed ones
(``synthetic``), two actions at once (``layered``), variations (``styled``), cyclic clips made longer (``looped``) and
two to four clips in sequence (``composed``). Validation clips of the corpus are stored unchanged, are never parts of
other clips, and have no prompt pool; keyframed ones for validation come from separate seeds.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Annotated, Self, TypeVar

import numpy as np
from pydantic import Field, model_validator

from avatargpt.config import save_resolved
from avatargpt.train.processes import cores, map_in_order
from instruct_data.clip import Clip
from instruct_data.factory.cleaning import CleaningReport, QualityLimits, clean_clips, measure_clip, without_artefacts
from instruct_data.factory.mixture import clip_class
from instruct_data.factory.synth.families import VALIDATION, families, keyframed
from instruct_data.factory.synth.layered import layer_clips
from instruct_data.factory.synth.loops import Ends, Sequencer, ends_of, loop_cyclic_clips
from instruct_data.factory.synth.phrases import mirror_clip
from instruct_data.factory.synth.resting import make_resting_clips
from instruct_data.factory.synth.stances import idle_stances
from instruct_data.factory.synth.styling import make_styled_clips
from instruct_data.factory.text.captions import CaptionBank, vary
from instruct_data.factory.text.rewrites import Rewrites
from instruct_data.sources.corpus import Report
from instruct_data.sources.packs import split_of
from instruct_data.sources.quantised import CAPTIONS, read_quantised
from instruct_data.sources.registry import read_corpus
from instruct_data.store import MANIFEST, Store
from instruct_data.text.english import side_of, split
from vqvae.errors import UserError
from vqvae.motion import atomic_write
from vqvae.strict import NonNegativeInt, PositiveInt, Share, Strict

# Classes whose motion repeats: any stretch of at least two seconds still shows the caption.
CYCLIC = {
    "walk", "run", "dash", "walk_back", "walk_left", "walk_right", "jog", "zombie_walk", "sneak", "salsa_dance",
    "indian_dance", "martial_arts", "crawl", "direct_traffic", "basketball_signal", "dance_short", "basketball_dribble",
    "wave_left_hand", "wave_right_hand", "wave_both_hands",
}  # fmt: skip
# Sources of clips that are not recordings.
MADE_UP = ("synthetic", "layered", "styled", "looped", "composed", "practised", "shown")
LICENCE_JOINED = "as its sources"
_BATCH = 64  # keyframed clips solved together
_CHUNK = 16  # clips that a process takes at a time
Item = TypeVar("Item")


class Preparation(Strict):
    """Options of `prepare`; counts of 0 leave a kind out."""

    # Clips of every action family for training, of random hands
    keyframed: Annotated[NonNegativeInt, Field(le=VALIDATION)] = 0
    # Of every family of the lexicon, which share schemas; None = as many
    entries: Annotated[NonNegativeInt, Field(le=VALIDATION)] | None = None
    keyframed_val: NonNegativeInt = 0  # clips of every family for validation
    layered: NonNegativeInt = 0  # clips of two actions at once
    styled: NonNegativeInt = 0  # variations of speed, posture, amplitude and style
    looped: NonNegativeInt = 0  # cyclic clips made longer
    composed: NonNegativeInt = 5000  # clips of several actions in sequence
    resting: NonNegativeInt = 0  # clips that go on from a pose: it is held, or arms act while the body rests
    keyframed_share: Share = 0.5  # share of the composed clips with a keyframed part for certain
    # three, four: shares of the composed clips with three and four actions
    three: Share = 0.15
    four: Share = 0.0
    prompts: NonNegativeInt = 12  # size of a clip's prompt pool
    composed_prompts: NonNegativeInt = 5  # requests of a composed clip
    balance: Share = 0.6  # class balance of the composed clips' parts, 0 = as they come, 1 = all classes alike
    longest: PositiveInt = 240  # maximum of frames of a layered, styled, looped or composed clip
    leave_out: list[str] = []  # sources of clips that are not wanted, for their licences
    seed: NonNegativeInt = 0  # of all random draws

    @model_validator(mode="after")
    def _together(self) -> Self:
        if self.three + self.four > 1:
            raise UserError(f"three {self.three} and four {self.four}; accepted: at most 1 together")
        return self


class PreparationRecipe(Strict):
    """A configuration of the prepare stage."""

    prepare: Preparation = Preparation()


def _requests(clip: Clip, bank: CaptionBank, rewrites: Rewrites, side: str | None) -> list[str]:
    """Users' requests that the clip answers."""
    if "+" in clip.action or any(isinstance(v, str) for v in clip.extra.get("params", {}).values()):
        return []  # its direction or manner is not in the name of the class
    if clip.action:
        return rewrites.for_action(clip.action, clip.style, side)
    key = bank.action_key("", clip.captions)
    return rewrites.for_action(key) if key else []


def prompt_pool(clip: Clip, bank: CaptionBank, rewrites: Rewrites, rng: np.random.Generator, size: int) -> list[str]:
    """Requests that the clip answers: its captions, variations, paraphrases of its action, and users' requests.

    Without captions, requests for its action; none where it has no action, or one without words.
    """
    side = clip.extra.get("side") or (side_of(clip.action.replace("-", " ")) if clip.action else None)
    pool = [*clip.captions, *clip.extra.get("requests", [])]
    # Users' requests are up to a quarter of the pool.
    requests = _requests(clip, bank, rewrites, side)
    if requests:
        pool += [str(t) for t in rng.choice(requests, min(len(requests), max(2, size // 4)), replace=False)]
    # captions of keyframed clips state their random parameters, which the bank does not know
    named = clip.action if "params" not in clip.extra else ""
    # Variations repeat; twice as many attempts as wanted fill most pools.
    for _ in range(2 * size):
        if len(set(pool)) >= size + len(clip.captions):
            break
        worded = named and (not clip.captions or rng.random() < 0.35)
        text = bank.paraphrase(named, clip.style, rng, side) if worded else None
        if not text:
            if not clip.captions:
                break  # the bank does not know the class, if there is one
            text = str(rng.choice(clip.captions))
        pool.append(vary(text, rng) if rng.random() < 0.8 else text)
    return list(dict.fromkeys(pool))


def compose_clips(
    clips: Sequence[Clip], ends: Sequence[Ends], bank: CaptionBank, rewrites: Rewrites, options: Preparation
) -> Iterator[Clip]:
    """Two to four training clips in sequence at matching poses, with their captions joined. `ends`: of every clip."""
    if not options.composed:
        return
    rng = np.random.default_rng([options.seed, 1])
    usable = [c for c in clips if c.captions]
    names = [clip_class(c) for c in usable]
    # keyframed clips have a beginning, a count and an end
    cyclic = [n in CYCLIC and c.source != "synthetic" for n, c in zip(names, usable, strict=True)]
    usable_ends = [e for c, e in zip(clips, ends, strict=True) if c.captions]
    sequencer = Sequencer(usable, names, cyclic, options.balance, ends=usable_ends)
    anything = np.ones(len(usable), bool)
    is_keyframed = np.array([c.source == "synthetic" for c in usable])
    count_made = refused = 0
    while count_made < options.composed:
        shares = [1 - options.three - options.four, options.three, options.four]
        count = int(rng.choice([2, 3, 4], p=shares))
        allowed = [anything] * count
        if is_keyframed.any() and rng.random() < options.keyframed_share:
            allowed[int(rng.integers(count))] = is_keyframed
        elif is_keyframed.any():
            # The other chains are recorded throughout, where there are recordings.
            allowed = [~is_keyframed] * count if not is_keyframed.all() else allowed
        chain = sequencer.draw(rng, allowed, options.longest)
        if chain is None:
            # A chain can be too long, or have parts that do not fit; some refusals are normal.
            refused += 1
            if refused > 1000 + 100 * count_made:
                raise UserError(f"prepare: longest: {options.longest} frames; hardly any clips in a row are that short")
            continue
        # Chains may mirror a part; its words are mirrored with it.
        parts = [usable[i] for i in chain.items]
        oriented = [replace(mirror_clip(replace(c, motion=c.load())), motion=c.motion) if flip else c
                    for c, flip in zip(parts, chain.mirrored, strict=True)]  # fmt: skip
        pool = [prompt_pool(c, bank, rewrites, rng, 6) for c in oriented]
        prompts = [bank.compose([str(rng.choice(p)) for p in pool], rng) for _ in range(options.composed_prompts)]
        plain = bank.compose([str(rng.choice(c.captions)) for c in oriented], rng)
        yield Clip(
            f"join_{count_made:05d}", chain.motion.with_caption(plain), [plain], "composed", LICENCE_JOINED, "train",
            "+".join(clip_class(c) for c in oriented), "",
            {"prompts": [plain, *prompts], "parts": [c.id for c in parts], "mirrored": list(chain.mirrored),
             "seams": list(chain.starts[1:])},
        )  # fmt: skip
        count_made += 1


def make_keyframed_clips(
    bank: CaptionBank, stances: np.ndarray, count: int, entries: int | None = None, first: int = 0
) -> Iterator[Clip]:
    """`count` clips of every packaged family, `entries` of those of the lexicon (None = as many), from seed `first` on.
    `bank`: adds its paraphrases. `stances`: (S, 22, 4) idle poses to begin and end with; none where S is 0.
    """
    for batch in _batches(count, entries, first):
        yield from _make_keyframed(batch, bank, stances)


def _batches(count: int, entries: int | None, first: int) -> Iterator[tuple[str, range]]:
    """Families with seeds of clips that are solved together."""
    for name, family in families().items():
        seeds = range(first, first + (count if entries is None or not family.schema else entries))
        yield from ((name, seeds[start : start + _BATCH]) for start in range(0, len(seeds), _BATCH))


def _make_keyframed(batch: tuple[str, range], bank: CaptionBank, stances: np.ndarray) -> list[Clip]:
    out = []
    for clip in keyframed(families()[batch[0]], batch[1], stances if len(stances) else None, bank):
        # Sentences about somebody stay captions; orders ("have a seat") become requests.
        captions = [c for c in clip.captions if split(c) is not None] or clip.captions
        requests = [c for c in clip.captions if c not in captions]
        out.append(replace(clip, captions=captions, extra={**clip.extra, "requests": requests}))
    return out


def _clean_clips(
    clips_of: Callable[[Item], list[Clip]], items: Iterable[Item], report: CleaningReport, workers: int, chunk: int
) -> Iterator[Clip]:
    """The clips of every item, `clean_clips`, by several processes."""

    def part(item: Item) -> tuple[list[Clip], CleaningReport]:
        part_report = CleaningReport()
        return list(clean_clips(clips_of(item), part_report)), part_report

    for clips, part_report in map_in_order(part, items, workers, chunk):
        report.include(part_report)
        yield from clips


def prepare(
    clips: Iterable[Clip], bank: CaptionBank, rewrites: Rewrites, options: Preparation, report: CleaningReport,
    workers: int = 1,
) -> Iterator[Clip]:  # fmt: skip
    """All clips, cleaned and measured, with prompt pools (training clips also mirrored, with their words), then those
    derived from them; the same whatever the number of processes.

    Args:
        report: what was mended and dropped is added to it. workers: processes.
    """
    # One generator draws all prompt pools: in this process, in the order of the clips.
    rng = np.random.default_rng([options.seed, 0])
    originals = list(clips)
    numbers = range(len(originals))
    recorded = list(_clean_clips(lambda i: [replace(originals[i], extra={})], numbers, report, workers, _CHUNK))
    limits = QualityLimits.of([c.extra["figures"] for c in recorded if c.split == "train"])

    def with_pool(clip: Clip) -> Clip:
        pool = prompt_pool(clip, bank, rewrites, rng, options.prompts)
        return replace(clip, extra={**clip.extra, "prompts": pool, "quality": limits.quality(clip.extra["figures"])})

    yield from (c for c in recorded if c.split != "train")

    def action_of(clip: Clip) -> str:
        return bank.action_key(clip.action, clip.captions) or next(iter(clip.captions), clip.id).lower()

    training_clips = [c for c in recorded if c.split == "train"]
    train = list(without_artefacts(training_clips, limits, action_of, report))

    def image(i: int) -> Clip:
        return measure_clip(replace(mirror_clip(train[i]), id=f"{train[i].id}_m"))

    for clip, mirror_image in zip(train, map_in_order(image, range(len(train)), workers, _CHUNK), strict=True):
        yield with_pool(clip)
        yield with_pool(mirror_image)
    # Keyframed clips begin and end as recorded people stand.
    stances = idle_stances(train, 200, options.seed) if options.keyframed or options.keyframed_val else np.zeros(0)
    batch_clips = partial(_make_keyframed, bank=bank, stances=stances)
    # Seeds from VALIDATION on are never used for training.
    yield from _clean_clips(batch_clips, _batches(options.keyframed_val, None, VALIDATION), report, workers, 1)
    training = _batches(options.keyframed, options.entries, 0)
    generated = list(_clean_clips(batch_clips, training, report, workers, 1))
    derived = _derive_clips(train, generated, bank, rewrites, options, workers)
    for clip in generated:
        yield with_pool(clip)
    layered, composed = next(derived)
    (varied,), (looped,), (resting,) = derived
    for clip in (*layered, *varied, *looped):
        yield with_pool(clip)
    yield from composed
    yield from resting


def _derive_clips(
    train: list[Clip], generated: list[Clip], bank: CaptionBank, rewrites: Rewrites, options: Preparation, workers: int
) -> Iterator[list[list[Clip]]]:
    """Layered with composed, styled, looped and resting clips, of a generator and, if there are several, a process
    each; what gets a prompt pool later is measured."""
    clips, longest, seed = [*train, *generated], options.longest, options.seed
    numbers = range(len(clips) if options.composed else 0)
    ends = list(map_in_order(lambda i: ends_of(clips[i]), numbers, workers, 4 * _CHUNK))

    def make(kind: int) -> list[list[Clip]]:
        if kind == 1:
            return [list(map(measure_clip, make_styled_clips(clips, bank, options.styled, seed, longest)))]
        if kind == 2:
            return [list(map(measure_clip, loop_cyclic_clips(train, bank, CYCLIC, options.looped, seed, longest)))]
        if kind == 3:
            return [list(make_resting_clips(clips, bank, options.resting, seed, longest, LICENCE_JOINED))]
        layered = list(layer_clips(clips, bank, options.layered, seed, longest))
        parts, part_ends = [*clips, *layered], [*ends, *map(ends_of, layered if options.composed else ())]
        return [list(map(measure_clip, layered)), list(compose_clips(parts, part_ends, bank, rewrites, options))]

    return map_in_order(make, range(4), workers)


def read_corpora(folders: str) -> Iterator[Clip]:
    """Clips of training and validation; one in twenty is validation where a corpus has no split of its own.

    Args:
        folders: with commas between: stores of `avatargpt data build`, folders of quantised clips, folders of these.
    """

    def is_corpus(path: Path) -> bool:
        return (path / MANIFEST).is_file() or (path / CAPTIONS).is_file()

    places = [[p] if is_corpus(p) else sorted(filter(is_corpus, p.iterdir())) if p.is_dir() else []
              for p in map(Path, folders.split(","))]  # fmt: skip
    if not all(places):
        raise UserError(f"{folders.split(',')[places.index([])]}: no corpus in it; accepted: a store of `avatargpt "
                        f"data build`, a folder of such stores, or one with {CAPTIONS}")  # fmt: skip
    for folder in (folder for place in places for folder in place):
        if (folder / MANIFEST).is_file():
            store = Store.open(folder)
            clips, whole = store.clips(), "val" in store.manifest["splits"]
        else:
            quantised = list(read_quantised(folder))
            clips, whole = iter(quantised), any(c.split == "val" for c in quantised)
        for clip in clips:
            if clip.split in ("train", "val"):
                yield clip if whole else replace(clip, split=split_of(clip.id))


def read_packs(cc0_actions: str | None, smartbody: str | None, packs: str | None, workers: int = 1) -> list[Clip]:
    """Clips of named actions beside the corpus, a process for each folder; prints what was left out."""
    folders: list[tuple[str, str, dict[str, str]]]
    folders = [(n, f, {}) for n, f in (("cc0-actions", cc0_actions), ("smartbody-actions", smartbody)) if f]
    folders += [("pack", f, {"source": Path(f).name}) for f in (packs or "").split(",") if f]

    def read(i: int) -> tuple[list[Clip], Report]:
        name, folder, options = folders[i]
        report = Report()
        return list(read_corpus(name, folder, report, split=None, **options)), report

    report, clips = Report(), []
    for pack, pack_report in map_in_order(read, range(len(folders)), workers):
        report.include(pack_report)
        clips += pack
    if clips or report.skipped:
        print(report)
    return clips


def prepare_stage(recipe: PreparationRecipe, args: SimpleNamespace) -> None:
    """Corpora and texts -> a motion store with prompt pools and composed clips."""
    texts = Path(args.texts)
    bank = CaptionBank(texts / "body_captions.json")
    workers = cores(args.threads)
    clips = [*read_corpora(args.corpus), *read_packs(args.cc0_actions, args.smartbody, args.packs, workers)]
    if unknown := sorted(set(recipe.prepare.leave_out) - (sources := {c.source for c in clips})):
        raise UserError(f"prepare.leave_out: no source {unknown[0]!r}; accepted: {', '.join(sorted(sources))}")
    clips = [c for c in clips if c.source not in recipe.prepare.leave_out]
    if not any(c.split == "train" and c.captions for c in clips):
        raise UserError(f"{args.corpus}: no training clip with a caption in it")
    rewrites = Rewrites(texts / "rewrites_train.jsonl", bank)
    report = CleaningReport()
    store = Store.write(prepare(clips, bank, rewrites, recipe.prepare, report, workers), args.output)
    save_resolved(recipe, Path(args.output))
    print(report)
    print(f"{args.output}: {len(store)} clips, {store.manifest['hours']} hours")


FAMILIES = ("wave", "bow", "squat", "sneak", "clap", "jumping_jack", "turn_around", "kick")
TRAINING, HELD_OUT = 6, 1  # clips of each


def write_sample_corpus(folder: Path) -> None:
    """Write ``body/`` (a store), ``text/`` (caption bank and rewrites), ``planning/`` (a scene) and ``chat/`` (a
    dialogue).

    The clips are keyframed ones with their own captions: good enough to run every stage, not to learn from.
    """
    seeds = [*range(TRAINING), *range(VALIDATION, VALIDATION + HELD_OUT)]
    clips = [c for name in FAMILIES for c in keyframed(families()[name], seeds)]
    Store.write([replace(c, source="sample", extra={}) for c in clips], folder / "body")
    captions = {
        name: list(dict.fromkeys(t for c in clips if c.action == name for t in c.captions)) for name in FAMILIES
    }
    person = "a person "
    bank = {
        "actions": {name: [f"{{person}} {t.removeprefix(person)} {{manner}}" for t in texts if t.startswith(person)]
                    for name, texts in captions.items()},
        "styles": {"normal": {"adverbs": ["calmly"], "phrases": ["at an even pace"], "person": ["a person"]}},
        "compose": ["{a}, then {b}", "first {a}, afterwards {b}", "{a}, {b}, and finally {c}"],
    }  # fmt: skip
    rewrites = [{"prompt": f"please show how {t}", "plain": [t], "actions": [name], "styles": [None], "side": None}
                for name, texts in captions.items() for t in texts[:2]]  # fmt: skip
    first = [captions[name][0] for name in FAMILIES]
    scene = {
        "scene": "two friends meet in the park",
        "activities": [{"task": f"exercise {k}", "steps": first[k : k + 3]} for k in range(3)],
    }
    turns = [{"user": t, "acts": [{"do": "then" if k else "make", "text": t}]} for k, t in enumerate(first[:3])]
    lines = "".join(json.dumps(r) + "\n" for r in rewrites)
    for name, text in (
        ("text/body_captions.json", json.dumps(bank, indent=1)), ("text/rewrites_train.jsonl", lines),
        ("planning/train.jsonl", json.dumps(scene) + "\n"), ("chat/train.jsonl", json.dumps({"turns": turns}) + "\n"),
    ):  # fmt: skip
        atomic_write(folder / name, partial(Path.write_text, data=text, encoding="utf-8"))


def sample_corpus_stage(args: SimpleNamespace) -> None:
    """Write the sample corpus."""
    write_sample_corpus(Path(args.output))
    print(f"{args.output}: {len(FAMILIES) * (TRAINING + HELD_OUT)} clips of {len(FAMILIES)} actions")
