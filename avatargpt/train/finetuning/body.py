"""`avatargpt finetune` for bodies: clips with captions -> language model and phrase index that know them too."""

from __future__ import annotations

import math
import shutil
from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from avatargpt.kinematics.measures import kinematic_features
from avatargpt.lm.checkpoint import load_model, save_small
from avatargpt.lm.text_encoder import SentenceGrounder, TextTokenizer
from avatargpt.metrics.statistics import kinematic_fid
from avatargpt.requests.english import lemmas
from avatargpt.requests.phrase_index import RANK, PhraseIndex
from avatargpt.requests.vector_index import Reduced, reduce_vectors, round_vectors, unit
from avatargpt.train.data.corpus import Folders, text_corpus
from avatargpt.train.data.examples import ExampleOptions, Examples
from avatargpt.train.data.prepare import make_keyframed_clips
from avatargpt.train.finetuning.clips import USER, caption_table, motion_files, read_clips
from avatargpt.train.finetuning.run import EarlyStopping, FinetuneOptions, Finetuning
from avatargpt.train.language import ADAPTER, LanguageRecipe, LanguageStage, LanguageTraining, Validation
from avatargpt.train.lora import LoraOptions, add_lora
from avatargpt.train.phrase_index import LENGTH_QUANTILES, measure_attributes
from avatargpt.train.tokenizer import tokenise_clip
from instruct_data.clip import Clip
from instruct_data.factory.cleaning import measure_clip
from instruct_data.factory.synth.families import VALIDATION
from instruct_data.factory.synth.phrases import mirror_clip
from instruct_data.factory.text.captions import CaptionBank, vary
from instruct_data.factory.texts import unpack_texts
from instruct_data.store import ClipCodes, Store
from instruct_data.text.english import side_of
from vqvae.errors import UserError
from vqvae.motion import Motion
from vqvae.tokenizer import MotionTokenizer

if TYPE_CHECKING:
    from avatargpt.api import AvatarGPT

CODES = "codes"
PROMPTS = 8  # wordings of a clip beside its captions
KEYFRAMED_SEED, KEYFRAMED_VAL = 500_000, 48  # of packaged clips: seed of the first, clips that validation watches
USER_TASKS, PACKAGE_TASKS = ("text_to_motion", "motion_to_text", "continuation"), ("text_to_motion", "continuation")
MIN_ROWS = 24  # validation rows of the user's held-out clips, each with as many prompts as that takes
TOTAL = "val_whole"
PLANNING = (
    "scene_to_activity", "activity_to_next_activity", "scene_steps_to_next_steps", "scene_activity_to_next_steps",
    "scene_steps_to_next_activity", "activity_to_steps", "steps_to_activity", "steps_to_next_steps",
)  # fmt: skip
MAX_DIRECTIONS, MIN_STRENGTH = 48, 0.05  # that new phrasings may add to the index; weaker ones carry nothing
MAX_PROMPTS, MAX_CONTINUED, WATCHED = 20, 32, 40  # captions generated, clips continued, packaged clips tried for that
MIN_FRAMES, TOKEN_FRAMES = 32, 4  # of a clip that is continued


def language_recipe(options: FinetuneOptions, steps: int) -> LanguageRecipe:
    """The configuration of the language stage, for so many steps."""
    mine, package = options.user_share, 1 - options.user_share
    weights = {
        f"text_to_motion/{USER}": 0.62 * mine, f"motion_to_text/{USER}": 0.2 * mine,
        f"continuation/{USER}": 0.1 * mine, f"in_between/{USER}": 0.08 * mine,
        "text_to_motion": 0.4 * package, "motion_to_text": 0.14 * package, "continuation": 0.2 * package,
        "in_between": 0.1 * package, "rewrite": 0.02 * package, "chat_turn": 0.06 * package,
        **{name: 0.01 * package for name in PLANNING},
    }  # fmt: skip
    # Few clips of many actions, or many of one: classes are drawn about equally often.
    balanced = ("text_to_motion", "motion_to_text", "continuation", "in_between")
    alpha = {task: 0.5 for task in balanced} | {f"{task}/{USER}": 0.7 for task in balanced}
    training = LanguageTraining(
        **options.schedule(steps, 8e-4 if options.lora else 4e-4), batch=options.batch, pool=4, refiner_rows=0.5,
        best=TOTAL, options=ExampleOptions(weights=weights, alpha=alpha, only_ground=0.2, only_words=0.08),
    )  # fmt: skip
    lora = LoraOptions(targets=["q", "k", "v", "o", "wi", "wi_0", "wi_1", "wo"]) if options.lora else None
    return LanguageRecipe(train=training, lora=lora)


