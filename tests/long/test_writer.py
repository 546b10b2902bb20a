"""What is on disk at any moment of a long run, and what becomes of it."""

import errno
import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from avatargpt.long import stream as writing
from avatargpt.long.spans import Span
from avatargpt.long.stream import BodyFrames, LongWriter, join, parts_folder, timeline_file
from vqvae import rotations as rot
from vqvae.errors import UserError
from vqvae.motion import Motion

ABOUT = {"scene": "a man sweeps", "fps": 20.0, "seed": 1}


def frames(count: int, seed: int = 0) -> BodyFrames:
    rng = np.random.default_rng(seed)
    return BodyFrames(rot.from_axis_angle(rng.normal(size=(count, 22, 3)) * 0.2), rng.normal(size=(count, 3)))


def span(start: int, end: int, activity: int = 0, step: int = 0) -> Span:
    return Span(start, end, activity, "sweep", step, "he sweeps", "a person sweeps", 0, "someone sweeps")


def written(target: Path, parts: int = 1) -> LongWriter:
    """What has written so many parts of 200 frames."""
    writer = LongWriter(target, ABOUT)
    for k in range(parts):
        writer.add(frames(200, k))
    return writer


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "life.npz"


def test_joined_is_what_saving_the_whole_gives(target: Path) -> None:
    writer, pieces = LongWriter(target, ABOUT), [frames(n, n) for n in (70, 150, 3, 400, 1)]
    for piece in pieces:
        writer.add(piece)
    writer.add(frames(0), [span(0, 300), span(300, 700, 1)])
    writer.flush()
    made = join(target)
    got = Motion.load(target)
    whole = Motion(np.concatenate([p.rotations for p in pieces]), np.concatenate([p.root for p in pieces]))
    np.testing.assert_allclose(got.joints, whole.joints, atol=1e-5)
    with np.load(target, allow_pickle=False) as z:
        np.testing.assert_allclose(z["joints"], whole.joints, atol=1e-5)
        assert str(z["caption"]) == "a man sweeps" and float(z["fps"]) == 20 and z["joints"].dtype == np.float32
    assert json.loads(timeline_file(target).read_text(encoding="utf-8")) == made
    assert made["frames"] == 624 and made["activities"][1]["end"] == 624
    assert not parts_folder(target).exists()


def test_a_killed_run_leaves_whole_shards(target: Path) -> None:
    writer = LongWriter(target, ABOUT)
    for k in range(5):
        writer.add(frames(90, k), [span(90 * k, 90 * k + 90, k)])
    with open(parts_folder(target) / writing.SPANS, "a", encoding="utf-8") as f:
        f.write('{"start": 450, "en')  # cut short
    del writer  # killed: what waits in memory is lost
    assert all(len(Motion.load(p)) >= writing.SHARD_FRAMES for p in sorted(parts_folder(target).glob("*.npz")))
    made = join(target)
    assert made["frames"] == len(Motion.load(target)) == 270 and len(made["activities"]) == 3


def test_an_interrupted_run_is_not_overwritten(target: Path) -> None:
    written(target)
    with pytest.raises(UserError, match="--join"):
        LongWriter(target, ABOUT)


def test_a_run_that_is_going_on_is_left_alone(target: Path) -> None:
    """A thread stands for another process: locks of one thread do not count for another."""
    writer = written(target)
    with ThreadPoolExecutor(1) as other:
        for meddle in (lambda: join(target), lambda: LongWriter(target, ABOUT)):
            with pytest.raises(UserError, match="a run is writing it") as refused:
                other.submit(meddle).result()
            assert "--join" not in str(refused.value)
    writer.add(frames(200, 1))
    writer.close()
    assert join(target)["frames"] == 400


def test_the_lock_ends_with_its_process(target: Path) -> None:
    script = (
        "import os, sys, pathlib\n"
        "from vqvae.io.files import folder_lock\n"
        "with folder_lock(pathlib.Path(sys.argv[1]), 'busy'):\n"
        "    print('held', flush=True)\n"
        "    sys.stdin.read()\n"
        "    os._exit(1)\n"
    )
    written(target)
    command = [sys.executable, "-c", script, str(parts_folder(target))]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None and process.stdout.readline() == "held\n"
        with pytest.raises(UserError, match="a run is writing it"):
            join(target)
        process.kill()
    assert join(target)["frames"] == 200


