"""`gesture` and `speak`: speech to gestures, and to an avatar with face, hands and body."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field, WithJsonSchema

from avatargpt.options import GESTURE_TEMPERATURE, SOUND_RATE
from avatargpt.verbs.request import NUMBER, SEED, Flag, InPython, Number, PythonOnly, Refers, Seed, Source, request
from vqvae.errors import UserError

if TYPE_CHECKING:
    from avatargpt.export.avatar import AvatarMotion
    from avatargpt.face.audio_model.conditioning import Feeling
    from avatargpt.face.audio_model.controls import Controls
    from avatargpt.face.audio_model.driver import Driver
    from avatargpt.gesture.features import TimedWord
    from avatargpt.gesture.semantics import Manner
    from avatargpt.verbs.model import Voices
    from vqvae.motion import Motion

MAX_WORDS, MAX_INSTRUCTION = 20_000, 1000  # characters of a transcript and of an instruction
Sound = Annotated[Any, Refers("sound"), Flag()]
Transcript = Annotated[Any, Flag(), WithJsonSchema({"type": "string", "maxLength": MAX_WORDS})]
Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False), NUMBER]
Emotion = Annotated[str, Field(max_length=400), Flag("--emotion E")]
EMOTION = Field(default="", description="NAME[:0..1], sad:0.7+angry:0.2, 0:calm,2.5:angry:0.8.")
SOUND = Field(description="Speech: a sound file, in Python also samples (n,) or (n, channels) at `rate`.")
TRANSCRIPT = Field(default=None, description="What is said, in English, or word times; [happy] is a mood.")
LipsName = Literal["rule", "recorded"]
LIPS: LipsName = Field(default="rule", description="rule: learnt from rules; recorded: as in recorded pairs.")
Lips = Annotated[LipsName, Flag("--lips NAME", str)]
Blinks = Annotated[float, Field(ge=0, le=60, allow_inf_nan=False), NUMBER, Flag("--blink-rate N")] | None
BLINKS = Field(default=None, description="Blinks a minute of its own accord; usually 15.")
Idle = Annotated[float, Field(ge=0, le=3, allow_inf_nan=False), NUMBER, Flag("--idle X")] | None
IDLE = Field(default=None, description="Small movements of head and eyes: 0 none, usually 1.")
Upper = Annotated[float, Field(ge=0, le=2, allow_inf_nan=False), NUMBER, Flag("--upper X")] | None
UPPER = Field(default=None, description="Brows, lids, cheeks and nose with the speech: 0 none, usually 1.")
EyeContact = Annotated[Share, Flag("--eye-contact 0..1")]
EYE_CONTACT = Field(default=0.0, description="1: eyes on the viewer whatever the head does.")


@request
class VoiceRequest:
    """What gestures and avatars take: voices, their words, and how hands move."""

    sound: Sound = SOUND
    transcript: Transcript = TRANSCRIPT
    interlocutor: Annotated[Sound, Flag("--interlocutor AUDIO")] = Field(
        default=None, description="The other speaker's voice, as long."
    )
    interlocutor_transcript: Annotated[Transcript, Flag("--interlocutor-transcript TEXT|FILE", str)] = Field(
        default=None, description="What the other speaker says."
    )
    speaker: Annotated[Annotated[str, Field(max_length=80)] | int | None, Flag("--speaker ID", str)] = Field(
        default=None, description="Whose style: a name or number; usually nobody's."
    )
    seed: Seed = SEED
    semantic: Annotated[Share, Flag("--semantic 0..1")] | None = Field(
        default=None, description="Share of words of a class that get a gesture."
    )
    calm: Annotated[bool, Flag("--calm")] = Field(default=False, description="Hands rest; head and breath go on.")
    energy: Annotated[Number, Flag("--energy X")] = Field(default=1.0, ge=0.2, le=2, description="Size of movements.")
    cues: Annotated[list[str], Flag("--cue WORD=GESTURE", list[str])] | None = Field(
        default=None, description="A gesture for a word. Repeatable."
    )
    temperature: Annotated[Number, Flag("--temperature X")] = Field(
        default=GESTURE_TEMPERATURE, ge=0, le=2, description="Of the draw of gestures; 0: no chance."
    )
    smooth: Annotated[bool, Flag("--smooth/--no-smooth")] = Field(
        default=True, description="Smooth gestures over nine frames."
    )
    start_pose: Annotated[Source, Flag("--start-pose FILE")] = Field(
        default=None, description="A motion whose last pose this one sets out from."
    )
    rate: Annotated[int, PythonOnly()] = Field(default=SOUND_RATE, description="Samples a second of `sound`.")
    interlocutor_rate: InPython = Field(default=None, description="Those of the interlocutor, None = the same.")
    files: Annotated[bool, PythonOnly()] = Field(default=True, description="Whether a transcript may name a file.")
    progress: InPython = Field(default=None, description="Called with the number of frames so far.")

    def check(self) -> None:
        """Raises UserError for fields that do not go together."""
        if self.interlocutor is None and self.interlocutor_transcript is not None:
            raise UserError("interlocutor_transcript: accepted with interlocutor, whose sound it says")

    @property
    def manner(self) -> Manner:
        """Semantic gestures, calm, energy, cues. Raises UserError for a cue that is not understood."""
        from avatargpt.gesture.semantics import Manner, read_cues

        return Manner(self.semantic, self.calm, self.energy, read_cues(self.cues or []))

    @property
    def settings(self) -> dict[str, Any]:
        """Arguments of `GesturePipeline.perform` and `stream`. Raises UserError for cues, or a pose of a face."""
        from avatargpt.export.avatar import body_and_face

        pose = None if self.start_pose is None else body_and_face(self.start_pose)[0]
        if pose is None and self.start_pose is not None:
            raise UserError("start_pose: a face; accepted a body, a gesture or an avatar")
        return {"speaker": self.speaker or None, "seed": self.seed, "temperature": self.temperature,
                "smooth": self.smooth, "semantics": self.manner, "start_pose": pose}  # fmt: skip


@request
class GestureRequest(VoiceRequest):
    """Speech to co-speech gestures."""

    head: Annotated[Literal["codes", "features"], Flag("--head NAME", str)] = Field(
        default="codes", description="codes: drawn, by the seed; features: the mean motion."
    )


def gesture(model: Voices, asked: GestureRequest) -> Motion:
    """Speech to co-speech gestures: T frames at 30 fps, a `Motion` with fingers (T, 30, 4).

    Returns:
        The motion; its notes hold warnings about sound and words.

    Raises:
        UserError: no gesture network, bad sound, words that do not belong to it, an interlocutor of another length.
    """
    asked.check()
    timed, _, notes = time_words(asked.transcript, asked.sound, asked.rate, files=asked.files)
    answers, more_notes = _answers(asked)
    motion = model.gestures.perform(
        asked.sound, asked.rate, timed, asked.interlocutor, asked.interlocutor_rate, answers, progress=asked.progress,
        head=asked.head, **asked.settings,
    )  # fmt: skip
    return replace(motion, notes=(*notes, *more_notes, *motion.notes))


def _answers(asked: VoiceRequest) -> tuple[Iterable[TimedWord] | None, tuple[str, ...]]:
    """The interlocutor's words with times, and warnings about them."""
    heard = asked.sound if asked.interlocutor is None else asked.interlocutor
    rate = asked.interlocutor_rate or asked.rate
    answers, _, notes = time_words(asked.interlocutor_transcript, heard, rate, files=asked.files)
    return answers, notes


