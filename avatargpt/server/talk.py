"""The page in which a microphone moves a face without a server: its route, its driver, and a folder with all of it."""

from __future__ import annotations

import shutil
from functools import lru_cache, partial
from pathlib import Path

from fastapi import APIRouter
from fastapi.responses import FileResponse, Response

from avatargpt.face.pipeline import driver_folder
from avatargpt.server import answers
from avatargpt.server.avatar import KEPT, avatar_glb
from avatargpt.server.core import AnyServer
from avatargpt.server.errors import Refusal
from vqvae.errors import UserError
from vqvae.io.files import atomic_write

router = APIRouter(tags=["files"])
STATIC = Path(__file__).with_name("static")
PAGE = "talk.html"
DRIVER, AVATAR = "v1/driver.onnx", "v1/avatar.glb"  # where the page looks for them


@router.get(f"/{PAGE}", include_in_schema=False)
async def page() -> FileResponse:
    return FileResponse(STATIC / PAGE, headers={"Cache-Control": "no-cache"})


@router.get(f"/{DRIVER}", summary="The face driver for browsers", **answers.data("application/octet-stream"))
def driver(server: AnyServer) -> Response:
    """An ONNX graph of one frame, see `avatargpt.face.audio_model.onnx_graph`; 501 without the extra ``onnx``."""
    folder = driver_folder(server.settings.model)
    try:
        content = driver_onnx(folder)
    except UserError as e:
        raise Refusal(501, str(e)) from None
    return Response(content, media_type="application/octet-stream", headers={"Cache-Control": KEPT})


@lru_cache(maxsize=1)
def driver_onnx(folder: Path) -> bytes:
    """`make_graph` of a driver's folder. Built once per process."""
    from avatargpt.face.audio_model.driver import Driver
    from avatargpt.face.audio_model.onnx_graph import make_graph

    return make_graph(Driver.load(folder))


def write_page(folder: Path, model: Path | None = None) -> None:
    """Write a folder that any server of files can give out: the page, its scripts, the driver of `model`, our avatar.

    Raises:
        UserError: something is there already, no driver in `model`, or the extra ``onnx`` is missing.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UserError(f"{folder}: is there already; accepted: a new or an empty folder")
    graph = driver_onnx(driver_folder(model))
    for name, content in ((DRIVER, graph), (AVATAR, avatar_glb()), ("index.html", (STATIC / PAGE).read_bytes())):
        atomic_write(folder / name, partial(Path.write_bytes, data=content))
    shutil.copytree(STATIC / "assets", folder / "assets", ignore=shutil.ignore_patterns("index-*"))