def test_a_run_that_had_made_nothing_is_no_dead_end(target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*args: object, **more: object) -> None:
        raise UserError("No space left on device")

    with monkeypatch.context() as m:
        m.setattr(writing, "atomic_write", full)
        with pytest.raises(UserError, match="No space left"):
            LongWriter(target, ABOUT)
    assert not parts_folder(target).exists()
    parts_folder(target).mkdir()  # as a kill leaves it
    (parts_folder(target) / writing.SPANS).write_text("{}\n")
    written(target).close()
    assert join(target)["frames"] == 200


def test_a_last_part_that_is_not_whole_is_left_out_and_told(target: Path) -> None:
    written(target, 2)
    last = parts_folder(target) / "000001.npz"
    last.write_bytes(last.read_bytes()[:-40])
    told: list[str] = []
    assert join(target, note=told.append)["frames"] == 200
    assert len(told) == 1 and "000001.npz" in told[0] and not parts_folder(target).exists()


def test_there_is_nothing_to_join(target: Path) -> None:
    with pytest.raises(UserError, match="no parts"):
        join(target)
    LongWriter(target, ABOUT)
    with pytest.raises(UserError, match="before it had made anything"):
        join(target)


def test_a_full_disk_is_told_and_spoils_nothing(target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    writer = written(target)

    def full(*args: object, **more: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as m:
        m.setattr(np, "savez", full)
        with pytest.raises(UserError, match="No space left"):
            writer.add(frames(200, 1))
        m.setattr(writing, "_write_joined", full)
        with pytest.raises(UserError, match="No space left"):
            join(target)
    assert not target.exists() and parts_folder(target).is_dir()
    assert sorted(p.name for p in parts_folder(target).glob("[!.]*")) == ["000000.npz", "about.json"]
    assert join(target)["frames"] == 200


def test_a_damaged_shard_is_named(target: Path) -> None:
    written(target)
    (parts_folder(target) / "000000.npz").write_bytes(b"PK\3\4 rubbish")
    with pytest.raises(UserError, match=r"000000\.npz"):
        join(target)
    assert not target.exists()


@pytest.mark.parametrize(
    ("head", "message"),
    [
        ('{"scene": "a", "fps": NaN}', "about.json: not the head of a run"), ('{"scene": "a", "fps": 0}', "fps 0"),
        ('{"scene": "a", "fps": 30}', "000000.npz: 20 frames a second"), ('{"fps": 20.0}', "about.json: not the head"),
        ('{"scene": ["a"], "fps": 20.0}', "scene is no text"), ('{"scene": "\\ud800", "fps": 20.0}', "about.json"),
        ('{"scene": "a", "fps": 20.0, "radius": Infinity}', "about.json"), ("[" * 100_000, "nested too deeply"),
    ],
)  # fmt: skip
def test_a_damaged_head_is_refused_and_the_parts_stay(target: Path, head: str, message: str) -> None:
    written(target)
    (parts_folder(target) / writing.ABOUT).write_text(head)
    with pytest.raises(UserError, match=message):
        join(target)
    assert not target.exists() and (parts_folder(target) / "000000.npz").is_file()


def test_parts_whose_arrays_differ_in_length_are_refused_and_stay(target: Path) -> None:
    written(target, 3)
    middle = parts_folder(target) / "000001.npz"
    with np.load(middle) as arrays:
        np.savez(middle, **{**arrays, "joints": arrays["joints"][:-1]})
    with pytest.raises(UserError, match=r"000001\.npz: .* equally long"):
        join(target)
    assert not target.exists() and middle.is_file()


def test_damaged_steps_are_left_out(target: Path) -> None:
    writer = LongWriter(target, ABOUT | {"frames": "many", "activities": 7})
    writer.add(frames(200), [span(0, 90)])
    with open(parts_folder(target) / writing.SPANS, "a", encoding="utf-8") as f:
        f.write(json.dumps(span(90, 200).to_json() | {"start": "x"}) + "\n")
    made = join(target)
    assert made["frames"] == 200 and len(made["activities"]) == 1


def test_equal_runs_give_equal_files(tmp_path: Path) -> None:
    made = []
    for name in ("a", "b"):
        path = tmp_path / name / "x.npz"
        writer = LongWriter(path, ABOUT)
        writer.add(frames(230))
        writer.flush()
        join(path)
        made.append(path.read_bytes())
    assert made[0] == made[1]
