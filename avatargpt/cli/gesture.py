"""``avatargpt gesture``: speech to the gestures of a standing person."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from avatargpt.cli import common, live, speech
from avatargpt.cli.common import Output, check_targets, format_options, option, progress, say, takes, warn
from vqvae.errors import UserError

if TYPE_CHECKING:
    from avatargpt.gesture.pipeline import GesturePipeline
    from avatargpt.speech.words import Words
    from vqvae.motion import Motion

_FEATURES = "features of the sound (.npy), for a network trained with --speech."
_TRANSCRIPT = "What is said, in English: a text, a file of it, or of word times (.TextGrid, .ctm, .srt, .json)."


@takes("gesture")
def gesture(
    asked: dict[str, Any],
    audio: speech.Audio = None,
    output: common.AnyOutputs = None,
    transcript: Annotated[str | None, option("--transcript TEXT|FILE", _TRANSCRIPT)] = None,
    features: Annotated[Path | None, option("--speech FILE", f"Of AUDIO: {_FEATURES}")] = None,
    interlocutor_features: Annotated[
        Path | None, option("--interlocutor-speech FILE", f"Of the other speaker: {_FEATURES}")
    ] = None,
    asr: speech.Asr = None,
    character: common.Character = None,
    root: common.Root = "hips",
    size: Annotated[int | None, option("--size PIXELS", "Films: side of the picture.", min=16, max=4096)] = None,
    microphone: live.Microphone = None,
    rate: live.Rate = None,
    vmc: live.Vmc = None,
    avatar: Annotated[Path | None, option("--avatar FILE", "The .vrm that VMC moves: its bones.")] = None,
    websocket: live.Websocket = None,
    origin: live.Origins = None,
    allow_network: live.AllowNetwork = False,
    keep: live.Keep = 0.0,
    subject: live.Subject = None,
    model: common.Model = None,
    threads: common.Threads = None,
    as_json: common.Json = False,
    quiet: common.Quiet = False,
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
    from avatargpt.gesture.network import HEADS
    from avatargpt.gesture.pipeline import network_folder
    from avatargpt.speech.audio import inspect
    from avatargpt.verbs.request import make_request
    from avatargpt.verbs.speech import GestureRequest

    if avatar is not None and vmc is None:
        raise UserError(f"--avatar {avatar}: accepted with --vmc HOST")
    line = live.LiveLine(
        audio=audio, microphone=microphone, rate=rate, vmc=vmc, websocket=websocket, subject=subject,
        origins=tuple(origin or ()), network=allow_network, keep=keep,
        avatar=None if avatar is None else read_avatar(avatar),
    )  # fmt: skip
    line.check()
    output, file = output or [], line.file
    if (audio is None) == (microphone is None):
        raise UserError("whose voice? accepted one of AUDIO, - and --microphone NAME")
    if not output and not line.live:
        raise UserError("no -o FILE; accepted: one or more, --vmc HOST or --websocket PORT")
    how = make_request(GestureRequest, audio, transcript, **asked)
    interlocutor, interlocutor_transcript, start_pose = how.interlocutor, how.interlocutor_transcript, how.start_pose
    if how.head not in HEADS:
        raise UserError(f"--head {how.head}: accepted {', '.join(HEADS)}")
    settings = replace(how, start_pose=speech.start_pose_of(start_pose)).settings
    speech.check_voices(transcript, asr, interlocutor, interlocutor_transcript)
    heard = [path for path in (features, interlocutor_features) if path is not None]
    if heard and (file is None or line.live):
        raise UserError(f"--speech {heard[0]}: accepted with AUDIO, a file, and -o")
    if interlocutor_features is not None and (features is None or interlocutor is None):
        raise UserError(f"--interlocutor-speech {interlocutor_features}: accepted with --speech and --interlocutor")
    sources = speech.source_files(file, interlocutor, transcript, interlocutor_transcript, start_pose, *heard)
    check_targets(output, False, "gesture", sources, character=character)
    on = common.on_character(character, root, "gesture")
    options = format_options(output, "gesture", None, size, file, on)
    for path, values in zip(output, options, strict=True):
        if path.suffix.lower() == ".npy":
            values["layout"] = "pos7"
    out = Output(paths=output, options=options, many=False, as_json=as_json, quiet=quiet)
    if file is None and (interlocutor is not None or asr is not None):
        which = f"--interlocutor {interlocutor}" if interlocutor is not None else f"--asr {asr}"
        raise UserError(f"{which}: accepted with AUDIO, a file")
    if file is not None and interlocutor is not None:
        check_lengths(inspect(file), inspect(interlocutor))
    folder = network_folder(model)
    # a sound that cannot be read and an unknown speaker are refused before words are heard
    pipeline = None if file is None else _load(folder, file, how.speaker, threads, quiet)
    words = (
        speech.read_word_times(transcript) if file is None else speech.words_in(file, transcript, asr, model, quiet)[0]
    )
    answer = None
    if interlocutor is not None:
        answer, _ = speech.words_in(interlocutor, interlocutor_transcript, asr, model, quiet)
    settings |= {"head": how.head, "other_words": None if answer is None else answer.words}
    if file is None or pipeline is None or line.live:
        _perform_live(folder, line, words, interlocutor, settings, out)
        return
    motion = _perform(pipeline, file, words, interlocutor, quiet, settings | {"features": heard})
    for text in motion.notes:
        warn(text)
    notes = [note for part in (words, answer, motion) if part is not None for note in part.notes]
    details = {"words": 0 if words is None else len(words), "times": None if words is None else words.source,
               "notes": notes}  # fmt: skip
    out.finish([motion], [details])


def _load(folder: Path, audio: Path, speaker: str | int | None, threads: int | None, quiet: bool) -> GesturePipeline:
    import torch

    from avatargpt.gesture.pipeline import GesturePipeline
    from avatargpt.speech.audio import inspect

    inspect(audio)
    # steps are small: more threads only wait for each other
    torch.set_num_threads(threads or 1)
    with progress("loading", quiet):
        pipeline = GesturePipeline.load(folder)
        pipeline.driver.style(speaker)
    return pipeline


def _perform(
    pipeline: GesturePipeline, audio: Path, words: Words | None, interlocutor: Path | None, quiet: bool,
    settings: dict[str, Any],
) -> Motion:  # fmt: skip
    from avatargpt.speech.audio import FPS, inspect

    with progress("gesturing", quiet) as advance:
        frames = max(1, int(inspect(audio).seconds * FPS))
        motion = pipeline.perform(
            audio, words=None if words is None else words.words, other=interlocutor,
            progress=None if advance is None else lambda count: advance(min(count, frames), frames), **settings,
        )  # fmt: skip
    return motion.with_caption(speech.name_of(audio))


def _perform_live(
    folder: Path, line: live.LiveLine, words: Words | None, interlocutor: Path | None, settings: dict[str, Any],
    out: Output,
) -> None:  # fmt: skip
    """Run until the sound ends, or Ctrl-C; then write and print."""
    from avatargpt.export.websocket import BodySender
    from avatargpt.speech.audio import FPS, MAX_SECONDS, inspect, open_sound

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
        warm_up = pipeline.stream(rate, **settings | {"semantics": None})
        # the first time takes longest
        warm_up.push(np.zeros(rate // 2, np.float32))
        stream = pipeline.stream(
            rate, None if words is None else words.words, answer is not None,
            None if answer is None else answer.about.rate,
            seconds=None if line.file is None else inspect(line.file).seconds, **settings,
        )  # fmt: skip
        if words is not None:
            pipeline.encoder.states([word.text for word in words.words[:1]])
        live.settle(stack)
        # printed once nothing can be refused any more
        for message in lines:
            say(message, err=True)
        take = gesture_live.Live()
        try:
            gesture_live.perform(
                stream, rate, line.sound(rate, piped), senders, InterlocutorAudio(rate, answer),
                MAX_SECONDS * FPS if out.paths else 0, take,
            )  # fmt: skip
        except KeyboardInterrupt:
            say("stopped", err=True)
    caption = "" if line.file is None else speech.name_of(line.file)
    motion = take.motion().with_caption(caption) if out.paths else None
    live.finish(out, motion, None, live.figures(take, stream, senders, FPS))
