"""Comparison of two results: paired by rows, of one suite, other weights named."""

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from avatargpt.cli.app import app
from avatargpt.evaluation import compare
from vqvae.errors import UserError


def result(path: Path, rows: dict[str, list[int]], fid: float = 0.5, **extra: Any) -> Path:
    prompts = [{"prompt": k, "kind": "side" if k < "m" else "turn", "passed": v} for k, v in rows.items()]
    body = {"suite": "few", "version": 1, "prompts": prompts,
            "results": {"pass_rate": {"mean": 0.5, "low": 0.4, "high": 0.6}, "fid": {"mean": fid}}}  # fmt: skip
    path.write_text(json.dumps({**body, **extra}))
    return path


def test_comparison_is_paired(tmp_path: Path) -> None:
    easy = {f"{c}": [i % 2] * 5 for i, c in enumerate("abcdefghijklmnopqrstuvwx")}
    better = {k: [1] * 5 if k in "acgikms" else v for k, v in easy.items()}
    got = compare.compare(result(tmp_path / "a.json", easy), result(tmp_path / "b.json", better | {"y": [1]}, 0.7))
    passed = got["figures"]["passed"]
    assert passed["differs"] and passed["n"] == 24 and passed["difference"] == pytest.approx(7 / 24, abs=1e-5)
    assert got["figures"]["passed/side"]["n"] == 12
    assert {r["row"] for r in got["rows"] if r["differs"]} == set("acgikms") and got["only"] == {"second": ["y"]}
    assert got["unpaired"]["fid"] == {"a": 0.5, "b": 0.7, "difference": 0.2, "differs": None}
    assert not got["unpaired"]["pass_rate"]["differs"]
    equal = compare.compare(tmp_path / "a.json", tmp_path / "a.json")
    assert not equal["rows"] and not equal["figures"]["passed"]["differs"]
    assert any(line.startswith("* a (passed)") for line in compare.summary(got))


def test_other_weights_are_named(tmp_path: Path) -> None:
    a = result(tmp_path / "a.json", {"x": [0]}, model={"fingerprint": "f" * 64})
    b = result(tmp_path / "b.json", {"x": [0]}, model={"fingerprint": "f" * 64, "weights": "b" * 64})
    got = compare.compare(a, b)
    assert got["models"] == {"weights": [None, "b" * 64]}
    assert f"other weights: not stated, {'b' * 12}" in compare.summary(got)
    assert not compare.compare(b, b)["models"]


def test_one_seed_says_nothing_of_chance(tmp_path: Path) -> None:
    a, b = result(tmp_path / "a.json", {"x": [0], "z": [1]}), result(tmp_path / "b.json", {"x": [1], "z": [1]})
    got = compare.compare(a, b)
    assert got["rows"] == [{"row": "x", "field": "passed", "a": 0.0, "b": 1.0, "difference": 1.0, "differs": None}]


def test_only_results_of_one_suite_compare(tmp_path: Path) -> None:
    a = result(tmp_path / "a.json", {"x": [0]})
    result(tmp_path / "b.json", {"x": [0]}, suite="other")
    (tmp_path / "c.json").write_text("[1]")
    for name, message in (("b.json", "suite other"), ("c.json", "c.json")):
        with pytest.raises(UserError, match=message):
            compare.compare(a, tmp_path / name)


def test_compare_command(tmp_path: Path) -> None:
    a, b = result(tmp_path / "a.json", {"x": [0, 0]}), result(tmp_path / "b.json", {"x": [1, 1]})
    done = CliRunner().invoke(app, ["eval", "compare", str(a), str(b)])
    assert done.exit_code == 0 and "1 rows differ, 1 beyond chance" in done.stdout
