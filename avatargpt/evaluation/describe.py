"""The suites `describe` and `describe_synthetic`: action and side named by descriptions, and caption scores."""

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np

from avatargpt.evaluation import corpus
from avatargpt.evaluation.cache import NO_CACHE, AnswerCache
from avatargpt.evaluation.report import figure, plain
from avatargpt.evaluation.suites import Run, Suite, load
from avatargpt.metrics import checks, text
from instruct_data.clip import Clip
from instruct_data.factory.synth.families import actions
from vqvae.errors import UserError
from vqvae.io.files import atomic_write
from vqvae.motion import Motion

# The first match names the action, so the special ones stand before the general ones.
_ACTIONS = (
    ("cartwheel", r"cartwheel|sideways over the hands|over the hands sideways"),
    ("handstand", r"handstand|on the hands and kick|upside.down"),
    ("flip", r"\bflip|somersault|flic flac|turns? over (backward|to the side)"),
    ("roll", r"\broll(s|ing|ed)?\b"),
    ("crawl", r"crawl|all fours|hands and knees"),
    ("get up", r"gets? up (from|off)|(face down|on (his|her|the) (back|belly|stomach|side)).*(gets? up|stands?|rises?)"
               r"|rises from (lying|the floor)|stands? up from lay|pushes up from the floor|lying .* (gets? up|stand)"),
    ("fall", r"\bfalls?\b|falling|drops flat|loses footing"),
    ("climb", r"climb|playground|\bframe\b|hangs? (from|by|with)|grips? a bar|\bdangl"),
    ("dribble", r"dribbl|basketball|bounc\w+ (a|the) ball"),
    ("sword", r"sword|blade|slash|\bcuts? (through|an?)|swipes?\b"),
    ("kick", r"\bkick"),
    ("punch", r"punch|\bbox(es|ing)?\b|\bfists?\b|\bjabs?\b"),
    ("fight", r"martial|karate|fighter"),
    ("jumping jack", r"jumping jack"),
    ("trunk twist", r"twists? the (upper )?(body|trunk)|twists? at the waist"),
    ("arm circles", r"circles? (the|both|his|her) arms|arms? (in )?circles|arms up and down"),
    ("touch toes", r"touch(es)? (the|his|her|their) toes"),
    ("raise knees", r"(raises?|lifts?) (the|his|her|both) knees"),
    ("dance", r"\bdanc|salsa|ballet|pirouette|arabesque|\bjete|to the beat|\bwaltz"),
    ("jump", r"\bjump|\bhop(s|ping|ped)?\b|\bleap"),
    ("squat", r"\bsquat|\bcrouch|ducks?\b"),
    ("bow", r"\bbow(s|ed|ing)?\b(?! legs)|bends? forward|(lowers|dips) the head|tips? the upper body"),
    ("guide", r"\bguid|shows? the way|direct(s|ing)? (somebody|someone|a|people)|ushers?|(leads?|points?|pointing) the "
              r"(way|route)|invites? someone to go|invites? somebody to go"),
    ("call", r"\bcalls?\b|calling|shouts?|attention and invites|to come over"),
    ("wave", r"\bwav(e|es|ing|ed)\b|goodbye|bye|farewell|moves? side to side|shakes? it|rocks? the (left|right) hand"
             r"|hand back and forth|parting|signals? with two|says? hello"),
    ("run", r"\brun(s|ning)?\b|\bran\b|\bjog|\bdash|\bsprint|\brush|charges? forward|darts? off|bolts?|races?\b"
            r"|hurr(y|ies)|at (top |full |running )?speed|long, fast strides"),
    ("turn", r"\bturn|\bpivot|steers?|\bcurve|swings? around|heads (left|right)|rounds? a corner|rotat|veers?"
             r"|changes? direction"),
    ("raise", r"\brais|lifts?\b|lifting|puts? (up|the \w+ hands?|both|one|two|a hand)|hands? (up|overhead)|reach(es)? "
              r"(up|for|over)|up in the air|elevat|sticks? the|stretch(es)? (the|both)|pushes? the|holds? up"
              r"|brings? the|arms? (up|overhead)|palms? (up|high)|putting up|hands? high|signals? with a raised"
              r"|responds?|answers? by"),
    ("walk back", r"backward|to the rear|backs? up|straight back|in reverse|\bretreat|gives? ground"
                  r"|steps? back|walks? back|goes? back"),
    ("walk sideways", r"diagonal|sideways|at a slant|drifts?|ahead and to the (left|right)|(left|right) while still"
                      r"|(leftward|rightward)|moves? (left|right)|while facing|strafes?"
                      r"|forward and to the (left|right)"),
    ("walk", r"\bwalk|\bstep|stride|strid|\bstroll|on foot|advances?|moves? (ahead|forward)|paces?\b|zombie|sneak|prowl"
             r"|creep|tiptoe|marches?|goes? (ahead|forward)|proceeds?|makes? (his|her|their) way"),
)  # fmt: skip
# Phrases that hold a keyword without meaning it.
_NOISE = re.compile(r"without turning( \w+)?|no strength left|asks? for a turn|turn to speak|energy left|answer a call")
_COMPILED = tuple((name, re.compile(pattern)) for name, pattern in _ACTIONS)
_BOTH_LIMBS = re.compile(
    r"\bboth\b|\btwo (\w+ )?(hands|arms|palms)|left and (the )?right|(hands|arms) (up|overhead|in the air)"
    r"|the two (hands|arms)|\b(hands|arms)\b"
)


