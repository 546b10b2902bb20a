"""A portrait of one's own film: what is read of it, what is held out, that it learns, resumes and refuses."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from avatargpt.face.portrait import FILE, FOLDER, Portrait, PortraitNetwork, PortraitShape
from avatargpt.train.finetuning import portraits
from avatargpt.train.finetuning.portraits import PortraitFinetuning, pictures
from avatargpt.train.finetuning.run import FinetuneOptions
from avatargpt.train.portrait_pictures import render_people
from avatargpt.train.runtime import Runtime
from avatargpt.video.landmarker import Marks
from tests.train.test_portrait import film
from vqvae.errors import UserError

SIDE, FPS = 160, 30


class KnownMarks:
    """A landmarker that knows where the landmarks of a film are."""

    points = np.zeros((0, 70, 2))

    def __init__(self, count: int = 1) -> None:
        pass

    def marks(self, picture: np.ndarray, time: float) -> list[Marks]:
        points = self.points[min(round(time * FPS), len(self.points) - 1)]
        return [] if np.isnan(points).any() else [Marks(points, np.zeros(3))]

    def close(self) -> None:
        pass


@pytest.fixture
def talk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A film of two seconds of a rendered head that sways."""
    take = render_people(1, 2, SIDE, 3)[0]
    sway = np.rint(5 * np.sin(np.arange(2 * FPS) / 4)).astype(int)
    KnownMarks.points = np.stack([take.points[0] * SIDE + [x, 0] for x in sway])
    film(tmp_path / "films" / "talk.mp4", np.stack([np.roll(take.frames[0], x, 1) for x in sway]), KnownMarks.points)
    (tmp_path / "films" / "talk.npz").unlink()
    monkeypatch.setattr(portraits, "Landmarker", KnownMarks)
    Portrait(PortraitNetwork(PortraitShape(size=32, width=8, most=16, heads=2))).save(tmp_path / "start" / FOLDER)
    (tmp_path / "start" / "other.txt").write_text("stays")
    return tmp_path / "films" / "talk.mp4"


def finetuning(film: Path, out: Path, **options: Any) -> PortraitFinetuning:
    chosen = FinetuneOptions(**{"steps": 8, "batch": 2, "rounds": 2, "minutes": 100.0, **options})
    start = film.parent.parent / "start"
    return PortraitFinetuning(film, out, chosen, start, Runtime.start(1, "cpu"), lambda activity: None)


def test_the_last_second_is_held_out(talk: Path, tmp_path: Path) -> None:
    learnt, held = pictures([talk], 32, tmp_path / "read", lambda activity: None)
    assert len(learnt) == len(held) == 1 and learnt[0].frames.shape == (30, 32, 32, 3)
    assert len(held[0].frames) == 31 and (held[0].frames[0] == learnt[0].frames[0]).all()
    low, high = learnt[0].points.min((0, 1)), learnt[0].points.max((0, 1))
    assert (low > 0).all() and (high < 1).all() and (high - low).max() > 0.5
    again, _ = pictures([talk], 32, tmp_path / "read", lambda activity: pytest.fail("read twice"))
    assert (again[0].frames == learnt[0].frames).all()


def test_it_learns_and_resumes_exactly(talk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    about = finetuning(talk, tmp_path / "whole").go()
    assert about["pictures"] == {"train": 30, "val": 30} and about["modality"] == "portrait"
    assert {"db", "db_copy", "face_db", "face_db_copy"} <= set(about["figures"])
    assert about["figures"]["db_copy"][0] == about["figures"]["db_copy"][1]
    assert (tmp_path / "whole" / "other.txt").read_text() == "stays" and not (tmp_path / "whole.run").exists()
    Portrait.load(tmp_path / "whole")

    stage = PortraitFinetuning.stage

    def broken(self: PortraitFinetuning, steps: int) -> Any:
        out = stage(self, steps)
        taken, out.calls = out.losses, 0

        def losses(module: Any, context: Any) -> Any:
            if context.step == 6:
                raise KeyboardInterrupt
            return taken(module, context)

        out.losses = losses
        return out

    with monkeypatch.context() as patch:
        patch.setattr(PortraitFinetuning, "stage", broken)
        with pytest.raises(KeyboardInterrupt):
            finetuning(talk, tmp_path / "parts").go()
    assert (tmp_path / "parts.run" / "checkpoint.pt").is_file() and not (tmp_path / "parts").exists()
    resumed = finetuning(talk, tmp_path / "parts").go()
    assert resumed["figures"] == about["figures"]
    place = Path(FOLDER) / FILE
    assert (tmp_path / "parts" / place).read_bytes() == (tmp_path / "whole" / place).read_bytes()
    assert (tmp_path / "whole" / place).read_bytes() != (tmp_path / "start" / place).read_bytes()
    assert json.loads((tmp_path / "parts" / "finetune.json").read_text())["clips"] == {"train": 1, "val": 1}


def test_films_that_hold_no_portrait(talk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = KnownMarks.points
    for points, message in (
        (np.full_like(whole, np.nan), r"talk\.mp4: no face in 60 frames"),
        (whole * 0.2, "a face of .* pixels; accepted"),
        (np.where(np.arange(60)[:, None, None] < 20, whole, np.nan), "at least 2 s of one face"),
    ):  # fmt: skip
        monkeypatch.setattr(KnownMarks, "points", points)
        with pytest.raises(UserError, match=message):
            finetuning(talk, tmp_path / "out").go()
        assert not (tmp_path / "out").exists()
        for file in (tmp_path / "out.run").rglob("*.npz"):
            file.unlink()
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match=r"empty: no film in it; accepted \.mp4"):
        finetuning(tmp_path / "empty", tmp_path / "out").go()
