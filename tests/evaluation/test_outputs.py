"""Outputs of other systems: equal figures in every format, wrong files named, wrong frames and scales warned of."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from avatargpt import evaluation, export
from avatargpt.cli.app import app
from avatargpt.evaluation import corpus, output_files, outputs, prompts
from avatargpt.evaluation.outputs import Outputs
from avatargpt.evaluation.suites import Run, Suite, SuitePrompt, read
from avatargpt.kinematics.joints import Signals, UnseenHead
from avatargpt.metrics.degradations import DEGRADATIONS, degrade
from avatargpt.metrics.geometry import predicates
from tests.vqvae.rigs import ms272_of
from vqvae.errors import UserError
from vqvae.face import FaceMotion
from vqvae.motion import Motion
from vqvae.skeleton import SMPL22

FORMATS = ("npz", "smplx", "bvh", "glb", "vrma", "pos7", "joints", "hml263", "ms272")
SUITE = """
name: few
version: 1
kind: prompts
description: a few
seeds: [0, 1]
metrics: {pass_rate: {higher_is_better: true, unit: share}}
prompts:
- {prompt: clap your hands, kind: single, checks: [claps]}
- {prompt: nod, kind: single, checks: [nods]}
- {prompt: jump, kind: single, checks: [jumps]}
- {prompt: squat, kind: single, checks: [squats]}
- {prompt: walk, kind: single, checks: [walks]}
- {prompt: kick slowly, kind: style, neutral: kick, checks: [{compared: {what: speed, factor: 0.9}}]}
"""
FAMILIES = {"clap your hands": "clap", "nod": "nod", "jump": "jump", "squat": "squat", "walk": "clap",
            "kick slowly": "kick", "kick": "kick"}  # fmt: skip


@pytest.fixture(scope="module")
def suite(tmp_path_factory: pytest.TempPathFactory) -> Suite:
    path = tmp_path_factory.mktemp("suite") / "few.yaml"
    path.write_text(SUITE)
    return read(path)


@pytest.fixture(scope="module")
def made() -> dict[str, list[Motion]]:
    families = sorted(set(FAMILIES.values()))
    clips = {name: [c.load() for c in corpus.make_keyframed_clips(2, only=[name])] for name in families}
    return {text: clips[name] for text, name in FAMILIES.items()}


def save(motion: Motion, path: Path, layout: str) -> None:
    if layout == "npz":
        motion.save(path.with_suffix(".npz"))
    elif layout == "smplx":
        export.save(motion, path.with_suffix(".npz"), layout="smplx")
    elif layout in ("bvh", "glb", "vrma"):
        export.save(motion, path.with_suffix(f".{layout}"))
    elif layout in ("pos7", "hml263"):
        export.save(motion, path.with_suffix(".npy"), layout=layout)
    else:
        np.save(path.with_suffix(".npy"), motion.joints if layout == "joints" else ms272_of(motion))


def write(suite: Suite, made: dict[str, list[Motion]], target: Path, layout: str) -> Path:
    target.mkdir()
    for item in outputs.items(suite):
        for n, motion in enumerate(made[item.text]):
            save(motion, target / f"{item.id}_{n}", layout)
    return target


def test_every_format_gives_the_same_figures(suite: Suite, made: dict[str, list[Motion]], tmp_path: Path) -> None:
    own = prompts.evaluate(Run(suite, lambda texts, seeds: [made[t][s] for t, s in zip(texts, seeds, strict=True)]))
    wanted = {r["prompt"]: r["passed"] for r in own["prompts"]}
    assert 0 < own["results"]["pass_rate"]["mean"] < 1  # claps do not walk
    for layout in FORMATS:
        got = outputs.score(suite, Outputs(write(suite, made, tmp_path / layout, layout)))
        assert "failed" not in got, layout
        blind = layout in ("joints", "hml263")
        assert [u["item"] for u in got.get("unjudged", [])] == (["nod"] if blind else []), layout
        kept = {p: v for p, v in wanted.items() if not (blind and p == "nod")}
        assert {r["prompt"]: r["passed"] for r in got["prompts"]} == kept, layout


def test_motion_made_worse_is_punished(suite: Suite, made: dict[str, list[Motion]], tmp_path: Path) -> None:
    """A folder of each degradation scores below that of the clips as they are, where a check is about it."""

    def rate(name: str, clips: dict[str, list[Motion]]) -> float:
        got = outputs.score(suite, Outputs(write(suite, clips, tmp_path / name, "npz")))
        return float(got["results"]["pass_rate"]["mean"])

    found = {name: rate(name, {text: [degrade(m, name, n) for n, m in enumerate(motions)]
                               for text, motions in made.items()}) for name in DEGRADATIONS}  # fmt: skip
    usual = rate("as it is", made)
    assert max(found.values()) <= usual == found["mirrored"]  # no prompt here names a side
    assert max(found["noise"], found["half speed"], found["constant pose"]) < usual


def test_positions_give_the_signals_of_the_motion(made: dict[str, list[Motion]]) -> None:
    motion = made["kick"][0].moved(1.0, np.array([3.0, 0, -2]))
    a, b = Signals(motion), Signals.of_joints(motion.joints, 20.0)
    np.testing.assert_allclose(a.joints, b.joints, atol=1e-4)
    np.testing.assert_allclose(Signals.part(a, 10, 30).local, Signals.part(b, 10, 30).local, atol=1e-4)
    assert len(Signals.of_joints(motion.joints, 60.0)) == round(len(motion) / 3)
    with pytest.raises(UnseenHead):
        _ = b.head_turn


def test_what_needs_the_head_is_known(made: dict[str, list[Motion]]) -> None:
    """Each predicate that asks a clip of positions for its head is listed, and no other."""
    import inspect

    needs = set()
    clips = [*made["squat"], *(c.load() for c in corpus.make_keyframed_clips(1, only=["sit_down"]))]
    for s in (Signals.of_joints(m.joints, m.fps) for m in clips):
        for name, judge in predicates.PREDICATES.items():
            given = {k: "left" for k, p in inspect.signature(judge).parameters.items()
                     if k == "side" and p.default is p.empty}  # fmt: skip
            given |= {"reference": s} if "reference" in inspect.signature(judge).parameters else {}
            try:
                judge(s, **given)
            except UnseenHead:
                needs.add(name)
            except TypeError:  # other parameters without a default
                continue
    assert needs == predicates.HEAD_PREDICATES
    assert predicates.needs_head({"clauses": ["walks", {"clip_lasts": {"seconds": 2, "check": "nods"}}]})
    assert predicates.needs_head({"not": {"counted": {"what": "nods", "times": 2}}})
    assert not predicates.needs_head({"then": ["walks", {"counted": {"what": "jumps", "times": 2}}]})


def test_rates(made: dict[str, list[Motion]], tmp_path: Path) -> None:
    motion = made["kick"][0]
    save(motion, tmp_path / "a", "npz")
    save(motion, tmp_path / "b", "hml263")
    save(motion, tmp_path / "c", "joints")
    assert len(output_files.read_body(tmp_path / "c.npy", 40.0)) == round(len(motion) / 2)
    for name in ("a.npz", "b.npy"):
        with pytest.raises(UserError, match="20 frames a second; accepted 60"):
            output_files.read_body(tmp_path / name, 60.0)


def test_a_list_says_what_names_were_asked(suite: Suite, made: dict[str, list[Motion]], tmp_path: Path) -> None:
    for name, text in (("x1", "jump"), ("x2", "jump"), ("y", "walk"), ("z", "walk")):
        save(made[text][0], tmp_path / name, "npz")
    (tmp_path / "prompts.csv").write_text('name,prompt\nx1,"Jump."\nx2.npz,jump\ny,dance\nw,jump\n')
    matches = output_files.match_files(tmp_path, outputs.items(suite))
    assert {k: [p.name for p in v] for k, v in matches.files.items()} == {"003": ["x1.npz", "x2.npz"]}
    failed = {f["item"]: f["reason"] for f in matches.failed}
    assert "dance" in failed["y"] and "prompts.csv" in failed["z"] and "no file" in failed["w"]
    (tmp_path / "prompts.csv").write_text("name,prompt\nx1,jump\nx1,jump\n")
    with pytest.raises(UserError, match="line 3: x1 a second time"):
        output_files.match_files(tmp_path, outputs.items(suite))


def test_what_seems_to_be_meant_is_named(suite: Suite, made: dict[str, list[Motion]], tmp_path: Path) -> None:
    """Unread formats, folders below and numbers without their zeros; not what lies beside a file that is read."""
    for name in ("1", "2_0", "x", "004"):
        save(made["jump"][0], tmp_path / name, "npz")
    for name in ("003.pkl", "004.mp4", "notes.txt", "far/deep/005_0.npy", "far/005_1.npy", "else/y.npy"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    matches = output_files.match_files(tmp_path, outputs.items(suite))
    assert {k: [p.name for p in v] for k, v in matches.files.items()} == {"004": ["004.npz"]}
    failed = {f["item"]: f["reason"] for f in matches.failed}
    assert set(failed) == {"1", "2_0", "x", "003.pkl", "far/", *("001", "002", "003", "005", "006", "007")}
    assert "did you mean 001?" in failed["1"] and "did you mean 002?" in failed["2_0"] and "mean" not in failed["x"]
    assert "no format that is read; accepted .npy" in failed["003.pkl"] and failed["far/"].startswith("2 files")


def test_figures_are_of_the_system_alone(tmp_path: Path) -> None:
    """The accuracy of counters is about the harness."""
    got = outputs.score(evaluation.load("requests_joints"), Outputs(tmp_path))
    assert "pass_rate" in got["results"] and not [k for k in got["results"] if k.startswith("counter/")]
    assert got["left_out"]


def test_command(suite: Suite, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evaluation, "load", lambda name: suite)
    (tmp_path / "none").mkdir()
    out = tmp_path / "r.json"
    done = CliRunner().invoke(app, ["eval", "run", "few", "--outputs", str(tmp_path / "none"), "-o", str(out)])
    assert done.exit_code == 1 and "failed: 001: no file; asked was: clap your hands" in done.stderr
    result = json.loads(out.read_text())
    assert result["results"]["pass_rate"]["n"] == 0 and len(result["failed"]) == 7
    asked = CliRunner().invoke(app, ["eval", "ask", "few"])
    assert asked.stdout.splitlines()[:2] == ["name,prompt", "001,clap your hands"] and "007,kick" in asked.stdout
    for arguments in (["--fps", "30"], ["--outputs", str(tmp_path / "not there")]):
        done = CliRunner().invoke(app, ["eval", "run", "few", *arguments])
        assert done.exit_code != 0 and isinstance(done.exception, UserError)


def test_wrong_files_are_named_and_left_out(
    suite: Suite, made: dict[str, list[Motion]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Missing and unknown ids, NaN, another rate, scale or shape; the exit status is 1."""
    monkeypatch.setattr(evaluation, "load", lambda name: suite)
    monkeypatch.setattr(evaluation, "find", lambda name: None)
    target = write(suite, made, tmp_path / "x", "joints")
    for name in ("003_0.npy", "003_1.npy", "004_0.npy"):
        (target / name).unlink()
    broken = made["clap your hands"][0].joints.copy()
    broken[7, 3, 1] = np.nan
    np.save(target / "001_0.npy", broken)
    np.save(target / "012.npy", made["jump"][0].joints)
    made["squat"][0].resampled(30.0).save(target / "004_0.npz")
    np.save(target / "006_0.npy", made["kick"][0].joints * 100)
    (target / "005_0.npy").write_bytes(b"no array")
    np.save(target / "005_1.npy", np.zeros((30, 21, 3)))
    out = tmp_path / "r.json"
    done = CliRunner().invoke(app, ["eval", "run", "few", "--outputs", str(target), "--fps", "20", "-o", str(out)])
    assert done.exit_code == 1
    reasons = {
        "003": "no file; asked was: jump", "001_0.npy": "NaN or infinity at frame 7", "012": "the suite has no such",
        "004_0.npz": "30 frames a second; accepted 20", "006_0.npy": "bones", "005_0.npy": "not ", "005_1.npy": "shape",
    }  # fmt: skip
    for item, reason in reasons.items():
        assert f"failed: {item}: {reason}" in done.stderr, item
    result = json.loads(out.read_text())
    assert {f["item"] for f in result["failed"]} == set(reasons)
    counts = {r["prompt"]: len(r["passed"]) for r in result["prompts"]}
    assert counts == {"clap your hands": 1, "squat": 1, "kick slowly": 1}  # the nod is not judged on positions
    assert result["results"]["pass_rate"]["n"] == 3


