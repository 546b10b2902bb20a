"""``avatargpt describe``: motion to text."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from avatargpt.cli import common, reading
from avatargpt.cli.output import say
from vqvae.errors import UserError

RANKED = 7  # sentences for a body


def describe(
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="Motions: .npz, .bvh and others.")],
    num: Annotated[int, typer.Option("-n", "--num", min=1, max=100, metavar="K", help="Sentences per motion.")] = 1,
    best_of: Annotated[
        int | None,
        typer.Option(
            "--best-of", min=1, max=64, metavar="K",
            help="Of bodies: sentences ranked, usually 7; 1: the likeliest, without the book.",
        ),
    ] = None,
    feeling: Annotated[bool, typer.Option("--feeling", help="Of faces: which feeling they show.")] = False,
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
    faces = [m.modality == "face" for m in motions]
    if feeling and not all(faces):
        raise UserError(f"{files[faces.index(False)]}: no face; --feeling takes faces alone")
    if num > 1 and any(faces):
        raise UserError(f"{files[faces.index(True)]}: a face gets one sentence; --num goes with bodies")
    if best_of is not None and any(faces):
        raise UserError(f"{files[faces.index(True)]}: of a face nothing is ranked; --best-of goes with bodies")
    for path, motion in zip(files, motions, strict=True):
        reading.note_floor(path, motion)
    loaded = common.load_model(model, device, threads, quiet, dtype)
    with common.progress("describing", quiet):
        bodies = [m for m, face in zip(motions, faces, strict=True) if not face]
        shown = [m for m, face in zip(motions, faces, strict=True) if face]
        body_answers = iter(loaded.describe(bodies, num=num, seed=seed, best_of=best_of or RANKED) if bodies else [])
        face_answers = iter((loaded.feeling if feeling else loaded.describe_face)(shown) if shown else [])
        answers = [next(face_answers if face else body_answers) for face in faces]
    sentences = [[a] if isinstance(a, str) else list(a) for a in answers]
    if as_json:
        results = [{"file": str(f), "descriptions": s} for f, s in zip(files, sentences, strict=True)]
        common.print_json({"results": results})
        return
    for path, found in zip(files, sentences, strict=True):
        for sentence in found:
            say(sentence if len(files) == 1 else f"{path}\t{sentence}")
