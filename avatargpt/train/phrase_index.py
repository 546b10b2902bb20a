"""Makes the book of `avatargpt.requests.phrase_index` from the caption bank, the lexicon and the requests."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace

import numpy as np

from avatargpt.lm.text_encoder import SentenceGrounder
from avatargpt.requests.captions import begins_with_person, both_against_one, of_anybody
from avatargpt.requests.lexical import lemmas
from avatargpt.requests.phrase_index import PhraseIndex
from avatargpt.requests.vector_index import unit
from avatargpt.train.data.judged_answers import pass_rates, usual
from avatargpt.train.data.prepare import CYCLIC, MADE_UP
from avatargpt.train.runtime import Runtime
from instruct_data.mixture import clip_class
from instruct_data.store import ClipCodes, Store
from instruct_data.synth import families
from instruct_data.text.captions import CaptionBank, bank_style
from instruct_data.text.english import THIRD, side_of, split, third_of
from instruct_data.text.everyday import everyday_requests, lexicon, predicates
from instruct_data.text.rewrites import Rewrites
from vqvae.errors import UserError

STRIDES = 12  # motion tokens
LENGTH_QUANTILES = (0.5, 0.6, 0.7, 0.8, 0.9)
COMMON = 0.6  # of the commonest caption's count
PERFORMED = 0.3  # cosine that a caption may be further away from a request which always passes instead of never
# Classes of requests that no clip is named after -> the class, or the caption of a clip without one, that shows them.
SHOWN_BY = {
    "backflip": "a person does a backflip", "climb": "a person climbs up a playground frame and comes down again",
    "dance_long": "dance_short", "fight": "martial_arts", "get_up": "get_up_face_up", "shoot": "shoot_basketball",
    "sideflip": "a person does a side flip", "soccer_kick": "a person kicks a soccer ball", "spin": "a person spins",
    "stealthy_walk": "sneak", "throw": "throw_ball",
}  # fmt: skip
# Classes of requests that no clip shows -> a caption that the model performs all the same, and its usual lengths.
PERFORMED_BY = {"stand_idle": ("a person holds a relaxed standing pose", [15, 17, 20, 22, 25])}



def _class_of(clip: ClipCodes, bank: CaptionBank) -> tuple[str, str]:
    """The bank's key (may be empty) and style of a clip."""
    return bank.action_key(clip.action, clip.captions), bank_style(clip.style) if clip.action else "normal"


def _own_words(clip: ClipCodes) -> list[str]:
    """Captions written for this project; those of other collections begin with a capital."""
    return [c.lower().rstrip(".") for c in clip.captions if c[:1].islower()]


def known_captions(
    clips: Sequence[ClipCodes], bank: CaptionBank, rates: Mapping[str, float] | None = None
) -> dict[str, dict[str, str]]:
    """Action key -> style ("" = plain) -> a caption that the training clips of that class carry, see `_usual`."""
    said: dict[str, dict[str, Counter[str]]] = defaultdict(lambda: defaultdict(Counter))
    named = {bank.action_key(c.action) for c in clips if c.action}
    for clip in clips:
        if clip.source == "composed" or not clip.captions:
            continue
        key, style = _class_of(clip, bank)
        if key and (clip.action or key not in named):  # a class name is surer than what captions imply
            for caption in clip.captions:
                said[key][style][caption.lower().rstrip(".")] += 1
    out: dict[str, dict[str, str]] = {}
    for key, styles in said.items():
        best = {s: _usual(c, rates) for s, c in styles.items()}
        plain = best.get("normal") or best[max(styles, key=lambda s: sum(styles[s].values()))]
        out[key] = {**best, "": plain}
    return out


def _side(text: str) -> str:
    side = side_of(text) or ""
    return side if side != "both" else ""


def keyframed_captions(clips: Sequence[ClipCodes], every: bool = True) -> dict[str, dict[str, Counter[str]]]:
    """Keyframed action -> side its captions name ("" = none) -> how often each sentence was said of a clip.

    Args:
        every: count all clips, else `usual` ones alone.
    """
    said: dict[str, dict[str, Counter[str]]] = defaultdict(lambda: defaultdict(Counter))
    for clip in clips:
        if clip.source == "synthetic" and (every or usual(clip)):
            for text in clip.captions:
                if split(text) is not None:
                    plain = text.lower().rstrip(".")
                    said[clip.action][_side(plain)][plain] += 1
    return said


