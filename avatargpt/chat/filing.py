"""Acts that read or write files: save, export, play."""

from __future__ import annotations

import os
from pathlib import Path

from avatargpt.chat.filenames import FILE, as_typed, rate_named, simplified, without_unsafe
from avatargpt.chat.registry import does
from avatargpt.chat.scene import Done, Scene
from avatargpt.chat.viewing import open_file
from instruct_data.dialogue.acts import Act
from vqvae.errors import UserError

DEFAULT = ".npz"
PREVIEW = "preview.gif"
# suffixes that mean a format and not a part of the name, whether it is written here or not
_FOREIGN = frozenset(
    "fbx obj usd usda usdz dae abc blend max ma c3d wav mp3 ogg flac avi mov webm txt csv json vrma pkl zip".split()
)
_WHY_NOT = {".fbx": "Blender, Unreal and Unity read .glb and .bvh, and Blender writes .fbx from them"}
MOST_FPS = 240.0
def _target(scene: Scene, name: str) -> Path:
    """Where a result goes.

    Raises:
        UserError: a format that is not written, an impossible name, or a place outside of bounded outputs.
    """
    from avatargpt import export

    typed = FILE.search(scene.request)
    known = simplified(scene.request)[1]
    name = known.get(name.lower(), name) if typed else as_typed(name, scene.request)
    folder, last = os.path.split(without_unsafe(name).replace("\\", "/"))  # a separator everywhere, as in `simplified`
    last = last.strip(" .")  # a name begins with no dot; its folder may: ../takes/walk.glb
    if not last:
        raise UserError("the file needs a name; e.g. save as walk.glb")
    path = scene.outputs / Path(folder, last).expanduser()
    suffix = path.suffix.lower()
    if suffix.lstrip(".") not in _FOREIGN and suffix not in export.writable():
        path, suffix = path.with_name(path.name + DEFAULT), DEFAULT
    if suffix not in export.writable():
        why = f" ({_WHY_NOT[suffix]})" if suffix in _WHY_NOT else ""
        raise UserError(f"{path.name}: {suffix} is not written{why}; accepted {' '.join(export.writable())}")
    return scene.within(path)


def relative(path: Path, outputs: Path) -> str:
    """A file's name as it is said and remembered: within the outputs where it is there."""
    return str(path.relative_to(outputs) if path.is_relative_to(outputs) else path)


def _write(scene: Scene, path: Path, segment: int | None) -> Done:
    """Write the whole, or one segment as a clip of its own, at the rate that the turn names."""
    from avatargpt import export

    motion, part = scene.state.whole, ""
    if segment is not None:
        at = scene.state.index(segment)
        motion = scene.state.round.slice(*scene.state.spans[at]).canonical()
        motion, part = motion.with_caption(scene.state.segments[at].caption), f"segment {segment}, "
    rate = rate_named(scene.request)
    if rate is not None:
        if not 1 <= rate <= MOST_FPS:
            raise UserError(f"{rate:g} frames per second; accepted 1 to {MOST_FPS:g}")
        motion = motion.resampled(rate)
    there = path.is_file()
    export.save(motion, path)
    rate_said = f" at {motion.fps:g} per second" if rate is not None else ""
    what = f"{part}{len(motion)} frames{rate_said}, {motion.seconds:.1f} s"
    said = f"{'Replaced' if there else 'Saved'} {relative(path, scene.outputs)}: {what}."
    return Done(scene.state, said, motion, (path,))


@does("save")
def save(scene: Scene, act: Act) -> Done:
    scene.state.index(None)
    return _write(scene, _target(scene, str(act.name)), act.segment)


@does("export")
def export_as(scene: Scene, act: Act) -> Done:
    scene.state.index(None)
    stem = str(Path(scene.saved).with_suffix("")) if scene.saved else "motion"
    part = f"-segment-{act.segment}" if act.segment is not None else ""
    return _write(scene, _target(scene, f"{stem}{part}.{act.format}"), act.segment)


@does("play")
def play(scene: Scene, act: Act) -> Done:
    from avatargpt import export

    whole = scene.state.whole
    path = export.save(whole, scene.preview(PREVIEW))
    opened = open_file(path)
    said = "Playing it." if opened else f"No desktop to play it on; the film is {path}."
    return Done(scene.state, said, whole, (path,))
