"""What a turn calls the files that it wants written, and their formats. Rules."""

from __future__ import annotations

import re
from collections.abc import Sequence

from instruct_data.acts import FORMATS


def suffix(text: str) -> str | None:
    """A file format."""
    found = re.findall(rf"\.?\b({'|'.join(FORMATS)})\b", text)
    return found[0] if found else None


_SAVE = re.compile(
    r"\b(?:save|store|write|sav|keep|put|ship|export|call|name)\b.*?\b(?:as|to|in|under|named|called|it|name:?)\s+"
    r"(?:the name |name |everything as |it )?([\w./~-]+)\s*$"
)


def save_name(text: str, files: Sequence[str]) -> str | None:
    """What a saved file is called."""
    if files:
        return files[0]
    bare = re.sub(r"\b(?:please|pls|thanks|thx|now|ok)\b", " ", text).strip(" .!?")
    fmt = suffix(bare)
    named = re.search(r"\b(?:named|called|call it|name it|name:)\s+([\w-]+)", bare) or _SAVE.search(bare)
    name = named.group(1) if named else re.sub(r"^.*\bsave\b(?: that| it| this| everything| all)?(?: as)?\s*", "", bare)
    if not named and fmt:
        name = re.sub(rf"\b{fmt}\b", " ", name)
    words = re.findall(r"[\w./~-]+", name)
    if not words:
        return None
    return f"{words[-1]}.{fmt}" if fmt and not words[-1].endswith(fmt) else words[-1]


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
