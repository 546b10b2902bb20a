"""``avatargpt face``: speech, an instruction and emotions to a face, from files or while somebody speaks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from avatargpt.cli import common, live, speech
from avatargpt.cli.common import Output, option, progress, takes
from avatargpt.options import is_text
from vqvae.errors import UserError

if TYPE_CHECKING:
    from avatargpt.face.audio_model.conditioning import Feeling
    from avatargpt.face.audio_model.controls import Controls
    from avatargpt.face.pipeline import FacePipeline
    from avatargpt.speech.words import Word
    from avatargpt.verbs.face import ActFaceRequest
    from instruct_data.face.score import Score
    from vqvae.face import FaceMotion

MAX_BYTES = 8 << 20
_FORMS = "a score, a list of scores, or what --json printed"
_SCORE_FIELDS = {"text": str, "kind": str, "length": float, "events": list, "emotion": list, "id": str}
_EVENT_FIELDS = {"action": str, "start": float, "duration": float, "intensity": float, "repeat": int, "rise": float}
_EMOTION_FIELDS = {"name": str, "intensity": float, "start": float, "end": float, "to": float}
_TYPE_NAMES = {str: "text", float: "a number", int: "a whole number", list: "a list"}


def read_scores(path: Path) -> tuple[list[Score], bool]:
    """Scores of a JSON file, and whether they are several: one, a list, or a document of ``avatargpt face --json``."""
    from instruct_data.face.score import parse_score
    from vqvae.io.data_files import read_json

    value = read_json(path, MAX_BYTES, f"accepted {_FORMS}")
    if isinstance(value, dict) and isinstance(value.get("score"), dict):  # the document of a live run
        value = value["score"]
    many = isinstance(value, list)
    if isinstance(value, dict) and isinstance(value.get("results"), list):
        value = [result.get("score") if isinstance(result, dict) else None for result in value["results"]]
        many = len(value) > 1
    rows: list[Any] = value if isinstance(value, list) else [value]
    if not rows or not all(isinstance(row, dict) for row in rows):
        raise UserError(f"--score {path}: accepted {_FORMS}")
    scores = []
    for i, row in enumerate(rows, 1):
        where = f"--score {path}: score {i}"
        _check_fields(row, _SCORE_FIELDS, {"length"}, where)
        for k, event in enumerate(row.get("events", ()), 1):
            _check_fields(event, _EVENT_FIELDS, {"action", "start", "duration"}, f"{where}: event {k}")
        for k, emotion in enumerate(row.get("emotion", ()), 1):
            _check_fields(emotion, _EMOTION_FIELDS, {*_EMOTION_FIELDS} - {"to"}, f"{where}: emotion {k}")
        scores.append(parse_score(row, where))
    return scores, many


def _check_fields(row: Any, kinds: dict[str, type], needed: set[str], where: str) -> None:
    """Refuse unknown, missing and mistyped fields of a row edited by hand."""
    if not isinstance(row, dict):
        raise UserError(f"{where}: accepted {{{', '.join(kinds)}}}")
    for name in [*row, *sorted(needed)]:
        if name not in kinds or name not in row:
            raise UserError(f"{where}: {'no' if name in kinds else 'unknown'} {name!r}; accepted {', '.join(kinds)}")
        value, kind = row[name], kinds[name]
        if isinstance(value, str) and not is_text(value):
            raise UserError(f"{where}: {name} {value!r}; accepted UTF-8 text")
        if isinstance(value, bool) or not isinstance(value, (int, float) if kind is float else kind):
            raise UserError(f"{where}: {name} {value!r}; accepted {_TYPE_NAMES[kind]}")


def score_summary(score: Score) -> str:
    """One line: ``blink twice 0.2-1.2 s, smile 1.4-3.2 s at 0.35; joyful 0-4 s at 0.70; 4 s``."""
    from instruct_data.face.score import DEFAULT

    def times(count: int) -> str:
        return "" if count == 1 else " twice" if count == 2 else f" {count} times"

    def at(value: float) -> str:
        return "" if abs(value - DEFAULT) < 0.005 else f" at {value:.2f}"

    def span(start: float, end: float) -> str:
        return f"{round(start, 2):g}-{round(end, 2):g} s"

    events = ", ".join(
        f"{e.action}{times(e.repeat)} {span(e.start, e.end)}{at(e.intensity)}{' slowly' if e.rise else ''}"
        for e in sorted(score.events, key=lambda e: e.start)
    )
    emotions = ", ".join(
        f"{f.name} {span(f.start, f.end)}"
        + (at(f.intensity) if f.to is None else f" from {f.intensity:.2f} to {f.to:.2f}")
        for f in score.emotions
    )
    denied = ", ".join(f"no {name.replace('_', ' ')}" for name in score.denied)
    return "; ".join(part for part in (events, emotions, denied, f"{round(score.length, 2):g} s") if part)


def report_scores(
    scores: Sequence[Score | None], texts: Sequence[str], quiet: bool, doubt: Callable[[str, Score], str]
) -> None:  # fmt: skip
    """Print how instructions were read, and reasons for doubt beside those of `common.warn_unreadable`, on stderr."""
    from avatargpt.requests.english import unreadable

    for score, text in zip(scores, texts, strict=True):
        if score is not None and not quiet:
            which = f"read {text[:60]!r} as" if len(texts) > 1 else "read as"
            common.say(f"{which}: {score_summary(score)}", err=True)
        if score is not None and not unreadable(text) and (reason := doubt(text, score)):
            common.warn(f"{text[:60]!r}: {reason}")


NETWORKS = ("driver", "language")
WARM_UP = "smile"  # read and acted once before the first frame, because the first time takes longest
_BY = "driver, or language: the model's face tokens; TEXT or E alone."


@dataclass(frozen=True)
class FaceJob:
    """A clip per text, or one of sound and feelings alone."""

    texts: list[str]  # instructions, or one empty text
    scores: list[Score] | None  # their meaning, where it is known
    feelings: list[Feeling]
    request: ActFaceRequest  # sound, lips, seed, transcript; its text is not looked at
    length: float | None  # seconds of the sound or the clip, where they are known


@takes("face")
def face(
    *,
    asked: dict[str, Any],
    audio: speech.Audio = None,
    output: common.AnyOutputs = None,
    text: Annotated[str | None, option("--text TEXT", "What the face does; @FILE gives one per line.")] = None,
    score: Annotated[Path | None, option("--score FILE", "What TEXT would be read as, edited; see --json.")] = None,
    by: Annotated[str, option("--by NAME", _BY)] = "driver",
    worn: common.Worn,
    layout: Annotated[str | None, option("--layout NAME", "Of .json, .csv, .vrma; docs/avatar_formats.md.")] = None,
    names: live.Names = None,
    avatar: live.AvatarOption = None,
    size: speech.FaceSize = None,
    performed: live.FaceOptions,
    setup: common.PlainSetup,
    help_all: common.HelpAll = False,
) -> None:
    """Speech, an instruction, emotions, or all at once to a face: 52 ARKit weights and the head at 30 fps.

    A film (.mp4, .mov) carries the sound of AUDIO, not of what is live. A network makes the face: the streaming driver,
    which follows speech and instructions closely, or with --by language the language model (TEXT or one emotion, at
    most 7.2 s). --gain to --eye-contact change its curves afterwards. The reading of TEXT is printed on stderr and,
    with --json, as a score, which --score takes back. Live (-, --microphone, --live-link, --vmc, --websocket), frames
    come about 0.1 s after the sound, a file or a fast pipe is heard at the speed of speech (a pipe with -o alone is not
    held back), and -o may be left out. Without sound the face acts TEXT and E at its own speed; with --websocket, whose
    clients may send {"text": ...} and {"emotion": ...} at any time, it goes on until Ctrl-C or --seconds.
    """
    from avatargpt.face.audio_model.conditioning import parse_emotions
    from avatargpt.face.pipeline import driver_folder
    from avatargpt.speech.audio import MAX_SECONDS, inspect
    from avatargpt.verbs.describe import score_row
    from avatargpt.verbs.face import ActFaceRequest
    from avatargpt.verbs.request import make_request

    file_names, avatar_file = live.expression_names(names, avatar, output or [], performed.vmc)
    line = live.LiveLine.of(performed, audio, names, avatar_file)
    output, audio = output or [], line.file
    if not output and not line.live:
        raise UserError("no -o FILE; accepted: one or more, --live-link HOST, --vmc HOST or --websocket PORT")
    if score is not None and text is not None:
        raise UserError("--score and --text: accepted one of them, for a score is what a text is read as")
    if score is not None and by == "language":
        raise UserError("--score: accepted with --by driver; the language model reads --text by itself")
    how = make_request(ActFaceRequest, "" if text is None and score is None else "as read", sound=audio, **asked)
    scores: list[Score] | None = None
    if score is not None:
        scores, many = read_scores(score)
        texts = [s.text for s in scores]
    else:
        texts, many = common.read_texts(text, emoji=True) if text is not None else ([""], False)
        common.warn_unreadable(texts)
    if not line.live:
        how.check()
    elif len(texts) > 1:
        which = f"--text {text}: {len(texts)} texts" if score is None else f"--score {score}: {len(texts)} scores"
        raise UserError(f"{which}; accepted one where it is live")
    elif how.transcript is not None:
        raise UserError("--transcript: accepted with AUDIO, and not live")
    elif how.seconds is not None and not line.silent:
        raise UserError(f"--seconds {how.seconds:g}: live, the sound's length counts; accepted: no --seconds")
    elif how.lips == "recorded" and line.silent:
        raise UserError("--lips recorded: follows sound; accepted with AUDIO, - or --microphone")
    length = inspect(audio).seconds if audio is not None else how.seconds
    feelings = parse_emotions(how.emotion, length or MAX_SECONDS) if how.emotion else []
    # The driver blinks only on request, and holds head and eyes still.
    explicit, controls = how.explicit, how.controls if by == "driver" else how.explicit
    sources = [f for f in (audio, score, common.text_file(text)) if f is not None]
    many_files = many and not line.live
    out = Output.check(output, "face", setup, worn, sources, many_files, len(texts), layout, size, audio, file_names)
    if by not in NETWORKS:
        raise UserError(f"--by {by}: unknown; accepted {', '.join(NETWORKS)}")
    job = FaceJob(texts, scores, feelings, how, length)
    if by == "language":
        if audio is not None or line.live or (text is not None) == bool(feelings):
            raise UserError("--by language: takes --text or --emotion alone; speech is the driver's")
        if len(feelings) > 1 or any(f.second or f.secondary for f in feelings):
            raise UserError(f"--emotion {how.emotion}: --by language takes one feeling without seconds")
        motions, scored = _by_language(job, controls, setup)
        out.finish(motions, [{} if s is None else {"score": score_row(s)} for s in scored])
        return
    folder = driver_folder(setup.model)
    # In a picture, blinks and glances that were not asked for would take the place of telling moments.
    sheet = explicit if controls != explicit and any(p.suffix.lower() == common.SHEET for p in output) else None
    if line.live:
        _perform_live(folder, line, job, controls, sheet, out)
        return
    motions, scored, drawn = perform(folder, job, controls, sheet, setup)
    out.finish(motions, [{} if s is None else {"score": score_row(s)} for s in scored], drawn)


def _by_language(job: FaceJob, controls: Controls, setup: common.Setup) -> tuple[list[FaceMotion], list[Score | None]]:
    """One clip for each text, or for the feeling, in the language model's tokens; and what the texts were read as."""
    from avatargpt.face.audio_model.controls import apply_controls

    loaded, seed = setup.load(), job.request.seed
    with progress("speaking", setup.quiet):
        if job.feelings:
            feeling = job.feelings[0]
            clips, scores = loaded.emotion_face(feeling.text, feeling.strength, job.length, seed), []
        else:
            clips = loaded.face(job.texts, seconds=job.length, seed=seed)
            scores = loaded.face_tokens.scores(job.texts, [job.length] * len(job.texts))
    read = [*scores, *[None] * (len(clips) - len(scores))]
    report_scores(read, [c.caption for c in clips], setup.quiet, lambda text, score: "")
    # These faces have an upper face of their own: another one is added only where it is asked for.
    controls = replace(controls, upper=job.request.upper or 0.0)
    shaped = [apply_controls(m, controls, seed + k) for k, m in enumerate(clips)]
    return [replace(m, notes=c.notes) for m, c in zip(shaped, clips, strict=True)], read


