"""The suites `describe` and `describe_synthetic`: action and side named by descriptions, and caption scores."""

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np

from avatargpt.evaluation import corpus
from avatargpt.evaluation.cache import NO_CACHE, RunCache
from avatargpt.evaluation.report import figure, plain
from avatargpt.evaluation.suites import Run, Suite, load
from avatargpt.metrics import checks, text
from instruct_data.clip import Clip
from instruct_data.factory.synth.families import actions
from vqvae.errors import UserError
from vqvae.io.files import atomic_write
from vqvae.motion import Motion

# Phrases that hold a keyword without meaning it.
_NOISE = re.compile(r"without turning( \w+)?|no strength left|asks? for a turn|turn to speak|energy left|answer a call")
_BOTH_LIMBS = re.compile(
    r"\bboth\b|\btwo (\w+ )?(hands|arms|palms)|left and (the )?right|(hands|arms) (up|overhead|in the air)"
    r"|the two (hands|arms)|\b(hands|arms)\b"
)


@cache
def _classes() -> dict[str, tuple[re.Pattern[str], dict[str, Any]]]:
    """Action -> the words that name it, and its row of the suite."""
    return {row["name"]: (checks.pattern(row["words"], "suite describe"), row) for row in load("describe").classes}


def action_of(sentence: str) -> str:
    """The action a sentence names, the first class of the suite whose words match; "" when none does."""
    text = _NOISE.sub(" ", sentence.lower())
    return next((name for name, (words, _) in _classes().items() if words.search(text)), "")


def find_stated_side(sentence: str) -> str:
    """``left``, ``right``, ``both`` or "" (no side, or left and right separately)."""
    text = _NOISE.sub(" ", sentence.lower())
    left, right = (bool(re.search(rf"\b{side}(ward|wards|-handed)?\b", text)) for side in ("left", "right"))
    if re.search(r"\bboth\b|left and (the )?right|two (\w+ )?(hands|arms)|the two", text):
        return "both"
    if left != right:
        return "left" if left else "right"
    if not left:
        return "both" if _BOTH_LIMBS.search(text) else ""
    # Of two sides the one that does not rest ("keeps the right arm down, lifts the left").
    resting = re.search(
        r"(leaves?|keeps?|lets?|leaving|keeping|with) the (left|right) (arm|hand)[^,;]*?(hang|down|still|rest)", text
    )
    if resting:
        return "right" if resting.group(2) == "left" else "left"
    named = re.search(r"(left|right) (hand|arm)", text)
    return named.group(1) if named else ""


Describe = Callable[[list[Motion]], Sequence[str]]
FamilyTable = dict[str, checks.FamilyChecks]
OWN_CAPTION = "own caption"
WORDING: dict[str, Callable[..., float]] = {
    "bleu1": partial(text.bleu, order=1), "bleu4": partial(text.bleu, order=4), "rouge_l": text.rouge_l,
    "cider": text.cider,
}  # fmt: skip


def evaluate(run: Run) -> dict[str, Any]:
    """The suite `describe` on a corpus; the sample of descriptions is also written as Markdown."""
    clips = corpus.load_clips(run.data, str(run.suite.options.get("split", "val")))
    result = score(run.suite, clips, run.model.describe, corpus.load_clips(run.data, "train"), run.cache)
    if run.out is not None:
        table = markdown(result)
        atomic_write(Path(run.out).with_suffix(".md"), lambda p: p.write_text(table, encoding="utf-8"))
    return result


def evaluate_synthetic(run: Run) -> dict[str, Any]:
    """The suite `describe_synthetic` on clips of a store, or on clips of held-out seeds."""
    per_family = int(run.suite.options["full" if run.full and "full" in run.suite.options else "per_family"])
    if run.store is not None:
        clips, training = (corpus.load_keyframed(run.store, split) for split in ("val", "train"))
    else:  # training draws from the seeds from 0 on
        clips, training = (list(corpus.make_keyframed_clips(per_family, first)) for first in (corpus.HELD_OUT, 0))
    return score_synthetic(run.suite, clips, run.model.describe, training, run.cache)


def reference_actions(clip: Clip) -> tuple[set[str], str]:
    """Actions that count as right for a clip, and the side (or "").

    The corpus' class decides where there is one; else whatever at least a third of its captions name.
    """
    for name, (_, row) in _classes().items():
        if clip.action in row.get("actions", ()):
            side = next((s for s in ("left", "right", "both") if s in clip.action.split("-")), "")
            return {name}, {"byebye": "both", "respond": "left"}.get(clip.action, side) if row.get("sided") else ""
    named = Counter(action_of(c) for c in clip.captions)
    named.pop("", None)
    return {a for a, n in named.items() if 3 * n >= len(clip.captions)}, ""


