"""The phrase-index stage of `scripts/train.py`: captions, lexicon and requests -> `avatargpt.requests.phrase_index`."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace

import numpy as np

from avatargpt.body.constraints import MIN_TOKENS
from avatargpt.lm.text_encoder import SentenceGrounder
from avatargpt.requests.phrase_index import TOKENS_PER_SECOND, PhraseIndex
from avatargpt.train.data.clip_tables import clip_attributes
from avatargpt.train.data.judged_answers import pass_rates, usual
from avatargpt.train.data.prepare import CYCLIC, MADE_UP
from avatargpt.train.runtime import Runtime
from instruct_data.factory.mixture import clip_class
from instruct_data.factory.synth.families import families
from instruct_data.factory.text.captions import CaptionBank, bank_style
from instruct_data.factory.text.everyday import everyday_requests, lexicon, predicates, usual_seconds
from instruct_data.factory.text.rewrites import Rewrites
from instruct_data.store import ClipCodes, Store
from instruct_data.text.english import side_of, split

_BOTH = re.compile(r"\b(?:both|hands|arms|legs|feet|fists)\b")
_ONE = re.compile(r"\b(?:hand|arm|leg|foot|fist)\b")
_SOMEBODY = re.compile(r"\b(?:someone|somebody|(?:a|the) (?:person|figure|man|woman))\b")


def both_against_one(first: str, second: str) -> bool:
    """Whether one text is about both hands (arms, legs, feet), the other about a single one."""
    both = [bool(_BOTH.search(t)) for t in (first, second)]
    return both[0] != both[1] and all(b or _ONE.search(t) for b, t in zip(both, (first, second), strict=True))


STRIDES = 12  # motion tokens
LENGTH_QUANTILES = (0.5, 0.6, 0.7, 0.8, 0.9)
LEAST = 0.65  # of the length of its clips, that an action is still shown in
COMMON = 0.6  # of the commonest caption's count
PERFORMED = 0.3  # cosine that a pass rate of 1 instead of 0 is worth
# Classes of requests that no clip is named after -> the class of clips, or the caption of a clip without one.
CLIP_CLASSES = {
    "backflip": "a person does a backflip", "climb": "a person climbs up a playground frame and comes down again",
    "dance_long": "dance_short", "fight": "martial_arts", "get_up": "get_up_face_up", "shoot": "shoot_basketball",
    "sideflip": "a person does a side flip", "soccer_kick": "a person kicks a soccer ball", "spin": "a person spins",
    "stand_idle": "hold_still", "stealthy_walk": "sneak", "throw": "throw_ball",
}  # fmt: skip


def _class_of(clip: ClipCodes, bank: CaptionBank) -> tuple[str, str]:
    """The bank's key (may be empty) and style of a clip."""
    return bank.action_key(clip.action, clip.captions), bank_style(clip.style) if clip.action else "normal"


def _own_words(clip: ClipCodes) -> list[str]:
    """Captions written for this project; those of other collections begin with a capital."""
    return [c.lower().rstrip(".") for c in clip.captions if c[:1].islower()]


def find_known_captions(
    clips: Sequence[ClipCodes], bank: CaptionBank, grounder: SentenceGrounder, rates: Mapping[str, float] | None = None
) -> dict[str, dict[str, str]]:
    """Action key -> style ("" = plain) -> a caption that the training clips of that class carry, see `_usual` and
    `_distinct`; without pass rates the plain one is the shortest of the common ones.
    """
    counts: dict[str, dict[str, Counter[str]]] = defaultdict(lambda: defaultdict(Counter))
    named = {bank.action_key(c.action) for c in clips if c.action}
    for clip in clips:
        if clip.source == "composed" or not clip.captions:
            continue
        key, style = _class_of(clip, bank)
        if key and (clip.action or key not in named):  # a class name is surer than what captions imply
            for caption in clip.captions:
                counts[key][style][caption.lower().rstrip(".")] += 1
    out: dict[str, dict[str, str]] = {}
    for key, styles in counts.items():
        best = {s: _usual(c, rates) for s, c in styles.items()} | _distinct(styles, grounder, rates)
        # Without a neutral clip, the style with the most clips stands for the action.
        commonest = "normal" if "normal" in best else max(styles, key=lambda s: sum(styles[s].values()))
        plain = best[commonest] if rates else min(_common(styles[commonest], None)[0], key=lambda t: (len(t), t))
        out[key] = {**best, "": plain}
    return out