def perform(
    folder: Path, job: FaceJob, controls: Controls, sheet: Controls | None, setup: common.Setup
) -> tuple[list[FaceMotion], list[Score | None], list[FaceMotion] | None]:
    """The clips and their scores; and the clips with the controls of a contact sheet, where these are others."""
    import torch

    from avatargpt.avatar.events import read_spoken
    from avatargpt.avatar.pipeline import finish_face
    from avatargpt.face.pipeline import FacePipeline
    from avatargpt.gesture.pipeline import GesturePipeline
    from avatargpt.lm.checkpoint import find_part
    from avatargpt.speech.audio import FPS

    audio, length, how = job.request.sound, job.length, job.request
    # steps are small: more threads only wait for each other
    torch.set_num_threads(setup.threads or 1)
    with progress("loading", setup.quiet):
        pipeline = FacePipeline.load(folder)
        moves = audio is not None and find_part(setup.model, "gesture") is not None
        gestures = GesturePipeline.load(setup.model) if moves else None
        words: tuple[Word, ...] = ()
        if how.transcript is not None and audio is not None:
            timed, feelings = read_spoken(how.transcript, audio, pipeline.driver, job.feelings)
            words, job = timed.words, replace(job, feelings=list(feelings))
            for line in timed.notes:
                common.warn(line)
        scores = pipeline.place(job.texts, length, audio is not None, job.feelings, job.scores, words)
    if job.scores is None and any(job.texts):
        report_scores(scores, job.texts, setup.quiet, pipeline.doubt)
    motions: list[FaceMotion] = []
    drawn: list[FaceMotion] = []
    with progress("speaking", setup.quiet) as advance:
        for k, (text, score) in enumerate(zip(job.texts, scores, strict=True)):
            frames = max(1, int((length or pipeline.default_seconds(score, job.feelings)) * FPS))
            step = speech.count_frames(advance, frames, k, len(job.texts))
            clip = pipeline.perform(
                text, audio, feelings=job.feelings, seconds=None if audio is not None else length, score=score,
                progress=step, head=how.lips, words=words,
            )  # fmt: skip
            name = speech.name_of(audio) if audio is not None else ", ".join(f.words for f in job.feelings)
            clip, seed = clip.with_caption(text or name), how.seed + k
            for chosen, clips in ((controls, motions), (sheet, drawn)):
                if chosen is not None:
                    clips.append(finish_face(pipeline, clip, chosen, score, seed, gestures, audio))
    return motions, scores, drawn or None