def test_faces_in_every_format(tmp_path: Path) -> None:
    """CSV, .npz, .glb and JSON with the head give the same figures; worse faces fall, and damaged ones are named."""
    from avatargpt.evaluation import face_instructions
    from instruct_data.face.render import render

    faces = evaluation.load("face_instructions")
    true = [render(s, 1) for s in face_instructions.instruction_sources(faces, None)["own"][:8]]

    def written(name: str, made: list[FaceMotion], suffix: str, **options: str) -> Path:
        (tmp_path / name).mkdir()
        for n, face in enumerate(made, 1):
            export.save(face, tmp_path / name / f"own_{n:03d}{suffix}", **options)
        return tmp_path / name

    def done(name: str, made: list[FaceMotion], suffix: str, **options: str) -> list[list[int]]:
        result = outputs.score(faces, Outputs(written(name, made, suffix, **options)))
        return [row["done"] for row in result["instructions"]]

    own = done("npz", true, ".npz")
    assert len(own) == 8 and all(all(row) for row in own)
    assert done("csv", true, ".csv") == done("glb", true, ".glb") == done("beat", true, ".json", layout="beat") == own
    blind = outputs.score(faces, Outputs(written("audio2face", true, ".json")))
    without = {u["item"] for u in blind["unjudged"]}
    kept = [n for n in range(8) if f"own_{n + 1:03d}" not in without]
    assert 0 < len(without) < 8 and [row["done"] for row in blind["instructions"]] == [own[n] for n in kept]
    for name in DEGRADATIONS:
        worse = done(name, [degrade(face, name, n) for n, face in enumerate(true)], ".npz")
        fallen = sum(map(sum, worse)) < sum(map(sum, own))
        assert fallen or name in ("noise", "double speed"), name  # one thing each, which stays to be seen
    still = tmp_path / "npz" / "own_003.npz"
    np.savez(still, **{**np.load(still), "head": np.full((len(true[2]), 3), np.nan)})
    (tmp_path / "npz" / "own_004.npz").unlink()
    result = CliRunner().invoke(app, ["eval", "run", "face_instructions", "--outputs", str(tmp_path / "npz")])
    assert result.exit_code == 1 and "own_003.npz: face: NaN or infinity at frame 0" in result.stderr
    assert len(json.loads(result.stdout)["instructions"]) == 6