def _side(text: str) -> str:
    side = side_of(text) or ""
    return side if side != "both" else ""


def count_keyframed_captions(clips: Sequence[ClipCodes], every: bool = True) -> dict[str, dict[str, Counter[str]]]:
    """Keyframed action -> side its captions name ("" = none) -> number of clips with each sentence. `every`: count all
    clips, else `usual` ones alone.
    """
    counts: dict[str, dict[str, Counter[str]]] = defaultdict(lambda: defaultdict(Counter))
    for clip in clips:
        if clip.source == "synthetic" and (every or usual(clip)):
            for text in clip.captions:
                if split(text) is not None:
                    plain = text.lower().rstrip(".")
                    counts[clip.action][_side(plain)][plain] += 1
    return counts


def _common(counts: Counter[str], rates: Mapping[str, float] | None) -> tuple[list[str], list[float]]:
    """Captions of many clips of a class (rare ones state something special), and their pass rates; those without one
    get the mean."""
    threshold = COMMON * max(counts.values())
    common = [t for t, n in counts.items() if n >= threshold]
    measured = [rates[t] for t in common if t in rates] if rates else []
    # A caption without a measurement is neither preferred nor avoided.
    mean = sum(measured) / len(measured) if measured else 0.0
    return common, [(rates or {}).get(t, mean) for t in common]


def _usual(counts: Counter[str], rates: Mapping[str, float] | None = None) -> str:
    """The common caption of a class that a model performs best, else the commonest."""
    return min(zip(*_common(counts, rates), strict=True), key=lambda t: (-t[1], -counts[t[0]], len(t[0]), t[0]))[0]


def _distinct(
    styles: Mapping[str, Counter[str]], grounder: SentenceGrounder, rates: Mapping[str, float] | None
) -> dict[str, str]:
    """Style -> of its common captions one that is near to the mean of its captions, far from other styles', and
    performed well.
    """
    if len(styles) < 2:
        return {}
    vectors = [dict(zip(c, grounder.sentence(list(c)), strict=True)) for c in styles.values()]
    means = np.stack([
        np.average(list(v.values()), 0, list(c.values())) for v, c in zip(vectors, styles.values(), strict=True)
    ])
    means /= np.linalg.norm(means, axis=1, keepdims=True)
    out = {}
    for n, (style, counts) in enumerate(styles.items()):
        if style != "normal":
            common, rate = zip(*sorted(zip(*_common(counts, rates), strict=True)), strict=True)
            cosines = np.stack([vectors[n][t] for t in common]) @ means.T
            worth = cosines[:, n] - np.delete(cosines, n, 1).max(1) + PERFORMED * np.array(rate)
            out[style] = common[int(worth.argmax())]
    return out


def _nearest(
    requests: Mapping[str, Counter[str]], vectors: Mapping[str, np.ndarray], grounder: SentenceGrounder,
    rates: Mapping[str, float] | None,
) -> dict[str, str]:  # fmt: skip
    """Request -> of the captions common in its class, one that is similar to it and performed well: by rates alone
    "raise your hand" would lead to both hands.
    """
    # Requests of one class share the counts: each is examined once.
    shared = {id(counts): _common(counts, rates) for counts in requests.values()}
    texts = list(dict.fromkeys(t for common, _ in shared.values() for t in common))
    caption_vectors = dict(zip(texts, grounder.sentence(texts), strict=True)) if texts else {}
    out = {}
    for request, counts in requests.items():
        common, rate = shared[id(counts)]
        worth = np.stack([caption_vectors[t] for t in common]) @ vectors[request] + PERFORMED * np.array(rate)
        worth -= [float(both_against_one(request, t)) for t in common]
        out[request] = common[int(worth.argmax())]
    return out


