"""``/v1/exports/ID.EXT``: motions of the store in every format that is written, ``.frames`` for the page."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import FileResponse, Response

from avatargpt import export
from avatargpt.options import FPS, check_number
from avatargpt.server import answers
from avatargpt.server.core import AnyServer, Server
from avatargpt.server.errors import Refusal, bad, without
from avatargpt.server.frames import frames
from avatargpt.server.results import EXPORTS, Clip, list_forms
from vqvae.errors import UserError, WriteError

router = APIRouter(prefix="/v1/exports", tags=["files"])
FRAMES = ".frames"
DRAWN = (".mp4", ".mov", ".gif", ".png")
TYPES = {
    ".bvh": "text/plain; charset=utf-8", ".csv": "text/csv; charset=utf-8", ".glb": "model/gltf-binary",
    ".vrma": "model/gltf-binary", ".vrm": "model/gltf-binary", ".gif": "image/gif", ".json": "application/json",
    ".mp4": "video/mp4", ".mov": "video/quicktime", ".png": "image/png", FRAMES: "application/octet-stream",
}  # fmt: skip
# Options of a format that a client may set, and what reads them; none of them names a file.
SAFE = {"layout": str, "scale": float, "size": int, "frames": int, "root": str}


def options_of(query: dict[str, str]) -> dict[str, Any]:
    """The options of a format in a query. Raises Refusal (400) for others."""
    out: dict[str, Any] = {}
    for name, value in query.items():
        if name not in SAFE:
            raise bad(f"{name}: no option; accepted: {', '.join([*SAFE, 'character', 'fps'])}", name)
        try:
            out[name] = SAFE[name](value)
        except ValueError:
            raise bad(f"{name}: {value[:40]!r}; accepted a {SAFE[name].__name__}", name) from None
    return out


def write_form(server: Server, folder: Path, clip: Clip, form: str, query: dict[str, str], which: str = "") -> Path:
    """The file of a clip in a format, written once for the same options, in a folder of the store.

    Args:
        which: tells the clip from others of the folder; files of another first word, an earlier state, are removed.

    Raises:
        Refusal: 400 for a format or option that such a motion has not, 404 for an unknown character.
    """
    query, options = dict(query), {}
    key = hashlib.sha256(json.dumps([which, sorted(query.items())]).encode()).hexdigest()[:20]
    if (fps := query.pop("fps", None)) is not None:
        clip = resample_clip(clip, fps)
    if (number := query.pop("character", None)) is not None:
        entry, options["character"] = server.store.upload(number, "character", ("avatar", "motion"))
    options |= options_of(query)
    state = hashlib.sha256(which.partition(" ")[0].encode()).hexdigest()[:12]
    target = folder / EXPORTS / f"{state}-{key}{form}"
    if target.is_file():
        return target
    if form in DRAWN and clip.seconds > server.settings.film_seconds:
        raise bad(f"{clip.seconds:g} seconds as {form}; accepted at most {server.settings.film_seconds:g}", "id")
    with server.store.work() as scratch:
        file = scratch / f"motion{form}"
        if form == FRAMES:
            if options:
                raise bad(f"{next(iter(options))}: no option of {FRAMES}", next(iter(options)))
            file.write_bytes(frames(clip))
        else:
            _save(clip, file, options)
        target.parent.mkdir(exist_ok=True)
        changed = folder.stat()
        server.store.size += file.stat().st_size
        os.replace(file, target)
        for old in target.parent.iterdir():
            if not old.name.startswith(f"{state}-"):
                old.unlink(missing_ok=True)
        os.utime(folder, (changed.st_atime, changed.st_mtime))  # an export does not prolong a motion's life
    return target


def _save(clip: Clip, file: Path, options: dict[str, Any]) -> None:
    """Write a file; in errors it and the character are not called by their paths."""
    try:
        export.save(clip, file, **options)
    except WriteError:
        raise
    except UserError as e:
        text = without(str(e), (file.parent,)).removeprefix(f"{file.name}: ")
        raise bad(text.replace(f"{options.get('character')}", "the character"), "format") from None


def resample_clip(clip: Clip, fps: str) -> Clip:
    """A clip at another frame rate. Raises Refusal (400)."""
    try:
        rate = float(fps)
        check_number("fps", rate, FPS)
    except (ValueError, UserError):
        raise bad(f"fps: {fps[:40]!r}; accepted {FPS[0]} to {FPS[1]}", "fps") from None
    return clip.resampled(rate)


def download(path: Path, name: str) -> Response:
    """A file as an attachment."""
    headers = {"Cache-Control": "private, max-age=3600"}
    return FileResponse(path, media_type=TYPES.get(path.suffix, "application/octet-stream"), filename=name,
                        headers=headers)  # fmt: skip


def check_form(form: str, kind: str, character: bool) -> None:
    """Raises Refusal (415) for a format that a motion of that kind is not written as."""
    worn = [".vrm", *(".fbx" for form in list_forms("body") if form == "fbx")] if character else []
    forms = [*dict.fromkeys([FRAMES, *(f".{f}" for f in list_forms(kind)), *worn])]
    if form not in forms:
        raise Refusal(415, f"{form or 'no suffix'}; accepted for a {kind}: {' '.join(forms)}", "format")


def export_stored(server: Server, number: str, form: str, query: dict[str, str] | None = None) -> tuple[Path, str]:
    """The file of a stored motion in a format, with options, and the name that it goes by.

    Raises:
        Refusal: 404 for an unknown motion, 415 for a format that it has not.
    """
    entry, suffix = server.store.motion(number), "." + form.lower().removeprefix(".")
    check_form(suffix, entry.about["kind"], "character" in (query or {}))
    path = write_form(server, entry.folder, entry.clip(), suffix, query or {})
    return path, f"{entry.about['kind']}-{number[:8]}{suffix}"


@router.get("/{name}", summary="A motion as a file", **answers.FILE)
async def get(request: Request, server: AnyServer, name: str) -> Response:
    """``ID.EXT`` with the options of the format in the query: `layout`, `scale`, `size`, `frames`, `root`, `fps`, and
    `character`, the id of an upload that wears the motion."""
    number, _, form = name.partition(".")
    work = server.draw_in_thread if f".{form.lower()}" in DRAWN else server.in_thread
    return download(*await work(export_stored, server, number, form, dict(request.query_params)))
