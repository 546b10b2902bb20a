"""``avatargpt gesture`` and ``speak``: speech to gestures, and to one avatar with face, hands and body."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from avatargpt.cli import common, live, speech
from avatargpt.cli.common import Output, argument, check_targets, format_options, note, option, progress, say, warn
from avatargpt.cli.face import report_scores, score_row
from vqvae.errors import UserError

if TYPE_CHECKING:
    from avatargpt.avatar.pipeline import Body
    from avatargpt.gesture.pipeline import GesturePipeline
    from avatargpt.speech.words import Words
    from vqvae.motion import Motion

_TRANSCRIPT = "What is said, in English: a text, a file of it, or of word times (.TextGrid, .ctm, .srt, .json)."


def gesture(
    audio: Annotated[Path | None, argument("[AUDIO]", "Speech: wav, flac, ogg, mp3; - for raw PCM on stdin.")] = None,
    output: common.AnyOutputs = None,
    transcript: Annotated[str | None, option("--transcript TEXT|FILE", _TRANSCRIPT)] = None,
    interlocutor: speech.Interlocutor = None,
    interlocutor_transcript: speech.InterlocutorTranscript = None,
    asr: speech.Asr = None,
    speaker: speech.Speaker = None,
    semantic: speech.Semantic = None,
    calm: speech.Calm = False,
    energy: speech.Energy = 1.0,
    cue: speech.Cues = None,
    head: Annotated[str, option("--head NAME", "codes: drawn, by --seed; features: the mean motion.")] = "codes",
    smooth: speech.Smooth = True,
    seed: common.Seed = 0,
    temperature: speech.Temperature = 0.9,
    character: common.Character = None,
    root: common.Root = "hips",
    size: Annotated[int | None, option("--size PIXELS", "Films: side of the picture.", min=16, max=4096)] = None,
    microphone: live.Microphone = None,
    rate: live.Rate = None,
    vmc: live.Vmc = None,
    avatar: Annotated[Path | None, option("--avatar FILE", "The .vrm that VMC moves: its bones.")] = None,
    websocket: Annotated[
        str | None, option("--websocket [HOST:]PORT", "Serve frames to browsers as they come.")
    ] = None,
    origin: live.Origins = None,
    allow_network: live.AllowNetwork = False,
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

    if avatar is not None and vmc is None:
        raise UserError(f"--avatar {avatar}: accepted with --vmc HOST")
    line = live.LiveLine(
        audio=audio, microphone=microphone, rate=rate, vmc=vmc, websocket=websocket, subject=subject,
        origins=tuple(origin or ()), network=allow_network, avatar=None if avatar is None else read_avatar(avatar),
    )  # fmt: skip
    line.check()
    output, file = output or [], line.file
    if (audio is None) == (microphone is None):
        raise UserError("whose voice? accepted one of AUDIO, - and --microphone NAME")
    if not output and not line.live:
        raise UserError("no -o FILE; accepted: one or more, --vmc HOST or --websocket PORT")
    manner = speech.gesture_manner(semantic, calm, energy, cue)
    if head not in HEADS:
        raise UserError(f"--head {head}: accepted {', '.join(HEADS)}")
    speech.check_voices(transcript, asr, interlocutor, interlocutor_transcript, temperature)
    sources = speech.source_files(file, interlocutor, transcript, interlocutor_transcript)
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
    pipeline = None if file is None else _load(folder, file, speaker, threads, quiet)
    words = _timed_words(transcript) if file is None else speech.words_in(file, transcript, asr, model, quiet)
    answer = None
    if interlocutor is not None:
        answer = speech.words_in(interlocutor, interlocutor_transcript, asr, model, quiet)
    settings = {"speaker": speaker, "head": head, "seed": seed, "temperature": temperature, "smooth": smooth,
                "semantics": manner, "other_words": None if answer is None else answer.words}  # fmt: skip
    if file is None or pipeline is None or line.live:
        _perform_live(folder, line, words, interlocutor, settings, out)
        return
    motion = _perform(pipeline, file, words, interlocutor, quiet, settings)
    for text in motion.notes:
        warn(text)
    notes = [note for part in (words, answer, motion) if part is not None for note in part.notes]
    details = {"words": 0 if words is None else len(words), "times": None if words is None else words.source,
               "notes": notes}  # fmt: skip
    out.finish([motion], [details])


def _load(folder: Path, audio: Path, speaker: str | None, threads: int | None, quiet: bool) -> GesturePipeline:
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


def _timed_words(transcript: str | None) -> Words | None:
    """Words of sound that has not come yet: times from a file, compared with nothing."""
    from avatargpt.speech.transcripts import parse_transcript

    if transcript is None:
        say("words are off: of live sound they are not known; accepted --transcript FILE with word times", err=True)
        return None
    text, words = parse_transcript(transcript)
    if words is None:
        raise UserError(f"--transcript {' '.join(text.split())[:40]!r}: a text cannot be laid along sound that has not "
                        "come; accepted: a file of word times (.TextGrid, .ctm, .srt, .json)")  # fmt: skip
    for line in words.notes:
        warn(line)
    return words


def _perform_live(
    folder: Path, line: live.LiveLine, words: Words | None, interlocutor: Path | None, settings: dict[str, Any],
    out: Output,
) -> None:  # fmt: skip
    """Run until the sound ends, or Ctrl-C; then write and print."""
    from avatargpt.export.websocket import BodySender
    from avatargpt.speech.audio import FPS, MAX_SECONDS, open_sound

    rate = line.sample_rate()
    with ExitStack() as stack:
        piped = line.piped(rate)
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
            None if answer is None else answer.about.rate, **settings,
        )  # fmt: skip
        if words is not None:
            pipeline.encoder.states([word.text for word in words.words[:1]])
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


BODY_ONLY = (".bvh",)  # formats of an avatar without its face


def speak(
    audio: Annotated[Path, argument("AUDIO", "Speech: wav, flac, ogg, mp3.")],
    output: common.Outputs,
    transcript: Annotated[str | None, option("--transcript TEXT|FILE", "What is said; see `gesture`.")] = None,
    asr: speech.Asr = None,
    text: Annotated[str, option("--text TEXT", "What the face does, as in `face`.")] = "",
    emotion: speech.Emotion = None,
    body: Annotated[str, option("--body idle|TEXT|FILE", "What pelvis and legs do; idle: they stand.")] = "idle",
    interlocutor: speech.Interlocutor = None,
    interlocutor_transcript: speech.InterlocutorTranscript = None,
    speaker: speech.Speaker = None,
    semantic: speech.Semantic = None,
    calm: speech.Calm = False,
    energy: speech.Energy = 1.0,
    cue: speech.Cues = None,
    smooth: speech.Smooth = True,
    lips: speech.Lips = "rule",
    blink_rate: speech.BlinkRate = None,
    idle: speech.Idle = None,
    eye_contact: speech.EyeContact = 0.0,
    seed: common.Seed = 0,
    temperature: speech.Temperature = 0.9,
    character: common.Character = None,
    root: common.Root = "hips",
    layout: Annotated[str | None, option("--layout NAME", ".vrma: both, arkit, presets.")] = None,
    names: live.Names = None,
    avatar: live.AvatarOption = None,
    size: speech.FaceSize = None,
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
    held or left out is printed on stderr.
    """
    import torch

    from avatargpt.avatar.pipeline import IDLE, AvatarPipeline, names_file
    from avatargpt.face.audio_model.conditioning import parse_emotions
    from avatargpt.face.audio_model.controls import LIVELY
    from avatargpt.gesture.features import check_lengths
    from avatargpt.speech.audio import FPS, inspect

    manner = speech.gesture_manner(semantic, calm, energy, cue)
    speech.check_voices(transcript, asr, interlocutor, interlocutor_transcript, temperature)
    sources = speech.source_files(audio, interlocutor, transcript, interlocutor_transcript)
    if body != IDLE and names_file(body):
        sources.append(Path(body))
    check_targets(output, False, "avatar", sources, character=character)
    on = common.on_character(character, root, "avatar")
    file_names, _ = live.expression_names(names, avatar, output, None)
    options = format_options(output, "avatar", layout, size, character=on, names=file_names)
    speech.check_lips(lips, True, "driver")
    sound = inspect(audio)
    if interlocutor is not None:
        check_lengths(sound, inspect(interlocutor))
    if text.startswith("@"):
        raise UserError(f"--text {text}: accepted one instruction; a list of them goes with `face`")
    if text:
        text = common.read_texts(text, emoji=True)[0][0]
        common.warn_unreadable([text])
    feelings = parse_emotions(emotion, sound.seconds) if emotion is not None else []
    controls = replace(
        LIVELY, blink_rate=LIVELY.blink_rate if blink_rate is None else blink_rate,
        idle=LIVELY.idle if idle is None else idle, eye_contact=eye_contact,
    )  # fmt: skip
    controls.check()
    torch.set_num_threads(threads or 1)
    with progress("loading", quiet):
        pipeline = AvatarPipeline.load(model)
        # refuses an unknown speaker before the sound is transcribed
        pipeline.gestures.driver.style(speaker)
    lower_body = _body(body, seed, model, device, threads, quiet)
    score = pipeline.face.place([text], sound.seconds, True, feelings)[0]
    report_scores([score], [text], quiet, pipeline.face.doubt)
    words = speech.words_in(audio, transcript, asr, model, quiet)
    answer = None
    if interlocutor is not None:
        answer = speech.words_in(interlocutor, interlocutor_transcript, asr, model, quiet)
    with progress("speaking", quiet) as advance:
        steps = 2 * max(1, int(sound.seconds * FPS))
        spoken = pipeline.speak(
            audio, text=text, feelings=feelings, score=score, body=lower_body, controls=controls, lips=lips, seed=seed,
            progress=None if advance is None else lambda count: advance(min(count, steps), steps),
            words=None if words is None else words.words, other=interlocutor,
            other_words=None if answer is None else answer.words, speaker=speaker, temperature=temperature,
            smooth=smooth, semantics=manner,
        )  # fmt: skip
    spoken = spoken.with_caption(text or speech.name_of(audio))
    notes = [*spoken.notes, *_missing_parts(output)]
    for line in notes:
        note(line)
    doubts = [line for part in (words, answer) if part is not None for line in part.notes]
    details = {"notes": [*doubts, *notes]} | ({} if score is None else {"score": score_row(score)})
    out = Output(paths=output, options=options, many=False, as_json=as_json, quiet=quiet)
    out.finish([spoken], [details])


def _body(
    value: str, seed: int, model: Path | None, device: str | None, threads: int | None, quiet: bool
) -> Body:
    """The motion of pelvis and legs; the language model is loaded for a text alone."""
    from avatargpt.avatar.pipeline import body_of

    def generate(text: str) -> Motion:
        text = common.read_texts(text)[0][0]
        loaded = common.load_model(model, device, threads, quiet)
        common.warn_unreadable([text], loaded)
        if not quiet:
            say(f"read {text[:60]!r} as: {', then '.join(loaded.read_as([text])[0])}", err=True)
        with common.text_warnings(), progress("generating", quiet) as advance:
            return loaded.generate([text], seed=seed, progress=advance)[0]

    return body_of(value, generate, seed)


def _missing_parts(targets: Sequence[Path]) -> list[str]:
    """A note where no output file holds the face."""
    bodies = [p for p in targets if p.suffix.lower() in BODY_ONLY]
    if not bodies or len(bodies) < len(targets):
        return []
    return [f"{bodies[0]}: holds no face; -o {bodies[0].with_suffix('.csv')} beside it would"]
