"""``avatargpt capture``: the motion of a person in a film."""

from __future__ import annotations

import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from avatargpt.cli import common, live
from avatargpt.cli.common import argument, note, option, say
from vqvae.errors import UserError
from vqvae.io.files import check_output

if TYPE_CHECKING:
    from avatargpt.video.capture import Capture
    from vqvae.face import FaceMotion

FILM_FORMS = (".mp4", ".mov")  # outputs that keep the film's sound
Film = Annotated[
    Path | None, argument("[FILM]", "A film: .mp4, .mov, .webm, .mkv, .gif; or a folder of pictures.")
]


def capture(
    film: Film = None,
    output: common.AnyOutputs = None,
    camera: Annotated[
        str | None, option("--camera N", "Instead of FILM: a camera, 0 is the first, until Ctrl-C or --seconds.")
    ] = None,
    seconds: Annotated[float | None, option("--seconds S", "Of --camera: how long.")] = None,
    live_link: live.LiveLink = None,
    vmc: live.Vmc = None,
    websocket: Annotated[str | None, option("--websocket [HOST:]PORT", "Serve frames to browsers.")] = None,
    subject: live.Subject = None,
    start: Annotated[float, option("--start S", "Second of the film to begin at.")] = 0.0,
    end: Annotated[float | None, option("--end S", "Second of the film to stop at.")] = None,
    face: Annotated[bool, option("--face", "The face; with --body both, as one avatar.")] = False,
    body: Annotated[bool, option("--body", "The body; the default, unless all outputs are for faces.")] = False,
    person: Annotated[int, option("--person N", "Which one; 1 is the largest for longest.", min=1, max=99)] = 1,
    poses: Annotated[str, option("--poses NAME", "Pose estimator: mediapipe, mediapipe-heavy, mediapipe-lite.")] = "",
    neutral: Annotated[
        bool, option("--neutral/--raw", "Of the face: take the resting face of the film away, or leave it.")
    ] = True,
    focal: Annotated[
        float | None, option("--focal F", "Focal length in lengths of the picture's longer side; usually 0.9.")
    ] = None,
    picture_rate: Annotated[float, option("--picture-rate F", "Of a folder: pictures a second.")] = 30.0,
    overlay: Annotated[
        Path | None, option("--overlay FILE", "A check by eye, .mp4 or .png: landmarks in the film, our figure.")
    ] = None,
    character: common.Character = None,
    root: common.Root = "hips",
    layout: Annotated[str | None, option("--layout NAME", ".vrma: both, arkit, presets.")] = None,
    size: Annotated[int | None, option("--size PIXELS", "Films: side of the picture.", min=16, max=4096)] = None,
    as_json: common.Json = False,
    quiet: common.Quiet = False,
) -> None:
    """A film to the motion of a person in it.

    A body comes at 20 frames a second, level, on the floor, feet standing where they stand; a face at 30, its head as
    the camera sees it; both as one avatar at 30. .mp4 and .mov keep the film's sound. Needs the extra `video-in`, and
    once: avatargpt data models video-in.

    With --camera the film is recorded first; --face sends each frame as it comes to --live-link, --vmc or --websocket.
    """
    from avatargpt.export.formats import WRITERS
    from avatargpt.options import FPS
    from avatargpt.video.capture import DEFAULT, capture_avatar, capture_body, capture_face
    from avatargpt.video.frames import MAX_SECONDS
    from avatargpt.video.overlay import check_overlay, write_overlay

    output = output or []
    line = live.LiveLine(
        audio=None, microphone=None, rate=None, live_link=live_link, vmc=vmc, websocket=websocket, subject=subject
    )
    line.check()
    _check_source(film, camera, seconds, line, bool(output), face)

    common.check_range("--start", start, 0, 1e6, " seconds")
    common.check_range("--end", end, 0, 1e6, " seconds")
    if end is not None and end <= start:
        raise UserError(f"--end {end:g}: accepted after --start {start:g}")
    if end is not None and end - start > MAX_SECONDS:
        raise UserError(f"--end {end:g}: accepted up to {MAX_SECONDS:g} s after --start {start:g}")
    common.check_range("--focal", focal, 0.2, 10)
    common.check_range("--picture-rate", picture_rate, *FPS, " pictures per second")
    if not face and not body:
        holds = [WRITERS[path.suffix.lower()].holds if path.suffix.lower() in WRITERS else ("body",) for path in output]
        face = all("body" not in modalities for modalities in holds)
        body = not face
    modality = "avatar" if face and body else "face" if face else "body"
    sources = () if film is None else (film,)
    common.check_targets(output, False, modality, sources, character=character)
    if overlay is not None:
        check_overlay(overlay)
        common.check_different([*output, overlay])
        common.check_not_source(overlay, sources)
        check_output(overlay)
    on = common.on_character(character, root, modality)
    options = common.format_options(output, modality, layout, size, character=on)
    model = poses or DEFAULT

    def read(path: Path, advance: common.Progress | None) -> Capture:
        if modality == "avatar":
            return capture_avatar(
                path, start, end, person, model, neutral=neutral, focal=focal, rate=picture_rate, progress=advance
            )
        if face:
            return capture_face(
                path, start, end, person, neutral=neutral, focal=focal, rate=picture_rate, progress=advance
            )
        return capture_body(path, start, end, person, model, focal, picture_rate, advance)

    with tempfile.TemporaryDirectory() as folder:
        if camera is not None:
            film = Path(folder) / "camera.mkv"
            _record(camera, film, seconds, line, face, focal)
            if not output and overlay is None:
                return
        assert film is not None
        with common.progress("reading the film", quiet) as advance:
            captured = read(film, advance)
        for text in captured.notes:
            note(text)
        sound = _sound(captured, output, Path(folder))
        if sound is not None:
            options = [o | ({"audio": sound} if p.suffix.lower() in FILM_FORMS else {})
                       for o, p in zip(options, output, strict=True)]  # fmt: skip
        with common.progress("writing", quiet):
            files = common.write_results(output, [captured.motion], False, options) if output else [[]]
            if overlay is not None:
                write_overlay(captured, overlay)
                files[0].append(str(overlay))
    details = {"start": round(captured.start, 3), "people": captured.people, "notes": list(captured.notes)}
    common.print_results([captured.motion], files, as_json, [details])


