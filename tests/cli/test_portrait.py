"""``avatargpt portrait`` with tiny networks and a landmarker that knows our rendered head; the real one where it is."""

import json
import shutil
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from avatargpt.export.head import head
from avatargpt.export.renderers import MeshRenderer
from avatargpt.face.portrait import Portrait, PortraitNetwork, PortraitShape, landmarks
from avatargpt.resources import models
from avatargpt.video import photo
from avatargpt.video.frames import frames, inspect
from avatargpt.video.landmarker import Landmarker, Marks
from tests.cli.conftest import Cli, Result

SIDE = 320
RENDERER = MeshRenderer(SIDE, SIDE, 0.4)
REST = head().points.astype(float)


class KnownMarks:
    """A landmarker of pictures of our head at rest, in their middle; `count` faces."""

    count = 1

    def __init__(self, most: int) -> None:
        assert most > 1, "several faces are refused, not overlooked"

    def marks(self, picture: np.ndarray, time: float) -> list[Marks]:
        points = RENDERER.project(landmarks(REST)) * picture.shape[0]
        return [Marks(points, np.zeros(3))] * self.count

    def close(self) -> None:
        pass


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    Image.fromarray(RENDERER.frame(REST)).save(tmp_path / "me.png")
    return tmp_path / "me.png"


@pytest.fixture
def model(tmp_path: Path, weights: Path) -> Path:
    folder = tmp_path / "model"
    shutil.copytree(weights, folder)
    # untrained: the spline through the landmarks alone
    Portrait(PortraitNetwork(PortraitShape(size=64, width=8, most=16, heads=2))).save(folder / "portrait")
    return folder


@pytest.fixture
def speak(
    cli: Cli, words: None, picture: Path, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Result]:
    """``avatargpt portrait PHOTO ARGS -o out.mp4``."""
    monkeypatch.setattr(photo, "Landmarker", KnownMarks)

    def run(*argv: object, image: Path = picture, output: str = "out.mp4") -> Result:
        return cli("portrait", image, *argv, "--model", model, "-o", tmp_path / output)

    return run


def test_a_photo_speaks(speak: Callable[..., Result], sound: Path, tmp_path: Path) -> None:
    pytest.importorskip("av")
    result = speak("--speech", sound, "--text", "open the mouth wide", "--json", "--size", 128)
    assert result.code == 0, result.err
    (row,) = json.loads(result.out)["results"]
    assert row["frames"] == 30 and row["size"] == 128 and row["files"] == [str(tmp_path / "out.mp4")]
    film = inspect(tmp_path / "out.mp4")
    assert film.sound and (film.width, film.height) == (128, 128)
    shown = np.stack([f.picture for f in frames(film)]).astype(float)
    corner, side = photo.square_around(RENDERER.project(landmarks(REST)) * SIDE, (SIDE, SIDE))
    x, y = ((RENDERER.project(landmarks(REST))[66] * SIDE - corner) / side * 128).astype(int)
    change = np.abs(shown - shown[0]).mean(-1).max(0)
    assert change[y - 6 : y + 10, x - 10 : x + 10].mean() > 3 * change[:12, :12].mean() + 3  # lips, not the corner


@pytest.mark.parametrize(("count", "line"), [
    (0, "me.png: no face in it; accepted a photo of one face"), (2, "me.png: 2 faces in it; accepted a photo of one"),
])  # fmt: skip
def test_photos_of_another_number_of_faces(
    speak: Callable[..., Result], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, count: int, line: str
) -> None:
    monkeypatch.setattr(KnownMarks, "count", count)
    result = speak("--text", "smile")
    assert (result.code, len(result.err.splitlines())) == (2, 1) and line in result.err
    assert not (tmp_path / "out.mp4").exists()


def test_bad_input_is_one_line(
    speak: Callable[..., Result], cli: Cli, picture: Path, sound: Path, tmp_path: Path, weights: Path
) -> None:
    small, text = tmp_path / "small.png", tmp_path / "text.png"
    Image.open(picture).resize((60, 60)).save(small)
    text.write_text("no picture")
    for result, line in (
        (speak("--text", "smile", image=small), "small.png: a face of "),
        (speak(), "nothing to do; accepted text, emotion, sound"),
        (speak("--text", "smile", image=text), "text.png: not a picture"),
        (speak("--text", "smile", image=tmp_path / "none.png"), "none.png: no such file"),
        (speak("--text", "smile", output="out.glb"), "a portrait cannot be written as .glb; accepted .mp4 .mov"),
        (speak("--speech", sound, "--seconds", 3), "seconds: accepted without sound"),
        (speak("--text", "smile", "--lips", "recorded"), "lips recorded: follows sound"),
        (cli("portrait", picture, "--text", "smile", "--model", weights, "-o", tmp_path / "out.mp4"),
         "no portrait in it; make one: avatargpt finetune FILM --modality portrait -o MODEL"),
    ):  # fmt: skip
        assert result.code == 2 and line in result.err.splitlines()[-1], result.err
        assert len(result.err.splitlines()) == 1 and not (tmp_path / "out.mp4").exists()


THERE = find_spec("mediapipe") is not None and (models() / "face_landmarker.task").is_file()


@pytest.mark.skipif(not THERE, reason="avatargpt[video-in], avatargpt data models video-in")
def test_the_landmarker_places_the_landmarks_in_order(tmp_path: Path) -> None:
    points = RENDERER.project(landmarks(REST))
    finder, doubter = Landmarker(2), Landmarker(2, certainty=1.0)
    (found,) = finder.marks(RENDERER.frame(REST), 0.0)
    assert not doubter.marks(RENDERER.frame(REST), 0.0)
    finder.close()
    doubter.close()
    off = np.linalg.norm(found.points / SIDE - points, axis=1)
    face = np.ptp(points[:, 1])
    assert off[36:].max() < 0.12 * face and np.median(off) < 0.05 * face  # eyes, lips, irises; jaws are drawn elsewhere
    assert np.abs(found.head).max() < 0.25
    Image.fromarray(RENDERER.frame(REST)).save(tmp_path / "me.png")
    seen = photo.read_photo(tmp_path / "me.png")
    assert seen.picture.shape[0] == seen.picture.shape[1] and (seen.points > 0).all() and (seen.points < 1).all()