def descriptions(describe: Describe, clips: Sequence[Clip], batch: int, cache: RunCache = NO_CACHE) -> list[str]:
    """One sentence for each clip, `batch` clips at a time."""
    def describe_batch(motions: list[Motion]) -> list[str]:
        sentences = [str(text) for text in describe(motions)]
        if len(sentences) != len(motions):
            raise UserError(f"describe gave {len(sentences)} sentences for {len(motions)} motions")
        return sentences

    calls = [([c.load() for c in clips[i : i + batch]],) for i in range(0, len(clips), batch)]
    return [text for sentences in cache.map("describe", describe_batch, calls) for text in sentences]


@dataclass
class Marks:
    """What some sentences name of their clips, 1 or 0 each, and what is named in place of what."""

    right: list[float] = field(default_factory=list)
    only: list[float] = field(default_factory=list)  # nothing else is named
    side: list[float] = field(default_factory=list)  # of those that are right and have a side
    by_class: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    confusion: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))

    def add(self, name: str, accepted: set[str], named: set[str], side: str, sentence: str) -> bool:
        """Add a sentence about a clip of a class; whether it is right."""
        ok = bool(named & accepted)
        self.right.append(float(ok))
        self.only.append(float(ok and not named - accepted))
        self.by_class[name].append(float(ok))
        if side and ok:  # A wrong action is counted once, above.
            self.side.append(float(find_stated_side(sentence) == side))
        return ok

    def figures(self, name: str, mean: str) -> dict[str, Any]:
        """``NAME`` of all clips, the mean of the classes, and ``side``; of families also ``only``."""
        means = figure([float(np.mean(v)) for v in self.by_class.values()])
        only = {"only": figure(self.only)} if name == "family" else {}
        return {name: figure(self.right), mean: means, **only, "side": figure(self.side)}

    def classes(self, name: str) -> dict[str, Any]:
        """``NAME/CLASS``."""
        return {f"{name}/{k}": figure(v) for k, v in sorted(self.by_class.items())}

    def confused(self) -> dict[str, dict[str, int]]:
        """Class -> what was named, the most frequent first."""
        return {k: dict(v.most_common()) for k, v in sorted(self.confusion.items())}


# What all suites of descriptions write: a sample in the order of `chosen`, counts, names of baselines.
def _result(
    results: dict[str, Any], confusion: Any, clips: Sequence[Clip], sentences: Sequence[str], chosen: np.ndarray,
    baselines: Sequence[str],
) -> dict[str, Any]:
    sample = [{"clip": clips[i].id, "said": sentences[i], "reference": (clips[i].captions or [""])[0]}
              for i in chosen.tolist()]  # fmt: skip
    return {"results": results, "confusion": confusion, "sample": sample, "clips": len(clips),
            **({"baselines": [*baselines]} if baselines else {})}  # fmt: skip


def score(
    suite: Suite, clips: list[Clip], describe: Describe, training: Sequence[Clip] = (), cache: RunCache = NO_CACHE
) -> dict[str, Any]:
    """All figures of the describe suite.

    Returns:
        results, the confusion counts ``{reference: {named: count}}`` and a random sample of descriptions. With
        `training` also ``FIGURE/BASELINE``; ``own caption`` is one of a clip's captions against its others: what
        people reach.
    """
    text.needs_packages()
    sentences = descriptions(describe, clips, int(suite.options.get("batch", 32)), cache)
    results, confusion = _judge_actions(clips, sentences)
    rng = np.random.default_rng(suite.seeds[0])
    chosen = rng.choice(len(clips), min(int(suite.options.get("samples", 30)), len(clips)), replace=False)
    baselines: dict[str, dict[str, Any]] = {}
    if texts := corpus.baseline_sentences(clips, training, suite.seeds[0]):
        # Clips of several captions without one of them, and that one.
        rng, remaining, left_out = np.random.default_rng([suite.seeds[0], 3]), [], []
        for clip in (c for c in clips if len(c.captions) > 1):
            i = int(rng.integers(len(clip.captions)))
            remaining.append(replace(clip, captions=[*clip.captions[:i], *clip.captions[i + 1 :]]))
            left_out.append(clip.captions[i])
        baselines[OWN_CAPTION] = _judge_actions(remaining, left_out)[0]
        baselines |= {name: _judge_actions(clips, captions)[0] for name, captions in texts.items()}
    # A clip without one of its captions may be of another class: only figures that the model has, too.
    results |= {f"{k}/{name}": figures[k] for name, figures in baselines.items() for k in results if k in figures}
    return _result(results, confusion, clips, sentences, chosen, [*baselines])


