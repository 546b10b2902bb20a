"""``avatargpt speak``: speech to one avatar with face, hands and body, of a file, live, or as events."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from avatargpt.cli import common, live, speech
from avatargpt.cli.common import Output, check_targets, format_options, note, option, progress, say, takes
from avatargpt.cli.face import report_scores, score_row
from vqvae.errors import UserError

if TYPE_CHECKING:
    from avatargpt.avatar.pipeline import AvatarPipeline, Body
    from avatargpt.face.audio_model.conditioning import Feeling
    from avatargpt.speech.words import Words

BODY_ONLY = (".bvh",)  # formats of an avatar without its face
EVENT_RATE = 24_000  # samples a second of a talk of events: what most synthesisers give
_EVENTS = "Read stdin: lines of JSON with text, sound, word times, emotion, gesture, pause."


@dataclass(frozen=True)
class _PerformedTalk:
    """What is to be performed."""

    line: live.LiveLine
    events: bool
    transcript: str | None
    asr: str | None
    text: str
    feelings: list[Feeling]
    body: Callable[[], Body]
    settings: dict[str, Any]  # of `AvatarPipeline.stream` and `speak`


@takes("speak")
def speak(
    asked: dict[str, Any],
    audio: speech.Audio = None,
    output: common.AnyOutputs = None,
    transcript: Annotated[str | None, option("--transcript TEXT|FILE", "As in `gesture`; [happy] a mood.")] = None,
    asr: speech.Asr = None,
    character: common.Character = None,
    root: common.Root = "hips",
    layout: Annotated[str | None, option("--layout NAME", "Of .vrma, .csv, .bvh; docs/avatar_formats.md.")] = None,
    names: live.Names = None,
    avatar: live.AvatarOption = None,
    size: speech.FaceSize = None,
    events: Annotated[bool, option("--events", _EVENTS)] = False,
    microphone: live.Microphone = None,
    rate: live.Rate = None,
    live_link: live.LiveLink = None,
    vmc: live.Vmc = None,
    ifacialmocap: live.IFacialMocap = None,
    websocket: live.Websocket = None,
    origin: live.Origins = None,
    allow_network: live.AllowNetwork = False,
    keep: live.Keep = 0.0,
    subject: live.Subject = None,
    model: common.Model = None,
    device: common.Device = None,
    threads: common.Threads = None,
    as_json: common.Json = False,
    quiet: common.Quiet = False,
    help_all: common.HelpAll = False,
) -> None:
    """Speech to one avatar: lips and face, co-speech gestures with fingers, and a body under them, at 30 fps.

    Outputs: .glb (skin, hands and a face of 52 morph targets), .vrma, .npz (all parts), films with the sound (.mp4,
    .mov), .gif; .bvh holds no face and .csv nothing but the face. The lips are those of `face AUDIO`. What was read,
    held or left out is printed on stderr. Live (-, --microphone, --live-link, --vmc, --websocket), face, hands and body
    come in one stream about 0.9 s after the sound. --events reads sentences, one a line, on one clock: pose and blinks
    go on from one to the next; each is reported on stdout as it begins.
    """
    from avatargpt.avatar.pipeline import IDLE, names_file
    from avatargpt.face.audio_model.conditioning import parse_emotions
    from avatargpt.gesture.features import check_lengths
    from avatargpt.speech.audio import MAX_SECONDS, inspect
    from avatargpt.verbs.request import make_request
    from avatargpt.verbs.speech import SpeakRequest

    output = output or []
    file_names, avatar_file = live.expression_names(names, avatar, output, vmc)
    line = live.LiveLine(
        audio=audio, microphone=microphone, rate=None if events else rate, live_link=live_link, vmc=vmc,
        websocket=websocket, subject=subject, origins=tuple(origin or ()), network=allow_network,
        ifacialmocap=ifacialmocap, names=names,
        avatar=avatar_file, keep=keep,
    )  # fmt: skip
    line.check()
    if sum((audio is not None, microphone is not None, events)) != 1:
        raise UserError("whose voice? accepted one of AUDIO, -, --microphone NAME and --events")
    if not output and not line.live:
        raise UserError("no -o FILE; accepted: one or more, --vmc HOST, --live-link HOST or --websocket PORT")
    how = make_request(SpeakRequest, audio, transcript, **asked)
    interlocutor, interlocutor_transcript, start_pose = how.interlocutor, how.interlocutor_transcript, how.start_pose
    body, text = how.body, how.text
    settings = replace(how, start_pose=speech.start_pose_of(start_pose)).settings
    speech.check_voices(transcript, asr, interlocutor, interlocutor_transcript)
    whole = line.file is not None and not line.live
    if interlocutor is not None and not whole:
        raise UserError(f"--interlocutor {interlocutor}: accepted with AUDIO, a file, and not live")
    if asr is not None and line.file is None:
        raise UserError(f"--asr {asr}: accepted with AUDIO, a file")
    if transcript is not None and events:
        raise UserError(f"--transcript {transcript[:40]}: --events brings its own words; accepted without it")
    sources = speech.source_files(line.file, interlocutor, transcript, interlocutor_transcript, start_pose)
    if body != IDLE and names_file(body):
        sources.append(Path(body))
    check_targets(output, False, "avatar", sources, character=character)
    on = common.on_character(character, root, "avatar")
    options = format_options(output, "avatar", layout, size, character=on, names=file_names)
    speech.check_lips(how.lips, True, "driver")
    seconds = None if line.file is None else inspect(line.file).seconds
    if interlocutor is not None and line.file is not None:
        check_lengths(inspect(line.file), inspect(interlocutor))
    if text.startswith("@"):
        raise UserError(f"--text {text}: accepted one instruction; a list of them goes with `face`")
    if text:
        text = common.read_texts(text, emoji=True)[0][0]
        common.warn_unreadable([text])
    feelings = parse_emotions(how.emotion, seconds or MAX_SECONDS) if how.emotion else []
    settings |= {"controls": how.controls, "lips": how.lips}
    lower = partial(_body, body, how.seed, model, device, threads, quiet)
    talk = _PerformedTalk(line, events, transcript, asr, text, feelings, lower, settings)
    out = Output(paths=output, options=options, many=False, as_json=as_json, quiet=quiet)
    if not whole:
        _perform_live(talk, model, rate, out)
        return
    assert line.file is not None and seconds is not None
    _perform(talk, line.file, seconds, (interlocutor, interlocutor_transcript), model, threads, out)


def _perform(
    talk: _PerformedTalk, audio: Path, seconds: float, other: tuple[Path | None, str | None], model: Path | None,
    threads: int | None, out: Output,
) -> None:  # fmt: skip
    """The talk of a file, written at once."""
    import torch

    from avatargpt.speech.audio import FPS

    torch.set_num_threads(threads or 1)
    pipeline = _load(model, talk, out.quiet)
    lower_body = talk.body()
    words, feelings = speech.words_in(audio, talk.transcript, talk.asr, model, out.quiet, talk.feelings)
    answer = None
    if other[0] is not None:
        answer, _ = speech.words_in(other[0], other[1], talk.asr, model, out.quiet)
    times = () if words is None else words.words
    score = pipeline.read_face(talk.text, feelings, seconds, lower_body, times)
    if talk.text:
        report_scores([score], [talk.text], out.quiet, pipeline.face.doubt)
    with progress("speaking", out.quiet) as advance:
        steps = 2 * max(1, int(seconds * FPS))
        avatar = pipeline.speak(
            audio, text=talk.text, feelings=feelings, score=score, body=lower_body,
            progress=None if advance is None else lambda count: advance(min(count, steps), steps),
            words=None if words is None else words.words, other=other[0],
            other_words=None if answer is None else answer.words, **talk.settings,
        )  # fmt: skip
    avatar = avatar.with_caption(talk.text or speech.name_of(audio))
    notes = [*avatar.notes, *_note_missing_parts(out.paths)]
    for text in notes:
        note(text)
    doubts = [text for part in (words, answer) if part is not None for text in part.notes]
    details = {"notes": [*doubts, *notes]} | ({} if score is None else {"score": score_row(score)})
    out.finish([avatar], [details])


def _load(model: Path | None, talk: _PerformedTalk, quiet: bool) -> AvatarPipeline:
    from avatargpt.avatar.pipeline import AvatarPipeline

    with progress("loading", quiet):
        pipeline = AvatarPipeline.load(model)
        # refuses an unknown speaker before the sound is transcribed
        pipeline.gestures.driver.style(talk.settings["speaker"])
    return pipeline


def _perform_live(talk: _PerformedTalk, model: Path | None, rate: int | None, out: Output) -> None:
    """Run until the sound or the events end, or Ctrl-C; then write and print."""
    from avatargpt.export.websocket import AvatarSender
    from avatargpt.speech.audio import FPS, MAX_SECONDS, check_rate, inspect

    line = talk.line
    if talk.events:
        samples = EVENT_RATE if rate is None else rate
        check_rate(samples, 1, "--rate")
    else:
        samples = line.sample_rate()
    with ExitStack() as stack:
        piped = None if talk.events else line.read_pipe(samples)
        senders, lines = line.open(stack, AvatarSender, "watch the avatar")
        # slow imports come after the pipe is opened, whose sound is read from then on
        import numpy as np
        import torch

        from avatargpt.avatar.events import EventTalk
        from avatargpt.avatar.live import AvatarTake
        from avatargpt.gesture.stream import perform

        torch.set_num_threads(1)
        pipeline = _load(model, talk, out.quiet)
        body = talk.body()
        words, feelings = _live_words(talk, model, out.quiet)
        timed = [] if talk.events else None if words is None else list(words.words)

        def begin_once() -> Any:
            seconds = None if line.file is None else inspect(line.file).seconds
            return pipeline.stream(
                samples, talk.text, feelings, None, body, words=timed, seconds=seconds, **talk.settings
            )

        begin_once().push(np.zeros(samples // 2, np.float32))  # the first time takes longest
        _warm(pipeline, talk)
        stream, take = begin_once(), AvatarTake(sound=line.file)
        events = EventTalk(pipeline, stream, _report) if talk.events else None
        sound: Iterable[Any]
        if events is not None:
            sound = events.sound(_stdin_lines(), samples, bool(senders))
        else:
            sound = line.sound(samples, piped)
        live.settle(stack)
        # printed once nothing can be refused any more
        for message in lines:
            say(message, err=True)
        try:
            perform(stream, samples, sound, senders, None, MAX_SECONDS * FPS if out.paths else 0, take)
        except KeyboardInterrupt:
            say("stopped", err=True)
    caption = talk.text or ("" if line.file is None else speech.name_of(line.file))
    motion = take.motion().with_caption(caption) if out.paths else None
    run = live.figures(take, stream, senders, FPS) | ({} if events is None else {"sentences": events.sentences})
    live.finish(out, motion, None, run)


def _warm(pipeline: AvatarPipeline, talk: _PerformedTalk) -> None:
    """Use once what the first sentence would load while frames are made."""
    if not talk.events:
        return
    from avatargpt.face.audio_model.conditioning import parse_emotions

    pipeline.face.direction(None, parse_emotions("happy"))
    pipeline.gestures.encoder.states(["hello"])


def _live_words(talk: _PerformedTalk, model: Path | None, quiet: bool) -> tuple[Words | None, Sequence[Feeling]]:
    if talk.events:
        return None, talk.feelings
    if talk.line.file is None:
        return speech.read_word_times(talk.transcript), talk.feelings
    return speech.words_in(talk.line.file, talk.transcript, talk.asr, model, quiet, talk.feelings)


def _stdin_lines() -> Iterable[str]:
    from avatargpt.avatar.events import lines_of

    if sys.stdin is None:
        raise UserError("--events: stdin is closed; accepted lines of JSON on it")
    return lines_of(getattr(sys.stdin.buffer, "raw", sys.stdin.buffer))


def _report(row: dict[str, Any]) -> None:
    """A line of JSON on stdout, at once."""
    import json

    say(json.dumps(row))
    sys.stdout.flush()


def _body(
    value: str, seed: int, model: Path | None, device: str | None, threads: int | None, quiet: bool
) -> Body:
    """The motion of pelvis and legs; the language model is loaded for a text alone."""
    from avatargpt.avatar.pipeline import BodyClip, body_of
    from avatargpt.options import GenerationConfig

    def generate(text: str) -> BodyClip:
        if not text.strip():
            raise UserError("--body: empty; accepted idle, a text, or a file")
        text = common.read_texts(text)[0][0]
        loaded = common.load_model(model, device, threads, quiet)
        common.warn_unreadable([text], loaded)
        division = loaded.composer.divide(text)
        for line in [] if quiet else division.lines:
            say(line, err=True)
        with progress("generating", quiet) as advance:
            (composition,) = loaded.composer.compose(division, config=GenerationConfig(seed), progress=advance)
        return BodyClip(composition.body, composition.score)

    return body_of(value, generate, seed)


def _note_missing_parts(targets: Sequence[Path]) -> list[str]:
    """A note where no output file holds the face."""
    bodies = [p for p in targets if p.suffix.lower() in BODY_ONLY]
    if not bodies or len(bodies) < len(targets):
        return []
    return [f"{bodies[0]}: holds no face; -o {bodies[0].with_suffix('.csv')} beside it would"]