def action_of(sentence: str) -> str:
    """The action a sentence names, one of `_ACTIONS`, or "" when no keyword is in it."""
    text = _NOISE.sub(" ", sentence.lower())
    return next((name for name, pattern in _COMPILED if pattern.search(text)), "")


def stated_side(sentence: str) -> str:
    """``left``, ``right``, ``both`` or "" (no side, or left and right separately)."""
    text = _NOISE.sub(" ", sentence.lower())
    left, right = (bool(re.search(rf"\b{side}(ward|wards|-handed)?\b", text)) for side in ("left", "right"))
    if re.search(r"\bboth\b|left and (the )?right|two (\w+ )?(hands|arms)|the two", text):
        return "both"
    if left != right:
        return "left" if left else "right"
    if left and right:
        return _active_side(text)
    return "both" if _BOTH_LIMBS.search(text) else ""


def _active_side(text: str) -> str:
    """Of two sides the one that does not rest ("keeps the right arm down, lifts the left")."""
    resting = re.search(
        r"(leaves?|keeps?|lets?|leaving|keeping|with) the (left|right) (arm|hand)[^,;]*?(hang|down|still|rest)", text
    )
    if resting:
        return "right" if resting.group(2) == "left" else "left"
    named = re.search(r"(left|right) (hand|arm)", text)
    return named.group(1) if named else ""