def make_phrase_index(
    clips: Sequence[ClipCodes], bank: CaptionBank, rewrites: Rewrites, grounder: SentenceGrounder,
    rates: Mapping[str, float] | None = None,
) -> PhraseIndex:  # fmt: skip
    """Phrasings of every action of the clips, with the captions that they stand for. `rates`: share of a model's
    answers to each caption that passed (self-training), which captions are chosen by.
    """
    captions = find_known_captions([c for c in clips if c.source not in MADE_UP], bank, grounder, rates)
    rows: dict[str, tuple[dict[str, str], str, str]] = {}  # phrasing -> captions by style, action, side

    def add(phrase: str, key: str, style: str = "") -> None:
        by_style = captions[key]
        value = by_style if not style else {**by_style, "": by_style.get(style) or by_style[""]}
        rows.setdefault(" ".join(phrase.lower().split()).rstrip("."), (value, key, _side(key.replace("_", " "))))

    for key in captions:
        for text in bank.templates(key, side_of(key.replace("_", " ")), True):
            add(text.replace("{person}", "a person").replace("{manner}", "").replace(" ,", ","), key)
        for text in predicates(key, side_of(key.replace("_", " "))):
            add(f"a person {text}", key)
        add(captions[key][""], key)
    # a keyframed clip's sentences state counts, places and hands: each stands for itself
    keyframed = count_keyframed_captions(clips)
    for action, by_side in keyframed.items():
        for side, texts_counts in by_side.items():
            # Sentences that differ in the person alone are one: the commonest stands for them.
            by_form: dict[str, Counter[str]] = defaultdict(Counter)
            for text, count in texts_counts.items():
                by_form[_SOMEBODY.sub("who", text)][text] += count
            for text in map(_usual, by_form.values()):
                rows.setdefault(text, ({"": text}, action, side))
        family = families().get(action)  # an entry of the lexicon has orders ("iron the shirts"), some of a side
        for order in family.captions if family is not None and family.schema else ():
            for side in ("left", "right") if "{side}" in order.text else ("",):
                text = order.text.replace("{side}", side).lower().rstrip(".")
                if "{" not in text:
                    texts = by_side.get(side) or by_side.get("") or next(iter(by_side.values()))
                    rows.setdefault(text, ({"": _usual(texts)}, action, side))
    unnamed: set[str] = set()
    for clip in clips:  # without a class: each clip's captions stand for its first
        own_words = _own_words(clip)
        if clip.source in MADE_UP or not own_words or bank.action_key(clip.action, clip.captions):
            continue
        unnamed.add(own_words[0])
        for text in own_words:
            rows.setdefault(text, ({"": own_words[0]}, own_words[0], _side(text)))
    for item in rewrites.items:
        for request in (item, item.mirror()):
            keys = [k for k in request.actions if k]
            if len(request.plain) != 1 or not keys or keys[0] not in captions:
                continue
            # A request without a side must not lead to a class of one hand.
            action_side = side_of(keys[0].replace("_", " "))
            if action_side in ("left", "right") and request.side not in (None, action_side):
                continue
            add(request.prompt, keys[0], request.styles[0] or "")
            add(request.plain[0], keys[0], request.styles[0] or "")
    requests, usual_captions = everyday_requests(), count_keyframed_captions(clips, False)
    unsettled: dict[str, Counter[str]] = {}
    for name in requests.classes():
        clip_name = name if name in captions or name in keyframed else CLIP_CLASSES.get(name, name)
        for text in requests.requests(name):
            if clip_name in captions:
                add(text, clip_name)
            elif clip_name in keyframed:
                by_side = usual_captions[clip_name]
                if text not in rows:
                    # Which of the captions is settled below, when all vectors are known.
                    unsettled[text] = by_side.get(_side(text)) or by_side.get("") or next(iter(by_side.values()))
                    rows[text] = {}, clip_name, _side(text)
            elif clip_name in unnamed:
                rows.setdefault(text, ({"": clip_name}, clip_name, _side(text)))
    # Words for a person that say nothing of the manner name no style.
    neutral = set(bank.styles["normal"]["person"])
    manners = lexicon()["styles"]
    styles = {
        text: name for name, words in bank.styles.items() if name not in ("normal", "musical")
        for text in [*words["adverbs"], *words["phrases"], *manners.get(name, []), name,
                     *(p for p in words["person"] if p not in neutral),
                     *(requests.style_words(name) if name in requests.styles else [])]
    }  # fmt: skip
    counts: dict[str, list[int]] = defaultdict(list)
    for clip in clips:
        if clip.source in ("composed", "layered", "looped"):
            continue
        key, style = _class_of(clip, bank)
        by_style = captions.get(key, {})
        caption = by_style.get(style) or by_style.get("") or next(iter(_own_words(clip)), "")
        # a moment of a repeated movement is too little to recognise
        tokens = max(len(clip.codes), STRIDES) if clip_class(clip) in CYCLIC else len(clip.codes)
        counts[caption].append(tokens)
        if by_style and style == "normal":
            counts[by_style[""]].append(tokens)
        if clip.source == "synthetic":
            for text in clip.captions:
                counts[text.lower().rstrip(".")].append(len(clip.codes))
    lengths = {c: [int(q) for q in np.quantile(n, LENGTH_QUANTILES)] for c, n in counts.items() if c}
    keys = list(rows)
    vectors = grounder.sentence(keys)
    nearest = _nearest(unsettled, dict(zip(keys, vectors, strict=True)), grounder, rates)
    values = [({"": nearest[k]}, *rows[k][1:]) if k in nearest else rows[k] for k in keys]
    lengths = shorten_lengths(lengths, [(v[0].values(), v[1]) for v in values], usual_seconds())
    return PhraseIndex(
        keys, [v[0] for v in values], [v[1] for v in values], [v[2] for v in values], styles, lengths, vectors
    )


