"""Films to a data set: the whole chain, cut off at any moment, within bounds, with bad films, and on Ray."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from avatargpt.cli.app import run
from avatargpt.curate.manifest import films_of
from avatargpt.train.finetuning.clips import read_clips, read_recordings
from instruct_data.planning import read_planning_pairs
from instruct_data.store import Store
from tests.curate.doubles import StandIn, write_film

if find_spec("av") is None or find_spec("scenedetect") is None:
    pytest.skip("needs the extra video-in", allow_module_level=True)

ROOT = Path(__file__).parents[2]
CAPTURE = "tracks.capture=tests.curate.doubles:KnownPeople"


@pytest.fixture
def endpoint(monkeypatch: pytest.MonkeyPatch) -> Iterator[StandIn]:
    monkeypatch.setenv("AVATARGPT_LLM_MODEL", "stand-in")
    # worker processes import the doubles, too
    monkeypatch.setenv("PYTHONPATH", f"{ROOT}{os.pathsep}{os.environ.get('PYTHONPATH', '')}")
    made = StandIn()
    yield made
    made.close()


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("films")
    for k, name in enumerate(("greeting", "silent", "two_shots")):
        write_film(folder / f"{name}.mp4", 5 + k, k, sound=k != 1, shots=1 + (k == 2))
    return folder


def words(films: Path, output: Path, url: str = "", *more: str) -> list[str]:
    llm = ["--llm", url] if url else []
    return ["data", "curate", str(films), "-o", str(output), "--set", CAPTURE, "--workers", "2", "--json", *llm, *more]


def curate(capsys: pytest.CaptureFixture[str], *arguments: Any) -> dict[str, Any]:
    status = run(words(*arguments))
    out, err = capsys.readouterr()
    assert status == 0, err
    return dict(json.loads(out))


def test_a_data_set(films: Path, tmp_path: Path, endpoint: StandIn, capsys: pytest.CaptureFixture[str]) -> None:
    endpoint.bad = 1  # the first answer is no JSON: asked again once
    about = curate(capsys, films, tmp_path / "set", endpoint.url)
    assert about["films"] == about["used"] == 3 and about["texts"] == {"model": sum(about["clips"].values())}
    bodies = list(Store.open(tmp_path / "set" / "body").clips())
    assert {c.extra["film"] for c in bodies} == {"greeting", "silent", "two_shots"}
    first = bodies[0]
    assert first.captions[0].startswith("a person waves with the right arm") and first.load().fps == 20
    assert (first.action, first.extra["step"]) == ("They wave", "the person waves for time 1")
    assert np.allclose(first.load().root[0, [0, 2]], 0)
    learnt = read_clips(tmp_path / "set" / "body", "own")  # as `finetune` reads it
    assert {c.id for c in learnt} == {c.id for c in bodies} and {c.split for c in learnt} == {"train", "val"}
    recordings = read_recordings(tmp_path / "set" / "recordings" / "face", ("face",), (".npz",))
    assert len(recordings) == 3 and recordings[0].rate == 48_000
    faces = list(Store.open(tmp_path / "set" / "face").clips())
    assert faces[0].captions[0] == "Smile" and len(faces[0].captions) == 4
    assert {"unit": "lip corner puller", "strength": "strongly"} in faces[0].extra["units"]
    pairs = read_planning_pairs(tmp_path / "set" / "planning")
    assert len(pairs["activity_to_steps"]) == 3
    assert sorted(p.name for p in (tmp_path / "set" / "recordings" / "face").iterdir()) == [
        f"{n}.{s}" for n in ("greeting_000", "two_shots_000", "two_shots_001") for s in ("npz", "wav")
    ]  # no sound, no recording
    pictures = [b for b in endpoint.bodies if isinstance(b["messages"][-1]["content"], list)]
    parts = pictures[0]["messages"][-1]["content"]
    assert [p["type"] for p in parts] == ["text"] + ["image_url"] * 4
    assert parts[1]["image_url"]["url"].startswith("data:image/jpeg;base64,/9j/")
    page = (tmp_path / "set" / "report.html").read_text(encoding="utf-8")
    assert "no sound" not in page and page.count("<figure>") == sum(about["clips"].values())
    # nothing is paid twice: not by a second run, nor for another data set with the same work
    count = len(endpoint.log)
    again = curate(capsys, films, tmp_path / "other", endpoint.url, "--work", str(tmp_path / "set.work"))
    assert again["sha256"] == about["sha256"] and len(endpoint.log) == count == len(set(endpoint.log))


@pytest.mark.slow
def test_killed_at_any_moment(
    films: Path, tmp_path: Path, endpoint: StandIn, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = curate(capsys, films, tmp_path / "whole", endpoint.url)
    endpoint.log.clear()
    endpoint.delay = 0.2
    rng, output = random.Random(0), tmp_path / "cut"
    command = [sys.executable, "-m", "avatargpt", *words(films, output, endpoint.url)]
    kills = 0
    while (process := subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)).poll() is None:
        # after some further files, and a little: moments of progress, not of a clock that others slow down
        enough = files_in(tmp_path / "cut.work") + rng.randint(2, 9)
        while process.poll() is None and files_in(tmp_path / "cut.work") < enough:
            time.sleep(0.02)
        time.sleep(rng.uniform(0, 0.2))
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
            kills += 1
        process.communicate()
        if process.returncode == 0:
            break
    assert process.returncode == 0 and kills >= 3
    about = json.loads((output / "dataset.json").read_text(encoding="utf-8"))
    assert about["sha256"] == whole["sha256"]
    assert len(endpoint.log) == len(set(endpoint.log)) > 0


def files_in(folder: Path) -> int:
    return sum(1 for p in folder.rglob("*") if p.is_file())


def test_bounds_of_calls(films: Path, tmp_path: Path, endpoint: StandIn, capsys: pytest.CaptureFixture[str]) -> None:
    endpoint.tokens = 2000
    bounds = ("--llm-limits", "answer=100,price=1/1,money=12", "--workers", "1")
    assert run(words(films, tmp_path / "set", endpoint.url, *bounds)) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith("error: stopped: ") and "left of 12" in error and "the same command goes on" in error
    assert not (tmp_path / "set").exists() and 0 < len(endpoint.log) < 8
    assert not list(tmp_path.glob(".*"))
    asked = len(endpoint.log)
    about = curate(capsys, films, tmp_path / "set", endpoint.url, "--llm-limits", "answer=100,price=1/1,money=99")
    assert about["clips"]["body"] and len(endpoint.log) == len(set(endpoint.log)) > asked


def test_films_of_one_name_are_told_apart_by_their_suffix(tmp_path: Path) -> None:
    for name in ("a.mp4", "a.mov", "b.mp4", "deep/a.mp4"):
        (tmp_path / "films" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "films" / name).write_bytes(name.encode())
    found = films_of([tmp_path / "films"], tmp_path)
    assert [f.name for f in found] == ["a.mov", "a.mp4", "b", "deep/a"]


def test_without_a_language_model(films: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "films"
    for film in films.iterdir():
        os.link(film, folder / film.name) if folder.mkdir(exist_ok=True) is None else None
    write_film(folder / "good_day.mp4", 2.0, 7, sound=False)
    (folder / "two_shots.txt").write_text("A man waves twice.\n", encoding="utf-8")
    (folder / "greeting.txt").write_text("A woman waves.\n", encoding="utf-8")
    (folder / "greeting.info.json").write_text(json.dumps({"title": "Hello", "license": "CC BY 4.0"}), encoding="utf-8")
    more = ("--set", "text.plain=[beside, name]", "--licence", "own", "--set", "dataset.held_out=0")
    about = curate(capsys, folder, tmp_path / "set", "", *more)
    assert set(about["texts"]) == {"beside", "name", "nobody"}
    clips = {c.extra["film"]: c for c in Store.open(tmp_path / "set" / "body").clips()}
    assert clips["greeting"].captions == ["A woman waves"] and clips["greeting"].licence == "CC BY 4.0"
    assert clips["good_day"].captions == ["good day"] and "by file name" in clips["good_day"].source
    # words about a whole film are not said of each of its segments
    assert clips["two_shots"].captions == [] and about["clips"]["body"] > len(clips)
    assert clips["silent"].captions == [] and "without text" in clips["silent"].source
    # a licence that is not accepted leaves its film out
    about = curate(capsys, folder, tmp_path / "set", "", *more, "--set", "gates.licences=[own]")
    assert about["used"] == 3 and "CC BY 4.0" in (tmp_path / "set" / "rejects.jsonl").read_text(encoding="utf-8")


def test_bad_films(films: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from PIL import Image

    folder = tmp_path / "films"
    folder.mkdir()
    good = (films / "greeting.mp4").read_bytes()
    (folder / "good.mp4").write_bytes(good)
    (folder / "copy.mp4").write_bytes(good)
    (folder / "cut.mp4").write_bytes(good[: len(good) // 2])
    (folder / "empty.mp4").touch()
    (folder / "zeros.mkv").write_bytes(bytes(5000))
    (folder / "text.mov").write_text("no film at all\n" * 50, encoding="utf-8")
    frames = [Image.new("RGB", (64, 64), (k, 0, 0)) for k in range(3)]
    frames[0].save(folder / "short.gif", save_all=True, append_images=frames[1:], duration=100)
    os.mkfifo(folder / "pipe.mp4")
    about = curate(capsys, folder, tmp_path / "set", "", "--set", "text.plain=[name]")
    assert about["used"] == 1
    lines = (tmp_path / "set" / "rejects.jsonl").read_text(encoding="utf-8").splitlines()
    reasons = {r["name"].split("/")[0]: r["reason"] for r in map(json.loads, lines)}
    assert reasons["good"] == "the same file as copy" and reasons["empty"] == "an empty file"
    assert reasons["text"].startswith("not a film") and reasons["pipe"] == "not a regular file"
    assert str(folder) not in "".join(lines)  # the same wherever the films lie
    assert reasons["short"].startswith("short: 0.3 s") and "cut" in reasons
    (folder / "copy.mp4").unlink()
    (folder / "good.mp4").unlink()
    assert run(words(folder, tmp_path / "none")) == 2
    assert "nothing is left of 6 films" in capsys.readouterr().err and not (tmp_path / "none").exists()


@pytest.mark.parametrize(("change", "message"), [
    (["--engine", "spark"], "accepted: local, ray"), (["--set", "gates.blur=3"], "unknown key 'blur'"),
    (["--set", "tracks.capture=nowhere:Nobody"], "accepted MODULE:NAME"), (["--llm", "gguf:none"], "no such file"),
])  # fmt: skip
def test_mistakes(
    films: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], change: list[str], message: str
) -> None:
    assert run(words(films, tmp_path / "set", "", *change)) == 2
    assert message in capsys.readouterr().err and not (tmp_path / "set").exists()


@pytest.mark.slow
def test_on_ray(films: Path, tmp_path: Path, endpoint: StandIn, capsys: pytest.CaptureFixture[str]) -> None:
    if find_spec("ray") is None:
        pytest.skip("needs the extra ray")
    local = curate(capsys, films, tmp_path / "local", endpoint.url)
    endpoint.log.clear()
    command = [sys.executable, "-m", "avatargpt", *words(films, tmp_path / "ray", endpoint.url, "--engine", "ray")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["sha256"] == local["sha256"]
    assert len(endpoint.log) == len(set(endpoint.log)) > 0
