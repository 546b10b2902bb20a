"""``/v1/exports/ID.EXT``: motions of the store in every format that is written, ``.frames`` for the page."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Query
from fastapi import Path as PathField
from fastapi.responses import FileResponse, Response
from pydantic import BaseModel, ConfigDict, Field

from avatargpt import export
from avatargpt.options import FPS
from avatargpt.server import answers
from avatargpt.server.core import AnyServer, Server
from avatargpt.server.errors import Refusal, bad, without
from avatargpt.server.frames import frames
from avatargpt.server.results import EXPORTS, Clip, digest, list_forms
from vqvae.errors import UserError, WriteError

router = APIRouter(prefix="/v1/exports", tags=["files"])
FRAMES = ".frames"
DRAWN = (".mp4", ".mov", ".gif", ".png")
TYPES = {
    ".bvh": "text/plain; charset=utf-8", ".csv": "text/csv; charset=utf-8", ".glb": "model/gltf-binary",
    ".vrma": "model/gltf-binary", ".vrm": "model/gltf-binary", ".gif": "image/gif", ".json": "application/json",
    ".mp4": "video/mp4", ".mov": "video/quicktime", ".png": "image/png", FRAMES: "application/octet-stream",
}  # fmt: skip


class FormQuery(BaseModel):
    """Options of a format that a client may set; none of them names a file of this machine."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    layout: str | None = None
    scale: float | None = None
    size: int | None = None
    frames: int | None = None
    root: str | None = None
    fps: float | None = Field(default=None, ge=FPS[0], le=FPS[1], description="Frames a second.")
    character: str | None = Field(default=None, description="Id of an upload that wears the motion.")


AS_IT_IS = FormQuery()


def write_form(
    server: Server, folder: Path, clip: Clip, form: str, query: FormQuery = AS_IT_IS, which: str = ""
) -> Path:
    """The file of a clip in a format, written once for the same options, in a folder of the store.

    Args:
        which: tells the clip from others of the folder; files of another first word, an earlier state, are removed.

    Raises:
        Refusal: 400 for a format or option that such a motion has not, 404 for an unknown character.
    """
    options = query.model_dump(exclude_none=True, include={*FormQuery.model_fields})
    key = digest(json.dumps([which, sorted(options.items())]))[:20]
    if (fps := options.pop("fps", None)) is not None:
        clip = clip.resampled(fps)
    if query.character is not None:
        options["character"] = server.store.upload(query.character, "character", ("avatar", "motion"))[1]
    state = digest(which.partition(" ")[0])[:12]
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


def download(path: Path, name: str, cache: str = "no-cache") -> Response:
    """A file as an attachment; `cache`: how long a browser may keep it, which of a session changes."""
    headers = {"Cache-Control": cache}
    return FileResponse(path, media_type=TYPES.get(path.suffix, "application/octet-stream"), filename=name,
                        headers=headers)  # fmt: skip


def check_form(form: str, kind: str, character: bool) -> None:
    """Raises Refusal (415) for a format that a motion of that kind is not written as."""
    worn = [".vrm", *(".fbx" for form in list_forms("body") if form == "fbx")] if character else []
    forms = [*dict.fromkeys([FRAMES, *(f".{f}" for f in list_forms(kind)), *worn])]
    if form not in forms:
        raise Refusal(415, f"{form or 'no suffix'}; accepted for a {kind}: {' '.join(forms)}", "format")


def export_stored(server: Server, number: str, form: str, query: FormQuery = AS_IT_IS) -> tuple[Path, str]:
    """The file of a stored motion in a format, with options, and the name that it goes by.

    Raises:
        Refusal: 404 for an unknown motion, 415 for a format that it has not.
    """
    entry, suffix = server.store.motion(number), "." + form.lower().removeprefix(".")
    check_form(suffix, entry.about["kind"], query.character is not None)
    path = write_form(server, entry.folder, entry.clip(), suffix, query)
    return path, f"{entry.about['kind']}-{number[:8]}{suffix}"


@router.get("/{name}", summary="A motion as a file", **answers.EXPORT)
async def export_motion(
    server: AnyServer, name: Annotated[str, PathField(examples=[f"{answers.ID}.glb"])],
    query: Annotated[FormQuery, Query()],
) -> Response:  # fmt: skip
    """``ID.EXT`` with the options of the format in the query."""
    number, _, form = name.partition(".")
    work = server.draw_in_thread if f".{form.lower()}" in DRAWN else server.in_thread
    return download(*await work(export_stored, server, number, form, query), "private, max-age=3600")
