"""Names of files within a turn."""

from __future__ import annotations

import re

from instruct_data.dialogue.acts import FORMATS

FILE = re.compile(
    r"\"([^\"\n]+?\.\w{2,5}(?:#[^\"\n]+)?)\"|'([^'\n]+?\.\w{2,5}(?:#[^'\n]+)?)'|((?:\\ |[^\s\"'|;,])+\.(?:"
    + "|".join(FORMATS) + r"|gltf|wav|ogg|flac|mp3)(?:#[\w/-]+)?)(?![\w.])", re.IGNORECASE,
)  # fmt: skip
_ANIMATION = re.compile(r"(?<=\.glb)#.*|(?<=\.gltf)#.*", re.IGNORECASE)  # of a pack, behind the file's name
_RATE = re.compile(r"\b(?:at|with|in) (\d+(?:\.\d+)?) ?(?:fps|hz|frames (?:per|a) second)\b", re.IGNORECASE)
_UNSAFE = re.compile(r"[<>\"|?*]+")  # no file system everywhere takes these


def named_files(text: str) -> list[str]:
    """File names in a turn, as typed: quoted, with escaped blanks (as terminals paste them), or plain."""
    return [next(filter(None, m.groups())).replace("\\ ", " ") for m in FILE.finditer(text)]


def simplified(text: str) -> tuple[str, dict[str, str]]:
    """The turn with every file's path cut to a plain name, and what the names stand for.

    ``describe "/tmp/My Clip.BVH"`` -> ``describe my_clip.bvh``, ``{"my_clip.bvh": "/tmp/My Clip.BVH"}``.
    """
    meant: dict[str, str] = {}

    def plain(match: re.Match[str]) -> str:
        typed = next(filter(None, match.groups())).replace("\\ ", " ")
        file = _ANIMATION.sub("", typed)
        name = re.sub(r"[^a-z0-9._-]+", "_", re.split(r"[/\\]", file)[-1].lower())
        meant[name] = typed
        return name

    return FILE.sub(plain, text), meant


def as_typed(name: str, request: str) -> str:
    """The name with the capitals that the user gave it."""
    found = re.search(re.escape(name), request, re.IGNORECASE)
    return found.group(0) if found else name


def without_unsafe(name: str) -> str:
    """The name without what some file systems refuse."""
    return _UNSAFE.sub("_", name).strip()


def rate_named(request: str) -> float | None:
    """Frames per second that a turn asks for: "at 30 fps"."""
    found = _RATE.search(request)
    return float(found.group(1)) if found else None