@request
class SpeakRequest(VoiceRequest):
    """Speech to one avatar: face, gestures with fingers, and a body."""

    text: Annotated[str, Field(max_length=MAX_INSTRUCTION), Flag("--text TEXT")] = Field(
        default="", description="What the face does: 'smile, then frown'."
    )
    emotion: Emotion = EMOTION
    body: Annotated[Any, Flag("--body idle|TEXT|FILE", str), WithJsonSchema({"type": "string"})] = Field(
        default="idle", description="What the body does; of words what they say of the face is shown, too."
    )
    motion: Source = Field(default=None, description="A motion that the body does in place of words.")
    lips: Lips = LIPS
    blink_rate: Blinks = BLINKS
    idle: Idle = IDLE
    upper: Upper = UPPER
    eye_contact: EyeContact = EYE_CONTACT

    def check(self) -> None:
        """Raises UserError for fields that do not go together."""
        super().check()
        if self.motion is not None and self.body not in (None, "", "idle"):
            raise UserError("body and motion; accepted one of them")

    @property
    def controls(self) -> Controls:
        """How the face lives."""
        return lively(self.blink_rate, self.idle, self.upper, self.eye_contact)


def read_feelings(emotion: str, seconds: float | None) -> list[Feeling]:
    """The keyframes of ``joyful:0.8`` or ``0:calm,2.5:angry``; none for an empty text. Raises UserError."""
    from avatargpt.face.audio_model.conditioning import parse_emotions

    return parse_emotions(emotion, seconds, "emotion") if emotion.strip() else []