def shorten_lengths(
    lengths: Mapping[str, Sequence[int]], meant: Iterable[tuple[Iterable[str], str]], seconds: Mapping[str, float],
    rate: float = TOKENS_PER_SECOND,
) -> dict[str, list[int]]:  # fmt: skip
    """Lengths of the captions that phrasings lead to, in motion tokens: as many times shorter as the median of their
    action's is longer than a performance of it. What a caption says more ("four times") so stays longer.

    Args:
        lengths: of captions. meant: captions and the action of each phrasing. seconds: of one performance of actions.
    """
    actions: dict[str, set[str]] = defaultdict(set)
    for captions, action in meant:
        actions[action].update(c for c in captions if c in lengths)
    shares: dict[str, float] = defaultdict(float)
    for action, captions in actions.items():
        if captions:
            median = float(np.median([n for c in captions for n in lengths[c]]))
            share = min(1.0, max(LEAST, seconds[action] * rate / median)) if action in seconds else 1.0
            for caption in captions:
                shares[caption] = max(shares[caption], share)
    return {c: [max(min(MIN_TOKENS, n), round(n * share)) for n in lengths[c]] for c, share in shares.items()}


LIMBS = ("support", "kneel")  # attributes that cannot be told from every clip of an action
MIN_AGREEMENT = 0.8  # of the clips with a caption on an attribute that stands for it
RELATIVE = ("tempo", "size", "quality")  # attributes that say how a clip differs from others of its action


def measure_attributes(clips: Sequence[ClipCodes]) -> dict[str, dict[str, str]]:
    """Caption (lower case, without its full stop) -> attributes that nearly all clips with it share; of a caption that
    names a side the supporting leg and the knee that nearly all have in whom it can be told, at least half of them."""
    counts: dict[str, Counter[tuple[str, str]]] = defaultdict(Counter)
    totals: Counter[str] = Counter()
    single = [c for c in clips if c.source in ("synthetic", "layered") or c.source not in MADE_UP]
    for clip, typed in zip(single, clip_attributes(single), strict=True):
        for text in {c.lower().rstrip(".") for c in clip.captions} if typed else ():
            totals[text] += 1
            counts[text].update(item for item in typed.items() if item[0] not in RELATIVE)
    out = {}
    for text, total in totals.items():
        out[text] = {k: v for (k, v), n in counts[text].items() if n >= MIN_AGREEMENT * total}
        for name in LIMBS if side_of(text) in ("left", "right") else ():
            values = Counter({v: n for (k, v), n in counts[text].items() if k == name})
            value, most = values.most_common(1)[0] if values else ("", 0)
            if value and most >= MIN_AGREEMENT * values.total() and 2 * values.total() >= total:
                out[text][name] = value
    return out


def phrase_index_stage(args: SimpleNamespace) -> None:
    """Make the index of phrasings."""
    Runtime.start(args.threads, args.device)
    bank = CaptionBank(Path(args.texts) / "body_captions.json")
    rewrites = Rewrites(Path(args.texts) / "rewrites_train.jsonl", bank)
    grounder = SentenceGrounder()
    if args.grounding:
        grounder.load_states(args.grounding)
    rates = pass_rates(args.self_training) if args.self_training else None
    clips = list(Store.open(args.codes).codes("train"))
    index = make_phrase_index(clips, bank, rewrites, grounder, rates)
    used = {c for by_style in index.captions for c in by_style.values()} | {*index.keys}
    index.measured = {c: a for c, a in measure_attributes(clips).items() if c in used and a}
    index.save(args.output)
    print(f"{args.output}: {len(index.keys)} phrasings")
