"""Pairs of clips to vote on: the page holds both systems' motions, the votes give wins and agreement."""

import base64
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from avatargpt import export
from avatargpt.cli.app import app
from avatargpt.evaluation import pairs
from avatargpt.metrics.agreement import fleiss_kappa, krippendorff_alpha
from tests.clips import gliding
from vqvae.errors import UserError
from vqvae.face import FaceMotion

# Krippendorff 2011, section C: 12 units, four observers, three gaps (0); nominal alpha .743.
OBSERVERS = ["123321412000", "123322412503", "033323422510", "123324412510"]
# Fleiss 1971 as in textbooks: 10 subjects, 14 raters, 5 categories; kappa .210.
RATINGS = [[0, 0, 0, 0, 14], [0, 2, 6, 4, 2], [0, 0, 3, 5, 6], [0, 3, 9, 2, 0], [2, 2, 8, 1, 1],
           [7, 7, 0, 0, 0], [3, 2, 6, 3, 0], [2, 5, 3, 2, 2], [6, 5, 2, 1, 0], [0, 2, 2, 3, 7]]  # fmt: skip


def test_agreement_is_that_of_the_published_examples() -> None:
    units = [[o[k] for o in OBSERVERS if o[k] != "0"] for k in range(12)]
    assert krippendorff_alpha(units) == pytest.approx(0.743, abs=5e-4)
    assert fleiss_kappa([[c for c, n in enumerate(row) for _ in range(n)] for row in RATINGS]) == pytest.approx(
        0.210, abs=5e-4
    )


def test_agreement_needs_two_votes_and_two_categories() -> None:
    assert krippendorff_alpha([["a"], ["b"]]) is None and krippendorff_alpha([["a", "a"]]) is None
    assert krippendorff_alpha([["a", "a"], ["b", "b"]]) == 1 == fleiss_kappa([["a", "a"], ["b", "b"]])
    assert fleiss_kappa([["a", "b"], ["a"]]) is None


def _data(page: Path) -> dict[str, Any]:
    text = page.read_text()
    match = re.search(r'<script type="application/json" id="data">(.*?)</script>', text, re.S)
    assert match and not re.search(r"""(src|href)=["']?https?:|@import|url\(""", text)
    value: dict[str, Any] = json.loads(match[1])
    return value


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    for name, speed in (("ours", 1.0), ("theirs", 2.0)):
        for clip in ("00", "01"):
            export.save(gliding(30, speed, caption="walk </script> on"), tmp_path / name / f"{clip}.npz")
    export.save(gliding(30, 1.0), tmp_path / "ours" / "alone.npz")
    return tmp_path / "ours", tmp_path / "theirs"


def test_page_holds_the_motions_of_both_and_no_address(folders: tuple[Path, Path], tmp_path: Path) -> None:
    out = CliRunner().invoke(app, ["eval", "pairs", *map(str, folders), "-o", str(tmp_path / "page"), "-q"])
    assert out.exit_code == 0, out.output
    data = _data(tmp_path / "page" / "index.html")
    assert [i["name"] for i in data["items"]] == ["00", "01"] and data["items"][0]["text"] == "walk </script> on"
    assert (data["a"], data["b"]) == ("ours", "theirs")
    for side, folder in zip("ab", folders, strict=True):
        clip, motion = data["items"][1][side], export.load(folder / "01.npz")
        turns = np.frombuffer(base64.b64decode(clip["turns"]), "<i2").reshape(30, clip["joints"], 4) / 32767
        assert np.abs(turns - motion.rotations).max() < 2e-5
        assert np.array_equal(np.frombuffer(base64.b64decode(clip["root"]), "<f4").reshape(-1, 3), motion.root)


def test_faces_are_pictures_and_kinds_are_not_mixed(tmp_path: Path) -> None:
    face = FaceMotion(np.zeros((4, 52), np.float32), np.zeros((4, 3)))
    for name in ("a", "b"):
        export.save(face, tmp_path / name / "x.npz")
    page = pairs.write_page(pairs.match(tmp_path / "a", tmp_path / "b"), ("a", "b"), tmp_path)
    jpegs = _data(page)["items"][0]["a"]["pictures"]
    assert len(jpegs) == 4 and base64.b64decode(jpegs[0])[:2] == b"\xff\xd8"
    export.save(gliding(30, 1.0), tmp_path / "b" / "x.npz")
    with pytest.raises(UserError, match=r"x\.npz: a body, .* is a face; accepted two clips of one kind"):
        pairs.write_page(pairs.match(tmp_path / "a", tmp_path / "b"), ("a", "b"), tmp_path)


@pytest.fixture
def ballot(tmp_path: Path) -> Callable[..., Path]:
    def write(judge: str, votes: str, study: str = "s") -> Path:
        rows = [{"item": str(k), "left": "ab"[k % 2], "vote": {"a": "a", "b": "b", "=": "same"}[v]}
                for k, v in enumerate(votes)]  # fmt: skip
        path = tmp_path / f"{judge}.json"
        path.write_text(json.dumps({"study": study, "a": "ours", "b": "theirs", "judge": judge, "votes": rows}))
        return path

    return write


def test_wins_and_agreement_of_three_judges(ballot: Callable[..., Path]) -> None:
    files = [ballot("x", "aaab"), ballot("y", "aab="), ballot("z", "aaab")]
    result = pairs.summary([pairs.read_votes(f) for f in files])
    assert result["wins"] == {"a": pytest.approx(8 / 12, abs=1e-5), "b": 0.25, "same": pytest.approx(1 / 12, abs=1e-5)}
    assert result["preferred"]["mean"] == pytest.approx((1 + 1 + 2 / 3 + 1 / 6) / 4, abs=1e-5)
    assert result["preferred"]["n"] == 4 and result["left"]["n"] == 11
    assert result["agreement"]["equal"] == pytest.approx(8 / 12, abs=1e-5)
    assert 0 < result["agreement"]["alpha"] < 1 and result["agreement"]["kappa"] is not None
    out = CliRunner().invoke(app, ["eval", "votes", *map(str, files)])
    assert "12 votes of 3 on 4 pairs" in out.output and "ours 66.7%, theirs 25.0%" in out.output


def test_bad_votes_and_folders_are_one_line(ballot: Callable[..., Path], tmp_path: Path) -> None:
    one = pairs.read_votes(ballot("x", "ab"))
    with pytest.raises(UserError, match="votes on another page"):
        pairs.summary([one, pairs.read_votes(ballot("y", "ab", "t"))])
    with pytest.raises(UserError, match="x judged in .* as well"):
        pairs.summary([one, one])
    (tmp_path / "bad.json").write_text('{"study": "s", "a": "a", "b": "b", "judge": "j", "votes": [{"item": "0"}]}')
    with pytest.raises(UserError, match=r"bad\.json: vote 1: no item, vote"):
        pairs.read_votes(tmp_path / "bad.json")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="no file with a name of one in"):
        pairs.match(tmp_path / "empty", tmp_path / "empty")
    with pytest.raises(UserError, match="nowhere: no such folder"):
        pairs.match(tmp_path / "nowhere", tmp_path / "empty")