def _orders(action: str) -> Iterator[tuple[str, str]]:
    """What an entry of the lexicon is asked for with ("iron the shirts"), and the side that it names; other actions
    have requests of their own."""
    family = families().get(action)
    for caption in family.captions if family is not None and family.schema else ():
        for side in ("left", "right") if "{side}" in caption.text else ("",):
            text = caption.text.replace("{side}", side).lower().rstrip(".")
            if "{" not in text:
                yield text, side


def _common(said: Counter[str], rates: Mapping[str, float] | None) -> tuple[list[str], list[float]]:
    """Captions that are said of many clips of a class (what is seldom says something special), and their rates.

    Captions without a rate count as the mean of the others'.
    """
    most = max(said.values())
    common = [t for t in said if said[t] >= COMMON * most]
    known = [rates[t] for t in common if t in rates] if rates else []
    mean = sum(known) / len(known) if known else 0.0
    return common, [(rates or {}).get(t, mean) for t in common]


def _usual(said: Counter[str], rates: Mapping[str, float] | None = None) -> str:
    """The caption that stands for others: of the common ones that which a model performs best, else the commonest.

    Args:
        said: how often each was said of a clip of the class.
        rates: `avatargpt.train.self_training.pass_rates`.
    """
    return min(zip(*_common(said, rates), strict=True), key=lambda t: (-t[1], -said[t[0]], len(t[0]), t[0]))[0]


def _nearest(
    wanted: Mapping[str, Counter[str]], vectors: Mapping[str, np.ndarray], grounder: SentenceGrounder,
    rates: Mapping[str, float] | None,
) -> dict[str, str]:  # fmt: skip
    """Request -> of the captions common in its class, that which is near to it and performed well.

    By rates alone "raise your hand" would lead to both hands.

    Args:
        wanted: request -> captions of its class and how often each was said. vectors: of the requests.
    """
    some = {id(said): _common(said, rates) for said in wanted.values()}
    texts = list(dict.fromkeys(t for common, _ in some.values() for t in common))
    known = dict(zip(texts, grounder.sentence(texts), strict=True)) if texts else {}
    out = {}
    for request, said in wanted.items():
        common, rate = some[id(said)]
        worth = np.stack([known[t] for t in common]) @ vectors[request] + PERFORMED * np.array(rate)
        worth -= [float(both_against_one(request, t)) for t in common]
        out[request] = common[int(worth.argmax())]
    return out


