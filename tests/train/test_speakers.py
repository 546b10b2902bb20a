"""Fine-tuning for one speaker: films as recordings, channels that a capture leaves out, a head that gains channels."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from avatargpt.cli.app import run as command
from avatargpt.face.audio_model.driver import PAIRED_CHANNELS, Driver, RecordedMouth, list_paired_channels
from avatargpt.face.audio_model.network import DriverConfig, DriverNetwork
from avatargpt.train.finetuning import films
from avatargpt.train.finetuning.clips import Recording
from avatargpt.train.finetuning.speakers import speech_clips, take_channels
from tests.curate.doubles import write_film
from tests.factories import voice
from vqvae.arkit import INDEX
from vqvae.errors import UserError
from vqvae.face import FaceMotion

JAW, BROW, PUFF = INDEX["jawOpen"], INDEX["browInnerUp"], INDEX["cheekPuff"]


def network(ahead: int = 1) -> DriverNetwork:
    torch.manual_seed(0)
    out = DriverNetwork(
        DriverConfig(width=16, hidden=16, dilations=[1], text_width=8, inject=1, look_ahead=ahead)
    ).eval()  # fmt: skip
    with torch.no_grad():
        out.paired.bias.fill_(0.3)
    return out


def recording(seconds: float = 4.0) -> Recording:
    weights = np.zeros((round(seconds * 30), 52), np.float32)
    weights[:, JAW] = weights[:, BROW] = np.linspace(0, 0.6, len(weights))
    weights[:, PUFF] = 0.03  # noise
    return Recording("a", (), voice(seconds), 16_000, FaceMotion(weights, np.zeros((len(weights), 3))))


def test_what_a_recording_does_not_measure_is_kept_or_left_out() -> None:
    driver = Driver(network())
    paired, taught, held = speech_clips(recording(), driver)
    assert (paired.kind, taught.kind, held.split) == ("paired", "taught", "val")
    assert np.isfinite(paired.curves[:, [JAW, BROW]]).all() and np.isnan(paired.curves[:, PUFF]).all()
    smile = INDEX["mouthSmileLeft"]  # not measured, but the head has it: it is held
    assert smile in PAIRED_CHANNELS and np.isfinite(paired.curves[:, smile]).all() and paired.curves[:, smile].any()


def test_a_head_gains_the_channels_that_were_measured() -> None:
    head = network()
    before = head.paired.weight.clone()
    take_channels(head, [c.curves for c in speech_clips(recording(), Driver(head)) if c.kind == "paired"])
    learnt = list_paired_channels(head.config.own)
    assert set(learnt) == {*PAIRED_CHANNELS, BROW}
    assert float(head.paired.bias[BROW].detach()) == pytest.approx(0.3, abs=0.05) and not head.paired.weight[BROW].any()
    assert torch.equal(head.paired.weight[list(PAIRED_CHANNELS)], before[list(PAIRED_CHANNELS)])
    phones = torch.zeros(80)
    phones[1] = phones[41] = 50.0  # somebody speaks
    rest, said = np.zeros(55, np.float32), np.full(55, 0.4, np.float32)
    for own, brow, jaw in ((head.config.own, 0.4, 0.4), ([], 0.0, None)):
        mouth = RecordedMouth(head, 0, own)
        for _ in range(9):
            row = mouth.step(rest.copy(), rest, phones, [], said)
        assert row is not None and row[BROW] == pytest.approx(brow, abs=1e-3)
        assert (row[JAW] == pytest.approx(0.4, abs=1e-3)) == (jaw is not None)  # own jaws stay as they are


def test_films_become_recordings_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("av")
    film, mute = write_film(tmp_path / "films" / "a.mp4", 3.0), write_film(tmp_path / "mute.mp4", 3.0, sound=False)
    calls = []

    def capture(path: Path) -> SimpleNamespace:
        calls.append(path)
        return SimpleNamespace(start=0.5, motion=FaceMotion(np.zeros((60, 52)), np.zeros((60, 3))))

    monkeypatch.setattr(films, "capture_face", capture)
    assert films.films_of(film.parent) == films.films_of(film) == [film]
    for _ in range(2):
        films.record([film], "face", tmp_path / "out", lambda activity: None, film)
    assert len(calls) == 1 and sorted(p.name for p in (tmp_path / "out").iterdir()) == ["000_a.npz", "000_a.wav"]
    assert films.films_of(tmp_path / "out") == []  # sounds
    FaceMotion(np.full((50, 52), 0.25), np.zeros((50, 3))).save(film.with_suffix(".npz"))
    films.record([film], "face", tmp_path / "beside", lambda activity: None, film)
    assert len(calls) == 1 and films.sources([film], "face", film) == [film, film.with_suffix(".npz")]
    assert len(FaceMotion.load(tmp_path / "beside" / "000_a.npz")) == 50
    with pytest.raises(UserError, match="mute.mp4: no sound"):
        films.sources([mute], "face", mute)


def test_files_of_voice2motion_are_taken_at_the_rate_of_the_film(tmp_path: Path) -> None:
    """Films in folders; NAME.mp4.npz of each in another folder, without a rate."""
    pytest.importorskip("av")
    film = write_film(tmp_path / "videos" / "one" / "talk.mp4", 3.0)  # 10 frames a second
    processed = tmp_path / "processed" / "talk.mp4.npz"
    processed.parent.mkdir()
    empty = np.zeros(0, np.int64)
    np.savez(processed, blendshapes=np.full((30, 52), 0.25), head_angles=np.zeros((30, 3)), bad_frames=empty)
    listed = films.films_of(tmp_path)
    assert listed == [film] and films.sources(listed, "face", tmp_path) == [film, processed]
    films.record(listed, "face", tmp_path / "out", lambda activity: None, tmp_path)
    motion = FaceMotion.load(tmp_path / "out" / "000_talk.npz")
    assert motion.fps == 10 and motion.seconds == pytest.approx(3.0) and motion.weights[:, JAW].mean() > 0.2
    again = tmp_path / "again" / "talk.mp4.npz"
    again.parent.mkdir()
    again.write_bytes(processed.read_bytes())
    with pytest.raises(UserError, match="go with it; accepted one"):
        films.sources(listed, "face", tmp_path)


@pytest.mark.parametrize(("name", "line"), [("a.txt", "a folder of wav files with face curves beside them, or films"),
                                            ("a.mp4", "a.mp4: not a film")])  # fmt: skip
def test_no_film_is_one_line(name: str, line: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / name).write_text("no film\n" * 20)
    pytest.importorskip("av")
    command(["finetune", str(tmp_path / name), "-o", str(tmp_path / "out"), "--modality", "face"])
    lines = [x for x in capsys.readouterr().err.strip().splitlines() if x != "reading ..."]
    assert len(lines) == 1 and line in lines[0]
    assert [p.name for p in tmp_path.iterdir()] == [name]
