"""The table of file formats by suffix; checking, saving and loading by it.

A format is an entry of `WRITERS` or `READERS`: the place ``module:function`` of what writes or reads it, imported when
it is used. Readers raise UserError for files that are missing, damaged or hold something else; writers for files that
cannot be written.
"""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from pathlib import Path
from pkgutil import resolve_name
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from vqvae.errors import UserError
from vqvae.io.files import check_output, regular_file

if TYPE_CHECKING:
    from vqvae.motion import Motion

BVH = ("smpl", "mixamo", "unity")  # names of joints
FACE_JSON = ("audio2face", "beat", "oculus", "azure", "azure_shapes")
EVERY, EXPRESSIONS = ("body", "face", "avatar"), ("both", "arkit", "presets")


class ExportClip(Protocol):
    """The clip of a body, a face or an avatar, as far as the table needs it."""

    @property
    def modality(self) -> str: ...


class Writer(NamedTuple):
    """A format that is written."""

    place: str  # of ``f(motion, path, **options)``
    # holds: modalities of the motions that such a file can hold; what holds a body holds a gesture
    holds: tuple[str, ...] = ("body", "face")
    # layouts: what the option ``layout`` may be, for ``body``, for ``face`` and for ``avatar``
    layouts: Mapping[str, tuple[str, ...]] = {}


WRITERS = {
    ".bvh": Writer("avatargpt.export.arrays:write_body_bvh", ("body", "avatar"), {"body": BVH, "avatar": BVH}),
    ".csv": Writer("avatargpt.export.face_files:write_livelink", ("face", "avatar"),
                   dict.fromkeys(("face", "avatar"), ("BlendShapeCount", "BlendshapeCount"))),
    ".fbx": Writer("avatargpt.export.fbx:write_fbx", ("body",)),
    ".gif": Writer("avatargpt.export.video:write_gif", EVERY),
    ".glb": Writer("avatargpt.export.gltf_write:write_glb", EVERY),
    ".json": Writer("avatargpt.export.face_files:write_json", ("face",), {"face": FACE_JSON}),
    ".mov": Writer("avatargpt.export.video:write_mp4", EVERY),
    ".mp4": Writer("avatargpt.export.video:write_mp4", EVERY),
    ".npy": Writer("avatargpt.export.arrays:write_npy", ("body",), {"body": ("hml263", "pos7")}),
    ".npz": Writer("avatargpt.export.arrays:write_npz", EVERY,
                   {"body": ("motion", "smplx"), "face": ("motion",), "avatar": ("motion",)}),
    ".png": Writer("avatargpt.export.sheet:write_png", EVERY),
    ".vrma": Writer("avatargpt.export.vrma:write_vrma", EVERY, {"face": EXPRESSIONS, "avatar": EXPRESSIONS}),
}  # fmt: skip
# Files with a character -> formats that such a character is written as.
CHARACTERS = {
    ".bvh": (".bvh",), ".fbx": (".fbx", ".glb"), ".glb": (".glb", ".fbx"), ".gltf": (".glb", ".fbx"),
    ".vrm": (".vrm", ".glb", ".fbx"),
}  # fmt: skip
FACES = {".glb": (".glb",), ".gltf": (".glb",), ".vrm": (".vrm", ".glb")}  # the same of faces alone
CHARACTER_WRITER = "avatargpt.export.character:write_character"
ROOTS = ("hips", "ground")  # where a character's way is put
# Suffix -> place of ``f(path, **options) -> Motion``.
READERS = {
    ".amc": "vqvae.io.asf:read_acclaim",
    ".bvh": "vqvae.io.bvh:read_bvh", ".c3d": "vqvae.markers:read_markers",
    ".csv": "instruct_data.sources.face_files:read_livelink",
    ".fbx": "avatargpt.export.fbx:read_fbx", ".glb": "avatargpt.export.gltf_read:read_glb",
    ".gltf": "avatargpt.export.gltf_read:read_glb",
    ".json": "avatargpt.export.face_files:read_json", ".npy": "avatargpt.export.arrays:read_npy",
    ".npz": "avatargpt.export.arrays:read_npz", ".vrm": "avatargpt.export.gltf_read:read_glb",
    ".vrma": "avatargpt.export.vrma:read_vrma",
    **dict.fromkeys((".usd", ".usda", ".usdc", ".usdz"), "avatargpt.export.usd:read_usd"),
}  # fmt: skip
# Films, whose motion is captured: minutes, not moments.
FILMS = dict.fromkeys((".avi", ".gif", ".m4v", ".mkv", ".mov", ".mp4", ".webm"), "avatargpt.video.capture:read_film")
# Suffix -> module of an extra without which it is not written, its name, how to get it.
_NEEDS = dict.fromkeys((".mp4", ".mov"), ("av", "PyAV", 'pip install "avatargpt[video]", or write .gif'))
# Suffix -> place of ``f(path)``, which finds the program that converts, or raises UserError.
_PROGRAMS = {".fbx": "avatargpt.export.fbx:find_blender"}
# Formats that may hold several animations.
PACKS = (".glb", ".gltf", ".vrm", ".fbx")
MAX_CLIPS = 100  # of a contact sheet
MIN_PIXELS, MAX_PIXELS, MAX_FACE_PIXELS = 16, 4096, 2048  # a side of a film's picture


