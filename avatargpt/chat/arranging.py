"""Acts that arrange segments (retime, total, speed, mirror, delete, move, loop) or write files (save, export, play)."""

from __future__ import annotations

import os
from pathlib import Path

from avatargpt.chat.making import faster, lasting, mirrored
from avatargpt.chat.scene import ActResult, Scene, duration, open_file, performs, short, with_segment
from avatargpt.chat.timeline import FPS
from avatargpt.chat.turn_text import FILE, as_typed, rate_named, simplified, without_unsafe
from instruct_data.dialogue.acts import Act
from vqvae.errors import UserError

DEFAULT_SUFFIX = ".npz"
PREVIEW = "preview.gif"
# suffixes that mean a format and not a part of the name, whether it is written here or not
_FOREIGN = frozenset(
    "fbx obj usd usda usdz dae abc blend max ma c3d wav mp3 ogg flac avi mov webm txt csv json vrma pkl zip".split()
)
_WHY_NOT = {".fbx": "Blender, Unreal and Unity read .glb and .bvh, and Blender writes .fbx from them"}
MAX_FPS = 240.0

@performs("retime")
def retime(scene: Scene, act: Act) -> ActResult:
    at = scene.state.index(act.segment)
    seconds = float(act.seconds or 0)
    state = with_segment(scene.state, at, lasting(scene, scene.state.segments[at], seconds))
    return ActResult(state, f"Segment {at + 1} lasts {duration(seconds)}.", state.motion)


@performs("total")
def total(scene: Scene, act: Act) -> ActResult:
    state = scene.state
    state.index(None)
    frames = round(float(act.seconds or 0) * FPS / state.loops)
    lengths = [b - a for a, b in state.spans]
    if frames < 4 * len(lengths):
        raise UserError(f"{act.seconds:g} seconds are too short for {len(lengths)} segments; at least 0.2 s each")
    ends = [round(sum(lengths[: i + 1]) * frames / sum(lengths)) for i in range(len(lengths))]
    frame_counts = [b - a for a, b in zip([0, *ends], ends, strict=False)]
    segments = [lasting(scene, s, max(n, 2) / FPS) for s, n in zip(state.segments, frame_counts, strict=True)]
    new = state.replaced(segments)
    return ActResult(new, f"All of it lasts {duration(new.seconds)}.", new.motion)


@performs("speed")
def speed(scene: Scene, act: Act) -> ActResult:
    state, factor = scene.state, float(act.factor or 1)
    at = state.index(act.segment)
    chosen = range(len(state.segments)) if act.segment is None else [at]
    new = state.replaced([faster(s, factor) if i in chosen else s for i, s in enumerate(state.segments)])
    what = "All of it" if act.segment is None else f"Segment {at + 1}"
    return ActResult(new, f"{what} runs {factor:g} times as fast: {duration(new.seconds)} in all.", new.motion)


@performs("mirror")
def mirror(scene: Scene, act: Act) -> ActResult:
    state = scene.state
    at = state.index(act.segment)
    chosen = range(len(state.segments)) if act.segment is None else [at]
    new = state.replaced([mirrored(s) if i in chosen else s for i, s in enumerate(state.segments)])
    what = "Left and right are exchanged everywhere" if act.segment is None else f"Segment {at + 1} is mirrored"
    return ActResult(new, f"{what}.", new.motion)


@performs("delete")
def delete(scene: Scene, act: Act) -> ActResult:
    state = scene.state
    at = state.index(act.segment)
    left = [s for i, s in enumerate(state.segments) if i != at]
    new = state.replaced(left)
    text = f"Removed segment {at + 1}, {short(state.segments[at].caption)}."
    if not left:
        return ActResult(new, f"{text} Nothing is left; undo brings it back.")
    return ActResult(new, f"{text} {len(left)} {'is' if len(left) == 1 else 'are'} left.", new.motion)