Describe = Callable[[list[Motion]], Sequence[str]]
FamilyTable = dict[str, checks.Family]
OWN_CAPTION = "own caption"
SIDED = ("wave", "raise", "turn", "walk sideways")
WORDING: dict[str, Callable[..., float]] = {
    "bleu1": partial(text.bleu, order=1), "bleu4": partial(text.bleu, order=4), "rouge_l": text.rouge_l,
    "cider": text.cider,
}  # fmt: skip
# Action names of the corpus -> the action that a sentence about it should name.
CLASSES = {
    "bow": "bow", "bye": "wave", "byebye": "wave", "call": "call", "dance-short": "dance", "dash": "run",
    "guide": "guide", "kick": "kick", "punch": "punch", "respond": "raise", "run": "run", "slash": "sword",
    "walk": "walk", "walk-back": "walk back", "walk-left": "walk sideways", "walk-right": "walk sideways",
    "raise-up-both-hands": "raise", "raise-up-left-hand": "raise", "raise-up-right-hand": "raise",
    "walk-turn-left": "turn", "walk-turn-right": "turn", "wave-both-hands": "wave", "wave-left-hand": "wave",
    "wave-right-hand": "wave",
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
    options = run.suite.options
    per_family = int(options["full" if run.full and "full" in options else "per_family"])
    if run.store is not None:
        clips, training = (corpus.stored_keyframed(run.store, split) for split in ("val", "train"))
    else:  # training draws from the seeds from 0 on
        clips, training = (list(corpus.keyframed_clips(per_family, first)) for first in (corpus.HELD_OUT, 0))
    return score_synthetic(run.suite, clips, run.model.describe, training, run.cache)


def expected_action(action: str) -> tuple[str, str]:
    """Corpus action name -> (action, side); side is "" where none matters."""
    name = CLASSES[action]
    side = next((s for s in ("left", "right", "both") if s in action.split("-")), "")
    return name, {"byebye": "both", "respond": "left"}.get(action, side) if name in SIDED else ""


def reference_actions(clip: Clip) -> tuple[set[str], str]:
    """Actions that count as right for a clip, and the side (or "").

    The corpus' class decides where there is one; else whatever at least a third of its captions name.
    """
    if clip.action in CLASSES:
        name, side = expected_action(clip.action)
        return {name}, side
    named = Counter(action_of(c) for c in clip.captions)
    named.pop("", None)
    return {a for a, n in named.items() if 3 * n >= len(clip.captions)}, ""


def descriptions(describe: Describe, clips: Sequence[Clip], batch: int, cache: AnswerCache = NO_CACHE) -> list[str]:
    """One sentence for each clip, `batch` clips at a time."""
    def describe_batch(motions: list[Motion]) -> list[str]:
        sentences = [str(text) for text in describe(motions)]
        if len(sentences) != len(motions):
            raise UserError(f"describe gave {len(sentences)} sentences for {len(motions)} motions")
        return sentences

    calls = [([c.load() for c in clips[i : i + batch]],) for i in range(0, len(clips), batch)]
    return [text for sentences in cache.map("describe", describe_batch, calls) for text in sentences]


def score(
    suite: Suite, clips: list[Clip], describe: Describe, training: Sequence[Clip] = (), cache: AnswerCache = NO_CACHE
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
    sample = [{"clip": clips[i].id, "said": sentences[i], "reference": clips[i].captions[0]} for i in chosen]
    baselines: dict[str, dict[str, Any]] = {}
    if texts := corpus.baseline_sentences(clips, training, suite.seeds[0]):
        baselines[OWN_CAPTION] = _judge_actions(*_leave_one_out(clips, suite.seeds[0]))[0]
        baselines |= {name: _judge_actions(clips, captions)[0] for name, captions in texts.items()}
    # A clip without one of its captions may be of another class: only figures that the model has, too.
    results |= {f"{k}/{name}": figures[k] for name, figures in baselines.items() for k in results if k in figures}
    return {"results": results, "confusion": confusion, "sample": sample, "clips": len(clips),
            **({"baselines": [*baselines]} if baselines else {})}  # fmt: skip


# Clips of several captions without one of them, and that one.
def _leave_one_out(clips: Sequence[Clip], seed: int) -> tuple[list[Clip], list[str]]:
    rng = np.random.default_rng([seed, 3])
    remaining, left_out = [], []
    for clip in (c for c in clips if len(c.captions) > 1):
        i = int(rng.integers(len(clip.captions)))
        remaining.append(replace(clip, captions=[*clip.captions[:i], *clip.captions[i + 1 :]]))
        left_out.append(clip.captions[i])
    return remaining, left_out


# The figures of one sentence per clip, and what was named in place of what.
def _judge_actions(clips: Sequence[Clip], sentences: Sequence[str]) -> tuple[dict[str, Any], dict[str, dict[str, int]]]:
    right, side_right = [], []
    by_class: dict[str, list[float]] = defaultdict(list)
    confusion: dict[str, Counter[str]] = defaultdict(Counter)
    for clip, sentence in zip(clips, sentences, strict=True):
        accepted, side = reference_actions(clip)
        if not accepted:
            continue
        named = action_of(sentence)
        ok = named in accepted
        name = clip.action or " or ".join(sorted(accepted))
        right.append(float(ok))
        by_class[name].append(float(ok))
        confusion[name][named or "(none)"] += 1
        if side and ok:
            # A wrong action is counted once, above.
            side_right.append(float(stated_side(sentence) == side))
    references = [c.captions for c in clips]
    results = {
        "action": figure(right),
        "action_class_mean": figure([float(np.mean(v)) for v in by_class.values()]),
        "side": figure(side_right),
    }
    for name, measure in WORDING.items():
        results[name] = plain(measure(sentences, references, tokens=text.raw_tokens))
        results[f"{name}/lemma"] = plain(measure(sentences, references, tokens=text.lemma_tokens))
    results.update({f"action/{k}": figure(v) for k, v in sorted(by_class.items())})
    return results, {k: dict(v.most_common()) for k, v in sorted(confusion.items())}


def markdown(result: dict[str, Any]) -> str:
    """The sample as a Markdown table, as it is."""
    rows = [f"| {r['clip']} | {r['said']} | {r['reference']} |" for r in result["sample"]]
    return "\n".join(["| clip | described as | one of its captions |", "|---|---|---|", *rows]) + "\n"


def reference_side(clip: Clip) -> str:
    """The side that at least half of a clip's captions mention, or ""."""
    if not clip.captions:
        return ""
    sides = Counter(stated_side(c) for c in clip.captions)
    best = max(("left", "right"), key=lambda s: sides[s])
    return best if 2 * sides[best] >= len(clip.captions) and not sides["left" if best == "right" else "right"] else ""


def score_synthetic(
    suite: Suite, clips: list[Clip], describe: Describe, training: Sequence[Clip] = (), cache: AnswerCache = NO_CACHE
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
    results, confusion = _judge_families(table, used, sentences)
    by_family = {k: results.pop(k) for k in [k for k in results if k.startswith("family/")]}
    order = np.random.default_rng(suite.seeds[0]).permutation(len(used))
    captions = [_names_family(table, c, s) for c in used for s in c.captions]
    chance = [_names_family(table, used[j], sentences[int(i)]) for j, i in enumerate(order)]
    results |= {"captions": figure(captions), "chance": figure(chance), **by_family}
    texts = corpus.baseline_sentences(used, training, suite.seeds[0])
    for name, answers in texts.items():
        results |= {f"{k}/{name}": v for k, v in _judge_families(table, used, answers)[0].items()}
    sample = [
        {"clip": used[int(i)].id, "said": sentences[int(i)], "reference": (used[int(i)].captions or [""])[0]}
        for i in order[: int(suite.options.get("samples", 40))]
    ]
    return {
        "results": results, "confusion": confusion, "sample": sample, "clips": len(used),
        "clips_of_no_family": len(clips) - len(used), **({"baselines": [*texts]} if texts else {}),
    }  # fmt: skip


def _accepted(table: FamilyTable, clip: Clip) -> set[str]:
    return {clip.action, *table[clip.action].also}


def _names_family(table: FamilyTable, clip: Clip, sentence: str) -> float:
    return float(bool(families_named(table, sentence) & _accepted(table, clip)))


# The figures of one sentence per clip, and what was named in place of what.
def _judge_families(
    table: FamilyTable, clips: Sequence[Clip], sentences: Sequence[str]
) -> tuple[dict[str, Any], dict[str, dict[str, int]]]:
    right, only, side_right = [], [], []
    by_family: dict[str, list[float]] = defaultdict(list)
    confusion: dict[str, Counter[str]] = defaultdict(Counter)
    for clip, sentence in zip(clips, sentences, strict=True):
        accepted = _accepted(table, clip)
        named = families_named(table, sentence)
        ok = bool(named & accepted)
        right.append(float(ok))
        only.append(float(ok and not named - accepted))
        by_family[clip.action].append(float(ok))
        if not ok:
            confusion[clip.action][" or ".join(sorted(named)) or "(none)"] += 1
        side = reference_side(clip)
        if side and ok:
            side_right.append(float(stated_side(sentence) == side))
    results = {
        "family": figure(right), "family_mean": figure([float(np.mean(v)) for v in by_family.values()]),
        "only": figure(only), "side": figure(side_right),
        **{f"family/{k}": figure(v) for k, v in sorted(by_family.items())},
    }  # fmt: skip
    return results, {k: dict(v.most_common()) for k, v in sorted(confusion.items())}


@cache
def templates() -> dict[str, checks.Words]:
    """Action with a file -> the pattern of its captions with any side, count or parameter filled in."""
    return {name: checks.template(c.text for c in family.captions) for name, family in actions().items()}


def families_named(table: dict[str, checks.Family], sentence: str) -> set[str]:
    """Families that a sentence names: by one of their words, or by the pattern of a caption."""
    text = sentence.lower().strip().rstrip(".")
    captions = templates()
    return {
        name for name, entry in table.items()
        if entry.words.search(text) or (name in captions and captions[name].fullmatch(text))
    }  # fmt: skip
