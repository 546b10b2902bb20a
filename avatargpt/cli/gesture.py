"""``avatargpt gesture``: speech, its words and the other speaker to a body that talks with its hands."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from avatargpt.cli import common
from avatargpt.cli.output import say
from vqvae.errors import UserError

if TYPE_CHECKING:
    from avatargpt.gesture.pipeline import GesturePipeline
    from avatargpt.gesture.semantics import Manner
    from avatargpt.speech.words import Words
    from vqvae.motion import Motion

OFF, USUAL_ASR = "off", "base"
HOTTEST = 2.0
POSITIONS = {".npy": "pos7"}  # layouts that a gesture is written in where nothing else is asked for


def gesture(
    audio: Annotated[
        Path | None, typer.Argument(metavar="[AUDIO]", help="Speech: wav, flac, ogg, mp3; - for raw PCM on stdin.")
    ] = None,
    output: common.AnyOutputs = None,
    transcript: Annotated[
        str | None,
        typer.Option(
            "--transcript",
            metavar="TEXT|FILE",
            help="What is said, in English: a text, a file of it, or of word times (.TextGrid, .ctm, .srt, .json).",
        ),
    ] = None,
    interlocutor: Annotated[
        Path | None, typer.Option("--interlocutor", metavar="AUDIO", help="The voice of the other one, as long.")
    ] = None,
    interlocutor_transcript: Annotated[
        str | None, typer.Option("--interlocutor-transcript", metavar="TEXT|FILE", help="What that one says.")
    ] = None,
    asr: Annotated[
        str | None,
        typer.Option("--asr", metavar="MODEL", help="Without --transcript: the Whisper model that hears it, or off."),
    ] = None,
    speaker: Annotated[
        str | None, typer.Option("--speaker", metavar="ID", help="Whose style: a name or number; usually nobody's.")
    ] = None,
    semantic: Annotated[
        float | None, typer.Option("--semantic", metavar="0..1", help="Share of words of a class that get a gesture.")
    ] = None,
    calm: Annotated[bool, typer.Option("--calm", help="Hands rest; head and breath go on.")] = False,
    energy: Annotated[float, typer.Option("--energy", metavar="X", help="Size of movements, 0.2 to 2.")] = 1.0,
    cue: Annotated[
        list[str] | None, typer.Option("--cue", metavar="WORD=GESTURE", help="A gesture for a word. Repeatable.")
    ] = None,
    head: Annotated[
        str, typer.Option("--head", metavar="NAME", help="codes: drawn, by --seed; features: the mean motion.")
    ] = "codes",
    smooth: Annotated[bool, typer.Option("--smooth/--no-smooth", help="Smooth over nine frames.")] = True,
    seed: common.Seed = 0,
    temperature: Annotated[float, typer.Option("--temperature", metavar="X", help="Of the draw; 0: no chance.")] = 0.9,
    size: Annotated[
        int | None, typer.Option("--size", min=16, max=4096, metavar="PIXELS", help="Films: side of the picture.")
    ] = None,
    microphone: Annotated[
        str | None, typer.Option("--microphone", metavar="NAME", help="Listen instead of AUDIO: default, or a device.")
    ] = None,
    rate: Annotated[
        int | None,
        typer.Option("--rate", metavar="HZ", help="Samples a second of - (16 bit mono) or microphone; usually 16000."),
    ] = None,
    websocket: Annotated[
        str | None, typer.Option("--websocket", metavar="[HOST:]PORT", help="Serve frames to browsers as they come.")
    ] = None,
    origin: Annotated[
        list[str] | None,
        typer.Option("--origin", metavar="URL", help="Another site whose pages may connect. Repeatable."),
    ] = None,
    allow_network: Annotated[
        bool, typer.Option("--allow-network", help="Let other machines connect to --websocket HOST:PORT.")
    ] = False,
    subject: Annotated[
        str | None, typer.Option("--subject", metavar="NAME", help="Who is moving there; usually AvatarGPT.")
    ] = None,
    model: common.Model = None,
    threads: common.Threads = None,
    as_json: common.Json = False,
    quiet: common.Quiet = False,
) -> None:
    """Speech to co-speech gestures: a standing body with arms and fingers at 30 fps.

    Outputs: .bvh, .glb, .npz, .npy (positions and quaternions of nine joints), .png, and films with the sound in them.
    A text is laid along the sound, word times of a file are compared with it; without --transcript faster-whisper hears
    the words where it is installed, else words are off. What is doubtful is told on stderr. Live (-, --microphone,
    --websocket), frames come about 0.9 s after the sound, a file is heard at the speed of speech, and -o may be left
    out.
    """
    from avatargpt.cli import live_line
    from avatargpt.cli.gesture_live import known_words
    from avatargpt.cli.gesture_live import perform as perform_live
    from avatargpt.gesture.config import HEADS
    from avatargpt.gesture.features import check_lengths
    from avatargpt.gesture.pipeline import network_folder
    from avatargpt.speech.audio import inspect

    line = live_line.LiveLine(
        audio=audio, microphone=microphone, rate=rate, websocket=websocket, subject=subject,
        origins=tuple(origin or ()), network=allow_network,
    )  # fmt: skip
    line.check()
    output, file = output or [], line.file
    if (audio is None) == (microphone is None):
        raise UserError("whose voice? accepted one of AUDIO, - and --microphone NAME")
    if not output and not line.live:
        raise UserError("no -o FILE; accepted: one or more, or --websocket PORT")
    manner = _manner(semantic, calm, energy, cue or [])
    if head not in HEADS:
        raise UserError(f"--head {head}: accepted {', '.join(HEADS)}")
    common.check_range("--temperature", temperature, 0, HOTTEST)
    if interlocutor is None and interlocutor_transcript is not None:
        raise UserError("--interlocutor-transcript: accepted with --interlocutor AUDIO")
    if transcript is not None and asr is not None:
        raise UserError(f"--asr {asr}: accepted without --transcript, which says the words")
    common.check_targets(output, False, "gesture", _sources(file, interlocutor, transcript, interlocutor_transcript))
    options = _format_options(output, size, file)
    if file is None and (interlocutor is not None or asr is not None):
        option = f"--interlocutor {interlocutor}" if interlocutor is not None else f"--asr {asr}"
        raise UserError(f"{option}: accepted with AUDIO, a file")
    if file is not None and interlocutor is not None:
        check_lengths(inspect(file), inspect(interlocutor))
    folder = network_folder(model)
    performer = None if file is None else _loaded(folder, file, speaker, threads, quiet)
    words = known_words(transcript) if file is None else _words(file, transcript, asr, model, quiet)
    answer = None if interlocutor is None else _words(interlocutor, interlocutor_transcript, asr, model, quiet)
    how = {"speaker": speaker, "head": head, "seed": seed, "temperature": temperature, "smooth": smooth,
           "semantics": manner, "other_words": None if answer is None else answer.words}  # fmt: skip
    if file is None or performer is None or line.live:
        done, about = perform_live(folder, line, words, interlocutor, bool(output), **how)
        take = [done.motion().with_caption("" if file is None else _plain(file))] if output else []
        written = live_line.write(output, take, options, None, quiet)
        live_line.tell(about, written, as_json)
        live_line.check_left(output, written)
        return
    motion = _perform(performer, file, words, interlocutor, quiet, how)
    for note in motion.notes:
        say(f"warning: {note}", err=True)
    with common.progress("writing", quiet):
        files = common.write_results(output, [motion], False, options)
    notes = [note for some in (words, answer, motion) if some is not None for note in some.notes]
    told = {"words": 0 if words is None else len(words), "times": None if words is None else words.source,
            "notes": notes}  # fmt: skip
    common.print_results([motion], files, as_json, [told])


def _loaded(folder: Path, audio: Path, speaker: str | None, threads: int | None, quiet: bool) -> GesturePipeline:
    """The performer; a sound that cannot be read and a speaker that it does not know are refused before words are."""
    import torch

    from avatargpt.gesture.pipeline import GesturePipeline
    from avatargpt.speech.audio import inspect

    inspect(audio)
    torch.set_num_threads(threads or 1)  # steps are small: more threads only wait for each other
    with common.progress("loading", quiet):
        performer = GesturePipeline.load(folder)
        performer.driver.style(speaker)
    return performer


def _perform(
    performer: GesturePipeline, audio: Path, words: Words | None, interlocutor: Path | None, quiet: bool,
    how: dict[str, Any],
) -> Motion:  # fmt: skip
    from avatargpt.speech.audio import FPS, inspect

    with common.progress("gesturing", quiet) as advance:
        frames = max(1, int(inspect(audio).seconds * FPS))
        made = performer.perform(
            audio, words=None if words is None else words.words, other=interlocutor,
            progress=None if advance is None else lambda done: advance(min(done, frames), frames), **how,
        )  # fmt: skip
    return made.with_caption(_plain(audio))


def _plain(path: Path) -> str:
    """A file's name as text, whatever bytes it is made of."""
    return path.stem.encode(errors="replace").decode()


