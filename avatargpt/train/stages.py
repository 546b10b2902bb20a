"""The stages behind `scripts/train.py` that have no module of their own."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from avatargpt.train.runtime import Runtime
from instruct_data.store import ClipCodes, Store
from vqvae.errors import UserError

if TYPE_CHECKING:
    from avatargpt.train.data.prepare import PreparationRecipe
    from avatargpt.train.language import LanguageRecipe
    from avatargpt.train.tokenizer import TokenizerRecipe
    from instruct_data.clip import Clip


def recorded_packs(cc0_actions: str | None, smartbody: str | None, packs: str | None) -> list[Clip]:
    """Clips of named actions beside the corpus; says what was left out.

    Args:
        cc0_actions, smartbody: folders of these. packs: folders with captions of their own, with commas between.

    Raises:
        UserError: see `instruct_data.sources.registry.read_corpus`.
    """
    from instruct_data.sources.corpus import Report
    from instruct_data.sources.registry import read_corpus

    report = Report()
    clips: list[Clip] = []
    for name, folder in (("cc0-actions", cc0_actions), ("smartbody-actions", smartbody)):
        clips += read_corpus(name, folder, report, split=None) if folder else []
    for folder in filter(None, (packs or "").split(",")):
        clips += read_corpus("pack", folder, report, source=Path(folder).name, split=None)
    if clips or report.skipped:
        print(report)
    return clips


def prepare_stage(recipe: PreparationRecipe, args: argparse.Namespace) -> None:
    """Corpora and texts -> a motion store with prompt pools and composed clips."""
    from avatargpt.config import save_resolved
    from avatargpt.train.data.prepare import prepare
    from instruct_data.sources.quantised import read_quantised
    from instruct_data.text.captions import CaptionBank
    from instruct_data.text.rewrites import Rewrites

    texts = Path(args.texts)
    bank = CaptionBank(texts / "body_captions.json")
    clips = [c for c in read_quantised(args.corpus) if c.split in ("train", "val")]
    clips += recorded_packs(args.cc0_actions, args.smartbody, args.packs)
    if not any(c.split == "train" and c.captions for c in clips):
        raise UserError(f"{args.corpus}: no training clip with a caption in it")
    rewrites = Rewrites(texts / "rewrites_train.jsonl", bank)
    store = Store.write(prepare(clips, bank, rewrites, recipe.prepare), args.output)
    save_resolved(recipe, Path(args.output))
    print(f"{args.output}: {len(store)} clips, {store.manifest['hours']} hours")


# Sources of held-out clips that are reported separately; none of other modalities.
RARE: dict[str, Callable[[str], bool]] = {
    "body": lambda source: not source.startswith("bandai"), "face": lambda source: source.startswith("livelink"),
}  # fmt: skip


def feature_windows(store: Store, split: str, room: Path) -> Any:
    """Features of a store's single clips (composed ones add nothing to a tokenizer), in a file in folder `room`."""
    from avatargpt.train.data.windows import FeatureFile, Windows
    from instruct_data.mixture import clip_class
    from vqvae import modalities

    spec, is_rare = modalities.get(store.modality).features(), RARE.get(store.modality, lambda source: False)
    clips, labels, rare = FeatureFile(room), [], []
    for clip in store.clips(split):
        if clip.source == "composed":
            continue
        clips.add(spec.encode(clip.load()))
        labels.append(clip_class(clip))
        rare.append(is_rare(clip.source))
    if split == "train" and not clips:
        raise UserError(f"{store.path}: no single training clips in it")
    groups = spec.slices()
    hold = [groups[k] for k in ("velocity", "yaw", "joint_velocity") if k in groups]
    return Windows(clips, labels, np.array(rare), hold)


def tokenizer_stage(recipe: TokenizerRecipe, args: argparse.Namespace) -> None:
    """Train (or go on training) a motion tokenizer."""
    from avatargpt.train.tokenizer import train

    runtime = Runtime.start(args.threads, args.device)
    store = Store.open(args.store)
    start = Path(args.start) if args.start else None
    out = Path(args.output)
    training, held = feature_windows(store, "train", out), feature_windows(store, "val", out)
    train(recipe, training, held, out, runtime, start, args.until, str(args.config))


def tokenised(store: Store, tokenizer: Any) -> Iterator[ClipCodes]:
    """Every clip of a motion store as codes."""
    for clip in store.clips():
        motion = clip.load()
        yield ClipCodes(
            clip.id, tokenizer.encode(motion), clip.captions, clip.split, clip.source, clip.licence, clip.action,
            clip.style, len(motion), motion.fps, clip.id.endswith("_m"), tokenizer.config.modality, clip.extra,
        )  # fmt: skip