def writable(modality: str | None = None) -> list[str]:
    """Suffixes that :func:`save` accepts, of all motions or of those of one modality."""
    modality = "body" if modality == "gesture" else modality
    return [s for s in sorted(WRITERS) if modality is None or modality in WRITERS[s].holds]


def readable(films: bool = False) -> list[str]:
    """Suffixes of motion files that :func:`load` accepts; with those of films, which it accepts, too."""
    return sorted(READERS | FILMS if films else READERS)


def check_target(
    path: str | os.PathLike[str], modality: str | None = None, character: str | os.PathLike[str] | None = None
) -> Path:
    """Make sure that `path` can be written, with a motion of `modality`, before any work is done for it.

    `character`: the file whose character it is written on, or that of `avatargpt.export.character.load_character`.

    Raises UserError: unknown suffix, one that such a motion cannot be written as or whose extra is not installed, a
    folder, a pipe or a device instead of a file, or a folder that cannot be written or made.
    """
    path = Path(path)
    files, form = [path], path.suffix.lower()
    if character is not None:
        files = [character := Path(character), path]
        table = FACES if modality == "face" else CHARACTERS
        forms = table.get(character.suffix.lower())
        if forms is None:
            what = "character with a face" if modality == "face" else "character"
            raise UserError(f"{character}: no {what}; accepted a file in one of {' '.join(table)}")
        if form not in forms:
            raise UserError(f"{path}: the character is a {character.suffix}; accepted output as {' or '.join(forms)}")
    else:
        if modality is not None and form not in (accepted := writable(modality)):
            what = f"{with_article(modality)} cannot be written as {path.suffix or path.name}"
            raise UserError(f"{path}: {what}; accepted {' '.join(accepted)}")
        _writer(path)
        if form in _NEEDS and find_spec(_NEEDS[form][0]) is None:
            raise report_missing_extra(path, form)
    for file in files:
        if (form := file.suffix.lower()) in _PROGRAMS:
            resolve_name(_PROGRAMS[form])(file)
    check_output(path)
    return path


def with_article(modality: str) -> str:
    """``a body``, ``an avatar``."""
    return f"{'an' if modality == 'avatar' else 'a'} {modality}"


def check_options(path: str | os.PathLike[str], modality: str, options: dict[str, Any]) -> None:
    """Make sure that the format of `path` has these options and values, before anything is written."""
    path = Path(path)
    if "character" in options:
        return _check_names(resolve_name(CHARACTER_WRITER), 2, path, options)
    _check_names(_writer(path), 2, path, options)
    if "layout" in options and options["layout"] not in layouts(path, modality):
        accepted = ", ".join(layouts(path, modality)) or "none"
        raise UserError(f"{path}: layout '{options['layout']}'; accepted for {with_article(modality)}: {accepted}")
    if "size" in options:
        check_size(path, modality, options["size"])


def has_option(path: str | os.PathLike[str], option: str) -> bool:
    """Whether the format of `path` has an option of that name. Raises UserError for a suffix that is not written."""
    return option in _options(_writer(Path(path)), 2)


def layouts(path: Path, modality: str) -> tuple[str, ...]:
    """What the option ``layout`` may be in the format of `path` for a motion of `modality`; empty where it has none."""
    return WRITERS[path.suffix.lower()].layouts.get("body" if modality == "gesture" else modality, ())


