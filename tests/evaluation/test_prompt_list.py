"""Lists of prompts of others: read strictly, judged by what is described."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from avatargpt import evaluation
from avatargpt.evaluation.outputs import Outputs
from avatargpt.evaluation.prompt_list import fitting
from avatargpt.evaluation.suites import read_list
from vqvae import rotations as rot
from vqvae.errors import UserError
from vqvae.motion import Motion


class Model:
    """Answers the fast prompts with a move, and describes what moves as running, what stands as standing."""

    name = "stand-in"

    def __call__(self, texts: list[str], seeds: list[int]) -> list[Motion]:
        return [glide(0.1 if "run" in t else 0.0) for t in texts]

    def describe(self, motions: Sequence[Motion]) -> list[str]:
        far = [float(np.ptp(m.root[:, 2])) for m in motions]
        return ["a person runs forward" if x > 1 else "a person stands still" for x in far]


def glide(step: float) -> Motion:
    z = np.arange(40) * step
    return Motion(rot.identity((40, 22)), np.stack([0 * z, 0 * z + 0.96, z], -1))


ROWS = """prompt,action,category
"run, run, as if wolves were after you",run,gait
run home,run,gait
paint a fence,paint,work
"""


def test_descriptions_have_to_name_the_action(tmp_path: Path) -> None:
    path = tmp_path / "mine.csv"
    path.write_text(ROWS + "stand still,,\n")
    result = evaluation.run(str(path), Model(), out=tmp_path / "r.json")
    assert result["suite"] == "mine" and result == json.loads((tmp_path / "r.json").read_text())
    means = {k: v["mean"] for k, v in result["results"].items()}
    fit = {k for k in means if k.partition("/")[0] in ("top1", "top2", "top3", "mm_dist")}
    assert fit == {f"{k}{row}" for k in ("top1", "top2", "top3", "mm_dist") for row in ("", "/random pairing")}
    assert {k: v for k, v in means.items() if k not in fit} == {
        "named": 0.75, "named/gait": 1.0, "named/work": 0.0, "named_by_action": pytest.approx(2 / 3, 1e-4),
        "named_by_prompt": 1.0,
    }  # fmt: skip
    assert result["prompts"][2]["described"] == ["a person stands still"]


def test_motions_may_come_from_others(tmp_path: Path) -> None:
    path = tmp_path / "mine.csv"
    path.write_text(ROWS)
    files = tmp_path / "files"
    files.mkdir()
    np.save(files / "001.npy", glide(0.1).joints)
    glide(0.0).save(files / "002.npz")
    result = evaluation.run(str(path), Model(), outputs=Outputs(files))
    assert [r["named"] for r in result["prompts"]] == [[1], [0]]
    assert result["failed"] == [{"item": "003", "reason": "no file; asked was: paint a fence"}]


def test_what_fits_its_prompt_is_told_from_what_does_not(tmp_path: Path) -> None:
    from avatargpt.evaluation import corpus

    wanted = ("sit_down", "clap", "jumping_jack", "lie_down", "bow", "kick")
    some = {c.action: c for c in corpus.keyframed_clips(1) if c.action in wanted and c.captions}
    path = tmp_path / "mine.json"
    path.write_text(json.dumps([some[a].captions[0] for a in wanted]))
    suite = evaluation.load(str(path))
    own = {n: [some[a].load().resampled(20.0).joints] for n, a in enumerate(wanted)}
    right = fitting(suite, own)
    wrong = fitting(suite, {n: own[(n + 2) % len(own)] for n in own})
    assert right["top1"]["mean"] > 0.6 > 0.4 > wrong["top1"]["mean"]
    assert right["mm_dist"]["mean"] < wrong["mm_dist"]["mean"] - 0.2
    assert right["top1/random pairing"]["mean"] < right["top1"]["mean"]
    assert fitting(suite, {n: own[n] for n in range(3)}) == {}


def test_json_and_what_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "p.json"
    path.write_text('["walk", {"prompt": "wave", "action": "wave"}]')
    assert [(r["prompt"], r["action"]) for r in read_list(path).options["prompts"]] == [("walk", ""), ("wave", "wave")]
    for text, said in (("{}", "no list"), ("[]", "0 prompts"), ('[{"text": "a"}]', "entry 1: no prompt"),
                       ('[{"prompt": "a", "action": 3}]', "action is no text")):  # fmt: skip
        path.write_text(text)
        with pytest.raises(UserError, match=said):
            read_list(path)
    table = tmp_path / "p.csv"
    for text, said in (("text\nwalk\n", "line 2: no prompt"), ('prompt\n"walk\n', "line"), ("", "0 prompts")):
        table.write_text(text)
        with pytest.raises(UserError, match=said):
            read_list(table)
    with pytest.raises(UserError, match="no such file"):
        evaluation.load(str(tmp_path / "not.csv"))
