"""``/v1/uploads``: files of clients, written as they arrive, known by their contents; motion files are read at once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from fastapi.responses import FileResponse, Response

from avatargpt import export
from avatargpt.export.avatar import AvatarMotion
from avatargpt.server import answers
from avatargpt.server.core import AnyServer, Server
from avatargpt.server.errors import Refusal, bad, without
from avatargpt.server.results import UPLOADS, Clip, digest
from avatargpt.server.services import keep
from vqvae.errors import UserError
from vqvae.io.files import real_path

router = APIRouter(prefix="/v1/uploads", tags=["files"])
HEAD = 4096  # bytes by which a file is known
SOUNDS = (".wav", ".flac", ".ogg", ".mp3")
FILMS = (".mp4", ".mov", ".m4v", ".webm", ".mkv", ".avi", ".gif")
PICTURES = (".png", ".jpg", ".webp")
KINDS = {"sound": SOUNDS, "film": FILMS, "picture": (*PICTURES, ".jpeg")}  # others are motions
AVATARS = (".glb", ".gltf", ".vrm", ".fbx")  # that may hold a character, with a motion or without
TYPES = {
    ".wav": "audio/wav", ".flac": "audio/flac", ".ogg": "audio/ogg", ".mp3": "audio/mpeg", ".glb": "model/gltf-binary",
    ".vrm": "model/gltf-binary", ".gltf": "model/gltf+json", ".png": "image/png", ".jpg": "image/jpeg",
    ".webp": "image/webp", ".mp4": "video/mp4", ".webm": "video/webm",
}  # fmt: skip
# What a file begins with -> suffixes that it may be called by, the usual one first.
_MAGIC: tuple[tuple[int, bytes, tuple[str, ...]], ...] = (
    (0, b"glTF", (".glb", ".vrm", ".vrma")), (0, b"Kaydara FBX Binary", (".fbx",)), (0, b"; FBX", (".fbx",)),
    (0, b"HIERARCHY", (".bvh",)), (0, b"PK\x03\x04", (".npz", ".usdz")), (0, b"\x93NUMPY", (".npy",)),
    (0, b"#usda", (".usda", ".usd")), (0, b"PXR-USDC", (".usdc", ".usd")), (0, b"fLaC", (".flac",)),
    (0, b"OggS", (".ogg",)), (0, b"ID3", (".mp3",)), (0, b"GIF8", (".gif",)), (0, b"\x89PNG", (".png",)),
    (0, b"\xff\xd8\xff", (".jpg", ".jpeg")), (4, b"ftyp", (".mp4", ".mov", ".m4v")),
    (0, b"\x1aE\xdf\xa3", (".webm", ".mkv")), (8, b"WAVE", (".wav",)), (8, b"AVI ", (".avi",)),
    (8, b"WEBP", (".webp",)), (1, b"P", (".c3d",)),
)  # fmt: skip
_TEXTS = (".csv", ".json", ".gltf", ".amc", ".bvh")  # known by their names, as far as they are text


def suffix_of(head: bytes, name: str) -> str:
    """The suffix of a file by its first bytes, and by its name where several go with them.

    Raises:
        Refusal: 415 for contents that are not read, or that are not what the name says.
    """
    given = Path(name).suffix.lower()
    for at, magic, suffixes in _MAGIC:
        if head[at : at + len(magic)] == magic and (at != 1 or given in suffixes):
            if given and given not in suffixes and given in _list_known():
                raise Refusal(415, f"a file called {given} whose contents are {suffixes[0]}", "name")
            return given if given in suffixes else suffixes[0]
    if head[:2] in (b"\xff\xfb", b"\xff\xf3", b"\xff\xf2") and given in ("", ".mp3"):
        return ".mp3"
    if b"\0" not in head:
        text = head.lstrip(b"\xef\xbb\xbf \t\r\n")
        if text.startswith(b"HIERARCHY"):
            return ".bvh"
        if given in _TEXTS:
            return given
        if text.startswith(b"{"):
            return ".gltf" if b'"asset"' in head else ".json"
    accepted = " ".join(sorted({*_list_known()}))
    raise Refusal(415, f"contents that are not known; accepted {accepted}", "name")


def _list_known() -> set[str]:
    return {*export.readable(), *SOUNDS, *FILMS, *PICTURES}


BYTES = {"requestBody": {"required": True, "content": answers.FRAMES["responses"][200]["content"]}}


@router.post("", summary="Send a file", response_model=answers.Upload, status_code=201, responses={415: {}},
             openapi_extra=BYTES)  # fmt: skip
async def upload(
    request: Request, server: AnyServer,
    name: Annotated[str, Query(min_length=1, max_length=255, examples=["walk.bvh"])],
) -> Any:  # fmt: skip
    """The bytes of a motion, a sound, a film, a picture or an avatar; a motion can be exported at once."""
    server.store.check_space()
    name = name.replace("\\", "/").rpartition("/")[2].strip()
    if not name or not name.isprintable():
        raise bad("name: accepted the name of a file", "name")
    with server.store.work() as folder:
        part, size = folder / "part", 0
        with part.open("wb") as file:
            async for block in request.stream():
                size += len(block)
                file.write(block)
        if not size:
            raise bad("an empty body; accepted: the bytes of a file", "body")
        return await server.in_thread(take_file, server, part, name, size)


def take_file(server: Server, part: Path, name: str, size: int) -> dict[str, Any]:
    """A file that has arrived, into the store."""
    with part.open("rb") as file:
        suffix = suffix_of(file.read(HEAD), name)
    kind = next((kind for kind, suffixes in KINDS.items() if suffix in suffixes), "motion")
    path, row = part.with_name(f"upload{suffix}"), {}
    part.rename(path)
    if kind == "motion":
        try:
            clip: Clip = export.load(path)
            if isinstance(clip, AvatarMotion):  # a path in a client's file is none of this machine's
                clip = AvatarMotion(clip.body, clip.face, None, clip.caption, clip.notes)
            entry = keep(server, clip, clip.caption, 0, operation="upload", source=name)
            row["motion"] = server.store.motion_json(entry)
        except UserError as e:
            if suffix not in AVATARS or not _is_character(path):
                folders = real_path(path).parent, path.parent
                raise bad(without(str(e), folders).replace(path.name, name), "body") from None
            kind = "avatar"
    about = {"kind": kind, "name": name, "bytes": size, "file": path.name, "name_sha256": digest(name)}
    if "motion" in row:
        about["motion"] = row["motion"]["id"]
    stored = server.store.put(UPLOADS, about, lambda folder: path.rename(folder / path.name))
    return {"id": stored.id, "kind": kind, "name": name, "bytes": size, "href": f"/v1/uploads/{stored.id}",
            "character": suffix in AVATARS, "expires": server.store.expires(stored.folder), **row}  # fmt: skip


def _is_character(path: Path) -> bool:
    from avatargpt.export.character import load_character

    try:
        load_character(path)
    except UserError:
        return False
    return True


@router.get("/{id}", summary="The bytes of a file again", **answers.FILE)
async def get_upload(server: AnyServer, id: answers.PathId) -> Response:
    """As they were sent."""
    entry, path = server.store.upload(id)
    media = TYPES.get(path.suffix, "application/octet-stream")
    return FileResponse(path, media_type=media, filename=entry.about["name"])