def lively(blink_rate: float | None, idle: float | None, upper: float | None, eye_contact: float) -> Controls:
    """The usual controls of a face with others where they are given."""
    from avatargpt.face.audio_model.controls import LIVELY

    return replace(
        LIVELY, blink_rate=LIVELY.blink_rate if blink_rate is None else blink_rate,
        idle=LIVELY.idle if idle is None else idle, upper=LIVELY.upper if upper is None else upper,
        eye_contact=eye_contact,
    )  # fmt: skip


def speak(model: Voices, asked: SpeakRequest) -> AvatarMotion:
    """Speech to one avatar: face, gestures with fingers and a body, T frames at 30 fps.

    Returns:
        The clip; its notes hold warnings about sound and words, and where the body was held or cut.

    Raises:
        UserError: no gesture network, bad sound, words that do not belong to it, a body that is no motion.
    """
    from avatargpt.avatar.pipeline import IDLE as STANDS
    from avatargpt.avatar.pipeline import BodyClip, body_of
    from avatargpt.speech.audio import open_sound

    asked.check()
    seconds = open_sound(asked.sound, asked.rate).about.seconds
    feelings = read_feelings(asked.emotion, seconds)
    pipeline = model.avatars
    timed, feelings, notes = time_words(
        asked.transcript, asked.sound, asked.rate, feelings, pipeline.face.driver, asked.files
    )
    answers, more_notes = _answers(asked)
    source = asked.motion if asked.motion is not None else asked.body or STANDS
    legs = body_of(source, lambda text: model.acted(text, asked.seed), asked.seed)
    timed = None if timed is None else list(timed)
    score = pipeline.read_face(asked.text, feelings, seconds, legs, timed or ())
    doubt = pipeline.face.doubt(asked.text, score) if asked.text else ""
    pipeline.face.warn(asked.text, score)
    avatar = pipeline.speak(
        asked.sound, asked.rate, asked.text, feelings, score, legs, asked.controls, asked.lips,
        progress=asked.progress, words=timed, other=asked.interlocutor, other_words=answers, **asked.settings,
    )  # fmt: skip
    told = [f"text: {doubt}"] if doubt else []
    told += [f"body: {note}" for note in (legs.motion.notes if isinstance(legs, BodyClip) else ())]
    return replace(avatar, notes=tuple(dict.fromkeys((*notes, *more_notes, *told, *avatar.notes))))


def time_words(
    words: Any,
    sound: Any,
    rate: int,
    feelings: Sequence[Feeling] = (),
    driver: Driver | None = None,
    files: bool = True,
) -> tuple[Iterable[TimedWord] | None, list[Feeling], tuple[str, ...]]:
    """Words with times, feelings with those of their tags, and warnings.

    Args:
        words: a text, a file of text or of word times (`avatargpt.speech.transcripts.words_of` aligns or checks it),
            words with times, or None: words are off.
        driver: None = the packaged one. files: whether a text may name a file of this machine.
    """
    import os

    from avatargpt.speech.words import Words

    if words is None or words == "":
        return None, list(feelings), ()
    if isinstance(words, str | os.PathLike | Words):
        from avatargpt.avatar.events import read_spoken
        from avatargpt.face.audio_model.driver import Driver

        found, moods = read_spoken(words, sound, driver or Driver.load(), feelings, rate, files)
        return found.words, list(moods), found.notes
    return words, list(feelings), ()
