"""What an act takes, read from the words of a turn by rules: the kind of act is known already."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from avatargpt.language.chat import saving, slots
from avatargpt.language.chat.degrees import degree
from avatargpt.language.chat.heard import GOES_ON, Heard
from instruct_data.dialogue.acts import LEAST_SECONDS, MOST_SECONDS, Act, from_json
from instruct_data.dialogue.turns import ORDINALS
from instruct_data.text.mirror import side_of
from vqvae.errors import UserError

_GOES_ON = re.compile(
    r"(?:\W*\b(?:continue|go on|keep going|carry on|extend|prolong|it|this|that|more|please|for|from|there|by|of|then|"
    r"and|another)\b\W*)+"
)

_SAVE_IT = re.compile(
    r"\W*(?:(?:please|just|now|ok) )*(?:save|store|keep)(?: (?:it|this|that|all|everything))?(?: (?:now|please))?\W*"
)
_THE_ONE = re.compile(rf"\b(?:{'|'.join(ORDINALS)}|last|final|this|that|the|other) one\b")  # not a number
UNNAMED = "motion"  # what is saved without a name


def fill(kind: str, heard: Heard) -> Act | None:
    """An act of this kind with what the words give; None when something that it needs is not there."""
    try:
        values = _values(kind, heard)
        return None if values is None else from_json({"do": kind, **values})
    except UserError:
        return None


def _values(kind: str, heard: Heard) -> dict[str, Any] | None:
    text, captions = heard.request, heard.captions
    length = next((s for s in slots.lengths(text) if LEAST_SECONDS <= s <= MOST_SECONDS), None)
    seconds: dict[str, Any] = {} if length is None else {"seconds": length}
    pointed = slots.segments(text, captions)
    at: dict[str, Any] = {"segment": pointed[0]} if pointed else {}
    match kind:
        case "make" | "then":
            if kind == "then" and _GOES_ON.fullmatch(slots.without_lengths(text)):
                return {**seconds, "text": GOES_ON}
            return {**seconds, "text": slots.movement(text)}
        case "before":
            first = re.search(r"\b(?:first|opening|beginning|start|intro|in front)\b", text) and not pointed[1:]
            return {"segment": 1 if first or not pointed else pointed[0], "text": slots.movement(text)}
        case "replace":
            return {"segment": pointed[0] if pointed else len(captions), "text": slots.replacement(text)}
        case "edit":
            change = slots.changing(text)
            side = side_of(text)
            return {**at, "change": change if change or not side else f"with the {side} hand"}
        case "retime":
            if (by := degree(text)) and by.seconds:  # longer by so much, of what is not named plainly: no length
                return None
            numbers = [n for n in slots.numbers(_THE_ONE.sub(" ", text)) if LEAST_SECONDS <= n <= 600]
            value = length if length is not None else next((n for n in numbers[::-1] if [n] != pointed), None)
            return None if value is None else {"segment": pointed[0] if pointed else len(captions), "seconds": value}
        case "total":
            return seconds or None
        case "speed":
            value = slots.factor(text)
            return None if value is None else {**_explicit(text, captions), "factor": value}
        case "mirror" | "again" | "describe":
            if kind == "describe" and heard.files:
                return {"file": heard.files[0]}
            if kind == "describe" and captions and re.search(r"\bjust\b", text):
                return {"segment": len(captions)}
            return _explicit(text, captions)
        case "delete":
            return {"segment": pointed[0] if pointed else len(captions)}
        case "move":
            return _moved(text, captions, pointed)
        case "loop":
            value = slots.times(text) or slots.count(text)
            return {"times": value} if value else None
        case "undo" | "redo":
            value = slots.count(text)
            value = 2 if re.search(rf"\b{kind} {kind}\b|\bboth\b|\btwice\b", text) else value
            return {"steps": value} if value and value > 1 else {}
        case "keep":
            letter = slots.take(text, heard.takes)
            return {"choice": letter} if letter else None
        case "load":
            return {"file": heard.files[0]} if heard.files else None
        case _:
            return _spoken(kind, heard, seconds)


def _spoken(kind: str, heard: Heard, seconds: dict[str, Any]) -> dict[str, Any] | None:
    text = heard.request
    match kind:
        case "plan" | "long":
            scene = slots.without_lengths(text) if kind == "long" else text
            scene = re.sub(
                r"^.*?\b(?:plan|long|endless|scene|make|improvise|generate|activities|of)\b(?: (?:a|the))?"
                r"(?: (?:plan|scene))?(?: (?:for|of|:))?[\s:,]*", "", scene, count=1,
            )  # fmt: skip
            scene = re.sub(r"\b(?:for|of|lasting|in|over)$", "", scene.strip(" .,:;")).strip(" .,:;")
            if not scene:
                return None
            number = slots.count(text) if re.search(r"\b(?:activities|things|parts|acts|steps)\b", text) else None
            if kind == "plan":
                return {"scene": scene, **({"activities": number} if number and number <= 20 else {})}
            return {**seconds, "scene": scene} if seconds else None
        case "save":
            if re.fullmatch(r"\W*keep (?:take )?[a-z]\W*", text):  # a take that is not open
                return None
            name = UNNAMED if _SAVE_IT.fullmatch(text) else saving.save_name(text, heard.files)
            return {"name": name} if name else None
        case "export":
            found = saving.suffix(text)
            return {"format": found} if found else None
        case "show":
            for word, what in (("caption", "captions"), ("text", "captions"), ("plan", "plan"), ("frame", "frames"),
                               ("picture", "frames"), ("sheet", "frames"), ("still", "frames"), ("see it", "frames")):
                if word in text:
                    return {"what": what}
            return {"what": "timeline"}
        case "question":
            return {"about": _topic(text, heard.captions)}
        case "face":
            return {"text": slots.movement(text)}
        case "speak":
            return {"file": heard.files[0]} if heard.files else None
        case _:
            return {}


def _explicit(text: str, captions: Sequence[str]) -> dict[str, Any]:
    found = slots.segments(text, captions)
    whole = re.search(r"\b(?:everything|all|whole|overall|throughout|completely)\b", text)
    return {"segment": found[0]} if found and not whole else {}


def _moved(text: str, captions: Sequence[str], pointed: Sequence[int]) -> dict[str, Any] | None:
    if re.search(r"\b(?:swap|exchange|reverse)\b", text):
        last = re.search(r"\blast two\b", text)
        a, b = (len(captions), len(captions) - 1) if last else (pointed[1], pointed[0]) if pointed[1:] else (2, 1)
        return {"segment": a, "to": b}
    if not pointed:
        return None
    what = next((n for n in pointed if captions[n - 1]), pointed[0])
    numbers = [int(n) for n in slots.numbers(text) if n == int(n) and 1 <= n <= len(captions) and int(n) != what]
    if re.search(r"\b(?:first|start|beginning|begin)\b", text) and what != 1:
        return {"segment": what, "to": 1}
    if re.search(r"\b(?:last|end|finish)\b", text) and what != len(captions):
        return {"segment": what, "to": len(captions)}
    if re.search(r"\bbefore\b", text) and pointed[1:]:
        return {"segment": what, "to": pointed[1] if pointed[1] < what else pointed[1] - 1 or 1}
    return {"segment": what, "to": numbers[-1]} if numbers else None


def _topic(text: str, captions: Sequence[str]) -> str:
    pointed = slots.segments(text, captions)
    if "file" in text or "loaded" in text:
        return "loaded files"
    if re.search(r"\bhow many (?:segments|parts|steps|pieces|things|do|now)\b|\bnumber of\b|\bcount\b", text):
        return "number of segments"
    if re.search(r"\blongest|shortest\b", text):
        return "longest segment" if "longest" in text else "shortest segment"
    if "frames" in text:
        return "total length in frames"
    if re.search(r"\b(?:how long|length|lenght|total|seconds|duration|time|long|sum|makes)\b", text):
        return f"length of segment {pointed[0]}" if pointed else "total length"
    return f"text of segment {pointed[0]}" if pointed else " ".join(text.split()[:12]).strip(" ?.") or "timeline"
