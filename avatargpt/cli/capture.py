"""``avatargpt capture``: the motion of a person in a film."""

from __future__ import annotations

import tempfile
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from avatargpt.cli import common, live
from avatargpt.cli.common import Output, argument, note, option, say, takes
from vqvae.errors import UserError
from vqvae.io.files import check_output

if TYPE_CHECKING:
    from vqvae.face import FaceMotion

FILM_FORMS = (".mp4", ".mov")  # outputs that keep the film's sound
Film = Annotated[Path | None, argument("[FILM]", "A film: .mp4, .mov, .webm, .mkv, .gif; or a folder of pictures.")]


@takes("capture")
def capture(
    film: Film = None,
    output: common.AnyOutputs = None,
    camera: Annotated[
        str | None, option("--camera N", "Instead of FILM: a camera, 0 is the first, until Ctrl-C or --seconds.")
    ] = None,
    seconds: Annotated[float | None, option("--seconds S", "Of --camera: how long.")] = None,
    *,
    performed: live.FilmOptions,
    asked: dict[str, Any],
    overlay: Annotated[
        Path | None, option("--overlay FILE", "A check by eye, .mp4 or .png: landmarks in the film, our figure.")
    ] = None,
    worn: common.Worn,
    layout: Annotated[str | None, option("--layout NAME", ".vrma: both, arkit, presets.")] = None,
    size: Annotated[int | None, option("--size PIXELS", "Films: side of the picture.", min=16, max=4096)] = None,
    setup: common.PrintSetup,
) -> None:
    """A film to the motion of a person in it.

    A body comes at 20 frames a second, level, on the floor, feet standing where they stand; a face at 30, its head as
    the camera sees it; both as one avatar at 30. .mp4 and .mov keep the film's sound. Needs the extra `video-in`, and
    once: avatargpt data models video-in.

    With --camera the film is recorded first; --face sends each frame as it comes to --live-link, --vmc or --websocket.
    """
    from avatargpt.export.formats import WRITERS
    from avatargpt.verbs import files
    from avatargpt.verbs.request import make_request
    from avatargpt.video.overlay import check_overlay, write_overlay

    output = output or []
    line = live.LiveLine.of(performed, None)
    _check_source(film, camera, seconds, line, bool(output), asked["face"])
    if not asked["face"] and not asked["body"]:
        holds = [WRITERS[path.suffix.lower()].holds if path.suffix.lower() in WRITERS else ("body",) for path in output]
        asked["face"] = all("body" not in modalities for modalities in holds)
    request = make_request(files.CaptureRequest, film, **asked)
    request.check()
    sources = () if film is None else (film,)
    out = Output.check(output, request.modality, setup, worn, sources, layout=layout, size=size)
    if overlay is not None:
        check_overlay(overlay)
        common.check_different([*output, overlay])
        common.check_not_source(overlay, sources)
        check_output(overlay)
    with tempfile.TemporaryDirectory() as folder:
        if camera is not None:
            film = Path(folder) / "camera.mkv"
            _record(camera, film, seconds, line, request.face, request.focal)
            if not output and overlay is None:
                return
        with common.progress("reading the film", setup.quiet) as advance:
            captured = files.capture(None, replace(request, film=film, progress=advance))
        for text in captured.notes:
            note(text)
        options = list(out.options)
        if captured.film.sound and any(path.suffix.lower() in FILM_FORMS for path in output):
            from avatargpt.video.sound import write_sound

            sound = Path(folder) / "sound.wav"
            write_sound(captured.film.path, sound, captured.start, captured.motion.seconds)
            options = [o | ({"audio": sound} if p.suffix.lower() in FILM_FORMS else {})
                       for o, p in zip(options, output, strict=True)]  # fmt: skip
        with common.progress("writing", setup.quiet):
            written = common.write_results(output, [captured.motion], False, options) if output else [[]]
            if overlay is not None:
                write_overlay(captured, overlay)
                written[0].append(str(overlay))
    details = {"start": round(captured.start, 3), "people": captured.people, "notes": list(captured.notes)}
    common.print_results([captured.motion], written, setup.as_json, [details])


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
