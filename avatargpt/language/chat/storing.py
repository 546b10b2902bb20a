"""Orders to save that name a segment, a format without a name, or a name and a format apart. Rules."""

from __future__ import annotations

import re

from avatargpt.language.chat import saving
from avatargpt.language.chat.heard import Heard
from avatargpt.language.chat.pointing import target
from instruct_data.dialogue.acts import FORMATS, Act
from vqvae.errors import UserError

_VERB = r"(?:(?:please|pls|ok(?:ay)?|now|and|then|can you|could you|just)\b[\s,]*)*(?:save|store|export|write|keep)"
_FORMAT = rf"\.?(?P<format>{'|'.join(FORMATS)})"
_END = r"(?: (?:please|pls|thanks|thx|now|(?:at|with|in) \d+ ?(?:fps|frames (?:per|a) second)))*"
_AS_FORMAT = re.compile(
    rf"{_VERB}(?P<what>.*?)(?: (?:as|to|in|into))? (?:an? |the )?{_FORMAT}(?: (?:file|format))?{_END}"
)
_CALLED = re.compile(
    rf"{_VERB}(?P<what>.*?)(?: (?:as|to|in|into))? (?:an? |the )?{_FORMAT}(?: file| format)?,?"
    rf"(?: and)?(?: (?:called|named|as|call it|name it|with (?:the )?name)) (?P<name>[\w./~ -]+?){_END}"
)
_AS_NAME = re.compile(rf"{_VERB}(?P<what>.*?) (?:as|to|in|into|under|called|named) (?P<name>.+?){_END}")
_FILE = re.compile(rf"{_VERB}(?: (?:it|this|that|all|everything))?(?: (?:as|to|in|into))? (?P<name>\S+?){_END}")
_PLAIN = re.compile(
    r"(?:only|just|it|that|this|him|everything|all|all of it|the (?:whole )?(?:motion|thing|animation|clip))?"
)
_PART = re.compile(r"\b(?:only|just|segments?|parts?|steps?)\b")


def stored(text: str, heard: Heard) -> list[Act]:
    """The acts of an order to save whose words settle which segment, name and format; empty = it is none.

    Raises:
        UserError: a segment that is named by what several have, or something that is no segment.
    """
    if heard.files and (m := _FILE.fullmatch(text)) and m["name"] in heard.files:
        return [Act("save", name=m["name"])]
    if (m := _CALLED.fullmatch(text)) and not heard.files and (at := _what(m["what"], heard)) is not None:
        name = saving.named(m["name"])
        return [Act("save", segment=at or None, name=f"{name}.{m['format']}")] if name else []
    if (m := _AS_FORMAT.fullmatch(text)) and not heard.files and (at := _what(m["what"], heard)) is not None:
        return [Act("export", segment=at or None, format=m["format"])]
    if (m := _AS_NAME.fullmatch(text)) and (at := _what(m["what"], heard)):
        if heard.files:
            return [Act("save", segment=at, name=n) for n in saving.save_names(text, heard.files)]
        name = saving.named(m["name"])
        return [Act("save", segment=at, name=name)] if name else []
    return []


def _what(words: str, heard: Heard) -> int | None:
    """The segment that is saved, 0 = all of it; None: the words are something else."""
    words = words.strip(" ,:")
    if _PLAIN.fullmatch(words):
        return 0
    at = target(re.sub(r"^(?:only|just)\s+|\s+(?:only|alone)$", "", words), heard.captions)
    if at is None and _PART.search(words):
        raise UserError(f"save {words}: accepted is one segment, or all of it; e.g. save segment 1 as walk.glb")
    return None if at is None else 0 if at.whole else at.segment or 0