def check_size(path: Path, modality: str, size: object) -> None:
    """Raises UserError unless a film's pictures can be `size` pixels square."""
    limit = MAX_FACE_PIXELS if modality in ("face", "avatar") else MAX_PIXELS
    if not (isinstance(size, int) and MIN_PIXELS <= size <= limit):
        raise UserError(f"{path}: size {size}; accepted {MIN_PIXELS} to {limit} pixels")


def report_missing_extra(path: Path, form: str) -> UserError:
    """The error where the extra that files with this suffix need is not installed."""
    _, name, install = _NEEDS[form]
    return UserError(f"{path}: {form} needs {name}; install it with {install}")


def save(motion: ExportClip, path: str | os.PathLike[str], **options: Any) -> Path:
    """Write a motion in the format that the suffix names (docs/formats.md). Atomic.

    Args:
        motion: the clip; its own frame rate is kept.
        path: target file; missing folders are made.
        options: of the format, e.g. ``scale=100`` for .bvh or ``layout="pos7"`` for .npy. ``character="hero.glb"``
            (.glb, .gltf, .vrm, .fbx, .bvh; for many motions one of `avatargpt.export.character.load_character`) writes
            that file with the motion on its own skeleton added, ``root="ground"`` the level part of the way on the
            bone above the hips.

    Raises:
        UserError: unknown suffix or option, a target that cannot be written, a motion the format cannot hold.
    """
    if options.get("character", path) is None:
        options.pop("character")
    target = check_target(path, motion.modality, options.get("character"))
    check_options(target, motion.modality, options)
    function = _writer(target) if "character" not in options else resolve_name(CHARACTER_WRITER)
    function(motion, target, **options)
    return target


def load(path: str | os.PathLike[str], **options: Any) -> Motion:
    """Read a body motion; the file's frame rate is kept. Of a film the motion of the person in it is captured.

    Args:
        path: the file; ``pack.glb#NAME`` means the animation NAME of a .glb or .gltf.
        options: of the format, e.g. ``animation="Walk"`` for .glb.

    Raises:
        UserError: no such file, unknown suffix or option, or contents that are not a body motion.
    """
    source, animation = split_animation_name(path)
    if animation is not None:
        if options.get("animation", animation) != animation:
            raise UserError(f"{path}: animation {options['animation']!r} asked for, too; accepted one of both")
        options["animation"] = animation
    function = _function(READERS | FILMS, source, "read")
    regular_file(source)
    _check_names(function, 1, source, options)
    try:
        motion: Motion = function(source, **options)
    except UserError as e:
        raise (e if str(source) in str(e) else UserError(f"{source}: {e}")) from None
    except OSError as e:
        raise UserError(f"cannot read {source}: {e.strerror or e}") from None
    return motion


def split_animation_name(path: str | os.PathLike[str]) -> tuple[Path, str | None]:
    """``pack.glb#Walk`` -> the file and the name of an animation in it; other paths, and files that are called so, as
    they are."""
    text = os.fspath(path)
    at = next((i for end in PACKS if (i := text.lower().find(f"{end}#")) >= 0), -1)
    if at < 0 or Path(text).exists():
        return Path(path), None
    file, _, name = text[at:].partition("#")
    return (Path(text[:at] + file), name) if name else (Path(path), None)


def _writer(path: Path) -> Callable[..., Any]:
    return _function({suffix: writer.place for suffix, writer in WRITERS.items()}, path, "write")


def _function(places: Mapping[str, str], path: Path, verb: str) -> Callable[..., Any]:
    suffix = path.suffix.lower()
    if suffix not in places:
        raise UserError(f"{path}: cannot {verb} '{suffix or path.name}'; accepted {' '.join(places)}")
    function: Callable[..., Any] = resolve_name(places[suffix])
    return function


def _check_names(function: Callable[..., Any], positional: int, path: Path, options: dict[str, Any]) -> None:
    accepted = _options(function, positional)
    for name in options:
        if name not in accepted:
            raise UserError(f"{path}: no option '{name}' for {path.suffix}; accepted {', '.join(accepted) or 'none'}")


def _options(function: Callable[..., Any], positional: int) -> list[str]:
    return list(inspect.signature(function).parameters)[positional:]