def test_faces(tmp_path: Path) -> None:
    from avatargpt.evaluation import face_instructions
    from instruct_data.face.render import render

    faces = evaluation.load("face_fresh")
    wanted = face_instructions.instruction_sources(faces, None)["fresh"][:4]
    for n, s in enumerate(wanted, 1):
        export.save(render(s, 1), tmp_path / f"fresh_{n:03d}.csv")
    got = outputs.score(faces, Outputs(tmp_path))
    assert len(got["instructions"]) == 4 and got["results"]["auf1/fresh"]["mean"] == 1
    assert got["results"]["lve/fresh"]["mean"] < 0.2  # mm; Live Link writes rounded weights at 60 fps
    assert abs(got["results"]["fdd/fresh"]["mean"]) < 0.05
    assert len(got["failed"]) == len(face_instructions.instruction_sources(faces, None)["fresh"]) - 4
    body = tmp_path / "fresh_005.npz"
    next(iter(corpus.make_keyframed_clips(1, only=["clap"]))).load().save(body)
    again = outputs.score(faces, Outputs(tmp_path))
    assert {"item": "fresh_005.npz", "reason": "a motion of a body; accepted a face"} in again["failed"]


Joints = np.ndarray


@pytest.fixture(scope="module")
def clips() -> list[Joints]:
    families = ["clap", "kick", "squat", "jump", "wave", "sit_down"]
    return [c.load().joints.astype(np.float64) for c in corpus.make_keyframed_clips(1, only=families)]


