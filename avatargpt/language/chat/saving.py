"""What a turn calls the files that it wants written, and their formats. Rules."""

from __future__ import annotations

import re
from collections.abc import Sequence

from instruct_data.dialogue.acts import FORMATS


def suffix(text: str) -> str | None:
    """A file format."""
    found = re.findall(rf"\.?\b({'|'.join(FORMATS)})\b", text)
    return found[0] if found else None


MOST_NAMING = 4  # words of a name that is several
_SAVE = re.compile(
    r"\b(?:save|store|write|sav|keep|put|ship|export|call|name)\b.*?\b(?:as|to|in|under|named|called|it|name:?)\s+"
    r"(?:(?:the name|name|everything|it|as|to|in|under|named|called)\s+)*([\w./~-]+(?: [\w./~-]+)*)\s*$"
)
_BEFORE = re.compile(r"^.*?\b(?:save|store|write)\b(?: (?:that|it|this|everything|all))*(?: as)?\s*")


def save_name(text: str, files: Sequence[str]) -> str | None:
    """What a saved file is called."""
    if files:
        return files[0]
    bare = re.sub(r"\b(?:please|pls|thanks|thx|now|ok)\b|\bat \d+ ?fps\b", " ", text).strip(" .!?")
    fmt = suffix(bare)
    found = re.search(r"\b(?:named|called|call it|name it|name:)\s+([\w-]+(?: [\w-]+)*)", bare) or _SAVE.search(bare)
    name = named(found.group(1) if found else _BEFORE.sub("", bare))
    if not name:
        return None
    return f"{name}.{fmt}" if fmt and not name.endswith(fmt) else name


def named(words: str) -> str | None:
    """A file name of what somebody calls it: ``my walk`` -> ``my_walk``; None: too many words, or a format alone."""
    said = re.sub(r"^(?:an? |the )?(?:file |name )?(?:called |named )?", "", " ".join(words.split()))
    said = re.sub(rf"[\s,]+\.?(?:{'|'.join(FORMATS)})(?: (?:file|format))?$|^(?:{'|'.join(FORMATS)}) (?=\w)", "", said)
    found = re.findall(r"[\w./~-]+", said)
    return "_".join(found) if 0 < len(found) <= MOST_NAMING and said not in FORMATS else None


_AND = re.compile(r"(?:[\s,;&+]|\b(?:and|plus|also|too|then|as well|as|to|it|save)\b)*")


def save_names(text: str, files: Sequence[str]) -> list[str]:
    """The files of "save as walk.glb, walk.bvh and walk.npz"; a file behind other words is not one of them."""
    places = [(text.find(f, text.find(" as ") + 1), f) for f in files]
    found = sorted((at, f) for at, f in places if at >= 0)
    out = [f for _, f in found[:1]]
    for (at, before), (start, name) in zip(found, found[1:], strict=False):
        if not _AND.fullmatch(text[at + len(before) : start]):
            break
        out.append(name)
    return out


def suffixes(text: str) -> list[str]:
    """The file formats of "glb, bvh and gif"."""
    one = rf"\.?\b(?:{'|'.join(FORMATS)})\b"
    found = re.search(rf"{one}(?:(?:\s*[,&+]\s*|\s+)(?:and\s+)?{one})+", text)
    return list(dict.fromkeys(re.findall(rf"\b(?:{'|'.join(FORMATS)})\b", found.group(0)))) if found else []
