"""``avatargpt portrait``: a photo that speaks."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from avatargpt.cli import common
from avatargpt.cli.common import argument, option, takes
from avatargpt.cli.face import FaceJob, perform
from vqvae.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np

FILMS = (".mp4", ".mov")
USUAL_SIZE = 512  # pixels of a film's side at most, unless it is stated


@takes("face")
def portrait(
    *,
    asked: dict[str, Any],
    photo: Annotated[Path, argument("PHOTO", "A picture of one face, mouth shut, looking about straight ahead.")],
    output: Annotated[Path, option("-o --output FILE", "The film: .mp4 or .mov.")],
    voice: Annotated[Path | None, option("--speech AUDIO", "What it says: wav, flac, ogg, mp3.")] = None,
    text: Annotated[str | None, option("--text TEXT", "What the face does.")] = None,
    size: Annotated[
        int | None, option("--size PIXELS", "Side of the picture; up to 512 as the photo has.", min=32, max=1024)
    ] = None,
    setup: common.PlainSetup,
) -> None:
    """A photo of a face that speaks and does what TEXT says, as a film with sound.

    The face is performed as by `avatargpt face`; a portrait of MODEL moves the photo so: make one of your own film with
    avatargpt finetune FILM --modality portrait -o MODEL. Needs the extra `video-in`, and once: avatargpt data models
    video-in.
    """
    import torch

    from avatargpt.export.video import encode_mp4
    from avatargpt.face.audio_model.conditioning import parse_emotions
    from avatargpt.face.pipeline import driver_folder
    from avatargpt.face.portrait import Portrait, carried
    from avatargpt.lm.checkpoint import find_part
    from avatargpt.resources import weights
    from avatargpt.speech.audio import MAX_SECONDS, inspect
    from avatargpt.verbs.face import ActFaceRequest
    from avatargpt.verbs.request import make_request
    from avatargpt.video.photo import read_photo

    texts, many = common.read_texts(text, emoji=True) if text is not None else ([""], False)
    if many and len(texts) > 1:
        raise UserError(f"--text {text}: {len(texts)} texts; accepted one")
    how = make_request(ActFaceRequest, texts[0], sound=voice, **asked)
    how.check()
    if output.suffix.lower() not in FILMS:
        raise UserError(f"{output}: a portrait cannot be written as {output.suffix or output.name}; accepted .mp4 .mov")
    common.check_targets([output], False, "face", [photo, *([voice] if voice else [])])
    length = inspect(voice).seconds if voice is not None else how.seconds
    feelings = parse_emotions(how.emotion, length or MAX_SECONDS) if how.emotion else []
    model, controls = setup.model, how.controls
    network = Portrait.load(weights() if model is None else model)
    # a folder of a portrait alone speaks with the packaged driver
    speaker = model if model is not None and find_part(model, "driver") is not None else None
    if model is not None and speaker is None and not setup.quiet:
        common.note(f"{model}: no driver of faces in it; the packaged one speaks")
    if model is None and not setup.quiet:
        common.note(
            "the packaged portrait has learnt from drawn heads alone: the inside of an open mouth can be off colour; "
            "finetune FILM --modality portrait teaches it a person"
        )
    with common.progress("looking at the photo", setup.quiet):
        face = read_photo(photo)
    job = FaceJob(texts, None, feelings, how, length)
    clip = perform(driver_folder(speaker), job, controls, None, replace(setup, model=speaker))[0][0]
    if setup.threads is not None:
        torch.set_num_threads(setup.threads)
    side = size or max(network.size, min(USUAL_SIZE, len(face.picture)))
    points = carried(face.points, clip, face.head)
    with common.progress("drawing", setup.quiet) as advance:

        def draw(even: int) -> Iterator[np.ndarray]:
            for k, picture in enumerate(network.animate(face.picture, face.points, points, even)):
                yield picture
                if advance:
                    advance(k + 1, len(points))

        encode_mp4(output, draw, clip.fps, side, voice, clip.seconds)
    common.print_results([clip], [[str(output)]], setup.as_json, [{"size": side + side % 2}])