def make_phrase_index(
    clips: Sequence[ClipCodes], bank: CaptionBank, rewrites: Rewrites, grounder: SentenceGrounder,
    rates: Mapping[str, float] | None = None,
) -> PhraseIndex:  # fmt: skip
    """Phrasings of every action that the clips show, with the captions they stand for.

    Args:
        rates: how often a model's answers to captions passed (the practice stage): requests go to those that do.
    """
    captions = known_captions([c for c in clips if c.source not in MADE_UP], bank, rates)
    rows: dict[str, tuple[dict[str, str], str, str]] = {}  # phrasing -> captions by style, action, side

    def add(phrase: str, key: str, style: str = "") -> None:
        known = captions[key]
        value = known if not style else {**known, "": known.get(style) or known[""]}
        rows.setdefault(" ".join(phrase.lower().split()).rstrip("."), (value, key, _side(key.replace("_", " "))))

    for key in captions:
        for text in bank.templates(key, side_of(key.replace("_", " ")), True):
            add(text.replace("{person}", "a person").replace("{manner}", "").replace(" ,", ","), key)
        for text in predicates(key, side_of(key.replace("_", " "))):
            add(f"a person {text}", key)
        add(captions[key][""], key)
    # a keyframed clip's sentences say how often, where and with which hand: each stands for itself
    made = keyframed_captions(clips)
    for action, by_side in made.items():
        for side, said in by_side.items():
            alike: dict[str, Counter[str]] = defaultdict(Counter)
            for text, count in said.items():
                alike[of_anybody(text)][text] += count
            for text in map(_usual, alike.values()):
                rows.setdefault(text, ({"": text}, action, side))
        for text, side in _orders(action):
            told = by_side.get(side) or by_side.get("") or next(iter(by_side.values()))
            rows.setdefault(text, ({"": _usual(told)}, action, side))
    unnamed: set[str] = set()
    for clip in clips:  # what has no class: each clip's own captions stand for its first
        own_words = _own_words(clip)
        if clip.source in MADE_UP or not own_words or bank.action_key(clip.action, clip.captions):
            continue
        unnamed.add(own_words[0])
        for text in own_words:
            rows.setdefault(text, ({"": own_words[0]}, own_words[0], _side(text)))
    for item in rewrites.items:
        for other in (item, item.mirrored()):
            keys = [k for k in other.actions if k]
            if len(other.plain) != 1 or not keys or keys[0] not in captions:
                continue
            own = side_of(keys[0].replace("_", " "))
            if own in ("left", "right") and other.side not in (None, own):
                continue
            add(other.prompt, keys[0], other.styles[0] or "")
            add(other.plain[0], keys[0], other.styles[0] or "")
    asked, plainly = everyday_requests(), keyframed_captions(clips, False)
    wanted: dict[str, Counter[str]] = {}
    for name in asked.classes():
        shown = name if name in captions or name in made else SHOWN_BY.get(name, name)
        for text in asked.requests(name):
            if shown in captions:
                add(text, shown)
            elif shown in made:
                by_side = plainly[shown]
                if text not in rows:
                    wanted[text] = by_side.get(_side(text)) or by_side.get("") or next(iter(by_side.values()))
                    rows[text] = {}, shown, _side(text)
            elif shown in unnamed:
                rows.setdefault(text, ({"": shown}, shown, _side(text)))
    neutral = set(bank.styles["normal"]["person"])
    manners = lexicon()["styles"]
    styles = {
        text: name for name, words in bank.styles.items() if name not in ("normal", "musical")
        for text in [*words["adverbs"], *words["phrases"], *manners.get(name, []), name,
                     *(p for p in words["person"] if p not in neutral),
                     *(asked.style_words(name) if name in asked.styles else [])]
    }  # fmt: skip
    counts: dict[str, list[int]] = defaultdict(list)
    for clip in clips:
        if clip.source in ("composed", "layered", "looped"):
            continue
        key, style = _class_of(clip, bank)
        known = captions.get(key, {})
        first = next(iter(_own_words(clip)), "")
        own = known.get(style) or known.get("") or first
        # of what repeats, a moment is too little to recognise
        tokens = max(len(clip.codes), STRIDES) if clip_class(clip) in CYCLIC else len(clip.codes)
        counts[own].append(tokens)
        if known and style == "normal":
            counts[known[""]].append(tokens)
        if clip.source == "synthetic":
            for text in clip.captions:
                counts[text.lower().rstrip(".")].append(len(clip.codes))
    lengths = {c: [int(q) for q in np.quantile(n, LENGTH_QUANTILES)] for c, n in counts.items() if c}
    keys = list(rows)
    vectors = grounder.sentence(keys)
    nearest = _nearest(wanted, dict(zip(keys, vectors, strict=True)), grounder, rates)
    meant = [({"": nearest[k]}, *rows[k][1:]) if k in nearest else rows[k] for k in keys]
    used = {c for m in meant for c in m[0].values()}
    phrase_index = PhraseIndex(
        keys, [m[0] for m in meant], [m[1] for m in meant], [m[2] for m in meant], styles,
        {c: n for c, n in lengths.items() if c in used}, vectors,
    )  # fmt: skip
    return with_performed(phrase_index, grounder)


def with_performed(phrase_index: PhraseIndex, grounder: SentenceGrounder) -> PhraseIndex:
    """The book and what it lacks of the requests of `PERFORMED_BY` that begin with a verb or a person ("stand still",
    "he stands still"), the former of a person, too: "a lamp post" alone is hugged as often as played.
    """
    asked, added = everyday_requests(), dict[str, str]()
    for name in PERFORMED_BY:
        for text in asked.requests(name):
            verb, _, rest = text.partition(" ")
            forms = [text] if begins_with_person(text) else []
            if third_of(verb) in THIRD and rest:
                forms = [text, f"a person {third_of(verb)} {rest}"]
            added |= {form: name for form in forms if form not in phrase_index.rows}
    if not added:
        return phrase_index
    meant = {name: {"": caption} for name, (caption, _) in PERFORMED_BY.items()}
    return PhraseIndex(
        [*phrase_index.keys, *added], [*phrase_index.captions, *(meant[n] for n in added.values())],
        [*phrase_index.classes, *added.values()],
        [*(str(s) for s in phrase_index.sides), *("" for _ in added)], phrase_index.styles,
        phrase_index.lengths | {caption: lengths for caption, lengths in PERFORMED_BY.values()},
        np.concatenate([phrase_index.index.vectors, grounder.sentence(list(added))]),
    )  # fmt: skip