# The figures of one sentence per clip, and what was named in place of what.
def _judge_actions(clips: Sequence[Clip], sentences: Sequence[str]) -> tuple[dict[str, Any], dict[str, dict[str, int]]]:
    marks = Marks()
    for clip, sentence in zip(clips, sentences, strict=True):
        accepted, side = reference_actions(clip)
        if accepted:
            name, named = clip.action or " or ".join(sorted(accepted)), action_of(sentence)
            marks.add(name, accepted, {named}, side, sentence)
            marks.confusion[name][named or "(none)"] += 1
    results = marks.figures("action", "action_class_mean")
    references = [c.captions for c in clips]
    for name, measure in WORDING.items():
        results[name] = plain(measure(sentences, references, tokens=text.raw_tokens))
        results[f"{name}/lemma"] = plain(measure(sentences, references, tokens=text.lemma_tokens))
    return results | marks.classes("action"), marks.confused()


def markdown(result: dict[str, Any]) -> str:
    """The sample as a Markdown table, as it is."""
    rows = [f"| {r['clip']} | {r['said']} | {r['reference']} |" for r in result["sample"]]
    return "\n".join(["| clip | described as | one of its captions |", "|---|---|---|", *rows]) + "\n"


def reference_side(clip: Clip) -> str:
    """The side that at least half of a clip's captions mention, or ""."""
    if not clip.captions:
        return ""
    sides = Counter(find_stated_side(c) for c in clip.captions)
    best = max(("left", "right"), key=lambda s: sides[s])
    return best if 2 * sides[best] >= len(clip.captions) and not sides["left" if best == "right" else "right"] else ""


def score_synthetic(
    suite: Suite, clips: list[Clip], describe: Describe, training: Sequence[Clip] = (), cache: RunCache = NO_CACHE
) -> dict[str, Any]:
    """All figures.

    Args:
        suite: of kind ``describe_synthetic``; its option ``families`` names the suite with the table of families.
        clips: held-out keyframed clips; those of no family in the table are left out and counted.

    Returns:
        ``family``: share of clips whose description names their family (or one of its ``also``), ``family/NAME`` and
        their mean; ``only``: names it alone; ``side`` of the right ones; ``captions``: share of the clips'
        own captions that the words of their family recognise, the ceiling of ``family``; ``chance``: how often the
        description of another clip would have been right. With `training` also ``FIGURE/BASELINE``.
    """
    families = load(str(suite.options.get("families", "families")))
    table = checks.read_families(families.classes, families.name)
    used = [c for c in clips if c.action in table]
    if not used:
        raise UserError(f"suite {suite.name}: no clips of a keyframed family")
    sentences = descriptions(describe, used, int(suite.options.get("batch", 32)), cache)
    marks = _judge_families(table, used, sentences)
    order = np.random.default_rng(suite.seeds[0]).permutation(len(used))

    def named(clip: Clip, sentence: str) -> float:
        return float(bool(families_named(table, sentence) & {clip.action, *table[clip.action].also}))

    captions = [named(c, s) for c in used for s in c.captions]
    chance = [named(used[j], sentences[int(i)]) for j, i in enumerate(order)]
    results = {**marks.figures("family", "family_mean"), "captions": figure(captions), "chance": figure(chance),
               **marks.classes("family")}  # fmt: skip
    texts = corpus.baseline_sentences(used, training, suite.seeds[0])
    for name, answers in texts.items():
        other = _judge_families(table, used, answers)
        figures = {**other.figures("family", "family_mean"), **other.classes("family")}
        results |= {f"{k}/{name}": v for k, v in figures.items()}
    chosen = order[: int(suite.options.get("samples", 40))]
    result = _result(results, marks.confused(), used, sentences, chosen, [*texts])
    baselines = {"baselines": result.pop("baselines")} if texts else {}
    return {**result, "clips_of_no_family": len(clips) - len(used), **baselines}


def _judge_families(table: FamilyTable, clips: Sequence[Clip], sentences: Sequence[str]) -> Marks:
    marks = Marks()
    for clip, sentence in zip(clips, sentences, strict=True):
        named, accepted = families_named(table, sentence), {clip.action, *table[clip.action].also}
        if not marks.add(clip.action, accepted, named, reference_side(clip), sentence):
            marks.confusion[clip.action][" or ".join(sorted(named)) or "(none)"] += 1
    return marks


@cache
def templates() -> dict[str, checks.Words]:
    """Action with a file -> the pattern of its captions with any side, count or parameter filled in."""
    return {name: checks.template(c.text for c in family.captions) for name, family in actions().items()}


def families_named(table: dict[str, checks.FamilyChecks], sentence: str) -> set[str]:
    """Families that a sentence names: by one of their words, or by the pattern of a caption."""
    text = sentence.lower().strip().rstrip(".")
    captions = templates()
    return {
        name for name, entry in table.items()
        if entry.words.search(text) or (name in captions and captions[name].fullmatch(text))
    }  # fmt: skip
