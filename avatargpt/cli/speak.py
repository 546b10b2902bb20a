"""``avatargpt speak``: speech to one avatar with face, hands and body in one file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from avatargpt.cli import common, speech
from avatargpt.cli.common import Output, argument, check_targets, format_options, note, option, progress, say
from avatargpt.cli.face import report_scores, score_row
from vqvae.errors import UserError

if TYPE_CHECKING:
    from avatargpt.avatar.bodies import Body
    from vqvae.motion import Motion

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
    layout: Annotated[str | None, option("--layout NAME", ".vrma: both, arkit, presets.")] = None,
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

    from avatargpt.avatar.bodies import IDLE, names_file
    from avatargpt.avatar.pipeline import AvatarPipeline
    from avatargpt.face.audio_model.conditioning import parse_emotions
    from avatargpt.face.audio_model.controls import LIVELY
    from avatargpt.gesture.features import check_lengths
    from avatargpt.speech.audio import FPS, inspect

    manner = speech.gesture_manner(semantic, calm, energy, cue)
    speech.check_voices(transcript, asr, interlocutor, interlocutor_transcript, temperature)
    sources = speech.source_files(audio, interlocutor, transcript, interlocutor_transcript)
    if body != IDLE and names_file(body):
        sources.append(Path(body))
    check_targets(output, False, "avatar", sources)
    options = format_options(output, "avatar", layout, size)
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
        avatar = pipeline.speak(
            audio, text=text, feelings=feelings, score=score, body=lower_body, controls=controls, lips=lips, seed=seed,
            progress=None if advance is None else lambda count: advance(min(count, steps), steps),
            words=None if words is None else words.words, other=interlocutor,
            other_words=None if answer is None else answer.words, speaker=speaker, temperature=temperature,
            smooth=smooth, semantics=manner,
        )  # fmt: skip
    avatar = avatar.with_caption(text or speech.name_of(audio))
    notes = [*avatar.notes, *_missing_parts(output)]
    for line in notes:
        note(line)
    doubts = [line for part in (words, answer) if part is not None for line in part.notes]
    details = {"notes": [*doubts, *notes]} | ({} if score is None else {"score": score_row(score)})
    out = Output(paths=output, options=options, many=False, as_json=as_json, quiet=quiet)
    out.finish([avatar], [details])


def _body(
    value: str, seed: int, model: Path | None, device: str | None, threads: int | None, quiet: bool
) -> Body:
    """The motion of pelvis and legs; the language model is loaded for a text alone."""
    from avatargpt.avatar.bodies import body_of

    def generate(text: str) -> Motion:
        text = common.read_texts(text)[0][0]
        common.warn_unreadable([text])
        loaded = common.load_model(model, device, threads, quiet)
        if not quiet:
            say(f"read {text[:60]!r} as: {', then '.join(loaded.read_as([text])[0])}", err=True)
        with progress("generating", quiet) as advance:
            return loaded.generate([text], seed=seed, progress=advance)[0]

    return body_of(value, generate, seed)


def _missing_parts(targets: Sequence[Path]) -> list[str]:
    """A note where no output file holds the face."""
    bodies = [p for p in targets if p.suffix.lower() in BODY_ONLY]
    if not bodies or len(bodies) < len(targets):
        return []
    return [f"{bodies[0]}: holds no face; -o {bodies[0].with_suffix('.csv')} beside it would"]