@performs("move")
def move(scene: Scene, act: Act) -> ActResult:
    state = scene.state
    at, to = state.index(act.segment), state.index(act.to)
    if at == to:
        raise UserError(f"segment {at + 1} is in that place already")
    segments = list(state.segments)
    segments.insert(to, segments.pop(at))
    new = state.replaced(segments)
    return ActResult(new, f"Moved: {short(segments[to].caption)} is segment {to + 1}.", new.motion)


@performs("loop")
def loop(scene: Scene, act: Act) -> ActResult:
    state = scene.state
    state.index(None)
    if act.times == state.loops == 1:
        return ActResult(state, "It plays once already.")
    new = state.replaced(state.segments, loops=int(act.times or 1))
    often = "once" if new.loops == 1 else f"{new.loops} times"
    return ActResult(new, f"It plays {often}, {duration(new.seconds)} in all.", new.motion)


def _target(scene: Scene, name: str) -> Path:
    """The path of a result; raises UserError for a format, a name or a place that is not accepted."""
    from avatargpt import export

    typed = FILE.search(scene.request)
    typed_names = simplified(scene.request)[1]
    name = typed_names.get(name.lower(), name) if typed else as_typed(name, scene.request)
    folder, last = os.path.split(without_unsafe(name).replace("\\", "/"))  # a separator everywhere, as in `simplified`
    # a name begins with no dot; its folder may: ../takes/walk.glb
    last = last.strip(" .")
    if not last:
        raise UserError("the file needs a name; e.g. save as walk.glb")
    path = scene.outputs / Path(folder, last).expanduser()
    suffix = path.suffix.lower()
    if suffix.lstrip(".") not in _FOREIGN and suffix not in export.writable():
        path, suffix = path.with_name(path.name + DEFAULT_SUFFIX), DEFAULT_SUFFIX
    if suffix not in export.writable():
        why = f" ({_WHY_NOT[suffix]})" if suffix in _WHY_NOT else ""
        raise UserError(f"{path.name}: {suffix} is not written{why}; accepted {' '.join(export.writable())}")
    return scene.within(path)


def relative(path: Path, outputs: Path) -> str:
    """The name of a file in answers and memory: within the outputs where it is there."""
    return str(path.relative_to(outputs) if path.is_relative_to(outputs) else path)


def _write(scene: Scene, path: Path, segment: int | None) -> ActResult:
    """Write the whole, or one segment as a clip of its own, at the rate that the turn names."""
    from avatargpt import export

    motion, part = scene.state.motion, ""
    if segment is not None:
        at = scene.state.index(segment)
        motion = scene.state.round.slice(*scene.state.spans[at]).canonical()
        motion, part = motion.with_caption(scene.state.segments[at].caption), f"segment {segment}, "
    rate = rate_named(scene.request)
    if rate is not None:
        if not 1 <= rate <= MAX_FPS:
            raise UserError(f"{rate:g} frames per second; accepted 1 to {MAX_FPS:g}")
        motion = motion.resampled(rate)
    there = path.is_file()
    export.save(motion, path)
    rate_said = f" at {motion.fps:g} per second" if rate is not None else ""
    what = f"{part}{len(motion)} frames{rate_said}, {motion.seconds:.1f} s"
    text = f"{'Replaced' if there else 'Saved'} {relative(path, scene.outputs)}: {what}."
    return ActResult(scene.state, text, motion, (path,))


@performs("save")
def save(scene: Scene, act: Act) -> ActResult:
    scene.state.index(None)
    return _write(scene, _target(scene, str(act.name)), act.segment)


@performs("export")
def export_as(scene: Scene, act: Act) -> ActResult:
    scene.state.index(None)
    stem = str(Path(scene.saved).with_suffix("")) if scene.saved else "motion"
    part = f"-segment-{act.segment}" if act.segment is not None else ""
    return _write(scene, _target(scene, f"{stem}{part}.{act.format}"), act.segment)


@performs("play")
def play(scene: Scene, act: Act) -> ActResult:
    from avatargpt import export

    motion = scene.state.motion
    path = export.save(motion, scene.preview(PREVIEW))
    opened = open_file(path)
    text = "Playing it." if opened else f"No desktop to play it on; the film is {path}."
    return ActResult(scene.state, text, motion, (path,))
