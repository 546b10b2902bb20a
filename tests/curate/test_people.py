"""The project's own estimators as a capture of shots, on a film that nobody here made."""

from pathlib import Path

import numpy as np
import pytest

from avatargpt.curate.gates import track_reason
from avatargpt.curate.people import FilmCapture
from avatargpt.curate.recipe import Curation, TrackOptions
from avatargpt.curate.stages import StageTask, Workshop
from avatargpt.curate.tracks import Track, read_tracks
from tests.curate.doubles import KnownPeople, waving
from vqvae import arkit
from vqvae.errors import UserError


def test_a_woman_from_the_hips_up(shared: Path) -> None:
    capture = FilmCapture(TrackOptions())
    try:
        capture.ready()
    except UserError as e:
        pytest.skip(f"needs the networks of films ({e})")
    film = shared / "data" / "films" / "half_body_s20.mp4"
    if not film.is_file():
        pytest.skip("needs the films in ../shared")
    body, face = capture.people(film, 2.0, 3.5)
    assert (body.motion.modality, face.motion.modality) == ("body", "face") and body.person == face.person == 0
    for track, fps in ((body, 20), (face, 30)):
        assert track.motion.fps == fps and len(track.visible) == len(track.motion)
        assert abs(track.start - 2) < 0.1 and abs(track.motion.seconds - 1.5) < 0.2 and np.mean(track.visible) > 0.6
    assert 0.1 < face.height < 0.3 < body.height and body.box[1] < face.box[3] < body.box[3]
    assert face.reliability is not None and face.reliability[arkit.INDEX["tongueOut"]] == 0 < face.reliability[17]
    assert not FilmCapture(TrackOptions(body=False, certainty=1.0)).people(film, 2.0, 3.5)  # nothing is that sure


def test_a_doubtful_track_is_left_out_and_joints_keep_their_reliability(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sure = np.linspace(0, 1, 22)
    body = Track(waving(2.0, 1.0), 0.0, 0, 0.8, np.ones(40), reliability=sure, doubts=("the camera moves",))
    monkeypatch.setattr(KnownPeople, "people", lambda *_: [body])
    recipe = Curation(tracks=TrackOptions(capture="tests.curate.doubles:KnownPeople"))
    shop = Workshop(tmp_path, recipe)
    task = StageTask("tracks", {"film": "", "start": 0.0, "end": 2.0, "capture": ""}, {"film": "film.mp4"})
    (row,) = shop.run(task)["tracks"]
    assert track_reason(row, recipe.gates) == "doubtful: the camera moves"
    (stored,) = read_tracks(shop.path(task, ".npz"), [row])
    assert np.allclose(stored.arrays["reliability"], sure, atol=1e-6)