def with_normalised_of(phrase_index: PhraseIndex, earlier: PhraseIndex) -> PhraseIndex:
    """`phrase_index`, but requests without a manner lead where an earlier book led them.

    For a round of practice that played few captions of a class, after rounds that played many and whose verdicts are no
    longer at hand. What the earlier book does not know, leads to a styled caption, or to both hands where one is asked
    for, stays as it is.
    """
    captions, lengths = [], dict(phrase_index.lengths)
    for phrase, meant in zip(phrase_index.keys, phrase_index.captions, strict=True):
        row = earlier.rows.get(phrase)
        old = earlier.captions[row] if row is not None else {}
        plain = old.get("", "")
        if both_against_one(phrase, plain):
            plain = ""
        if plain and plain not in {c for style, c in old.items() if style not in ("", "normal")}:
            meant = {**meant, "": plain}
            lengths.setdefault(plain, earlier.lengths.get(plain, []))
        captions.append(meant)
    used = {c for meant in captions for c in meant.values()}
    return PhraseIndex(
        phrase_index.keys, captions, phrase_index.classes, [str(s) for s in phrase_index.sides], phrase_index.styles,
        {c: n for c, n in lengths.items() if c in used and n}, phrase_index.index.vectors,
    )  # fmt: skip


NEAR, NEARER, SELDOM = 0.7, 0.1, 250  # cosines, and phrasings that have a lemma which is no common one


def with_new_actions(earlier: PhraseIndex, book: PhraseIndex) -> PhraseIndex:
    """A book as it was and, behind it, the phrasings that another has of actions that it lacks.

    Requests that stood for something near while their action was missing ("hail a taxi" for a wave) go to the new one.
    """
    known = {*earlier.classes}
    new = [i for i, (k, c) in enumerate(zip(book.keys, book.classes, strict=True))
           if c not in known and k not in earlier.rows]  # fmt: skip
    captions = [book.captions[i] for i in new]
    said = {t for c in captions for t in c.values()}
    lengths = earlier.lengths | {c: n for c, n in book.lengths.items() if c in said and c not in earlier.lengths}
    all_captions, classes = [*earlier.captions, *captions], [*earlier.classes, *(book.classes[i] for i in new)]
    sides = [*(str(s) for s in earlier.sides), *(str(book.sides[i]) for i in new)]
    for i, j in _moved(earlier, book, new):
        all_captions[i], classes[i], sides[i] = book.captions[j], book.classes[j], str(book.sides[j])
    return PhraseIndex(
        [*earlier.keys, *(book.keys[i] for i in new)], all_captions, classes, sides, earlier.styles, lengths,
        np.concatenate([earlier.index.vectors, book.index.vectors[new]]),
    )  # fmt: skip


def _moved(earlier: PhraseIndex, book: PhraseIndex, new: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Requests of the earlier book and the new phrasing that says the same: `NEARER` than any caption of their own
    action, with two lemmas in common, one of them no common one, and on the same side."""
    own = np.full(len(earlier.keys), -1.0)
    vectors, theirs = unit(earlier.index.vectors), unit(book.index.vectors[list(new)])
    for rows in earlier.members:
        told = {earlier.rows[c] for i in rows for c in earlier.captions[i].values() if c in earlier.rows}
        if told:
            own[rows] = (vectors[rows] @ vectors[sorted(told)].T).max(1)
    said = [{*lemmas(k)} for k in earlier.keys]
    meant = [{*lemmas(book.keys[i])} for i in new]
    often = Counter(w for some in said for w in some)
    for i in np.flatnonzero(~earlier.marks.literal).tolist():
        near = theirs @ vectors[i]
        best = int(near.argmax())
        shared = said[i] & meant[best]
        rare = any(often[w] < SELDOM for w in shared)
        side = side_of(earlier.keys[i]) or ""
        if (
            near[best] > max(own[i] + NEARER, NEAR) and len(shared) > 1 and rare
            and len(said[i] - shared) < max(2, len(shared)) and side in ("", str(book.sides[new[best]]))
        ):  # fmt: skip
            yield i, new[best]


def phrase_index_stage(args: SimpleNamespace) -> None:
    """The book of phrasings that plain wording looks requests up in."""
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
