"""``avatargpt long`` in this process, with the small model behind it."""

import json
import signal
from pathlib import Path

import pytest

import avatargpt
from avatargpt import planning
from avatargpt.__main__ import main
from avatargpt.api import AvatarGPT
from avatargpt.long import stream as writing
from tests.long.conftest import ListPlanner
from vqvae.errors import UserError
from vqvae.motion import Motion

SCENE = "a boy plays in the snow"


@pytest.fixture
def run(gpt: AvatarGPT, planner: ListPlanner, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    """Runs the command; gives status, stdout, stderr."""
    monkeypatch.setattr(avatargpt.AvatarGPT, "from_pretrained", lambda *a, **k: gpt)
    monkeypatch.setattr(planning, "load_planner", lambda *given: planner)

    def call(*argv: str) -> tuple[int, str, str]:
        status = main(["long", *map(str, argv)])
        said = capsys.readouterr()
        return status, said.out, said.err

    return call


def test_writes_all_formats_and_the_timeline(run, tmp_path: Path) -> None:
    outputs = [tmp_path / f"life.{s}" for s in ("npz", "bvh", "glb")]
    status, out, _ = run(SCENE, "--seconds", 12, "--radius", 5, "--best-of", 1, "--json",
                         *(x for o in outputs for x in ("-o", o)))  # fmt: skip
    said = json.loads(out)
    assert status == 0 and all(o.is_file() for o in outputs)
    assert said["results"][0]["files"] == [str(o) for o in outputs]
    motion, made = Motion.load(outputs[0]), json.loads(Path(said["timeline"]).read_text(encoding="utf-8"))
    assert len(motion) == made["frames"] == 240 and made["scene"] == motion.caption == SCENE
    assert made["planner"] == "list" and made["seed"] == 0
    steps = [s for a in made["activities"] for s in a["steps"]]
    assert steps[0]["start"] == 0 and steps[-1]["end"] == 240 and steps[0]["text"] == "he sweeps"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["life.bvh", "life.glb", "life.npz", "life.timeline.json"]


def test_only_what_was_asked_for_is_left(run, tmp_path: Path) -> None:
    assert run(SCENE, "--seconds", 3, "--best-of", 1, "-o", tmp_path / "life.bvh")[0] == 0
    assert sorted(p.name for p in tmp_path.iterdir()) == ["life.bvh", "life.timeline.json"]


def test_a_file_that_was_there_is_left_alone(run, tmp_path: Path) -> None:
    mine = tmp_path / "life.npz"
    mine.write_bytes(b"mine")
    assert run(SCENE, "--seconds", 3, "--best-of", 1, "-o", tmp_path / "life.bvh")[0] == 0
    assert mine.read_bytes() == b"mine" and not (tmp_path / "life.parts").exists()


def test_what_was_made_before_a_failure_is_kept(
    run, planner: ListPlanner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ask = planner.next_activity

    def failing(*args: object, **more: object) -> object:
        if len(planner.asked) == 3:
            raise UserError("the planner is gone")
        return ask(*args, **more)

    with monkeypatch.context() as m:
        m.setattr(planner, "next_activity", failing)
        status, _, err = run(SCENE, "--seconds", 300, "--best-of", 1, "-o", tmp_path / "o.NPZ")
    assert status == 2 and "the planner is gone" in err and "--join" in err
    assert run("--join", "-o", tmp_path / "o.NPZ")[0] == 0
    assert len(Motion.load(tmp_path / "o.NPZ")) > 100


def test_a_plan_of_ones_own(run, tmp_path: Path) -> None:
    plan = tmp_path / "plan.json"
    plan.write_text(json.dumps({"activities": [{"task": "dance", "steps": ["she spins"], "seconds": [1, 2]}]}))
    status, _, err = run(SCENE, "--activities", plan, "-o", tmp_path / "o.npz")
    assert status == 2 and "2 lengths for 1 steps" in err
    plan.write_text(json.dumps({"scene": "x", "activities": [{"task": "dance", "steps": ["she spins"]}]}))
    assert run(SCENE, "--seconds", 3, "--best-of", 1, "--activities", plan, "-o", tmp_path / "o.npz")[0] == 0
    made = json.loads((tmp_path / "o.timeline.json").read_text(encoding="utf-8"))
    assert made["activities"][0]["task"] == "dance"


@pytest.mark.parametrize(("steps", "said"), [
    (["word " * 5000], "5000 words"), (["he walks"] * 50, "accepted 50 activities with 12 steps"),
    ([], "without steps"), (["\x00"], "control characters"),
])  # fmt: skip
def test_a_plan_that_is_too_much(run, tmp_path: Path, steps: list[str], said: str) -> None:
    plan = tmp_path / "plan.json"
    plan.write_text(json.dumps({"activities": [{"task": "dance", "steps": steps}]}))
    status, _, err = run(SCENE, "--activities", plan, "-o", tmp_path / "o.npz")
    assert status == 2 and said in err and len(err.splitlines()) == 1


def interrupting(planner: ListPlanner, monkeypatch: pytest.MonkeyPatch, at: int, by: int = signal.SIGINT) -> None:
    ask = planner.next_activity

    def asked(*args: object, **more: object) -> object:
        if len(planner.asked) == at:
            signal.raise_signal(by)
        return ask(*args, **more)

    monkeypatch.setattr(planner, "next_activity", asked)


@pytest.mark.parametrize("by", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_it_writes_what_there_is(
    run, planner: ListPlanner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, by: int
) -> None:
    interrupting(planner, monkeypatch, 3, by)
    status, out, err = run(SCENE, "--seconds", 300, "--best-of", 1, "-o", tmp_path / "o.npz", "-o", tmp_path / "o.glb")
    assert status == 130 and "interrupted" in err and str(tmp_path / "o.npz") in out
    motion = Motion.load(tmp_path / "o.npz")
    made = json.loads((tmp_path / "o.timeline.json").read_text(encoding="utf-8"))
    assert 100 < len(motion) == made["frames"] < 6000 and (tmp_path / "o.glb").is_file()
    assert not (tmp_path / "o.parts").exists()


@pytest.mark.parametrize("at", ["_write_joined", "export"])
def test_a_second_interruption_is_told_and_loses_nothing(
    run, planner: ListPlanner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: str
) -> None:
    def again(*args: object, **more: object) -> None:
        raise KeyboardInterrupt

    outputs = ["-o", tmp_path / "o.npz", "-o", tmp_path / "o.glb"]
    with monkeypatch.context() as m:
        interrupting(planner, m, 3)
        m.setattr(*((writing, at, again) if at == "_write_joined" else ("avatargpt.export.save", again)))
        status, _, err = run(SCENE, "--seconds", 300, "--best-of", 1, *outputs)
    first, second = err.splitlines()
    assert status == 130 and "Ctrl-C again" in first and second.startswith("error: interrupted; ")
    if at == "_write_joined":
        assert "--join" in second and run("--join", *outputs)[0] == 0
    assert len(Motion.load(tmp_path / "o.npz")) > 100 and not (tmp_path / "o.parts").exists()


def test_interrupted_before_anything_was_made(
    run, planner: ListPlanner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    interrupting(planner, monkeypatch, 0)
    status, _, err = run(SCENE, "-o", tmp_path / "o.npz")
    assert status == 130 and err.startswith("error: interrupted") and not list(tmp_path.iterdir())


def test_join_after_a_kill(run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Killed(BaseException):
        pass

    def add(self: writing.LongWriter, *args: object) -> None:
        if self.shards == 2:
            raise Killed
        original(self, *args)

    original = writing.LongWriter.add
    with monkeypatch.context() as m:
        m.setattr(writing.LongWriter, "add", add)
        with pytest.raises(Killed):
            run(SCENE, "--seconds", 60, "--best-of", 1, "-o", tmp_path / "o.npz")
    assert run(SCENE, "--seconds", 5, "-o", tmp_path / "o.npz")[0] == 2  # does not overwrite it
    status, out, _ = run("--join", "-o", tmp_path / "o.npz")
    assert status == 0 and len(Motion.load(tmp_path / "o.npz")) >= 2 * writing.SHARD_FRAMES
    assert out.splitlines() == [str(tmp_path / "o.npz"), str(tmp_path / "o.timeline.json")]


@pytest.mark.parametrize(("argv", "said"), [
    (["", "--seconds", "5"], "empty"), (["\x07\x00", "--seconds", "5"], "empty"),
    (["word " * 5000, "--seconds", "5"], "at most"), ([SCENE, "--seconds", "0"], "seconds"),
    (["ein Mann geht durch den Schnee"], "English"), ([SCENE, "--seconds", "-1"], "seconds"),
    ([SCENE, "--seconds", "nan"], "seconds"), ([SCENE, "--seconds", "1e12"], "seconds"),
    ([SCENE, "--radius", "0.1"], "radius"), ([SCENE, "--planner", "nobody"], "nobody"),
    ([SCENE, "--activities", "none.json"], "none.json"), (["@many.txt"], "one sentence"), ([], "SCENE"),
    (["--join"], "no parts"), ([SCENE, "--join"], "SCENE"),
])  # fmt: skip
def test_mistakes_are_told_in_one_line(run, tmp_path: Path, argv: list[str], said: str) -> None:
    status, out, err = run(*argv, "-o", tmp_path / "o.npz")
    assert status == 2 and not out and len(err.splitlines()) == 1
    assert err.startswith("error: ") and said in err and not list(tmp_path.iterdir())


def test_unwritable_and_unknown_outputs(run, tmp_path: Path) -> None:
    for name in ("o.exe", "nofile/../o.npz/x.npz"):
        (tmp_path / "o.npz").write_bytes(b"")
        status, _, err = run(SCENE, "-o", tmp_path / name)
        assert status == 2 and len(err.splitlines()) == 1
    assert run(SCENE, "-o", tmp_path / "a.npz", "-o", tmp_path / "b.bvh")[0] == 2
