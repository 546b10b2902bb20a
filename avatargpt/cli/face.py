"""``avatargpt face``: speech, an instruction and emotions to a face."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from avatargpt.cli import common
from vqvae.errors import UserError

if TYPE_CHECKING:
    from avatargpt.face.audio_model.conditioning import Feeling
    from avatargpt.face.audio_model.controls import Controls
    from instruct_data.face.score import Score
    from vqvae.face import FaceMotion

Numbers = list[str] | None
MAKERS = ("driver", "language")


def face(
    audio: Annotated[
        Path | None, typer.Argument(metavar="[AUDIO]", help="Speech: wav, flac, ogg, mp3; - for raw PCM on stdin.")
    ] = None,
    output: common.AnyOutputs = None,
    text: Annotated[
        str | None, typer.Option("--text", metavar="TEXT", help="What the face does; @FILE gives one per line.")
    ] = None,
    emotion: Annotated[
        str | None, typer.Option("--emotion", metavar="E", help="NAME[:0..1], sad:0.7+angry:0.2, 0:calm,2.5:angry:0.8.")
    ] = None,
    score: Annotated[
        Path | None, typer.Option("--score", metavar="FILE", help="What TEXT would be read as, edited; see --json.")
    ] = None,
    transcript: Annotated[
        str | None,
        typer.Option("--transcript", metavar="TEXT", help="What AUDIO says, or a file of it, for 'when you say ...'."),
    ] = None,
    seconds: Annotated[
        float | None,
        typer.Option("--seconds", metavar="S", help="Length without AUDIO; default: what TEXT and E take."),
    ] = None,
    by: Annotated[
        str, typer.Option("--by", metavar="NAME", help="driver, or language: the model's face tokens; TEXT or E alone.")
    ] = "driver",
    lips: Annotated[
        str, typer.Option("--lips", metavar="NAME", help="rule: learnt from rules; recorded: as in recorded pairs.")
    ] = "rule",
    seed: common.Seed = 0,
    gain: Annotated[Numbers, typer.Option("--gain", metavar="SHAPE=X", help="Factor of a shape. Repeatable.")] = None,
    offset: Annotated[
        Numbers, typer.Option("--offset", metavar="SHAPE=X", help="Added to a shape. Repeatable.")
    ] = None,
    mouth: Annotated[float, typer.Option("--mouth", metavar="X", help="Strength of jaw and mouth.")] = 1.0,
    brow: Annotated[float, typer.Option("--brow", metavar="X", help="Strength of the brows.")] = 1.0,
    symmetry: Annotated[float, typer.Option("--symmetry", metavar="0..1", help="1: both halves alike.")] = 0.0,
    smooth: Annotated[float, typer.Option("--smooth", metavar="S", help="Smoothing in seconds, e.g. 0.03.")] = 0.0,
    blink_rate: Annotated[
        float | None,
        typer.Option("--blink-rate", metavar="N", help="Blinks a minute besides those told; usually 15."),
    ] = None,
    idle: Annotated[
        float | None,
        typer.Option("--idle", metavar="X", help="Small movements of head and eyes: 0 none, usually 1, to 3."),
    ] = None,
    eye_contact: Annotated[
        float, typer.Option("--eye-contact", metavar="0..1", help="1: eyes on the viewer whatever the head does.")
    ] = 0.0,
    layout: Annotated[
        str | None,
        typer.Option("--layout", metavar="NAME", help=".json: audio2face, beat; .vrma: both, arkit, presets."),
    ] = None,
    size: Annotated[
        int | None, typer.Option("--size", min=16, max=2048, metavar="PIXELS", help="Films: side of the picture.")
    ] = None,
    microphone: Annotated[
        str | None, typer.Option("--microphone", metavar="NAME", help="Listen instead of AUDIO: default, or a device.")
    ] = None,
    rate: Annotated[
        int | None,
        typer.Option("--rate", metavar="HZ", help="Samples a second of - (16 bit mono) or microphone; usually 16000."),
    ] = None,
    live_link: Annotated[
        str | None, typer.Option("--live-link", metavar="HOST[:PORT]", help="Send frames to Unreal as they come.")
    ] = None,
    vmc: Annotated[
        str | None, typer.Option("--vmc", metavar="HOST[:PORT]", help="Send frames to VMC programs (OSC), so too.")
    ] = None,
    websocket: Annotated[
        str | None, typer.Option("--websocket", metavar="[HOST:]PORT", help="Serve frames to browsers, take words.")
    ] = None,
    origin: Annotated[
        Numbers, typer.Option("--origin", metavar="URL", help="Another site whose pages may connect. Repeatable.")
    ] = None,
    allow_network: Annotated[
        bool, typer.Option("--allow-network", help="Let other machines connect to --websocket HOST:PORT.")
    ] = False,
    subject: Annotated[
        str | None, typer.Option("--subject", metavar="NAME", help="Whose face it is there; usually AvatarGPT.")
    ] = None,
    model: common.Model = None,
    threads: common.Threads = None,
    as_json: common.Json = False,
    quiet: common.Quiet = False,
) -> None:
    """Speech, an instruction, emotions, or all at once to a face: 52 ARKit weights and the head at 30 fps.

    A film (.mp4, .mov) carries the sound of AUDIO, not of what is live. A network makes the face: the streaming driver,
    which follows speech and instructions closely, or with --by language the language model (TEXT or one emotion, at
    most 7.2 s). --gain to --eye-contact change its curves afterwards. How TEXT was read is told on stderr and, with
    --json, as a score, which --score takes back. Live (-, --microphone, --live-link, --vmc, --websocket), frames come
    about 0.1 s after the sound, a file or a fast pipe is heard at the speed of speech (a pipe with -o alone is not held
    back), and -o may be left out. Without sound the face acts TEXT and E at its own speed; with --websocket, whose
    clients may send {"text": ...} and {"emotion": ...} at any time, it goes on until Ctrl-C or --seconds.
    """
    from avatargpt.cli import face_score, live_line
    from avatargpt.cli.face_line import Line
    from avatargpt.cli.face_live import perform
    from avatargpt.cli.face_options import FORMER_LIPS, check_lips, format_options, numbers
    from avatargpt.face.audio_model.conditioning import parse_emotions
    from avatargpt.face.audio_model.controls import LIVELY, Controls, apply_controls
    from avatargpt.face.pipeline import driver_folder
    from avatargpt.speech.audio import MAX_SECONDS, inspect

    motions: list[Any]
    lips = FORMER_LIPS.get(lips, lips)
    line = Line(
        audio=audio, microphone=microphone, rate=rate, live_link=live_link, vmc=vmc, websocket=websocket,
        subject=subject, lips=lips, origins=tuple(origin or ()), network=allow_network, seconds=seconds,
    )  # fmt: skip
    line.check()
    output, audio = output or [], line.file
    if not output and not line.live:
        raise UserError("no -o FILE; accepted: one or more, --live-link HOST, --vmc HOST or --websocket PORT")
    if audio is None and text is None and score is None and emotion is None and not line.live:
        raise UserError("nothing to do; accepted AUDIO, --text INSTRUCTION, --emotion NAME, or any of them together")
    if score is not None and text is not None:
        raise UserError("--score and --text: accepted one of them, for a score is what a text is read as")
    if score is not None and by == "language":
        raise UserError("--score: accepted with --by driver; the language model reads --text by itself")
    texts, many = common.read_texts(text, emoji=True) if text is not None else ([""], False)
    given: list[Score] | None = None
    if score is not None:
        given, many = face_score.take(score)
        texts = [s.text for s in given]
    if score is None:
        common.warn_unreadable(texts)
    common.check_seconds(seconds)
    if audio is not None and seconds is not None:
        raise UserError(f"--seconds {seconds:g}: goes without AUDIO, whose length counts")
    if line.live and len(texts) > 1:
        named = f"--text {text}: {len(texts)} texts" if score is None else f"--score {score}: {len(texts)} scores"
        raise UserError(f"{named}; accepted one where it is live")
    if transcript is not None and (audio is None or text is None or line.live):
        raise UserError("--transcript: accepted with AUDIO and --text, and not live")
    if line.live and seconds is not None and not line.silent:
        raise UserError(f"--seconds {seconds:g}: live, the sound's length counts; accepted: no --seconds")
    length = inspect(audio).seconds if audio is not None else seconds
    feelings = parse_emotions(emotion, length or MAX_SECONDS) if emotion is not None else []
    asked = Controls(
        numbers("--gain", gain or []), numbers("--offset", offset or []), mouth, brow, symmetry, smooth, blink_rate,
        idle or 0.0, eye_contact,
    )  # fmt: skip
    asked.check()
    controls = asked
    if by == "driver":  # which shows a blink only where one is told, and holds head and eyes still
        lively = LIVELY.blink_rate if blink_rate is None else blink_rate, LIVELY.idle if idle is None else idle
        controls = replace(asked, blink_rate=lively[0], idle=lively[1])
    sources = [f for f in (audio, score, common.text_file(text)) if f is not None]
    common.check_targets(output, many and not line.live, "face", sources, len(texts))
    options = format_options(output, layout, size, audio)
    check_lips(lips, not line.silent, by)
    if by not in MAKERS:
        raise UserError(f"--by {by}: unknown; accepted {', '.join(MAKERS)}")
    if by == "language":
        if audio is not None or line.live or (text is not None) == (emotion is not None):
            raise UserError("--by language: takes --text or --emotion alone; speech is the driver's")
        if len(feelings) > 1 or any(f.second or f.secondary for f in feelings):
            raise UserError(f"--emotion {emotion}: --by language takes one feeling without seconds")
        made = _spoken(model, texts, feelings, seconds, seed, threads, quiet)
        motions = [apply_controls(m, controls, seed + k) for k, m in enumerate(made)]
        common.print_results(motions, common.write_results(output, motions, many, options), as_json)
        return
    folder = driver_folder(model)
    # Blinks and glances that nobody asked for would take the place of telling moments in a picture.
    plain = asked if controls != asked and any(p.suffix.lower() == common.SHEET for p in output) else None
    if line.live:
        instruction = texts[0], given[0] if given else None
        done, sheet, about = perform(folder, line, instruction, feelings, controls, bool(output), seed, quiet, plain)
        take = [done.motion().with_caption(texts[0])] if output else []
        drawn = [sheet.motion().with_caption(texts[0])] if plain else None
        written = live_line.write(output, take, options, drawn, quiet)
        live_line.tell(about, written, as_json)
        live_line.check_left(output, written)
        return
    both = [controls, *([plain] if plain else [])]
    motions, read, drawn = _perform(
        folder, model, audio, texts, given, feelings, length, lips, both, seed, threads, quiet,
        transcript,
    )  # fmt: skip
    rows = [{} if s is None else {"score": face_score.row(s)} for s in read]
    with common.progress("writing", quiet):
        files = common.write_results(output, motions, many, options, drawn)
    common.print_results(motions, files, as_json, rows)


def _spoken(
    model: Path | None, texts: list[str], feelings: list[Feeling], seconds: float | None, seed: int,
    threads: int | None, quiet: bool,
) -> list[FaceMotion]:  # fmt: skip
    """One clip for each text, or for the feeling, in the language model's tokens."""
    loaded = common.load_model(model, None, threads, quiet)
    with common.progress("speaking", quiet):
        if not feelings:
            return loaded.face(texts, seconds=seconds, seed=seed)
        return loaded.emotion_face(feelings[0].text, feelings[0].strength, seconds, seed)


