"""``avatargpt gesture``: speech to the gestures of a standing person."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from avatargpt.cli import common, live, speech
from avatargpt.cli.common import Output, option, progress, takes, warn
from vqvae.errors import UserError

if TYPE_CHECKING:
    from avatargpt.gesture.pipeline import GesturePipeline
    from avatargpt.speech.words import Words

_FEATURES = "features of the sound (.npy), for a network trained with --speech."
_TRANSCRIPT = "What is said, in English: a text, a file of it, or of word times (.TextGrid, .ctm, .srt, .json)."


@takes("gesture")
def gesture(
    *,
    asked: dict[str, Any],
    audio: speech.Audio = None,
    output: common.AnyOutputs = None,
    transcript: Annotated[str | None, option("--transcript TEXT|FILE", _TRANSCRIPT)] = None,
    features: Annotated[Path | None, option("--speech FILE", f"Of AUDIO: {_FEATURES}")] = None,
    interlocutor_features: Annotated[
        Path | None, option("--interlocutor-speech FILE", f"Of the other speaker: {_FEATURES}")
    ] = None,
    asr: speech.Asr = None,
    worn: common.Worn,
    size: Annotated[int | None, option("--size PIXELS", "Films: side of the picture.", min=16, max=4096)] = None,
    avatar: Annotated[Path | None, option("--avatar FILE", "The .vrm that VMC moves: its bones.")] = None,
    performed: live.BodyOptions,
    setup: common.PlainSetup,
    help_all: common.HelpAll = False,
) -> None:
    """Speech to co-speech gestures: a standing body with arms and fingers at 30 fps.

    Outputs: .bvh, .glb, .npz, .npy (positions and quaternions of nine joints), .png, and films with the sound in them.
    A text is laid along the sound, word times of a file are compared with it; without --transcript faster-whisper
    transcribes the sound where it is installed, else words are off. Doubts are printed on stderr. Live (-,
    --microphone, --websocket), frames come about 0.9 s after the sound, a file is heard at the speed of speech, and -o
    may be left out.
    """
    from avatargpt.export.avatar_file import read_avatar
    from avatargpt.gesture.features import check_lengths
    from avatargpt.gesture.pipeline import network_folder
    from avatargpt.speech.audio import FPS, inspect
    from avatargpt.verbs.request import make_request, resolve_sources
    from avatargpt.verbs.sources import load_source
    from avatargpt.verbs.speech import GestureRequest

    if avatar is not None and performed.vmc is None:
        raise UserError(f"--avatar {avatar}: accepted with --vmc HOST")
    line = live.LiveLine.of(performed, audio, avatar=None if avatar is None else read_avatar(avatar))
    output, file = output or [], line.file
    if (audio is None) == (line.microphone is None):
        raise UserError("whose voice? accepted one of AUDIO, - and --microphone NAME")
    if not output and not line.live:
        raise UserError("no -o FILE; accepted: one or more, --vmc HOST or --websocket PORT")
    request = make_request(GestureRequest, audio, transcript, **asked)
    speech.check_words(request, asr)
    settings = resolve_sources(request, load_source).settings
    interlocutor = None if request.interlocutor is None else Path(request.interlocutor)
    heard = [path for path in (features, interlocutor_features) if path is not None]
    if heard and (file is None or line.live):
        raise UserError(f"--speech {heard[0]}: accepted with AUDIO, a file, and -o")
    if interlocutor_features is not None and (features is None or interlocutor is None):
        raise UserError(f"--interlocutor-speech {interlocutor_features}: accepted with --speech and --interlocutor")
    sources = [*speech.source_files(file, request), *heard]
    out = Output.check(output, "gesture", setup, worn, sources, size=size, audio=file)
    for path, values in zip(output, out.options, strict=True):
        if path.suffix.lower() == ".npy":
            values["layout"] = "pos7"
    if file is None and (interlocutor is not None or asr is not None):
        which = f"--interlocutor {interlocutor}" if interlocutor is not None else f"--asr {asr}"
        raise UserError(f"{which}: accepted with AUDIO, a file")
    if file is not None and interlocutor is not None:
        check_lengths(inspect(file), inspect(interlocutor))
    folder = network_folder(setup.model)
    # a sound that cannot be read and an unknown speaker are refused before words are heard
    pipeline = None if file is None else _load(folder, file, request.speaker, setup)
    words = speech.read_word_times(transcript) if file is None else speech.words_in(file, transcript, asr, setup)[0]
    answer = None
    if interlocutor is not None:
        answer, _ = speech.words_in(interlocutor, request.interlocutor_transcript, asr, setup)
    settings |= {"head": request.head, "other_words": None if answer is None else answer.words}
    if file is None or pipeline is None or line.live:
        _perform_live(folder, line, words, interlocutor, settings, out)
        return
    with progress("gesturing", setup.quiet) as advance:
        motion = pipeline.perform(
            file, words=None if words is None else words.words, other=interlocutor, features=heard,
            progress=speech.count_frames(advance, max(1, int(inspect(file).seconds * FPS))), **settings,
        )  # fmt: skip
    for text in motion.notes:
        warn(text)
    notes = [note for part in (words, answer, motion) if part is not None for note in part.notes]
    details = {"words": 0 if words is None else len(words), "times": None if words is None else words.source,
               "notes": notes}  # fmt: skip
    out.finish([motion.with_caption(speech.name_of(file))], [details])


def _load(folder: Path, audio: Path, speaker: str | int | None, setup: common.Setup) -> GesturePipeline:
    import torch

    from avatargpt.gesture.pipeline import GesturePipeline
    from avatargpt.speech.audio import inspect

    inspect(audio)
    # steps are small: more threads only wait for each other
    torch.set_num_threads(setup.threads or 1)
    with progress("loading", setup.quiet):
        pipeline = GesturePipeline.load(folder)
        pipeline.driver.style(speaker)
    return pipeline


def _perform_live(
    folder: Path, line: live.LiveLine, words: Words | None, interlocutor: Path | None, settings: dict[str, Any],
    out: Output,
) -> None:  # fmt: skip
    """Run until the sound ends, or Ctrl-C; then write and print."""
    from avatargpt.export.websocket import BodySender
    from avatargpt.speech.audio import inspect, open_sound

    rate = line.sample_rate()
    with ExitStack() as stack:
        piped = line.read_pipe(rate)
        senders, lines = line.open(stack, BodySender, "watch the body")
        # slow imports come after the pipe is opened, whose sound is read from then on
        import numpy as np
        import torch

        from avatargpt.gesture import stream as gesture_live
        from avatargpt.gesture.features import InterlocutorAudio
        from avatargpt.gesture.pipeline import GesturePipeline

        torch.set_num_threads(1)
        pipeline = GesturePipeline.load(folder)
        answer = None if interlocutor is None else open_sound(interlocutor)
        # the first time takes longest
        pipeline.stream(rate, **settings | {"semantics": None}).push(np.zeros(rate // 2, np.float32))
        stream = pipeline.stream(
            rate, None if words is None else words.words, answer is not None,
            None if answer is None else answer.about.rate,
            seconds=None if line.file is None else inspect(line.file).seconds, **settings,
        )  # fmt: skip
        if words is not None:
            pipeline.encoder.states([word.text for word in words.words[:1]])
        take, other, kept = gesture_live.Live(), InterlocutorAudio(rate, answer), live.frames_kept(out)
        live.run(stack, lines, lambda: gesture_live.perform(
            stream, rate, line.sound(rate, piped), senders, other, kept, take
        ))  # fmt: skip
    caption = "" if line.file is None else speech.name_of(line.file)
    motion = take.motion().with_caption(caption) if out.paths else None
    live.finish(out, motion, None, live.figures(take, stream, senders))