def _manner(semantic: float | None, calm: bool, energy: float, cues: Sequence[str]) -> Manner:
    from avatargpt.gesture.semantics import Manner, read_cues

    try:
        return Manner(semantic, calm, energy, read_cues(cues))
    except UserError as e:
        raise UserError(f"--{e}") from None


def _sources(*named: Path | str | None) -> list[Path]:
    """The files among what is read, which are not to be written over."""
    from avatargpt.speech.transcripts import transcript_path

    found = [transcript_path(n) if isinstance(n, str) else n for n in named]
    return [path for path in found if path is not None]


def _format_options(paths: Sequence[Path], size: int | None, audio: Path | None) -> list[dict[str, Any]]:
    """For each output file the options that its format has.

    Raises:
        UserError: a size where none of the files is a film.
    """
    from avatargpt import export

    if size is not None and not any(export.has_option(path, "size") for path in paths):
        raise UserError(f"--size {size}: none of the output files is a film; accepted with .mp4, .mov and .gif")
    given = {"size": size, "audio": audio}
    out = []
    for path in paths:
        own: dict[str, Any] = {k: v for k, v in given.items() if v is not None and export.has_option(path, k)}
        layout = POSITIONS.get(path.suffix.lower())
        out.append(own if layout is None else own | {"layout": layout})
    return out


def _words(audio: Path, transcript: str | None, asr: str | None, model: Path | None, quiet: bool) -> Words | None:
    """What is said in a sound, with doubts told on stderr; None where words are off, which is told."""
    from importlib.util import find_spec

    from avatargpt.face.audio_model.driver import Driver
    from avatargpt.speech import transcripts

    own = model is not None and (model / "driver" / "driver.json").is_file()
    folder = model / "driver" if model is not None and own else None
    if transcript is not None:
        with common.progress("aligning", quiet) as advance:
            words = transcripts.words_of(transcript, audio, Driver.load(folder), progress=advance)
    elif asr == OFF:
        return None
    elif asr is None and find_spec("faster_whisper") is None:
        install = transcripts.INSTALL_WHISPER
        say(f"{audio}: words are off; they come with --transcript, or from Whisper ({install})", err=True)
        return None
    else:
        try:
            with common.progress("hearing", quiet) as advance:
                words = transcripts.transcribe(audio, asr or USUAL_ASR, Driver.load(folder), progress=advance)
        except UserError as e:
            if asr is not None:
                raise
            say(f"{audio}: words are off ({e})", err=True)
            return None
    for note in words.notes:
        say(f"warning: {note}", err=True)
    return words