def _perform_live(
    folder: Path, line: live.LiveLine, job: FaceJob, controls: Controls, sheet: Controls | None, out: Output
) -> None:
    """Run until the sound ends, the instruction is done where nobody speaks, or Ctrl-C; then write and print."""
    from avatargpt.export.websocket import FaceSender
    from avatargpt.face.pipeline import CommandQueue
    from avatargpt.speech.audio import FPS
    from avatargpt.verbs.describe import score_row

    if controls.smooth:
        raise UserError("--smooth needs the whole clip; accepted without live sound and addresses")
    acts = job.texts != [""] or job.scores is not None or bool(job.feelings) or line.websocket is not None
    if (line.audio is not None and line.microphone is not None) or (line.silent and not acts):
        raise UserError(
            "live: accepted one of AUDIO, - and --microphone NAME; "
            "without sound --text, --score, --emotion or --websocket"
        )
    rate = line.sample_rate()
    # the queue is there before the server: clients may connect while weights are loaded
    commands = CommandQueue()
    with ExitStack() as stack:
        piped = line.read_pipe(rate)
        senders, lines = line.open(stack, FaceSender, "watch the face and tell it what to do", receiver=commands.put)
        # slow imports come after the pipe is opened, whose sound is read from then on
        import numpy as np
        import torch

        from avatargpt.face import pipeline as face_live
        from avatargpt.face.audio_model.controls import LiveControls
        from avatargpt.face.audio_model.idle import Spans
        from avatargpt.face.pipeline import FacePipeline

        torch.set_num_threads(1)
        pipeline, lips = FacePipeline.load(folder), job.request.lips
        score, clip_seconds = _live_score(pipeline, line, job, out.quiet)
        direction = warm_up = pipeline.direction(score, job.feelings)
        if line.websocket is not None:
            warm = pipeline.read([WARM_UP])[0]
            warm_up = pipeline.direction(warm, job.feelings)
            pipeline.doubt(WARM_UP, warm)  # loads what tells languages apart
        pipeline.driver.stream(rate, direction=warm_up, head=lips).push(np.zeros(rate // 2, np.float32))
        stream = pipeline.driver.stream(rate, direction=direction, head=lips)
        take, sheet_take = face_live.LiveTake(), face_live.LiveTake()
        spans, seed = Spans.of(score), job.request.seed
        lively = LiveControls(controls, FPS, seed, *spans, pipeline.upper)
        plain = None if sheet is None else LiveControls(sheet, FPS, seed, *spans, pipeline.upper)

        def change(frame: FaceMotion) -> FaceMotion:
            if plain is not None:
                drawn = plain(frame)
                sheet_take.recording.append(np.concatenate([drawn.weights[0], drawn.head[0]]))
            return lively(frame)

        both = [lively] if plain is None else [lively, plain]
        reader = face_live.CommandReader(
            commands, pipeline, stream, direction, both, lambda s: {"read_as": score_summary(s), "score": score_row(s)}
        )
        sound, kept = line.sound(rate, piped, clip_seconds), live.frames_kept(out)
        live.run(
            stack, lines, lambda: face_live.run_live(stream, sound, senders, change, kept, take, reader.apply)
        )  # fmt: skip
    run = live.figures(take, stream, senders) | ({} if score is None else {"score": score_row(score)})
    motion, drawn = (t.motion().with_caption(job.texts[0]) if shown else None
                     for t, shown in ((take, out.paths), (sheet_take, sheet)))  # fmt: skip
    live.finish(out, motion, drawn, run)


def _live_score(
    pipeline: FacePipeline, line: live.LiveLine, job: FaceJob, quiet: bool
) -> tuple[Score | None, float | None]:
    """The score, as long as sound or clip where that is known, and the seconds of a clip without sound."""
    from avatargpt.face.instructions.scores import place_score
    from avatargpt.speech.audio import inspect

    seconds = job.request.seconds
    text, score = job.texts[0], None if job.scores is None else job.scores[0]
    reads = bool(text) and score is None
    length = seconds if line.file is None else inspect(line.file).seconds
    if reads:
        score = pipeline.read([text], [seconds], length if line.file is not None else None)[0]
    if line.silent and length is None:
        length = pipeline.default_seconds(score, job.feelings)
    # placed as in a clip that is not live
    if score is not None and length is not None:
        spreads = reads and (length < score.length or seconds is not None)
        score = place_score(score, length, spreads, bool(job.feelings))
    if reads:
        report_scores([score], [text], quiet, pipeline.doubt)
    endless = seconds is None and line.websocket is not None
    return score, None if endless else length
