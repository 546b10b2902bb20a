"""The caption bank: paraphrases of actions in styles, classes of the corpora, composed and varied captions."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from instruct_data.text.english import CaptionParts, side_of, split
from vqvae.errors import UserError
from vqvae.io.data_files import read_object
from vqvae.io.files import parsing

# Style names of corpora that the bank calls otherwise.
STYLES = {"masculinity": "masculinity-exaggerated", "old": "elderly", "childish": "childlike"}
# Claims about a single clip that an action's name does not imply (counts, feet, stops); they need a look at the clip.
_CLAIMS = re.compile(
    r"\b(twice|thrice|(?:two|three|four|five|six|ten) (?:times|steps|punches|or|lateral|strides|hops)"
    r"|once from each|foot first|on the (?:left|right) foot|crosses the (?:left|right) foot|feet together"
    r"|(?:stops?|halts?|slows to a stop|comes to a stop)\b|ninety|several meters)",
    re.I,
)
_HIGH = re.compile(
    r"overhead|above the head|over the head|ceiling|up high|straight up|high in the air|points? up|past the shoulder"
    r"|as high as|arm fully|upward|above the (?:left|right) shoulder",
    re.I,
)

# Keywords that decide the action of a clip whose corpus names none. A clip gets a key only if all of its captions
# that match any entry agree on one.
_KEYWORDS: list[tuple[str, str]] = [
    ("salsa_dance", r"\bsalsa\b"), ("indian_dance", r"\bindian\b"), ("martial_arts", r"\bmartial|\bkarate\b"),
    ("basketball_signal", r"\breferee\b|basketball signals"), ("direct_traffic", r"\btraffic\b"),
    ("basketball_dribble", r"\bdribbl|bouncing a ball|bounces? a ball"), ("soccer_kick", r"\bsoccer\b"),
    ("zombie_walk", r"\bzombie\b|\bundead\b"), ("sneak", r"\bsneaks?\b|\bstealthily\b|\bprowls?\b"),
    ("cartwheel", r"\bcartwheels?\b"), ("backflip", r"\bbackflip\b|flips backward in the air"),
    ("sideflip", r"\bside ?flip\b|flips sideways"), ("spin_kick", r"\bspin kick\b|spins and kicks"),
    ("get_up_face_down", r"lying face down|lying on the stomach"),
    ("get_up_face_up", r"lying face up|lying on the back"), ("roll", r"\bforward roll\b|rolls? on the ground"),
    ("crawl", r"\bcrawls?\b|on all fours"), ("punch", r"throws a punch|\bpunches\b"),
    ("squat", r"\bsquats\b$|does squats"), ("jump", r"\bjumps?\b|\bleaps?\b|\bjumping\b"),
    ("walk_turn_left", r"walk\w* and (?:turns?|veers?|drifts?) (?:to the )?left"),
    ("walk_turn_right", r"walk\w* and (?:turns?|veers?|drifts?) (?:to the )?right"),
    ("jog", r"\bjogs?\b|\bjogging\b"), ("run", r"\bruns?\b|\brunning\b"),
    ("walk", r"\bwalks?\b|\bwalking\b|\bstrolls?\b|\bstrides?\b"), ("kick", r"\bkicks?\b"),
    ("spin", r"\bspins?\b"),
]  # fmt: skip
# Words of further actions: a caption with one of these is not a plain "walk" or "run".
_MORE = re.compile(r"\b(?:then|stops?|ducks?|dives?|climb\w*|jump\w*|leap\w*|turn\w*|veer\w*|uneven|rough|bumpy|around|"
                   r"back|over|jacks|forward jump|in place|jog\w*|stumbles?|slow\w*|large|huge|fast|quickly|long|"
                   r"exaggerated|curv\w*|starts?|spin\w*)\b")  # fmt: skip
_PLAIN = {"walk", "run", "jog", "jump", "kick", "spin", "punch"}


def bank_style(style: str) -> str:
    """A corpus' style name -> the bank's; unknown names come back as they are, empty as ``normal``."""
    return STYLES.get(style, style or "normal")


def infer_action(captions: Sequence[str]) -> str:
    """The bank's action key of a clip that has no class, or an empty string where the captions do not decide it."""
    keys = set()
    for caption in captions:
        text = caption.lower().rstrip(".")
        hits = [k for k, pattern in _KEYWORDS if re.search(pattern, text)]
        if hits:
            keys.add(hits[0])
    if len(keys) != 1:
        return ""
    key = keys.pop()
    if key in _PLAIN:
        text_ = " ".join(captions).lower()
        if key == "jog":
            text_ = text_.replace("jog", "")
        extra = set(_MORE.findall(text_)) - ({"jumping", "jump", "jumps", "leap", "leaps"} if key == "jump" else set())
        extra -= {"spin", "spins", "turn", "turns"} if key == "spin" else set()
        if key == "jump":  # the bank's jumps go straight up
            extra |= set(re.findall(r"forward|ahead|front", text_))
        if extra or " and " in text_:
            return ""
    return key