def _check_source(
    film: Path | None, camera: str | None, seconds: float | None, line: live.LiveLine, written: bool, face: bool
) -> None:
    """Refuse what does not go together, before anything is opened."""
    from avatargpt.video.frames import MAX_SECONDS

    if (film is None) == (camera is None):
        raise UserError(f"{'no FILM' if film is None else 'FILM and --camera'}; accepted one of FILM and --camera N")
    if camera is None:
        if seconds is not None or line.sends:
            raise UserError("--seconds, --live-link, --vmc, --websocket: accepted with --camera")
    elif line.sends and not face:
        raise UserError("--live-link, --vmc, --websocket: a face is sent; accepted with --face")
    if not written and not line.sends:
        raise UserError("no -o FILE; accepted: one or more, or with --camera --face --live-link, --vmc, --websocket")
    common.check_range("--seconds", seconds, 1, MAX_SECONDS, " seconds")


def _record(
    camera: str, path: Path, seconds: float | None, line: live.LiveLine, face: bool, focal: float | None
) -> None:
    """A film of the camera; its face goes to the receivers of `line` meanwhile."""
    from avatargpt.export.websocket import FaceSender
    from avatargpt.video import faces
    from avatargpt.video.live_camera import LiveFace, pictures, record, source_of

    frames = pictures(*source_of(camera))
    with ExitStack() as stack:
        senders, places = line.open(stack, FaceSender, "watch the face")
        finder = None
        if face and senders:
            estimator = faces.estimator("mediapipe", 1, focal)
            stack.callback(estimator.close)
            finder = LiveFace(estimator)
        for place in places:
            say(place, err=True)
        say(f"camera {camera}: {'Ctrl-C ends the take' if seconds is None else f'{seconds:g} s'}", err=True)

        def send(number: int, motion: FaceMotion) -> None:
            for sender in senders:
                sender.send(number, motion)

        count = record(frames, path, seconds, finder, send)
    say(f"{count} frames", err=True)


def _sound(captured: Capture, output: list[Path], folder: Path) -> Path | None:
    """The film's sound beside the motion, where an output keeps it."""
    if not captured.film.sound or not any(path.suffix.lower() in FILM_FORMS for path in output):
        return None
    from avatargpt.video.sound import write_sound

    return write_sound(captured.film.path, folder / "sound.wav", captured.start, captured.motion.seconds)
