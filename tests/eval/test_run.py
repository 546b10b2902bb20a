"""eval/run.py: whose results go where."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from avatargpt import evaluation
from avatargpt.evaluation import report

ROOT = Path(__file__).resolve().parents[2]


def test_published_results_are_not_overwritten_by_other_weights(tmp_path: Path) -> None:
    command = [sys.executable, str(ROOT / "eval/run.py"), "prompts_known", "--model", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 2 and "--out" in done.stderr


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A copy of the scripts with one published result, so that nothing of the real documents is at stake."""
    results = tmp_path / "eval" / "results"
    results.mkdir(parents=True)
    for name in ("run.py", "tables.py", "reports.py", "plots.py", "matrices.py"):
        shutil.copy(ROOT / "eval" / name, tmp_path / "eval" / name)
    (tmp_path / "README.md").write_text("<!-- results -->\nold\n<!-- /results -->\n")
    write_result(results, 0.9)
    return tmp_path


def write_result(folder: Path, rate: float) -> None:
    result = {**report.header(evaluation.load("prompts_known"), None), "results": {"pass_rate": {"mean": rate}}}
    report.write(folder / "prompts_known.json", result)


def tables(project: Path, *more: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, str(project / "eval/run.py"), "--tables", *more]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(command, capture_output=True, text=True, timeout=120, env=env, cwd=project)


def test_tables_of_another_folder_stay_in_it(project: Path) -> None:
    assert tables(project).returncode == 0
    published = {p: p.read_bytes() for p in (project / "README.md", project / "docs" / "results.md")}
    mine = project / "mine"
    mine.mkdir()
    done = tables(project, "--out", str(mine))
    assert done.returncode == 2 and f"{mine}: no results here" in done.stderr
    write_result(mine, 0.1)
    done = tables(project, "--out", str(mine))
    assert (done.returncode, done.stdout.strip()) == (0, str(mine / "results.md"))
    page = (mine / "results.md").read_text()
    assert "| pass_rate | higher | 10.0 % |" in page and "packaged" not in page and "```bash" not in page
    assert {p: p.read_bytes() for p in published} == published
    assert b"90.0 %" in published[project / "README.md"]
    assert tables(project, "--out", "eval/results").returncode == 0  # the published folder by its name
    assert {p: p.read_bytes() for p in published} == published