class CaptionBank:
    """Paraphrases of actions ({person}, {manner}), words for styles, patterns that join captions.

    Args:
        path: a JSON file with ``actions`` (key -> sentences), ``styles`` (name -> adverbs, phrases, person) and
            ``compose`` (patterns with {a}, {b} and, for three, {c}).
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        data = read_object(self.path)
        with parsing(path, "a caption bank with actions, styles and compose"):
            self.actions: dict[str, list[str]] = {str(k): list(v) for k, v in data["actions"].items()}
            self.styles: dict[str, dict[str, list[str]]] = data["styles"]
            patterns: list[str] = list(data["compose"])
            for name, style in self.styles.items():
                if not all(style.get(k) for k in ("adverbs", "phrases", "person")):
                    raise UserError(f"{path}: style {name!r} needs adverbs, phrases and person")
        self.patterns = {2: [p for p in patterns if "{c}" not in p], 3: [p for p in patterns if "{c}" in p]}

    def action_key(self, action: str, captions: Sequence[str] = ()) -> str:
        """Key of a corpus action (``walk-turn-left`` -> ``walk_turn_left``); without one, what the captions say."""
        key = action.replace("-", "_") if action else infer_action(captions)
        return key if key in self.actions else ""

    def templates(self, action: str, side: str | None = None, high: bool | None = None) -> list[str]:
        """The paraphrases of an action that hold for a clip.

        Sentences that count, name a foot or a stop are left out. A sentence that names a side which the action's own
        name does not, stays only when `side` is that side; one that says how high a hand goes, only when `high`.
        """
        action_side = side_of(action.replace("_", " "))
        out = []
        for text in self.actions[action]:
            if _CLAIMS.search(text) or (_HIGH.search(text) and not high):
                continue
            named = side_of(text)
            if action_side is None and named is not None and named != "both" and named != side:
                continue
            if action_side is None and named == "both" and "both" not in action:
                continue
            out.append(text)
        return out

    def paraphrase(self, action: str, style: str, rng: np.random.Generator, side: str | None = None) -> str | None:
        """A sentence for a clip of this action and style.

        Args:
            action: the corpus' class or the bank's key.
            style: the corpus' style; empty = normal.
            side: which hand or direction the clip shows, where known.

        Returns:
            e.g. "an old man walks forward at an even pace", or None when the bank has no sentence.
        """
        key = self.action_key(action)
        if not key:
            return None
        texts = self.templates(key, side)
        if not texts:
            return None
        words = self.styles.get(bank_style(style)) or self.styles["normal"]
        plain = bank_style(style) == "normal"
        text = texts[int(rng.integers(len(texts)))]
        kinds = ["phrases", "adverbs", "none"] if plain else ["phrases", "adverbs"]
        weights = [0.2, 0.2, 0.6] if plain else [0.5, 0.5]
        kind = str(rng.choice(kinds, p=weights))
        manner = "" if kind == "none" else str(rng.choice(words[kind]))
        neutral = ["a person", "someone", "somebody", "the person", "the figure", "a figure"]
        # a style must be heard somewhere: in the manner, or else in who it is
        styled = words["person"] if words["person"] != ["a person", "someone", "the figure"] else neutral
        has_manner = "{manner}" in text
        styled_subject = (rng.random() < 0.4) if has_manner or plain else True
        person = str(rng.choice(styled if styled_subject else neutral))
        sentence = text.replace("{person}", person).replace("{manner}", manner)
        if not has_manner and not plain and person in neutral:
            sentence = f"{sentence} {rng.choice(words['adverbs'])}"
        return re.sub(r"\s+([,;.])", r"\1", " ".join(sentence.split()))

    def compose(self, captions: Sequence[str], rng: np.random.Generator) -> str:
        """One sentence for two or three clips that follow one another; see :func:`compose`."""
        return compose(captions, rng, self.patterns.get(len(captions), []))


# Composed captions: clauses joined as people do.
_JOINS = [", then {}", " and then {}", ", and then {}", " and {}", " and {}", ", {}", " then {}", ", after that {}",
          ", and finally {}", " and afterwards {}", " before {g}", ", followed by {g}"]  # fmt: skip
_PRONOUNS = ["they", "he", "she", "the person"]


def _with_subject(clause: CaptionParts, form: str) -> str | None:
    """Verb phrase of a later clip; a subject that implies a manner becomes a comparison."""
    phrase = clause.verb_phrase(form)
    if phrase is None or clause.neutral:
        return phrase
    subject = clause.subject
    subject = re.sub(r"^the ", "a ", subject)
    compared = re.search(r"\blike\b|\bin an? .*(?:way|manner|fashion)\b", phrase)
    return phrase if compared else f"{phrase} like {subject}"


def compose(captions: Sequence[str], rng: np.random.Generator, patterns: Sequence[str] = ()) -> str:
    """Join captions of consecutive clips as people do: "a person walks, then waves", "walk and then wave", ...

    Falls back to whole sentences where a caption cannot be taken apart.

    Args:
        captions: 2 or more sentences in order.
        patterns: sentences with {a}, {b}, {c} for whole clauses, used about two times in five.
    """
    texts = [" ".join(c.split()).rstrip(" .!;") for c in captions]
    capital = re.compile(r"(?!I )[A-Z][a-z]*\b")
    texts = [t[0].lower() + t[1:] if capital.match(t) else t for t in texts]
    if len(texts) == 1:
        return texts[0]
    clauses = [split(t) for t in texts]
    kind = rng.random()
    if kind >= 0.4 or not patterns:
        sentence = _join_clauses(clauses, texts, rng)
        if sentence:
            return sentence
    if not patterns:
        return ", then ".join(texts)
    for k in range(1, len(texts)):  # the same person again
        c = clauses[k]
        if c and c.neutral and not c.lead and rng.random() < 0.4:
            who = str(rng.choice(_PRONOUNS))
            phrase = c.verb_phrase("base" if who == "they" else "third")
            texts[k] = f"{who} {phrase}" if phrase else texts[k]
    pattern = patterns[int(rng.integers(len(patterns)))]
    out = pattern
    for name, text in zip("abc", texts, strict=False):
        out = out.replace("{" + name + "}", text)
    return out


def _join_clauses(clauses: list[CaptionParts | None], texts: list[str], rng: np.random.Generator) -> str | None:
    parsed = [c for c in clauses if c is not None]
    if len(parsed) != len(clauses):
        return None
    first = parsed[0]
    form = str(rng.choice(["third", "base", "gerund"], p=[0.55, 0.35, 0.1]))
    if form == "third":
        start: str | None = texts[0]
    else:
        start = _with_subject(first, form)
    if start is None:
        return None
    if form == "base" and rng.random() < 0.08 and len(parsed) == 2:
        second, opening = _with_subject(parsed[1], "base"), _with_subject(first, "gerund")
        return f"after {opening}, {second}" if second and opening else None
    out = start
    for k, clause in enumerate(parsed[1:], 1):
        last = k == len(parsed) - 1
        plain = " and " not in out and " and " not in (_with_subject(clause, form) or "")
        joins = [
            j for j in _JOINS
            if (j != ", {}" if last else "finally" not in j and "{g}" not in j)
            and ("finally" not in j or len(parsed) > 2)
            and (j not in (" and {}", ", {}") or plain)  # "walks and waves" but not "steps and sways and waves"
        ]  # fmt: skip
        join = str(rng.choice(joins))
        if "{g}" in join and form == "gerund":
            join = ", then {}"
        phrase = _with_subject(clause, "gerund" if "{g}" in join else form)
        if phrase is None:
            return None
        out += join.replace("{g}", phrase).replace("{}", phrase)
    return out


# Varied captions: other subjects, moods and forms; nothing visible is added or lost.
SUBJECTS = [
    "a person", "someone", "somebody", "the person", "the figure", "a figure", "a human", "a man", "a woman", "a guy",
    "the character", "the avatar", "an actor", "he", "she", "a boy", "a girl", "the man", "the woman", "a character",
    "the actor", "this person", "one person", "an individual", "my avatar", "the model",
]  # fmt: skip
_WEIGHTS = np.array([4, 2, 2, 2, 1.5, 1.5, 1.5, 2, 2, 1, 1.5, 1.5, 1, 1.5, 1.5] + [1] * 5 + [0.5] * 6)
_PARTS = re.compile(
    r"\bthe (?=(?:left |right |whole |upper |open |other )?"
    r"(?:hands?|arms?|legs?|feet|foot|knees?|elbows?|head|shoulders?|hips?|body|fists?|palms?|wrists?)\b)", re.I
)  # fmt: skip
_ARTICLES = re.compile(r"\b(?:the|a|an) ", re.I)
_POSSESSIVE = {"he": "his", "she": "her", "they": "their", "a man": "his", "a woman": "her", "a guy": "his",
               "a boy": "his", "a girl": "her", "the man": "his", "the woman": "her", "you": "your"}  # fmt: skip


def _with_possessive(phrase: str, possessive: str, rng: np.random.Generator) -> str:
    """Turn "the left hand" into "your left hand" in half of the cases; one owner throughout."""
    return _PARTS.sub(f"{possessive} ", phrase) if rng.random() < 0.5 else phrase


def _finish(text: str, rng: np.random.Generator) -> str:
    text = " ".join(text.split()).rstrip(" .")
    r = rng.random()
    if r < 0.3:
        text = text[0].upper() + text[1:]
    elif r < 0.33:
        text = text.upper()
    return text + ("." if rng.random() < 0.35 else "")


def _like_subject(clause: CaptionParts, phrase: str) -> str:
    """Keep the manner that a subject implies ("an old man walks" -> "walk like an old man")."""
    if clause.neutral or re.search(r"\blike\b|\bin an? .*(?:way|manner|fashion)\b", phrase):
        return phrase
    return f"{phrase} like {re.sub(r'^(?:the|this) ', 'a ', clause.subject)}"


def imperative(caption: str, rng: np.random.Generator | None = None) -> str | None:
    """Turn "a person waves the left hand" into "wave the left hand" or "wave your left hand"; None if it cannot."""
    clause = split(caption)
    phrase = clause.verb_phrase("base") if clause else None
    if clause is None or phrase is None:
        return None
    return _like_subject(clause, _with_possessive(phrase, "your", rng) if rng is not None else phrase)


def gerund(caption: str, subject: str = "") -> str | None:
    """Turn "a person walks forward" into "walking forward", or "a man walking forward" with a subject."""
    clause = split(caption)
    phrase = clause.verb_phrase("gerund") if clause else None
    if clause is None or phrase is None:
        return None
    return f"{subject} {phrase}" if subject else _like_subject(clause, phrase)


def keywords(caption: str) -> str | None:
    """Short form without articles: "a person waves the left hand." -> "wave left hand"."""
    phrase = imperative(caption)
    if phrase is None or re.search(r"\b(?:as|so) ", phrase):
        return None
    short = re.sub(r"\b(left|right) one\b", r"\1", _ARTICLES.sub("", phrase))
    return re.sub(r"\b(?:his|her|their|its|your) ", "", short)


def with_subject(caption: str, subject: str, rng: np.random.Generator | None = None) -> str | None:
    """Another subject in place of a neutral one; None where the subject implies a manner."""
    clause = split(caption)
    if clause is None or not clause.neutral:
        return None
    predicate = clause.predicate
    if rng is not None and subject in _POSSESSIVE:
        predicate = _with_possessive(predicate, _POSSESSIVE[subject], rng)
    lead = f"{clause.lead}, " if clause.lead else ""
    return f"{lead}{subject} {predicate}"


def vary(caption: str, rng: np.random.Generator) -> str:
    """A truthful variation of a caption, drawn with `rng`; the caption itself in about a quarter of the cases.

    Nothing is added or lost that the body would show: a telling subject ("an old man") is kept or becomes a
    comparison ("like an old man").
    """
    caption = " ".join(caption.split())
    kind = rng.random()
    out: str | None = None
    if kind < 0.22:
        return caption
    if kind < 0.46:
        subject = str(rng.choice(SUBJECTS, p=_WEIGHTS / _WEIGHTS.sum()))
        out = with_subject(caption, subject, rng)
    elif kind < 0.70:
        out = imperative(caption, rng)
    elif kind < 0.88:
        clause = split(caption)
        if clause is not None and rng.random() < 0.55:
            subject = str(rng.choice(["man", "person", "woman", "a person", "a man", "a woman", "someone", "guy",
                                      "character", "a character"])) if clause.neutral else clause.subject  # fmt: skip
            if not clause.neutral and rng.random() < 0.5:
                subject = re.sub(r"^(?:an?|the) ", "", subject)
            out = gerund(caption, subject)
        elif clause is not None and rng.random() < 0.3:
            phrase = clause.verb_phrase("progressive")
            out = f"{clause.subject} {phrase}" if phrase and not clause.lead else None
        else:
            out = gerund(caption)
    else:
        out = keywords(caption)
    return _finish(out or caption, rng)
