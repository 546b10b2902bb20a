"""``avatargpt speak``: speech to one avatar with face, hands and body in one file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from avatargpt.cli import common
from avatargpt.cli.output import say
from vqvae.errors import UserError

if TYPE_CHECKING:
    from avatargpt.avatar.bodies import Body
    from avatargpt.export.avatar import AvatarMotion
    from instruct_data.face.score import Score
    from vqvae.motion import Motion

# Formats of an avatar without its face.
BODY_ONLY = (".bvh",)


def speak(
    audio: Annotated[Path, typer.Argument(metavar="AUDIO", help="Speech: wav, flac, ogg, mp3.")],
    output: common.Outputs,
    transcript: Annotated[
        str | None, typer.Option("--transcript", metavar="TEXT|FILE", help="What is said; see `gesture`.")
    ] = None,
    asr: Annotated[
        str | None,
        typer.Option("--asr", metavar="MODEL", help="Without --transcript: the Whisper model that hears it, or off."),
    ] = None,
    text: Annotated[str, typer.Option("--text", metavar="TEXT", help="What the face does, as in `face`.")] = "",
    emotion: Annotated[
        str | None, typer.Option("--emotion", metavar="E", help="NAME[:0..1], sad:0.7+angry:0.2, 0:calm,2.5:angry:0.8.")
    ] = None,
    body: Annotated[
        str, typer.Option("--body", metavar="idle|TEXT|FILE", help="What pelvis and legs do; idle: they stand.")
    ] = "idle",
    interlocutor: Annotated[
        Path | None, typer.Option("--interlocutor", metavar="AUDIO", help="The voice of the other one, as long.")
    ] = None,
    interlocutor_transcript: Annotated[
        str | None, typer.Option("--interlocutor-transcript", metavar="TEXT|FILE", help="What that one says.")
    ] = None,
    speaker: Annotated[
        str | None, typer.Option("--speaker", metavar="ID", help="Whose style: a name or number; usually nobody's.")
    ] = None,
    semantic: Annotated[
        float | None, typer.Option("--semantic", metavar="0..1", help="How readily words get gestures that mean them.")
    ] = None,
    calm: Annotated[bool, typer.Option("--calm", help="Hands rest where nothing is stressed.")] = False,
    energy: Annotated[float, typer.Option("--energy", metavar="X", help="Size of movements, 0.2 to 2.")] = 1.0,
    cue: Annotated[
        list[str] | None, typer.Option("--cue", metavar="WORD=GESTURE", help="A gesture for a word. Repeatable.")
    ] = None,
    smooth: Annotated[bool, typer.Option("--smooth/--no-smooth", help="Smooth gestures over nine frames.")] = True,
    lips: Annotated[
        str, typer.Option("--lips", metavar="NAME", help="rule: learnt from rules; recorded: as in recorded pairs.")
    ] = "rule",
    blink_rate: Annotated[
        float | None, typer.Option("--blink-rate", metavar="N", help="Blinks a minute besides those told; usually 15.")
    ] = None,
    idle: Annotated[
        float | None,
        typer.Option("--idle", metavar="X", help="Small movements of head and eyes: 0 none, usually 1, to 3."),
    ] = None,
    eye_contact: Annotated[
        float, typer.Option("--eye-contact", metavar="0..1", help="1: eyes on the viewer whatever the head does.")
    ] = 0.0,
    seed: common.Seed = 0,
    temperature: Annotated[float, typer.Option("--temperature", metavar="X", help="Of gestures; 0: no chance.")] = 0.9,
    layout: Annotated[
        str | None, typer.Option("--layout", metavar="NAME", help=".vrma: both, arkit, presets.")
    ] = None,
    size: Annotated[
        int | None, typer.Option("--size", min=16, max=2048, metavar="PIXELS", help=".mp4, .gif: side of the picture.")
    ] = None,
    model: common.Model = None,
    device: common.Device = None,
    threads: common.Threads = None,
    as_json: common.Json = False,
    quiet: common.Quiet = False,
) -> None:
    """Speech to one avatar: lips and face, co-speech gestures with fingers, and a body under them, at 30 fps.

    Outputs: .glb (skin, hands and a face of 52 morph targets), .vrma, .npz (all parts), films with the sound (.mp4,
    .mov), .gif; .bvh holds no face and .csv nothing but the face. The lips are those of `face AUDIO`. What was read,
    held or left out is told on stderr.
    """
    import torch

    from avatargpt.avatar.pipeline import AvatarPipeline
    from avatargpt.cli import face_score
    from avatargpt.cli.face_options import check_lips
    from avatargpt.cli.gesture import HOTTEST, _manner, _sources, _words
    from avatargpt.face.audio_model.conditioning import parse_emotions
    from avatargpt.face.audio_model.controls import LIVELY
    from avatargpt.gesture.features import check_lengths
    from avatargpt.speech.audio import FPS, inspect

    manner = _manner(semantic, calm, energy, cue or [])
    common.check_range("--temperature", temperature, 0, HOTTEST)
    if interlocutor is None and interlocutor_transcript is not None:
        raise UserError("--interlocutor-transcript: accepted with --interlocutor AUDIO")
    if transcript is not None and asr is not None:
        raise UserError(f"--asr {asr}: accepted without --transcript, which says the words")
    sources = [*_sources(audio, interlocutor, transcript, interlocutor_transcript), *_file_of(body)]
    common.check_targets(output, False, "avatar", sources)
    options = _format_options(output, layout, size)
    check_lips(lips, True, "driver")
    about = inspect(audio)
    if interlocutor is not None:
        check_lengths(about, inspect(interlocutor))
    if text:
        text = common.read_texts(text, emoji=True)[0][0] if not text.startswith("@") else _no_list(text)
        common.warn_unreadable([text])
    feelings = parse_emotions(emotion, about.seconds) if emotion is not None else []
    controls = replace(
        LIVELY, blink_rate=LIVELY.blink_rate if blink_rate is None else blink_rate,
        idle=LIVELY.idle if idle is None else idle, eye_contact=eye_contact,
    )  # fmt: skip
    controls.check()
    torch.set_num_threads(threads or 1)
    with common.progress("loading", quiet):
        performer = AvatarPipeline.load(model)
        performer.gestures.driver.style(speaker)  # refused before anything is heard
    under = _body(body, seed, model, device, threads, quiet)
    score = performer.face.place([text], about.seconds, True, feelings)[0]
    if score is not None:
        face_score.tell([score], [text], quiet, performer.face.doubt)
    words = _words(audio, transcript, asr, model, quiet)
    answer = None if interlocutor is None else _words(interlocutor, interlocutor_transcript, asr, model, quiet)
    with common.progress("speaking", quiet) as advance:
        whole = 2 * max(1, int(about.seconds * FPS))
        made = performer.speak(
            audio, text=text, feelings=feelings, score=score, body=under, controls=controls, lips=lips, seed=seed,
            progress=None if advance is None else lambda done: advance(min(done, whole), whole),
            words=None if words is None else words.words, other=interlocutor,
            other_words=None if answer is None else answer.words, speaker=speaker, temperature=temperature,
            smooth=smooth, semantics=manner,
        )  # fmt: skip
    made = made.with_caption(text or audio.stem.encode(errors="replace").decode())
    told = [*made.notes, *_left_out(output)]
    for note in told:
        say(f"note: {note}", err=True)
    with common.progress("writing", quiet):
        files = common.write_results(output, [made], False, options)
    heard = [*(words.notes if words is not None else ()), *(answer.notes if answer is not None else ())]
    _print(made, files, as_json, score, [*heard, *told])


def _print(
    made: AvatarMotion, files: Sequence[Sequence[str]], as_json: bool, score: Score | None, notes: Sequence[str]
) -> None:
    from avatargpt.cli import face_score

    more = {"notes": list(notes)} | ({} if score is None else {"score": face_score.row(score)})
    common.print_results([made], files, as_json, [more])


def _no_list(text: str) -> str:
    raise UserError(f"--text {text}: accepted one instruction; a list of them goes with `face`")


def _file_of(body: str) -> list[Path]:
    from avatargpt.avatar.bodies import IDLE, names_file

    return [Path(body)] if body != IDLE and names_file(body) else []


def _body(
    what: str, seed: int, model: Path | None, device: str | None, threads: int | None, quiet: bool
) -> Body:
    """What pelvis and legs do; the language model is loaded for a text alone."""
    from avatargpt.avatar.bodies import body_of

    def generate(text: str) -> Motion:
        text = common.read_texts(text)[0][0]
        common.warn_unreadable([text])
        loaded = common.load_model(model, device, threads, quiet)
        if not quiet:
            say(f"read {text[:60]!r} as: {', then '.join(loaded.read_as([text])[0])}", err=True)
        with common.progress("generating", quiet) as advance:
            return loaded.generate([text], seed=seed, progress=advance)[0]

    return body_of(what, generate, seed)


def _left_out(output: Sequence[Path]) -> list[str]:
    """What files do not hold, where no other of them does."""
    bodies = [p for p in output if p.suffix.lower() in BODY_ONLY]
    if not bodies or len(bodies) < len(output):
        return []
    return [f"{bodies[0]}: holds no face; -o {bodies[0].with_suffix('.csv')} beside it would"]


def _format_options(output: Sequence[Path], layout: str | None, size: int | None) -> list[dict[str, Any]]:
    """For each output file the options that its format has.

    Raises:
        UserError: an option that none of the files has.
    """
    from avatargpt import export

    out: list[dict[str, Any]] = [{} for _ in output]
    for name, value, where in (("layout", layout, ".vrma"), ("size", size, ".mp4, .mov and .gif")):
        if value is None:
            continue
        takers = [k for k, p in enumerate(output) if export.has_option(p, name) and p.suffix.lower() != ".npz"]
        if not takers:
            raise UserError(f"--{name} {value}: none of the output files has one; accepted with {where}")
        for k in takers:
            out[k][name] = value
    return out
