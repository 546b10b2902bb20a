"""``avatargpt describe``, ``inbetween``, ``extend``, ``reconstruct``, ``export``: commands that read motion files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

from avatargpt.cli import common, reading
from avatargpt.cli.common import (
    SHEET,
    argument,
    check_range,
    check_targets,
    note,
    option,
    print_json,
    print_results,
    progress,
    say,
    text_warnings,
    tracked,
    write_results,
)
from avatargpt.options import FPS
from vqvae.errors import UserError

RANKED = 7  # sentences for a body
CANDIDATES = 16  # between two bodies
_LAYOUT = ".npz: motion, smplx; .npy: hml263, pos7; .json: audio2face, beat; .vrma: both, arkit, presets."
File = Annotated[Path, argument("FILE", "A motion: .npz, .bvh and others.")]
Seconds = Annotated[float, option("--seconds S", "Length of the new part.")]
Text = Annotated[str | None, option("--text TEXT", "One movement of the new part; @FILE gives one per line.")]


def describe(
    files: Annotated[list[Path], argument("FILE...", "Motions: .npz, .bvh and others.")],
    num: Annotated[int, option("-n --num K", "Sentences per motion.", min=1, max=100)] = 1,
    best_of: Annotated[
        int | None,
        option("--best-of K", "Of bodies: sentences ranked, usually 7; 1: the likeliest, unranked.", min=1, max=64),
    ] = None,
    feeling: Annotated[bool, option("--feeling", "Of faces: which feeling they show.")] = False,
    up: reading.Up = None,
    from_fps: reading.FromFps = None,
    animation: reading.Animation = None,
    seed: common.Seed = 0,
    model: common.Model = None,
    device: common.Device = None,
    dtype: common.Dtype = None,
    threads: common.Threads = None,
    as_json: common.Json = False,
    quiet: common.Quiet = False,
) -> None:
    """Motion to text, of bodies and of faces.

    One FILE: a sentence per line. Several: FILE, a tab, the sentence.
    """
    motions: list[Any] = [reading.load_motion(path, up, from_fps, animation=animation) for path in files]
    is_face = [m.modality == "face" for m in motions]
    if feeling and not all(is_face):
        raise UserError(f"{files[is_face.index(False)]}: no face; --feeling takes faces alone")
    if num > 1 and any(is_face):
        raise UserError(f"{files[is_face.index(True)]}: a face gets one sentence; --num goes with bodies")
    if best_of is not None and any(is_face):
        raise UserError(f"{files[is_face.index(True)]}: of a face nothing is ranked; --best-of goes with bodies")
    for path, motion in zip(files, motions, strict=True):
        reading.note_floor(path, motion)
    loaded = common.load_model(model, device, threads, quiet, dtype)
    with progress("describing", quiet):
        bodies, faces = ([m for m, f in zip(motions, is_face, strict=True) if f is kind] for kind in (False, True))
        of_bodies = iter(loaded.describe(bodies, num=num, seed=seed, best_of=best_of or RANKED) if bodies else [])
        of_faces = iter((loaded.feeling if feeling else loaded.describe_face)(faces) if faces else [])
        answers = [next(of_faces if face else of_bodies) for face in is_face]
    sentences = [[a] if isinstance(a, str) else list(a) for a in answers]
    if as_json:
        print_json({"results": [{"file": str(f), "descriptions": s} for f, s in zip(files, sentences, strict=True)]})
        return
    for path, lines in zip(files, sentences, strict=True):
        for sentence in lines:
            say(sentence if len(files) == 1 else f"{path}\t{sentence}")


def inbetween(
    start: Annotated[Path, argument("START", "The motion before; PACK.glb#NAME: one of several.")],
    end: Annotated[Path, argument("END", "The motion after.")],
    seconds: Seconds,
    output: common.Outputs,
    text: Text = None,
    seed: common.Seed = 0,
    best_of: Annotated[
        int | None, option("--best-of K", "Candidates; usually 16 of bodies, 8 of faces.", min=1, max=64)
    ] = None,
    model: common.Model = None,
    device: common.Device = None,
    dtype: common.Dtype = None,
    threads: common.Threads = None,
    as_json: common.Json = False,
    quiet: common.Quiet = False,
) -> None:
    """Fill the gap between two motions, of bodies or of faces.

    The result holds START, the new middle and END; a body's END is moved to where the middle arrives. Bodies come at
    20 frames a second. The middle of two faces has at most 7.2 s. TEXT goes to the network as it stands: one movement,
    for which less than a second is hardly room; where it hardly shows, a warning says so.
    """
    from vqvae.face import FaceMotion

    common.check_seconds(seconds)
    texts, many = _texts(text)
    first, last = reading.load_motion(start), reading.load_motion(end)
    if first.modality != last.modality:
        raise UserError(f"{end}: a {last.modality} after a {first.modality}; accepted: two of one kind")
    check_targets(output, many, first.modality, (start, end), len(texts))
    for path, motion in ((start, first), (end, last)):
        reading.note_rate(path, motion)
        reading.note_floor(path, motion)
    loaded = common.load_model(model, device, threads, quiet, dtype)

    def fill(words: str) -> Any:
        if isinstance(first, FaceMotion) and isinstance(last, FaceMotion):
            return loaded.face_in_between(first, last, seconds, words, seed, best_of)
        return loaded.in_between(first, last, seconds, text=words, seed=seed, best_of=best_of or CANDIDATES)

    motions = _for_texts(fill, texts, "filling in", quiet)
    notes = [list(getattr(m, "notes", ())) for m in motions]
    for line in dict.fromkeys(line for lines in notes for line in lines):
        note(line)
    written = write_results(output, motions, many)
    print_results(motions, written, as_json, [{"notes": lines} if lines else {} for lines in notes])


def extend(
    file: File,
    seconds: Seconds,
    output: common.Outputs,
    text: Text = None,
    animation: reading.Animation = None,
    seed: common.Seed = 0,
    best_of: Annotated[
        int | None, option("--best-of K", "Candidates; usually 16 with TEXT, else 4.", min=1, max=64)
    ] = None,
    model: common.Model = None,
    device: common.Device = None,
    dtype: common.Dtype = None,
    threads: common.Threads = None,
    as_json: common.Json = False,
    quiet: common.Quiet = False,
) -> None:
    """Continue a motion.

    The result holds FILE and the continuation, at 20 frames a second. TEXT goes to the network as it stands: one
    movement, without degrees of turns and shapes of paths; where it hardly shows, a warning says so.
    """
    common.check_seconds(seconds)
    texts, many = _texts(text)
    check_targets(output, many, "body", (file,), len(texts))
    motion = reading.load_body(file, animation)
    reading.note_rate(file, motion)
    reading.note_floor(file, motion)
    loaded = common.load_model(model, device, threads, quiet, dtype)

    def continued(words: str) -> Any:
        return loaded.extend(motion, seconds, text=words, seed=seed, best_of=best_of)

    motions = _for_texts(continued, texts, "continuing", quiet)
    print_results(motions, write_results(output, motions, many), as_json)


def _texts(text: str | None) -> tuple[list[str], bool]:
    return ([""], False) if text is None else common.read_texts(text)


def _for_texts(make: Callable[[str], Any], texts: list[str], label: str, quiet: bool) -> list[Any]:
    """The motion of every text; texts that hardly show are warned of."""
    with text_warnings():
        return [make(words) for words in tracked(texts, len(texts), label, quiet)]


def reconstruct(
    file: File,
    output: common.Outputs,
    animation: reading.Animation = None,
    model: common.Model = None,
    device: common.Device = None,
    dtype: common.Dtype = None,
    threads: common.Threads = None,
    as_json: common.Json = False,
    quiet: common.Quiet = False,
) -> None:
    """A motion through its tokens and back, with the error.

    Prints the mean joint error in the body's own frame and the drift of its path, both in mm.
    """
    check_targets(output, False, "body", (file,))
    motion = reading.load_body(file, animation)
    reading.note_floor(file, motion)
    loaded = common.load_model(model, device, threads, quiet, dtype)
    with progress("reconstructing", quiet):
        rebuilt, figures = loaded.reconstruct(motion)
    written = write_results(output, [rebuilt], many=False)[0]
    if as_json:
        print_json({"file": str(file), "files": written, **figures})
        return
    for key, value in figures.items():
        name, unit = (key[:-3], " mm") if key.endswith("_mm") else (key, "")
        number = f"{value:.1f}" if isinstance(value, float) else str(value)
        say(f"{name.replace('_', ' ')}: {number}{unit}")
    for name in written:
        say(name)


def export(
    source: Annotated[Path, argument("IN", "A motion file.")],
    targets: Annotated[list[Path], argument("OUT...", "Files to write; the suffix is the format.")],
    fps: Annotated[float | None, option("--fps F", "Change the frame rate first.")] = None,
    layout: Annotated[str | None, option("--layout NAME", _LAYOUT)] = None,
    scale: Annotated[float | None, option("--scale X", ".bvh: units per metre, 100 for centimetres.")] = None,
    up: reading.Up = None,
    from_fps: reading.FromFps = None,
    animation: reading.Animation = None,
    size: Annotated[int | None, option("--size PIXELS", "Films: side of the picture.", min=16, max=4096)] = None,
    as_json: common.Json = False,
) -> None:
    """Convert a motion file; no model is needed."""
    check_range("--fps", fps, *FPS, " frames per second")
    check_range("--scale", scale, 0.001, 10_000, " units per metre")
    options = {k: v for k, v in {"layout": layout, "scale": scale, "size": size}.items() if v is not None}
    check_targets(targets, many=False, sources=(source,))
    motion = reading.load_motion(source, up, from_fps, avatars=True, animation=animation)
    if any(t.suffix.lower() == SHEET for t in targets) and not motion.caption:
        name = reading.name_of(source, animation)
        # a name may be no UTF-8
        motion = motion.with_caption(name.encode(errors="replace").decode())
    if fps is not None:
        motion = motion.resampled(fps)
    print_results([motion], write_results(targets, [motion], many=False, options=options), as_json)
