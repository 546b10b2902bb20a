"""``avatargpt speak``: speech to one avatar with face, hands and body, of a file, live, or as events."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from avatargpt.cli import common, live, speech
from avatargpt.cli.common import Output, note, option, progress, say, takes
from avatargpt.cli.face import report_scores
from vqvae.errors import UserError

if TYPE_CHECKING:
    from avatargpt.avatar.pipeline import AvatarPipeline, Body
    from avatargpt.face.audio_model.conditioning import Feeling
    from avatargpt.speech.words import Words
    from avatargpt.verbs.speech import SpeakRequest

BODY_ONLY = (".bvh",)  # formats of an avatar without its face
EVENT_RATE = 24_000  # samples a second of a talk of events: what most synthesisers give
_EVENTS = "Read stdin: lines of JSON with text, sound, word times, emotion, gesture, pause."


@dataclass(frozen=True)
class _PerformedTalk:
    """What is to be performed."""

    line: live.LiveLine
    events: bool
    request: SpeakRequest
    asr: str | None
    text: str
    feelings: list[Feeling]
    body: Callable[[], Body]
    settings: dict[str, Any]  # of `AvatarPipeline.stream` and `speak`


@takes("speak")
def speak(
    *,
    asked: dict[str, Any],
    audio: speech.Audio = None,
    output: common.AnyOutputs = None,
    transcript: Annotated[str | None, option("--transcript TEXT|FILE", "As in `gesture`; [happy] a mood.")] = None,
    asr: speech.Asr = None,
    worn: common.Worn,
    layout: Annotated[str | None, option("--layout NAME", "Of .vrma, .csv, .bvh; docs/avatar_formats.md.")] = None,
    names: live.Names = None,
    avatar: live.AvatarOption = None,
    size: speech.FaceSize = None,
    events: Annotated[bool, option("--events", _EVENTS)] = False,
    performed: live.LiveOptions,
    setup: common.VoiceSetup,
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
    from avatargpt.verbs.request import make_request, resolve_sources
    from avatargpt.verbs.sources import load_source
    from avatargpt.verbs.speech import SpeakRequest

    output = output or []
    file_names, avatar_file = live.expression_names(names, avatar, output, performed.vmc)
    rate = performed.rate
    line = live.LiveLine.of(replace(performed, rate=None) if events else performed, audio, names, avatar_file)
    if sum((audio is not None, line.microphone is not None, events)) != 1:
        raise UserError("whose voice? accepted one of AUDIO, -, --microphone NAME and --events")
    if not output and not line.live:
        raise UserError("no -o FILE; accepted: one or more, --vmc HOST, --live-link HOST or --websocket PORT")
    request = make_request(SpeakRequest, audio, transcript, **asked)
    speech.check_words(request, asr)
    settings = resolve_sources(request, load_source).settings | {"controls": request.controls, "lips": request.lips}
    interlocutor, body, text = request.interlocutor, request.body, request.text
    whole = line.file is not None and not line.live
    if interlocutor is not None and not whole:
        raise UserError(f"--interlocutor {interlocutor}: accepted with AUDIO, a file, and not live")
    if asr is not None and line.file is None:
        raise UserError(f"--asr {asr}: accepted with AUDIO, a file")
    if transcript is not None and events:
        raise UserError(f"--transcript {transcript[:40]}: --events brings its own words; accepted without it")
    sources = speech.source_files(line.file, request)
    if body != IDLE and names_file(body):
        sources.append(Path(body))
    out = Output.check(output, "avatar", setup, worn, sources, layout=layout, size=size, names=file_names)
    seconds = None if line.file is None else inspect(line.file).seconds
    if interlocutor is not None and line.file is not None:
        check_lengths(inspect(line.file), inspect(interlocutor))
    if text.startswith("@"):
        raise UserError(f"--text {text}: accepted one instruction; a list of them goes with `face`")
    if text:
        text = common.read_texts(text, emoji=True)[0][0]
        common.warn_unreadable([text])
    feelings = parse_emotions(request.emotion, seconds or MAX_SECONDS) if request.emotion else []
    lower = partial(_body, body, request.seed, setup)
    talk = _PerformedTalk(line, events, request, asr, text, feelings, lower, settings)
    if not whole:
        _perform_live(talk, rate, setup, out)
        return
    assert line.file is not None and seconds is not None
    _perform(talk, line.file, seconds, setup, out)


def _perform(talk: _PerformedTalk, audio: Path, seconds: float, setup: common.Setup, out: Output) -> None:
    """The talk of a file, written at once."""
    import torch

    from avatargpt.speech.audio import FPS
    from avatargpt.verbs.describe import score_row

    torch.set_num_threads(setup.threads or 1)
    pipeline = _load(talk, setup)
    lower_body, request = talk.body(), talk.request
    words, feelings = speech.words_in(audio, request.transcript, talk.asr, setup, talk.feelings)
    answer = None
    if request.interlocutor is not None:
        answer, _ = speech.words_in(Path(request.interlocutor), request.interlocutor_transcript, talk.asr, setup)
    score = pipeline.read_face(talk.text, feelings, seconds, lower_body, () if words is None else words.words)
    if talk.text:
        report_scores([score], [talk.text], out.quiet, pipeline.face.doubt)
    with progress("speaking", out.quiet) as advance:
        avatar = pipeline.speak(
            audio, text=talk.text, feelings=feelings, score=score, body=lower_body,
            progress=speech.count_frames(advance, 2 * max(1, int(seconds * FPS))),
            words=None if words is None else words.words, other=request.interlocutor,
            other_words=None if answer is None else answer.words, **talk.settings,
        )  # fmt: skip
    avatar = avatar.with_caption(talk.text or speech.name_of(audio))
    notes = list(avatar.notes)
    bodies = [p for p in out.paths if p.suffix.lower() in BODY_ONLY]
    if bodies and len(bodies) == len(out.paths):
        notes.append(f"{bodies[0]}: holds no face; -o {bodies[0].with_suffix('.csv')} beside it would")
    for text in notes:
        note(text)
    doubts = [text for part in (words, answer) if part is not None for text in part.notes]
    details = {"notes": [*doubts, *notes]} | ({} if score is None else {"score": score_row(score)})
    out.finish([avatar], [details])


def _load(talk: _PerformedTalk, setup: common.Setup) -> AvatarPipeline:
    from avatargpt.avatar.pipeline import AvatarPipeline

    with progress("loading", setup.quiet):
        pipeline = AvatarPipeline.load(setup.model)
        # refuses an unknown speaker before the sound is transcribed
        pipeline.gestures.driver.style(talk.settings["speaker"])
    return pipeline


def _perform_live(talk: _PerformedTalk, rate: int | None, setup: common.Setup, out: Output) -> None:
    """Run until the sound or the events end, or Ctrl-C; then write and print."""
    from avatargpt.export.websocket import AvatarSender
    from avatargpt.speech.audio import check_rate, inspect

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
        from avatargpt.face.audio_model.conditioning import parse_emotions
        from avatargpt.gesture.stream import perform

        torch.set_num_threads(1)
        pipeline = _load(talk, setup)
        body = talk.body()
        words, feelings = _live_words(talk, setup)
        timed = [] if talk.events else None if words is None else list(words.words)

        def begin_once() -> Any:
            seconds = None if line.file is None else inspect(line.file).seconds
            return pipeline.stream(
                samples, talk.text, feelings, None, body, words=timed, seconds=seconds, **talk.settings
            )

        begin_once().push(np.zeros(samples // 2, np.float32))  # the first time takes longest
        if talk.events:  # what the first sentence would load while frames are made
            pipeline.face.direction(None, parse_emotions("happy"))
            pipeline.gestures.encoder.states(["hello"])
        stream, take = begin_once(), AvatarTake(sound=line.file)
        events = EventTalk(pipeline, stream, _report) if talk.events else None
        sound: Iterable[Any]
        if events is not None:
            sound = events.sound(_stdin_lines(), samples, bool(senders))
        else:
            sound = line.sound(samples, piped)
        kept = live.frames_kept(out)
        live.run(stack, lines, lambda: perform(stream, samples, sound, senders, None, kept, take))
    caption = talk.text or ("" if line.file is None else speech.name_of(line.file))
    motion = take.motion().with_caption(caption) if out.paths else None
    run = live.figures(take, stream, senders) | ({} if events is None else {"sentences": events.sentences})
    live.finish(out, motion, None, run)


def _live_words(talk: _PerformedTalk, setup: common.Setup) -> tuple[Words | None, Sequence[Feeling]]:
    if talk.events:
        return None, talk.feelings
    if talk.line.file is None:
        return speech.read_word_times(talk.request.transcript), talk.feelings
    return speech.words_in(talk.line.file, talk.request.transcript, talk.asr, setup, talk.feelings)


def _stdin_lines() -> Iterable[str]:
    from avatargpt.avatar.events import lines_of

    if sys.stdin is None:
        raise UserError("--events: stdin is closed; accepted lines of JSON on it")
    return lines_of(getattr(sys.stdin.buffer, "raw", sys.stdin.buffer))


def _report(row: dict[str, Any]) -> None:
    """A line of JSON on stdout, at once."""
    say(json.dumps(row))
    sys.stdout.flush()


def _body(value: str, seed: int, setup: common.Setup) -> Body:
    """The motion of pelvis and legs; the language model is loaded for a text alone."""
    from avatargpt.avatar.pipeline import BodyClip, body_of
    from avatargpt.options import GenerationConfig

    def generate(text: str) -> BodyClip:
        if not text.strip():
            raise UserError("--body: empty; accepted idle, a text, or a file")
        text = common.read_texts(text)[0][0]
        loaded = setup.load()
        common.warn_unreadable([text], loaded)
        division = loaded.composer.divide(text)
        for line in [] if setup.quiet else division.lines:
            say(line, err=True)
        with progress("generating", setup.quiet) as advance:
            (composition,) = loaded.composer.compose(division, config=GenerationConfig(seed), progress=advance)
        return BodyClip(composition.body, composition.score)

    return body_of(value, generate, seed)
