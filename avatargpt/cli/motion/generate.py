"""``avatargpt generate``: text to body motion."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from avatargpt.cli import common
from avatargpt.cli.motion import controls
from avatargpt.cli.output import heeding, say, warn
from avatargpt.options import FPS, GUIDANCE, TEMPERATURE
from vqvae.errors import UserError


def generate(
    text: Annotated[str, typer.Argument(metavar="TEXT", help="What happens, in words; @FILE gives one per line.")],
    output: common.Outputs,
    seconds: Annotated[
        float | None, typer.Option("--seconds", metavar="S", help="Length; the model chooses when left out.")
    ] = None,
    num: Annotated[int, typer.Option("-n", "--num", min=1, max=100, metavar="K", help="Results per text.")] = 1,
    seed: common.Seed = 0,
    guidance: Annotated[
        float, typer.Option("--guidance", metavar="G", help="How strongly the text counts; 1 is none.")
    ] = 1.5,
    best_of: Annotated[
        int, typer.Option("--best-of", min=1, max=64, metavar="K", help="Candidates the model chooses from.")
    ] = 8,
    temperature: Annotated[float, typer.Option("--temperature", metavar="T", help="Variety.")] = 0.8,
    literal: Annotated[
        bool, typer.Option("--literal", help="The words as they are: no plain wording first, no clause by clause.")
    ] = False,
    times: controls.Times = None,
    turn: controls.Turned = None,
    path: controls.Way = None,
    waypoints: controls.Waypoints = None,
    tempo: controls.Tempo = None,
    loop: controls.Loop = False,
    in_place: controls.InPlace = False,
    pin: controls.Pins = None,
    start_pose: controls.Pose = None,
    end_pose: controls.EndPose = None,
    fps: Annotated[float | None, typer.Option("--fps", metavar="F", help="Frames a second, else 20.")] = None,
    strict: Annotated[bool, typer.Option("--strict", help="Refuse requests with an action that is not known.")] = False,
    llm: common.Llm = "",
    llm_limits: common.LlmLimits = "",
    adapter: Annotated[
        Path | None, typer.Option("--adapter", metavar="DIR", help="A LoRA adapter to be added to the model.")
    ] = None,
    model: common.Model = None,
    device: common.Device = None,
    dtype: common.Dtype = None,
    threads: common.Threads = None,
    as_json: common.Json = False,
    quiet: common.Quiet = False,
) -> None:
    """Text to body motion.

    Several results (@FILE or -n) are written as STEM/00.ext, STEM/01.ext ...; a .png shows all of them. How the text
    was read is told on stderr. --times, --turn and the like set what the words leave open, of every movement.
    """
    texts, batch = common.read_texts(text)
    common.warn_unreadable(texts)
    common.check_seconds(seconds)
    common.check_range("--guidance", guidance, *GUIDANCE)
    common.check_range("--temperature", temperature, *TEMPERATURE)
    if fps is not None:
        common.check_range("--fps", fps, *FPS, " frames per second")
    set_ = controls.Controls(times, turn, path, waypoints, tempo, loop, in_place, tuple(pin or ()))
    set_.check()
    if set_.given and (literal or llm.strip()):
        which = "--literal: the words go as they are" if literal else "--llm: the language model reads them all"
        raise UserError(f"{which}; accepted: without --times, --turn and the like")
    poses = controls.pose("--start-pose", start_pose), controls.pose("--end-pose", end_pose)
    if loop and any(poses):
        raise UserError("--loop and --start-pose or --end-pose: accepted one of them, for a loop ends as it begins")
    many = batch or num > 1
    common.check_targets(output, many, "body", count=num * len(texts))
    asked_llm = common.language_model(llm, llm_limits, device, threads)
    loaded = common.load_model(model, device, threads, quiet, dtype, adapter)
    if asked_llm is not None and not literal:
        from avatargpt.body.language_reader import LanguageReader

        loaded.body.model.reader = LanguageReader(asked_llm, loaded.body.model, warn)
    asked: list[Any] = [set_.on(loaded.body.model.request(t)) for t in texts] if set_.given else list(texts)
    with common.progress("reading", quiet):
        taken = loaded.body.generation.resolve(asked, seconds, literal)
    if not (quiet or literal):
        _tell([t.captions for t in taken], texts)
    for line in dict.fromkeys(line for one in taken for line in one.warnings):
        if strict:
            raise UserError(f"{line}; accepted: other words, or without --strict")
        warn(line)
    with heeding(), common.progress("generating", quiet) as advance:
        motions = loaded.generate(
            taken, seconds=seconds, seed=seed, guidance=guidance, best_of=best_of, temperature=temperature, num=num,
            progress=advance, literal=literal,
        )  # fmt: skip
        if any(poses):
            motions = [loaded.body.editing.posed(m, *poses, seed=seed + k) for k, m in enumerate(motions)]
    if fps is not None:
        motions = [m.resampled(fps) for m in motions]
    about = [{"read_as": list(t.captions), "known": t.known} for t in taken for _ in range(num)]
    common.print_results(motions, common.write_results(output, motions, many), as_json, about)


def _tell(read: Sequence[Sequence[str]], texts: Sequence[str]) -> None:
    """Say on stderr which captions the texts were read as."""
    for captions, text in zip(read, texts, strict=True):
        which = f"read {text[:60]!r} as" if len(texts) > 1 else "read as"
        say(f"{which}: {', then '.join(captions)}", err=True)