def _perform(
    folder: Path, model: Path | None, audio: Path | None, texts: list[str], given: list[Score] | None,
    feelings: list[Feeling], length: float | None, lips: str, controls: list[Controls], seed: int, threads: int | None,
    quiet: bool, transcript: str | None,
) -> tuple[list[FaceMotion], list[Score | None], list[FaceMotion] | None]:  # fmt: skip
    """One clip for each text or score, and the scores; and the clips with the second controls, if there are any."""
    from functools import partial

    import torch

    from avatargpt.avatar.compose import HeadMover
    from avatargpt.cli import face_score
    from avatargpt.face.pipeline import FacePipeline
    from avatargpt.speech.audio import FPS

    torch.set_num_threads(threads or 1)  # steps are small: more threads only wait for each other
    with common.progress("loading", quiet):
        performer = FacePipeline.load(folder)
        head = None if audio is None else HeadMover.load(model, audio)
        words: list[tuple[str, float, float]] = []
        if transcript is not None and audio is not None:
            from avatargpt.speech.transcripts import words_of

            found = words_of(transcript, audio, performer.driver)
            words = [(w.text, w.start, w.end) for w in found.words]
        scores = performer.place(texts, length, audio is not None, feelings, given, words)
    if given is None and any(texts):
        face_score.tell(scores, texts, quiet, performer.doubt)
    made: list[list[FaceMotion]] = [[] for _ in controls]
    with common.progress("speaking", quiet) as advance:
        for k, (text, score) in enumerate(zip(texts, scores, strict=True)):
            usual = length or performer.default_seconds(score, feelings)
            tell = partial(_tell, advance, k, len(texts), max(1, int(usual * FPS))) if advance else None
            clip = performer.perform(
                text, audio, feelings=feelings, seconds=None if audio is not None else length, score=score,
                progress=tell, head=lips,
            )  # fmt: skip
            named = text or (_plain(audio.stem) if audio is not None else ", ".join(f.words for f in feelings))
            for some, wanted in zip(made, controls, strict=True):
                plain = wanted if head is None else replace(wanted, eye_contact=0.0)
                lively = performer.with_controls(clip.with_caption(named), plain, score, seed + k)
                calm = performer.spans(score)[1]
                some.append(lively if head is None else head(lively, seed + k, wanted.eye_contact, calm))
    return made[0], scores, made[1] if len(made) > 1 else None


def _tell(advance: common.Progress, clip: int, clips: int, frames: int, done: int) -> None:
    """Progress in frames of all clips."""
    advance(clip * frames + min(done, frames), clips * frames)


def _plain(name: str) -> str:
    """A file's name as text, whatever bytes it is made of."""
    return name.encode(errors="replace").decode()
