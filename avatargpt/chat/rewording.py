"""How a change alters a caption: rules, no network. "slower" is a tempo, "left hand" swaps a side, the rest is said."""

from __future__ import annotations

import re
from dataclasses import dataclass

from instruct_data.mirror import mirror_text, side_of
from vqvae.errors import UserError

# tempo of what is asked for; the same movement is played faster or slower, nothing is made again
_TEMPO = [
    (re.compile(r"\b(?:much|a lot|way|far|twice as) (?:slow|slower|more slowly|slowly)\b"), 0.5),
    (re.compile(r"\b(?:much|a lot|way|far|twice as) (?:fast|faster|more quickly|quicker)\b"), 1.8),
    (re.compile(r"\b(?:slower|slow|more slowly|slowly|slow down|slowed|calmer pace)\b"), 0.7),
    (re.compile(r"\b(?:faster|fast|more quickly|quicker|quickly|speed up|hurried|hurry)\b"), 1.4),
]
_NEGATED = re.compile(r"\b(?:not|no|never|instead of|rather than)\s+(?:so |too |as )?\w+")
_FILLER = re.compile(
    r"\b(?:a bit|a little|please|much|a lot|way|far|twice as|him|her|it|more|and|should be|make|do)\b|,"
)
_PART = re.compile(r"\b(left|right)[ -](hand|arm|leg|foot|knee|fist|elbow|shoulder|handed)\b")
_ANY_PART = re.compile(r"\b(?:left|right|one|the|his|her|both|a)\s+(hand|arm|leg|foot|knee|fist|elbow|shoulder)s?\b")
_BOTH = re.compile(r"\bboth (hands|arms|legs|feet|knees|fists)\b")
_TOWARDS = re.compile(r"\bto(?:wards?)? the (left|right)\b")


@dataclass(frozen=True)
class Change:
    """What a change comes to.

    Attributes:
        caption: the new one.
        tempo: factor of speed, 1 = none. mirror: the same movement with its sides exchanged is what is asked for.
        remake: whether the movement has to be made again.
    """

    caption: str
    tempo: float = 1.0
    mirror: bool = False
    remake: bool = True


def changed(caption: str, change: str) -> Change:
    """Apply a change in words to a caption.

    Raises:
        UserError: slower and faster at once.
    """
    change = " ".join(change.lower().split()).rstrip(" .!")
    asked = _NEGATED.sub(" ", change.replace("less fast", "slower").replace("less slow", "faster"))
    if len({factor < 1 for pattern, factor in _TEMPO if pattern.search(asked)}) > 1:
        raise UserError(f"{change!r} is slower and faster at once; say one of them, or name a segment for each")
    tempo, rest = 1.0, asked
    for pattern, factor in _TEMPO:
        if pattern.search(asked):
            tempo, rest = factor, pattern.sub(" ", asked)
            break
    if tempo != 1.0 and not " ".join(_FILLER.sub(" ", rest).split()):
        return Change(caption, tempo, remake=False)
    wanted = side_of(change)
    if wanted in ("left", "right") and side_of(caption) == ("right" if wanted == "left" else "left"):
        only_side = _PART.fullmatch(re.sub(r"^(?:with|using|use|by) (?:the |his |her )?", "", change).strip())
        if only_side or _TOWARDS.fullmatch(change):
            return Change(mirror_text(caption), mirror=True, remake=False)
    return Change(_said(caption, change))


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


_MANNERS = {
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
    return _MANNERS.get(word, said)
