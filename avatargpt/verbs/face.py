"""`face`: an instruction, feelings and speech to a face."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from avatargpt.options import SOUND_RATE
from avatargpt.verbs import speech
from avatargpt.verbs.request import NUMBER, SEED, Flag, InPython, PythonOnly, Seconds, Seed, request
from vqvae.errors import UserError

if TYPE_CHECKING:
    from avatargpt.face.audio_model.controls import Controls
    from avatargpt.verbs.model import Voices
    from vqvae.face import FaceMotion

Strength = Annotated[float, Field(ge=0, le=3, allow_inf_nan=False), NUMBER]
Shapes = Annotated[list[str], Field(max_length=200)] | None


@request
class ActFaceRequest:
    """An instruction, feelings, speech, or all at once to a face."""

    text: Annotated[str, Field(max_length=speech.MAX_INSTRUCTION), Flag()] = Field(
        default="", description="What the face does: 'smile, then raise the left eyebrow'."
    )
    emotion: speech.Emotion = speech.EMOTION
    sound: speech.Sound = Field(default=None, description="Speech that it speaks; in Python also samples at `rate`.")
    transcript: Annotated[speech.Transcript, Flag("--transcript TEXT|FILE", str)] = Field(
        default=None, description="What the sound says, for its lips and 'when you say ...'; [happy] is a mood."
    )
    seconds: Annotated[Seconds, Flag("--seconds S")] | None = Field(
        default=None, description="Length without sound; left out: what text and emotion take."
    )
    seed: Seed = SEED
    lips: speech.Lips = speech.LIPS
    gain: Annotated[Shapes, Flag("--gain SHAPE=X", list[str])] = Field(
        default=None, description="Factor of a shape, jawOpen=0.5. Repeatable."
    )
    offset: Annotated[Shapes, Flag("--offset SHAPE=X", list[str])] = Field(
        default=None, description="Added to a shape. Repeatable."
    )
    mouth: Annotated[Strength, Flag("--mouth X")] = Field(default=1.0, description="Strength of jaw and mouth.")
    brow: Annotated[Strength, Flag("--brow X")] = Field(default=1.0, description="Strength of the brows.")
    symmetry: Annotated[speech.Share, Flag("--symmetry 0..1")] = Field(default=0.0, description="1: both halves alike.")
    smooth: Annotated[speech.Share, Flag("--smooth S")] = Field(
        default=0.0, description="Smoothing in seconds, e.g. 0.03."
    )
    blink_rate: speech.Blinks = speech.BLINKS
    idle: speech.Idle = speech.IDLE
    upper: speech.Upper = speech.UPPER
    eye_contact: speech.EyeContact = speech.EYE_CONTACT
    rate: Annotated[int, PythonOnly()] = Field(default=SOUND_RATE, description="Samples a second of `sound`.")
    files: Annotated[bool, PythonOnly()] = Field(default=True, description="Whether a transcript may name a file.")
    progress: InPython = Field(default=None, description="Called with the number of frames so far.")

    def check(self) -> None:
        """Raises UserError for fields that do not go together."""
        if not (self.text.strip() or self.emotion.strip()) and self.sound is None:
            raise UserError("nothing to do; accepted text, emotion, sound, or any of them together")
        if self.sound is not None and self.seconds is not None:
            raise UserError("seconds: accepted without sound, whose length counts")
        if self.transcript and self.sound is None:
            raise UserError("transcript: accepted with sound")
        if self.lips == "recorded" and self.sound is None:
            raise UserError("lips recorded: follows sound; accepted with sound")

    @property
    def explicit(self) -> Controls:
        """The controls that are given; the face blinks and moves only where these ask for it."""
        from avatargpt.face.audio_model.controls import Controls

        controls = Controls(
            read_shapes("gain", self.gain), read_shapes("offset", self.offset), self.mouth, self.brow, self.symmetry,
            self.smooth, self.blink_rate, self.idle or 0.0, self.upper or 0.0,
            self.eye_contact,
        )  # fmt: skip
        controls.check()
        return controls

    @property
    def controls(self) -> Controls:
        """The controls with the usual blinks and idle movement."""
        usual = speech.lively(self.blink_rate, self.idle, self.upper, self.eye_contact)
        return replace(self.explicit, blink_rate=usual.blink_rate, idle=usual.idle, upper=usual.upper)


def read_shapes(name: str, values: list[str] | None) -> dict[str, float]:
    """``SHAPE=NUMBER`` in words. Raises UserError for an unknown shape, or one twice in any spelling."""
    from avatargpt.face.audio_model.controls import shapes
    from vqvae.io.data_files import finite_number

    out: dict[str, float] = {}
    expanded: set[tuple[str, ...]] = set()
    for value in values or []:
        shape, _, text = value.partition("=")
        try:
            number = finite_number(text) if shape else None
        except ValueError:
            number = None
        if number is None:
            raise UserError(f"{name} {value[:80]}: accepted SHAPE=NUMBER, for example jawOpen=0.5")
        if shapes(shape) in expanded:
            raise UserError(f"{name} {value[:80]}: {shape} is named twice")
        expanded.add(shapes(shape))
        out[shape] = number
    return out


def act_face(model: Voices, asked: ActFaceRequest) -> FaceMotion:
    """An instruction, feelings and speech to a face of 52 weights and its head, T frames at 30 fps.

    The streaming driver makes it; what the language model makes of a text is `AvatarGPT.face`.

    Returns:
        The clip; its notes hold warnings about words and about what may have been misread.

    Raises:
        UserError: nothing to do, bad sound, feelings, words or shapes.
    """
    from avatargpt.avatar.pipeline import finish_face
    from avatargpt.speech.audio import open_sound

    asked.check()
    controls = asked.controls
    sound: Any = asked.sound
    length = asked.seconds if sound is None else open_sound(sound, asked.rate).about.seconds
    feelings = speech.read_feelings(asked.emotion, length)
    pipeline = model.avatars.face
    words, feelings, notes = speech.time_words(
        asked.transcript, sound, asked.rate, feelings, pipeline.driver, asked.files
    )
    times = tuple(words or ())
    score = pipeline.place([asked.text], length, sound is not None, feelings, words=times)[0]
    doubt = pipeline.doubt(asked.text, score) if asked.text else ""
    clip = pipeline.perform(
        asked.text, sound, asked.rate, feelings, seconds=None if sound is not None else length, score=score,
        progress=asked.progress, head=asked.lips, words=times,
    )  # fmt: skip
    clip = clip.with_caption(asked.text or ", ".join(f.words for f in feelings))
    of_sound = () if sound is None else (model.gestures, sound)
    out = finish_face(pipeline, clip, controls, score, asked.seed, *of_sound)
    return replace(out, notes=(*notes, *([f"text: {doubt}"] if doubt else []), *out.notes))
