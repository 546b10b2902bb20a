"""`capture` and `export`: films to motion, and motions to files; neither needs a model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from avatargpt.options import FPS
from avatargpt.verbs.request import NUMBER, Flag, InPython, Refers, Source, request, values_of
from vqvae.errors import UserError

if TYPE_CHECKING:
    from avatargpt.video.capture import Capture

LATEST = 1e6  # second of a film
FrameRate = Annotated[float, Field(ge=FPS[0], le=FPS[1], allow_inf_nan=False), NUMBER]
Second = Annotated[float, Field(ge=0, le=LATEST, allow_inf_nan=False), NUMBER]


@request
class CaptureRequest:
    """A film to the motion of a person in it."""

    film: Annotated[Any, Refers("film"), Flag()] = Field(
        description="A film; in Python and on the command line also a folder of pictures."
    )
    start: Annotated[Second, Flag("--start S")] = Field(default=0.0, description="Second of the film to begin at.")
    end: Annotated[Second, Flag("--end S")] | None = Field(default=None, description="Second of the film to stop at.")
    face: Annotated[bool, Flag("--face")] = Field(default=False, description="The face; with body both, as one avatar.")
    body: Annotated[bool, Flag("--body")] | None = Field(
        default=None, description="The body; the default, unless it is of faces alone."
    )
    person: Annotated[int, Field(ge=1, le=99), NUMBER, Flag("--person N")] = Field(
        default=1, description="Which one; 1 is the largest for longest."
    )
    poses: Annotated[str, Flag("--poses NAME")] = Field(
        default="", description="Pose estimator: mediapipe, mediapipe-heavy, mediapipe-lite."
    )
    neutral: Annotated[bool, Flag("--neutral/--raw")] = Field(
        default=True, description="Of the face: take the resting face of the film away, or leave it."
    )
    focal: Annotated[float, Field(ge=0.2, le=10, allow_inf_nan=False), NUMBER, Flag("--focal F")] | None = Field(
        default=None, description="Focal length in lengths of the picture's longer side; usually 0.9."
    )
    picture_rate: Annotated[FrameRate, Flag("--picture-rate F")] = Field(
        default=30.0, description="Of a folder: pictures a second."
    )
    progress: InPython = Field(default=None, description="Called with frames done and in all.")

    @property
    def modality(self) -> str:
        """What is read: a body, a face, or both as an avatar."""
        return ("avatar" if self.body else "face") if self.face else "body"

    def check(self) -> None:
        """Raises UserError for seconds that do not go together."""
        from avatargpt.video.frames import MAX_SECONDS

        if self.end is not None and self.end <= self.start:
            raise UserError(f"end {self.end:g}: accepted after start {self.start:g}")
        if self.end is not None and self.end - self.start > MAX_SECONDS:
            raise UserError(f"end {self.end:g}: accepted up to {MAX_SECONDS:g} s after start {self.start:g}")
        if self.body is False and not self.face:
            raise UserError("face and body: accepted one of them, or both")


def capture(model: object, asked: CaptureRequest) -> Capture:
    """A film to the motion of a person in it: a body at 20 frames a second, a face at 30, both as one avatar at 30.

    Returns:
        The motion, with what was read beside it.

    Raises:
        UserError: not a film, nobody in it, no such person, or what it needs is not installed.
    """
    from avatargpt.video.capture import DEFAULT, capture_avatar, capture_body, capture_face

    asked.check()
    who: dict[str, Any] = {"start": asked.start, "end": asked.end, "person": asked.person, "focal": asked.focal,
                           "rate": asked.picture_rate, "progress": asked.progress}  # fmt: skip
    if asked.modality == "face":
        return capture_face(asked.film, **who, neutral=asked.neutral)
    who["pose_model"] = asked.poses or DEFAULT
    return capture_avatar(asked.film, **who, neutral=asked.neutral) if asked.face else capture_body(asked.film, **who)


@request
class ExportRequest:
    """A motion as a file."""

    motion: Source = Field(description="The motion.")
    format: Annotated[str, Flag()] = Field(
        default="glb", description="glb, bvh, vrma, fbx, npz, csv, mp4, gif or png (contact sheet)."
    )
    fps: Annotated[FrameRate, Flag("--fps F")] | None = Field(
        default=None, description="Change the frame rate first; left out: as it is."
    )
    layout: Annotated[str, Flag("--layout NAME")] | None = Field(
        default=None,
        description=".npz: motion, smplx; .npy: hml263, pos7; .json, .csv, .bvh, .vrma: docs/avatar_formats.md.",
    )
    scale: Annotated[float, Field(ge=0.001, le=10_000, allow_inf_nan=False), NUMBER, Flag("--scale X")] | None = Field(
        default=None, description=".bvh: units per metre, 100 for centimetres."
    )
    size: Annotated[int, Field(ge=16, le=4096), NUMBER, Flag("--size PIXELS")] | None = Field(
        default=None, description="Films: side of the picture."
    )

    @property
    def options(self) -> dict[str, Any]:
        """Those of the format, as `avatargpt.export.save` takes them."""
        return {name: value for name, value in values_of(self).items() if name in ("layout", "scale", "size")}