def codes_stage(args: argparse.Namespace) -> None:
    """Motion store -> tokenised cache: all that the language stage reads, small enough for a short GPU lease."""
    from vqvae.tokenizer import MotionTokenizer

    runtime = Runtime.start(args.threads, args.device)
    tokenizer = MotionTokenizer.load(args.tokenizer, runtime.device)
    store = Store.write_codes(tokenised(Store.open(args.store), tokenizer), args.output, tokenizer.fingerprint)
    print(f"{args.output}: {len(store)} clips as codes of tokenizer {tokenizer.fingerprint[:12]}")


def ground_stage(args: argparse.Namespace) -> None:
    """Sentence-encoder states of every training text, once, so that training need not run that network."""
    from avatargpt.lm.text_encoder import SentenceGrounder
    from avatargpt.train.data.corpus import folders_of, grounded_texts, text_corpus
    from instruct_data.text.everyday import everyday_requests

    runtime = Runtime.start(args.threads, args.device)
    clips = list(Store.open(args.store).clips("train"))
    _, pairs = text_corpus(folders_of(args), clips)
    texts = list(grounded_texts(pairs, clips))
    asked = everyday_requests()
    texts += [t for name in asked.classes() for t in asked.requests(name)]
    grounder = SentenceGrounder(device=runtime.device)
    if args.grounding:
        grounder.load_states(args.grounding)
    grounder.save_states(texts, args.output)


def language_stage(recipe: LanguageRecipe, args: argparse.Namespace) -> None:
    """Train the language model; without `--codes`, on text alone."""
    from avatargpt.train.language_run import language_run

    language_run(recipe, args)


def phrase_index_stage(args: argparse.Namespace) -> None:
    """The book of phrasings that plain wording looks requests up in."""
    from avatargpt.lm.text_encoder import SentenceGrounder
    from avatargpt.requests.phrases import PhraseIndex
    from avatargpt.train.data.judged_answers import pass_rates
    from avatargpt.train.phrase_index import make_phrase_index, with_new_actions, with_normalised_of, with_performed
    from instruct_data.text.captions import CaptionBank
    from instruct_data.text.rewrites import Rewrites

    Runtime.start(args.threads, args.device)

    def held(option: str, folder: str | None) -> PhraseIndex | None:
        found = PhraseIndex.load(folder) if folder else None
        if folder and found is None:
            raise UserError(f"{folder}: no phrase index in it; --{option} takes the folder of one or of a model")
        return found

    earlier, grown_from = held("earlier", args.earlier), held("grown-from", args.grown_from)
    if not args.codes:
        if earlier is None:
            raise UserError("phrase-index: accepted --codes and --texts, or --earlier alone")
        book = with_performed(earlier, SentenceGrounder())
        book.save(args.output)
        print(f"{args.output}: {len(book.keys)} phrasings, {len(book.keys) - len(earlier.keys)} of them new")
        return
    if not args.texts:
        raise UserError("phrase-index: --codes goes with --texts")
    bank = CaptionBank(Path(args.texts) / "body_captions.json")
    rewrites = Rewrites(Path(args.texts) / "rewrites_train.jsonl", bank)
    grounder = SentenceGrounder()
    if args.grounding:
        grounder.load_states(args.grounding)
    rates = pass_rates(args.self_training) if args.self_training else None
    clips = list(Store.open(args.codes).codes("train"))
    if grown_from is not None:
        known = {*grown_from.classes}
        clips = [c for c in clips if c.source == "synthetic" and c.action not in known]
    book = make_phrase_index(clips, bank, rewrites, grounder, rates)
    if earlier is not None:
        book = with_normalised_of(book, earlier)
    if grown_from is not None:
        book = with_new_actions(grown_from, book)
    book.save(args.output)
    print(f"{args.output}: {len(book.keys)} phrasings")


def exemplars_stage(args: argparse.Namespace) -> None:
    """The library of tokenised examples that retrieval looks up: clips of our own making."""
    from avatargpt.lm.text_encoder import SentenceGrounder
    from avatargpt.train.exemplars import keyframed_clips, make_exemplars
    from vqvae.tokenizer import MotionTokenizer

    runtime = Runtime.start(args.threads, args.device)
    clips = Store.open(args.store).clips("train") if args.store else keyframed_clips(args.count, args.seed)
    tokenizer = MotionTokenizer.load(args.tokenizer, runtime.device)
    library = make_exemplars(clips, tokenizer, SentenceGrounder(device=runtime.device), args.count)
    size = library.save(args.output).stat().st_size / 1e3
    print(f"{args.output}: {len(library)} clips, {len(library.captions)} captions, {size:.0f} kB")
