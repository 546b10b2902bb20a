"""``avatargpt inbetween``, ``extend`` and ``reconstruct``: motion to motion."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from avatargpt.cli import common, reading
from avatargpt.cli.output import heeding, say
from vqvae.errors import UserError

Seconds = Annotated[float, typer.Option("--seconds", metavar="S", help="Length of the new part.")]
Text = Annotated[
    str | None, typer.Option("--text", metavar="TEXT", help="One movement of the new part; @FILE gives one per line.")
]
BODIES = 16  # candidates between two bodies
File = Annotated[Path, typer.Argument(metavar="FILE", help="A motion: .npz, .bvh and others.")]


def _texts(text: str | None) -> tuple[list[str], bool]:
    return ([""], False) if text is None else common.read_texts(text)


def inbetween(
    start: Annotated[Path, typer.Argument(metavar="START", help="The motion before; PACK.glb#NAME: one of several.")],
    end: Annotated[Path, typer.Argument(metavar="END", help="The motion after.")],
    seconds: Seconds,
    output: common.Outputs,
    text: Text = None,
    seed: common.Seed = 0,
    best_of: Annotated[
        int | None,
        typer.Option("--best-of", min=1, max=64, metavar="K", help="Candidates; usually 16 of bodies, 8 of faces."),
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
    common.check_targets(output, many, first.modality, (start, end), len(texts))
    for path, motion in ((start, first), (end, last)):
        reading.note_rate(path, motion)
        reading.note_floor(path, motion)
    loaded = common.load_model(model, device, threads, quiet, dtype)
    motions = []
    with heeding(), common.progress("filling in", quiet) as advance:
        for words in texts:
            if isinstance(first, FaceMotion) and isinstance(last, FaceMotion):
                made: Any = loaded.face_in_between(first, last, seconds, words, seed, best_of)
            else:
                made = loaded.in_between(first, last, seconds, text=words, seed=seed, best_of=best_of or BODIES)
            motions.append(made)
            if advance:
                advance(len(motions), len(texts))
    notes = [list(getattr(m, "notes", ())) for m in motions]
    for note in dict.fromkeys(n for some in notes for n in some):
        say(f"note: {note}", err=True)
    written = common.write_results(output, motions, many)
    common.print_results(motions, written, as_json, [{"notes": n} if n else {} for n in notes])


def extend(
    file: File,
    seconds: Seconds,
    output: common.Outputs,
    text: Text = None,
    animation: reading.Animation = None,
    seed: common.Seed = 0,
    best_of: Annotated[
        int | None,
        typer.Option("--best-of", min=1, max=64, metavar="K", help="Candidates; usually 16 with TEXT, else 4."),
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
    common.check_targets(output, many, "body", (file,), len(texts))
    motion = reading.load_body(file, animation)
    reading.note_rate(file, motion)
    reading.note_floor(file, motion)
    loaded = common.load_model(model, device, threads, quiet, dtype)
    longer = []
    with heeding(), common.progress("continuing", quiet) as advance:
        for words in texts:
            longer.append(loaded.extend(motion, seconds, text=words, seed=seed, best_of=best_of))
            if advance:
                advance(len(longer), len(texts))
    common.print_results(longer, common.write_results(output, longer, many), as_json)


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
    common.check_targets(output, False, "body", (file,))
    motion = reading.load_body(file, animation)
    reading.note_floor(file, motion)
    loaded = common.load_model(model, device, threads, quiet, dtype)
    with common.progress("reconstructing", quiet):
        rebuilt, figures = loaded.reconstruct(motion)
    written = common.write_results(output, [rebuilt], many=False)[0]
    if as_json:
        common.print_json({"file": str(file), "files": written, **figures})
        return
    for key, value in figures.items():
        name, unit = (key[:-3], " mm") if key.endswith("_mm") else (key, "")
        number = f"{value:.1f}" if isinstance(value, float) else str(value)
        say(f"{name.replace('_', ' ')}: {number}{unit}")
    for name in written:
        say(name)