def list_training_clips(clips: Sequence[Clip], keyframed: int, seed: int) -> Iterator[Clip]:
    """The user's clips, and packaged ones of every keyframed action.

    Training clips get further wordings (``extra["prompts"]``), and once more mirrored where their captions name a side:
    those that name none may be meant for one all the same.
    """
    for number, clip in enumerate(clips):
        if clip.split != "train":
            yield clip
            continue
        sided = any(side_of(text) in ("left", "right") for text in clip.captions)
        copies = [clip, replace(mirror_clip(clip), id=f"{clip.id}_m", action=clip.action)] if sided else [clip]
        for copy in copies:
            rng = np.random.default_rng([seed, number, len(copy.id)])
            wordings = [vary(str(rng.choice(copy.captions)), rng) for _ in range(PROMPTS)]
            yield measure_clip(replace(copy, extra={"prompts": list(dict.fromkeys([*copy.captions, *wordings]))}))
    bank, no_stances = CaptionBank(unpack_texts("text") / "body_captions.json"), np.zeros(0)
    for clip in make_keyframed_clips(bank, no_stances, keyframed, first=KEYFRAMED_SEED):
        yield measure_clip(replace(clip, extra={**clip.extra, "prompts": [*clip.captions, *clip.extra["requests"]]}))
    # Clips of the package that training does not see show what the model forgets.
    watched = list(make_keyframed_clips(bank, no_stances, 1, first=VALIDATION))
    yield from watched[:: max(1, len(watched) // KEYFRAMED_VAL)]


def validation_rows(
    examples: Examples, user: Sequence[ClipCodes], package: Sequence[ClipCodes]
) -> Validation:
    """Fixed rows: ``own_TASK`` of the user's held-out clips, ``kept_TASK`` of the package's."""
    out: Validation = {}
    for name, items, tasks in (("own", user, USER_TASKS), ("kept", package, PACKAGE_TASKS)):
        # Few held-out clips get several prompts each, or the loss would be noise.
        times = math.ceil(MIN_ROWS / max(1, len(items)))
        for task in tasks:
            options = ExampleOptions(weights={task: 1.0}, everyday=0.0, asked=0.0, contrast=0.0)
            source = Examples(items, {}, examples.text, examples.config, options, examples.rates)
            if source.streams():
                entries = np.tile(np.arange(len(source.streams()[0].classes)), times)
                out[f"{name}_{task}"] = source, source.make(np.zeros_like(entries), entries, (5,))
    return out


class BodyStage(EarlyStopping, LanguageStage):
    """The language stage of a finished model, validated on the new clips and on those of the package."""

    before: dict[str, float] = {}  # figures of the model that it began from; empty until they are known

    def validate(self) -> dict[str, float]:
        """Nats per token of every validation set; `TOTAL`: of the user's clips, plus the growth on the package's."""
        figures = super().validate()
        mine = [v for k, v in figures.items() if k.startswith(("val_own_text", "val_own_motion"))]
        growth = [max(0.0, v - self.before.get(k, v)) for k, v in figures.items() if k.startswith("val_kept_")]
        figures[TOTAL] = sum(mine) / max(1, len(mine)) + sum(growth)
        if self.before:
            self.count_validation(figures[TOTAL])
        return figures


class BodyFinetuning(Finetuning):
    """The language model of bodies, and the phrase index."""

    modality = "body"

    def read(self) -> list[Path]:
        if self.options.lora and find_spec("peft") is None:
            raise UserError("--lora: needs peft; install it: pip install 'avatargpt[train]'")
        if not (self.start / "body" / "tokenizer.json").is_file():
            raise UserError(f"--model {self.start}: no body in it; accepted a folder of weights that make bodies")
        files, table = motion_files(self.folder), caption_table(self.folder)
        texts = [t for f in files if (t := f.with_suffix(".txt")).is_file()]
        self.notify("reading")
        self.clips = read_clips(self.folder, self.options.licence)
        return [*files, *texts, *([table] if table else [])]

    def prepare(self) -> None:
        self.tokenizer = MotionTokenizer.load(self.start / "body", self.runtime.device)
        self.grounder = SentenceGrounder(cache_size=40_000, device=self.runtime.device, alone=True)
        place = self.work / CODES
        if not place.exists():
            clips = list_training_clips(self.clips, self.options.keyframed, self.options.seed)
            Store.write_codes((tokenise_clip(c, self.tokenizer) for c in clips), place, self.tokenizer.fingerprint)
        store = Store.open(place)
        self.learnt, self.val = list(store.codes("train")), list(store.codes("val"))

    def stage(self, steps: int) -> BodyStage:
        recipe = language_recipe(self.options, steps)
        torch.manual_seed(self.options.seed)
        model = load_model(self.start, dtype=torch.float32)
        model.check_fingerprint("body", self.tokenizer.fingerprint)
        if recipe.lora is not None:
            add_lora(model, recipe.lora)
        _, pairs = text_corpus(
            Folders(unpack_texts("text"), unpack_texts("planning"), unpack_texts("chat")), self.learnt
        )
        text, rates = TextTokenizer.load(self.start), {"body": self.tokenizer.tokens_per_second}
        examples = Examples(self.learnt, pairs, text, model.config, recipe.train.options, rates)
        user, package = ([i for i in self.val if (i.source == USER) is mine] for mine in (True, False))
        grounder = self.grounder if model.config.grounding_dim else None
        return BodyStage(recipe, model, examples, validation_rows(examples, user, package), grounder, self.runtime)

    def figures(self, model: Path) -> dict[str, float]:
        from avatargpt.api import AvatarGPT

        avatar = AvatarGPT.from_pretrained(model, str(self.runtime.device))
        bank = CaptionBank(unpack_texts("text") / "body_captions.json")
        watched = list(make_keyframed_clips(bank, np.zeros(0), 1, first=VALIDATION + 1))
        watched = watched[:: max(1, len(watched) // WATCHED)]
        figures = {
            "shown": measure_recognised(avatar, self.clips), "continuation_fid": continuation_fid(avatar, watched)
        }  # fmt: skip
        return {k: v for k, v in figures.items() if math.isfinite(v)}

    def write_parts(self, best: Path, place: Path) -> None:
        save_small(load_model(best), place)
        if (best / ADAPTER).is_dir():
            shutil.copytree(best / ADAPTER, place / ADAPTER)
        if (index := PhraseIndex.load(place)) is not None:
            user = [i for i in self.learnt if i.source == USER]
            with_captions_of(index, user, self.grounder).save(place)

    def about(self) -> dict[str, Any]:
        splits = [c.split for c in self.clips]
        return {"clips": {s: splits.count(s) for s in ("train", "val")},
                "actions": sorted({c.action for c in self.clips})}  # fmt: skip


def index_of(clips: Sequence[ClipCodes], grounder: SentenceGrounder) -> PhraseIndex:
    """An index of the clips' captions alone, each a phrasing of its clip's action, with the lengths of such clips."""
    action: dict[str, str] = {}
    tokens: dict[str, list[int]] = defaultdict(list)
    for clip in clips:
        for text in clip.captions:
            action.setdefault(text, clip.action)
            tokens[text].append(len(clip.codes))
    keys = list(action)
    sides = [str(side) if (side := side_of(k)) in ("left", "right") else "" for k in keys]
    lengths = {k: [int(q) for q in np.quantile(n, LENGTH_QUANTILES)] for k, n in tokens.items()}
    vectors = grounder.sentence(keys)
    return PhraseIndex(keys, [{"": k} for k in keys], [action[k] for k in keys], sides, {}, lengths, vectors)


def without(index: PhraseIndex, phrasings: Collection[str]) -> PhraseIndex:
    """An index that lacks these phrasings; itself where it has none of them."""
    rows = [i for i, k in enumerate(index.keys) if k not in phrasings]
    if len(rows) == len(index.keys):
        return index
    stored = index.index.stored
    if isinstance(stored, Reduced):
        vectors: Reduced | np.ndarray = Reduced(stored.rows[rows], stored.scale[rows], stored.basis)
    else:
        vectors = stored[rows]
    return PhraseIndex(
        [index.keys[i] for i in rows], [index.captions[i] for i in rows], [index.classes[i] for i in rows],
        [str(index.sides[i]) for i in rows], index.styles, index.lengths, vectors,
    )  # fmt: skip


MIN_COSINE, MIN_GAIN, MAX_COUNT = 0.7, 0.1, 250  # cosines, and phrasings that have a lemma which is no common one


def with_new_actions(earlier: PhraseIndex, new_index: PhraseIndex) -> PhraseIndex:
    """An index and, behind it, the phrasings that another has of actions that it lacks.

    Requests that led to a similar action while theirs was missing ("hail a taxi" to a wave) lead to the new one.
    """
    actions = {*earlier.classes}
    new = [i for i, (k, c) in enumerate(zip(new_index.keys, new_index.classes, strict=True))
           if c not in actions and k not in earlier.rows]  # fmt: skip
    captions = [new_index.captions[i] for i in new]
    texts = {t for c in captions for t in c.values()}
    lengths = earlier.lengths | {c: n for c, n in new_index.lengths.items() if c in texts and c not in earlier.lengths}
    all_captions, classes = [*earlier.captions, *captions], [*earlier.classes, *(new_index.classes[i] for i in new)]
    sides = [*(str(s) for s in earlier.sides), *(str(new_index.sides[i]) for i in new)]
    for i, j in _match_moved(earlier, new_index, new):
        all_captions[i], classes[i], sides[i] = new_index.captions[j], new_index.classes[j], str(new_index.sides[j])
    return PhraseIndex(
        [*earlier.keys, *(new_index.keys[i] for i in new)], all_captions, classes, sides, earlier.styles, lengths,
        np.concatenate([earlier.index.vectors, new_index.index.vectors[new]]),
    )  # fmt: skip


def _match_moved(earlier: PhraseIndex, new_index: PhraseIndex, new: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Requests of the earlier index and the new phrasing of the same meaning: more similar than any caption of their
    action by `MIN_GAIN`, with two lemmas in common, one of them no common one, and on the same side."""
    # Similarity of each request to the captions that it leads to now.
    present = np.full(len(earlier.keys), -1.0)
    vectors, theirs = unit(earlier.index.vectors), unit(new_index.index.vectors[list(new)])
    for rows in earlier.members.values():
        captions = {earlier.rows[c] for i in rows for c in earlier.captions[i].values() if c in earlier.rows}
        if captions:
            present[rows] = (vectors[rows] @ vectors[sorted(captions)].T).max(1)
    request_lemmas = [{*lemmas(k)} for k in earlier.keys]
    new_lemmas = [{*lemmas(new_index.keys[i])} for i in new]
    counts = Counter(w for words in request_lemmas for w in words)
    for i in (i for i in range(len(earlier.keys)) if not earlier.is_caption(i)):
        cosines = theirs @ vectors[i]
        best = int(cosines.argmax())
        shared = request_lemmas[i] & new_lemmas[best]
        rare = any(counts[w] < MAX_COUNT for w in shared)
        side = side_of(earlier.keys[i]) or ""
        if (
            cosines[best] > max(present[i] + MIN_GAIN, MIN_COSINE) and len(shared) > 1 and rare
            and len(request_lemmas[i] - shared) < max(2, len(shared)) and side in ("", str(new_index.sides[new[best]]))
        ):  # fmt: skip
            yield i, new[best]


def with_captions_of(index: PhraseIndex, clips: Sequence[ClipCodes], grounder: SentenceGrounder) -> PhraseIndex:
    """An index with the captions of clips; one that it has already leads to the clip from now on."""
    new = index_of(clips, grounder)
    earlier = without(index, set(new.keys))
    actions = set(earlier.classes)
    # The user's "walk" may be another movement than the packaged one.
    new.classes = [f"own {c}" if c in actions else c for c in new.classes]  # an action of the user's is none of ours
    both = with_new_actions(earlier, new)
    stored = earlier.index.stored
    stored = stored if isinstance(stored, Reduced) else reduce_vectors(stored, RANK)
    out = PhraseIndex(
        both.keys, both.captions, both.classes, [str(s) for s in both.sides], both.styles, both.lengths,
        widen_vectors(stored, both.index.vectors[len(earlier.keys) :]),
    )  # fmt: skip
    out.user_actions, out.attributes = index.user_actions | set(new.classes), dict(index.attributes)
    typed = measure_attributes(clips)
    out.measured = index.measured | {k: typed[n] for k in new.keys if (n := k.lower().rstrip(".")) in typed}
    out.reads = index.reads
    if out.reads is not None:
        out.read_captions(new.keys)
    return out


def widen_vectors(stored: Reduced, new: np.ndarray) -> Reduced:
    """The vectors of a file, unchanged, and further ones (k, w) behind them, whose part outside of the file's
    directions gets directions of its own: words that no packaged phrasing has differ in nothing else.
    """
    if stored.basis is None:
        rows, scale = round_vectors(new)
        return Reduced(np.concatenate([stored.rows, rows]), np.concatenate([stored.scale, scale.astype(np.float32)]))
    basis = stored.basis.astype(np.float32)
    _, strength, directions = np.linalg.svd(new - new @ basis @ basis.T, full_matrices=False)
    added = directions[strength > MIN_STRENGTH][:MAX_DIRECTIONS].T
    wide = np.concatenate([basis, added], 1)
    rows, scale = round_vectors(new @ wide)
    old = np.pad(stored.rows, ((0, 0), (0, added.shape[1])))
    scales = np.concatenate([stored.scale, scale.astype(np.float32)])
    return Reduced(np.concatenate([old, rows]), scales, wide.astype(np.float16))


def measure_recognised(model: AvatarGPT, clips: Sequence[Clip], seed: int = 0) -> float:
    """Share of the user's captions (held-out clips first) whose motion is nearest, by `kinematic_features` in units
    of their deviation, to a clip of that action.

    Returns:
        0..1; NaN where all clips are of one action.
    """
    actions = [c.action for c in clips]
    if len(set(actions)) < 2:
        return float("nan")
    features = np.stack([kinematic_features(c.load().joints, c.load().fps) for c in clips])
    # Deviations over these clips: features that all of them share decide nothing.
    scale = features.std(0)
    used = scale > 1e-6
    hits = []
    for number, clip in enumerate(sorted(clips, key=lambda c: c.split != "val")[:MAX_PROMPTS]):
        text = clip.captions[number % len(clip.captions)]
        motion = model.generate(text, seed=seed + number)[0]
        distance = (features - kinematic_features(motion.joints, motion.fps))[:, used] / scale[used]
        hits.append(actions[int(np.square(distance).sum(1).argmin())] == clip.action)
    return float(np.mean(hits))


def continuation_fid(model: AvatarGPT, clips: Sequence[Clip], seed: int = 0) -> float:
    """Kinematic FID of the second halves of clips as the model continues the first ones, against the true ones.

    Returns:
        NaN where fewer than two clips are long enough.
    """
    generated: list[np.ndarray] = []
    real: list[np.ndarray] = []
    for number, clip in enumerate(clips):
        motion: Motion = clip.load().canonical()
        if len(motion) < MIN_FRAMES or len(generated) == MAX_CONTINUED:
            continue
        first = max(TOKEN_FRAMES, round(0.5 * len(motion) / TOKEN_FRAMES) * TOKEN_FRAMES)
        length = len(motion) - first
        extended = model.extend(motion.slice(0, first), length / motion.fps, seed=seed + number).canonical()
        end = extended.joints[first : first + length]
        if len(end) >= 3:
            generated.append(end)
            real.append(motion.joints[first:])
    return kinematic_fid(generated, real, 20.0) if len(generated) > 1 else float("nan")