def moved(up: float) -> Callable[[Joints], Joints]:
    return lambda x: x + np.array([0, up, 0])


WRONG: dict[str, tuple[Callable[[Joints], Joints], str]] = {
    "Z up": (lambda x: np.stack([x[..., 0], -x[..., 2], x[..., 1]], -1), "along +Z in"),
    "upside down": (lambda x: x * np.array([-1, -1, 1]), "along -Y in"),
    "left and right joints exchanged": (lambda x: x[:, SMPL22.mirror], "toes point backwards"),
    "x flipped": (lambda x: x * np.array([-1, 1, 1]), "toes point backwards"),
    "floating": (moved(1.0), "1 m above height 0"),
    "sunk": (moved(-2.0), "2 m below height 0"),
    "centred": (lambda x: x - x[:, :1], "the pelvis is at height 0"),
    "never moving": (lambda x: x - (x[:, :1] - x[:1, :1]) * np.array([1, 0, 1]), "never leaves its place"),
    "small": (lambda x: x * 0.75, "0.75 times as long"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_frame_is_told(name: str, clips: list[Joints]) -> None:
    change, said = WRONG[name]
    found = output_files.frame_warnings([output_files.clip_signs(change(x)) for x in clips])
    assert any(said in line for line in found), found
    assert all("; accepted " in line for line in found)
    if name not in ("centred", "upside down", "Z up"):  # one fault each
        assert len(found) == 1, found


def test_sound_clips_give_none(clips: list[Joints]) -> None:
    good = [output_files.clip_signs(x) for x in clips]
    assert output_files.frame_warnings(good) == []
    odd = [output_files.clip_signs(change(clips[0])) for change in (WRONG["upside down"][0], WRONG["x flipped"][0])]
    assert output_files.frame_warnings(good[:3] + odd) == []  # most stand
    assert output_files.frame_warnings(odd) == []  # too few to tell
    in_place = [output_files.clip_signs(x - x[:1, :1] * np.array([1, 0, 1])) for x in clips]
    assert output_files.frame_warnings(in_place) == []


@pytest.mark.parametrize("times", [0.5, 1.9])
def test_bones_of_another_size_are_refused(times: float, clips: list[Joints], tmp_path: Path) -> None:
    np.save(tmp_path / "001.npy", clips[0] * times)
    with pytest.raises(UserError, match="accepted metres, 0.7 to 1.4 times"):
        output_files.read_body(tmp_path / "001.npy")
    for fine in (0.75, 1.35):
        np.save(tmp_path / "001.npy", clips[0] * fine)
        assert output_files.read_body(tmp_path / "001.npy").joints.shape[1:] == (22, 3)


def test_the_command_warns_and_the_scores_stay(
    clips: list[Joints], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = tuple(SuitePrompt(f"item {n}", "single", ["claps"]) for n in range(len(clips)))
    metrics = {"pass_rate": {"higher_is_better": True, "unit": "share"}}
    suite = Suite("few", 1, "prompts", "a few", metrics, entries=asked)
    for n, item in enumerate(outputs.items(suite)):
        np.save(tmp_path / f"{item.id}.npy", clips[n])
    assert "warnings" not in outputs.score(suite, Outputs(tmp_path))
    for path in tmp_path.glob("*.npy"):
        np.save(path, WRONG["floating"][0](np.load(path)))
    monkeypatch.setattr(evaluation, "load", lambda name: suite)
    done = CliRunner().invoke(app, ["eval", "run", "few", "--outputs", str(tmp_path)])
    assert done.exit_code == 0 and "warning: the lowest joint is 1 m above height 0 in 6 of 6 clips" in done.stderr
    result = json.loads(done.stdout)
    assert len(result["warnings"]) == 1 and result["results"]["pass_rate"]["n"] == len(clips)
