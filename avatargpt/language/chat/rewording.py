"""How a change alters a caption: rules, no network. "slower" is a tempo, "left hand" swaps a side, the rest is said."""

from __future__ import annotations

import re
from dataclasses import dataclass

from avatargpt.language.chat.degrees import degree
from avatargpt.language.lexical import lemmas
from instruct_data.text.mirror import mirror_text, side_of
from vqvae.errors import UserError

_SLOWER = re.compile(r"\b(?:slower|slow|more slowly|slowly|slow down|slowed|calmer pace)\b")
_FASTER = re.compile(r"\b(?:faster|fast|more quickly|quicker|quickly|speed up|hurried|hurry)\b")
_NEGATED = re.compile(r"\b(?:not|no|never|instead of|rather than)\s+(?:so |too |as )?\w+")
_FILLER = re.compile(r"\b(?:him|her|it|he|she|they|them|that|this|one|and|should be|make|do)\b|,")
OTHER = r"other (?:hand|arm|leg|foot|side|way|direction|fist|knee|elbow|shoulder)s?"
_OTHER = re.compile(rf"(?:(?:no|with|use|using|on|to|in|make it|his|her)\b[\s,]*)*(?:the )?{OTHER}(?: round| around)?")
_NAME = re.compile(r"(the |his |her |him |)(\w+) (?:should be |is |be )?(?=\S)")
MOST_NAMING = 3  # words that may name a movement beside its change
_PART = re.compile(r"\b(left|right)[ -](hand|arm|leg|foot|knee|fist|elbow|shoulder|handed)\b")
_BOTH = re.compile(r"\bboth (hands|arms|legs|feet|knees|fists)\b")
_TOWARDS = re.compile(r"\bto(?:wards?)? the (left|right)\b")


@dataclass(frozen=True)
class Change:
    """What a change comes to.

    Attributes:
        caption: the new one.
        tempo: factor of speed, 1 = none. length: factor of length, likewise. seconds: longer, negative = shorter.
        mirror: the same movement with its sides exchanged is what is asked for. remake: whether the movement
        has to be made again.
    """

    caption: str
    tempo: float = 1.0
    mirror: bool = False
    remake: bool = True
    length: float = 1.0
    seconds: float = 0.0


def changed(caption: str, change: str) -> Change:
    """Apply a change in words to a caption.

    Raises:
        UserError: slower and faster at once.
    """
    change = " ".join(change.lower().split()).rstrip(" .!")
    asked = _NEGATED.sub(" ", change.replace("less fast", "slower").replace("less slow", "faster"))
    if _SLOWER.search(asked) and _FASTER.search(asked):
        raise UserError(f"{change!r} is slower and faster at once; say one of them, or name a segment for each")
    found = degree(asked)
    if found and not found.to and _about(found.rest, caption):
        return Change(caption, found.tempo, remake=False, length=found.length, seconds=found.seconds)
    if _OTHER.fullmatch(change):
        return Change(mirror_text(caption), mirror=True, remake=False)
    change = _without_name(change, caption)
    wanted = side_of(change)
    if wanted in ("left", "right") and side_of(caption) == ("right" if wanted == "left" else "left"):
        only_side = _PART.fullmatch(re.sub(r"^(?:with|using|use|by) (?:the |his |her )?", "", change).strip())
        if only_side or _TOWARDS.fullmatch(change):
            return Change(mirror_text(caption), mirror=True, remake=False)
    return Change(_said(caption, change))


def _about(words: str, caption: str) -> bool:
    """Whether words name no other thing than this caption's movement: "him", "the walk"."""
    rest = lemmas(_FILLER.sub(" ", words))
    return not rest or (len(rest) <= MOST_NAMING and set(rest) <= set(lemmas(caption)))


def _without_name(change: str, caption: str) -> str:
    """Without the movement's own name in front: "the jump higher", "jump higher" -> "higher"."""
    found, shown = _NAME.match(change), lemmas(caption)
    word = lemmas(found.group(2)) if found else []
    if not found or not word or word[0] not in (shown if found.group(1) else shown[:1]):
        return change
    return change[found.end() :]


def _said(caption: str, change: str) -> str:
    """The caption with a side put in where it names that part of the body, else with the change behind it."""
    part = _PART.search(change)
    if part and part.group(2) != "handed":
        side, name = part.groups()
        named = rf"\b(?:(?:the|his|her) )?(?:left|right|one|the|his|her|both|a)\s+{name}s?\b"
        new, count = re.subn(named, f"the {side} {name}", caption, count=1)
        if count:
            return new
    if both := _BOTH.search(change):
        name = {"feet": "foot"}.get(both.group(1), both.group(1).rstrip("s"))
        new, count = re.subn(
            rf"\b(?:(?:the|his|her) )?(?:left|right|one|the|his|her|a)\s+{name}\b", both.group(0), caption, count=1
        )
        if count:
            return new
    joined = caption
    for old, new in (("left", "right"), ("right", "left")):
        if _TOWARDS.search(change) and new in change:
            joined = re.sub(rf"\bto(?:wards?)? the {old}\b", f"to the {new}", joined)
    if joined != caption:
        return joined
    said = re.sub(r"^(?:make (?:him|her|it|them)|do (?:it|that)|be)\s+", "", change)
    return caption if said in caption else f"{caption} {_adverbial(said)}"


MANNERS = {
    "happy": "happily", "happier": "happily", "sad": "sadly", "sadder": "sadly", "angry": "angrily",
    "angrier": "angrily", "furious": "angrily", "tired": "tiredly", "drunk": "drunkenly", "scared": "fearfully",
    "proud": "proudly", "elegant": "elegantly", "nervous": "nervously", "sneaky": "sneakily", "confident": "proudly",
    "energetic": "energetically", "gentle": "gently", "gentler": "gently", "excited": "excitedly",
    "cheerful": "cheerfully", "exhausted": "exhausted", "slow": "slowly", "fast": "quickly", "careful": "carefully",
    "quiet": "quietly", "loud": "loudly", "old": "like an old man", "older": "like an old man",
    "elderly": "like an old man", "robotic": "like a robot", "childlike": "like a child",
}  # fmt: skip


def _adverbial(said: str) -> str:
    """"more tired" -> "tiredly"; what is no single adjective stays."""
    word = re.sub(r"^(?:more|very|a bit|a little|much|so|really)\s+", "", said)
    return MANNERS.get(word, said)
