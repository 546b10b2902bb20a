"""Results: tables and pages of them, comparisons of two, and what is refused."""

import importlib
import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from avatargpt import evaluation
from avatargpt.cli.app import app
from avatargpt.evaluation import report
from avatargpt.lm.checkpoint import fingerprint
from vqvae.errors import UserError

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def tables() -> ModuleType:
    sys.path.insert(0, str(ROOT / "eval"))  # where the script finds the modules beside it
    try:
        return importlib.import_module("tables")
    finally:
        sys.path.remove(str(ROOT / "eval"))


def value(mean: float, n: int = 4) -> dict[str, Any]:
    return {"mean": mean, "low": mean - 0.01, "high": mean + 0.01, "n": n}


def result(name: str, results: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {**report.header(evaluation.load(name), None), **more, "results": results}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A small project: results of three suites, a README with the markers."""
    out = tmp_path / "eval" / "results"
    out.mkdir(parents=True)
    (tmp_path / "README.md").write_text("# x\n<!-- results -->\nold\n<!-- /results -->\nend\n")
    prints = {"fingerprint": "ab" * 32}
    made = {
        "prompts_known": result(
            "prompts_known", {"pass_rate": value(0.951), "pass_rate/two": value(0.5)}, prompts=[{}] * 60, model=prints,
            decoding={"guidance": 1.5},
        ),
        "prompts_known.nearest": result("prompts_known", {"pass_rate": value(0.64), "pass_rate/two": value(0.25)}),
        "prompts_known.random": result("prompts_known", {"pass_rate": value(0.05), "pass_rate/two": value(0.0)}),
        "inbetween": result(
            "inbetween", {"ade": value(0.81), "kinematic_fid": {"mean": 0.5}, "ade/interpolation": value(0.7),
                          "kinematic_fid/interpolation": {"mean": 0.77}, "joint_error": value(0.1),
                          "joint_error/interpolation": value(0.2)},
            clips=12, baselines=["interpolation"],
        ),
        "describe": result(
            "describe", {"action": value(0.9), "cider": {"mean": None}}, clips=9,
            sample=[{"clip": "c1", "said": "a person waves", "reference": "someone waves."}],
        ),
        "tokenizer": result("tokenizer", {"mpjpe_heading": {"mean": 21.456}, "code_usage": {"mean": 0.79}},
                            over_length={"seconds": [5.0]}),
    }  # fmt: skip
    for name, data in made.items():
        report.write(out / f"{name}.json", data)
    (out / "tokenizer.png").write_bytes(b"picture")
    return tmp_path


def test_page_and_readme(tables: ModuleType, folder: Path) -> None:
    written = tables.write_tables(folder / "eval" / "results", folder)
    page = (folder / "docs" / "results.md").read_text()
    assert page.index("## tokenizer") < page.index("## prompts_known") < page.index("## describe")
    for row in (
        "| pass_rate \u2191 | 95.1 % (94.1 to 96.1) | nearest caption 64.0 %, random clip 5.0 % | >= 93.0 %, reached |",
        "| pass_rate/two \u2191 | 50.0 % (49.0 to 51.0) | nearest caption 25.0 %, random clip 0.0 % | >= 85.0 %, "
        "missed |",
        "| ade \u2193, m (66-d norm) | 0.81 (0.8 to 0.82) | interpolation 0.7 | below interpolation, missed |",
        "| joint_error \u2193, m | 0.1 (0.09 to 0.11) | interpolation 0.2 | below interpolation, reached |",
        "| kinematic_fid \u2193 | 0.5 | interpolation 0.77 | <= 0.25, missed |",
        "| mpjpe_heading \u2193, mm | 21.5 | <= 30, reached |",
        "| code_usage \u2191 | 79.0 % | >= 80.0 %, missed |",
    ):
        assert f"\n{row}\n" in page
    assert "cider" not in page  # without a value
    assert "familiar words (60 prompts)." in page
    for part, rose, fell in tables.CHANGES:
        assert f"| {part} | {rose} | {fell} |" in page
    assert tables.NOT_SINCE in page and (ROOT / "eval" / "results" / "earlier.md").is_file()
    assert "`avatargpt eval run prompts_known`: [prompts_known.json]" in page
    assert ", [nearest](../eval/results/prompts_known.nearest.json)" in page
    assert (folder / "docs" / "images" / "tokenizer_length.png").read_bytes() == b"picture"
    readme = (folder / "README.md").read_text()
    assert readme.startswith("# x\n<!-- results -->\n| suite |") and readme.endswith("\n<!-- /results -->\nend\n")
    assert "| prompts_known | pass_rate | 95.1 % | 64.0 % (nearest caption) | >= 93.0 % |" in readme
    assert "old" not in readme and "| inbetween | kinematic_fid | 0.5 | 0.77 (interpolation) |" in readme
    assert "pass_rate/two" not in readme and "| inbetween | ade" not in readme
    before = [p.read_bytes() for p in written]
    assert [p.read_bytes() for p in tables.write_tables(folder / "eval" / "results", folder)] == before


def test_each_section_shows_its_plot(tables: ModuleType, folder: Path) -> None:
    results, images = folder / "eval" / "results", folder / "docs" / "images" / "results"
    written = tables.write_tables(results, folder)
    page = (folder / "docs" / "results.md").read_text()
    names = ["tokenizer", "prompts_known", "describe", "inbetween"]
    for name in names:
        assert f"![{name}](images/results/{name}.png)" in page and images / f"{name}.png" in written
    assert sorted(p.stem for p in images.iterdir()) == sorted(names)
    with Image.open(images / "prompts_known.png") as image:
        assert image.width == 800 and image.height < 300
        colours = set(map(tuple, np.asarray(image.convert("RGB")).reshape(-1, 3).tolist()))
    assert {(0x1F, 0x5F, 0xA8), (0xC8, 0x10, 0x2E)} <= colours  # the model and a target


def test_a_folder_of_ones_own_gets_a_page_of_its_own(
    tables: ModuleType, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    results = folder / "eval" / "results"
    monkeypatch.setattr(tables, "ROOT", folder)
    monkeypatch.setattr(tables, "RESULTS", results)

    def main(*arguments: str) -> int:
        monkeypatch.setattr(sys, "argv", ["tables.py", *arguments])
        return int(tables.main())

    assert main() == 0
    published = {p: p.read_bytes() for p in (folder / "README.md", folder / "docs" / "results.md")}
    mine = folder / "mine"
    mine.mkdir()
    capsys.readouterr()
    assert main(str(mine)) == 2 and f"{mine}: no results here" in capsys.readouterr().err
    report.write(mine / "prompts_known.json", result("prompts_known", {"pass_rate": {"mean": 0.1}}))
    assert main(str(mine)) == 0 and capsys.readouterr().out.strip() == str(mine / "results.md")
    page = (mine / "results.md").read_text()
    assert "| pass_rate \u2191 | 10.0 % |" in page and "packaged" not in page and "eval run" not in page
    assert "](plots/prompts_known.png)" in page and (mine / "plots" / "prompts_known.png").is_file()
    assert {p: p.read_bytes() for p in published} == published
    assert main(str(results / ".." / "results")) == 0  # the published folder by another path
    assert {p: p.read_bytes() for p in published} == published


def rows(name: str, results: dict[str, Any], **more: Any) -> dict[str, list[str]]:
    """Figure -> its rows, the model's first."""
    made = sys.modules["reports"].Report(name, result(name, results, **more))
    return {x.name: list(x.marks) for x in made.lines()}


def test_figures_of_one_name_are_one_line(tables: ModuleType) -> None:
    gesture = {"hand_speed/full": value(0.6), "hand_speed/real": value(0.5), "jerk/full": value(30.0)}
    assert rows("gesture", gesture) == {"hand_speed": ["model", "real"], "jerk": ["model"]}
    classes = {"own/walks": value(0.9), "others/walks": value(0.1), "own": value(0.95), "others": value(0.2)}
    assert rows("predicates", classes) == {n: ["model", "other classes"] for n in ("mean", "walks")}
    beside = {"action": value(0.9), "action/own caption": value(0.99), "action/nearest clip": value(0.8)}
    baselines = ["own caption", "nearest clip"]
    assert rows("describe", beside, baselines=baselines) == {"action": ["model", *baselines]}


def test_a_plot_has_the_main_figures(tables: ModuleType, folder: Path) -> None:
    plots, Report = sys.modules["plots"], sys.modules["reports"].Report
    reports = {r.name: r for r in tables.load(folder / "eval" / "results")}
    (shares,) = plots.panels(reports["prompts_known"])
    assert [(x.name, x.target) for x in shares] == [("pass_rate", 0.93), ("pass_rate/two", 0.85)]
    panels = plots.panels(reports["tokenizer"])
    assert [[x.name for x in p] for p in panels] == [["mpjpe_heading"], ["code_usage"]]  # of other units
    assert [x.name for p in plots.panels(reports["describe"]) for x in p] == ["action"]  # the other has no value
    many = {f"pass_rate/{i}": value(0.5) for i in range(40)}
    made = Report("prompts_known", result("prompts_known", many | {"pass_rate": value(0.4)}))
    panels = plots.panels(made)
    assert [len(p) for p in panels] == [plots.MOST_LINES] and panels[0][0].name == "pass_rate"
    assert [line.name for line in tables.main_lines(made)] == ["pass_rate"]  # of those that SHOWN names
    parts = Report("turns", result("turns", {f"acts/{i}": value(0.5) for i in range(40)}))
    assert len(tables.table(parts)) == 2 + tables.MAX_ROWS_WITH_PARTS
    general = Report("plans", result("plans", {f"figure_{i}": value(0.5) for i in range(40)}))
    assert len(tables.table(general)) == 2 + tables.MAX_ROWS
    far = {"peak_jerk": value(0.1), "peak_jerk/concatenation": value(0.2), "area_under_jerk": value(40.0)}
    panels = plots.panels(Report("seams", result("seams", far)))
    assert [[x.name for x in p] for p in panels] == [["area_under_jerk"], ["peak_jerk"]]  # one unit, two scales


def test_no_missed_target_is_left_out(tables: ModuleType) -> None:
    reports = tables.load(ROOT / "eval" / "results")
    missed = {(r.name, line.name) for r in reports for line in r.lines() if line.reached is False}
    shown = {(r.name, line.name) for r in reports for line in tables.main_lines(r)}
    assert missed and missed <= shown
    page = (ROOT / "docs" / "results.md").read_text(encoding="utf-8")
    assert page.count(", missed |") == len(missed)


def test_without_matplotlib_what_to_install_is_said(
    tables: ModuleType, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(UserError, match=r"avatargpt\[eval\]"):
        tables.write_page(folder / "eval" / "results")


def test_refused(tables: ModuleType, folder: Path, tmp_path: Path) -> None:
    results = folder / "eval" / "results"
    with pytest.raises(UserError, match="no results here"):
        tables.load(tmp_path / "eval")
    for text in ("{", json.dumps({"suite": "other", "results": {}}), "[]"):
        (results / "describe.json").write_text(text)
        with pytest.raises(UserError, match="describe.json: not a result"):
            tables.load(results)
    (results / "describe.json").unlink()
    nearest = results / "prompts_known.nearest.json"
    was = json.loads(nearest.read_text())
    for changed in ({"version": 0}, {"seeds": [7]}, {"prompts": [{"prompt": "of before"}]}):
        nearest.write_text(json.dumps({**was, **changed}))
        with pytest.raises(UserError, match="the suite changed, run it again"):
            tables.load(results)
    nearest.unlink()
    (folder / "README.md").write_text("no markers")
    with pytest.raises(UserError, match="markers"):
        tables.write_tables(results, folder)
    assert not (folder / "docs").exists()


def test_verdicts_follow_the_direction_of_each_row(tables: ModuleType, folder: Path) -> None:
    def table(name: str, **figures: float) -> list[str]:
        results = {k.replace("__", "/"): value(v) for k, v in figures.items()}
        return list(tables.table(sys.modules["reports"].Report(name, result(name, results)))[2:])

    assert table("word_times", refused__own=0.0, refused__others=1.0) == [
        "| refused/own \u2193 | 0.0 % (-1.0 to 1.0) | <= 0.0 %, reached |",
        "| refused/others \u2191 | 100.0 % (99.0 to 101.0) | >= 95.0 %, reached |",
    ]
    assert [line.split(" | ")[0] for line in table("gesture", jerk__full=0.6, fgd__full=0.1)] == [
        "| jerk, m/s^3", "| fgd \u2193"
    ]  # fmt: skip
    name, target = next((k, t) for k, t in evaluation.load("plans").targets.items() if isinstance(t, str))
    for rival, reached in ((0.2, "reached"), (0.3, "missed"), (0.4, "missed")):  # a rival in the same file
        figures = {name.replace("/", "__"): 0.3, f"{name.split('/')[0]}__{target}": rival}
        assert table("plans", **figures)[0].endswith(f"| above {target}, {reached} |")
    results = folder / "eval" / "results"
    (results / "prompts_known.json").unlink()  # baselines alone: no verdict
    (known,) = (r for r in tables.load(results) if r.name == "prompts_known")
    row = "| pass_rate \u2191 | - | nearest caption 64.0 %, random clip 5.0 % | >= 93.0 % |"
    assert row in tables.table(known)


def test_what_is_to_be_reached_is_no_baseline(tables: ModuleType, folder: Path) -> None:
    figures = {"action": value(0.9), "action/own caption": value(0.99), "action/nearest clip": value(0.8)}
    data = result("describe", figures, baselines=["own caption", "nearest clip"])
    report.write(folder / "eval" / "results" / "describe.json", data)
    reports = tables.load(folder / "eval" / "results")
    assert "| describe | action | 90.0 % | 80.0 % (nearest clip) | >= 88.0 % |" in tables.short(reports)
    assert "| own caption 99.0 %, nearest clip 80.0 % | >= 88.0 %, reached |" in tables.page(reports)


class Made:
    """As much of the public model as a result is identified by."""

    def __init__(self, seed: int) -> None:
        torch.manual_seed(seed)
        self.model = torch.nn.Linear(3, 2)
        self.tokenizers = {"body": type("T", (), {"fingerprint": "f00"})()}

    def generate(self, texts: list[str], seconds: float | None = None, seed: int = 0, guidance: float = 2.5,
                 best_of: int = 3, seeds: list[int] | None = None) -> None:  # fmt: skip
        """Has defaults; never called."""


def test_header_names_weights_tokenizer_and_decoding() -> None:
    suite = evaluation.load("prompts_known")
    one, same, other = (report.header(suite, Made(seed)) for seed in (1, 1, 2))
    assert one == same and one["model"]["fingerprint"] != other["model"]["fingerprint"]
    assert one["model"]["tokenizer_fingerprint/body"] == "f00"
    assert one["decoding"] == {"guidance": 2.5, "best_of": 3}
    assert report.header(suite, lambda prompts, seeds: [])["decoding"] == {}
    assert evaluation.load("plan_coverage").options["best_of"] == 1  # options of a suite are part of its decoding
    assert report.list_decoding(evaluation.load("plan_coverage"), Made(0))["best_of"] == 1


def test_header_tells_two_readers_apart(tmp_path: Path) -> None:
    (tmp_path / "driver").mkdir()
    for name in ("requests.safetensors", "driver/driver.safetensors", "evaluator.safetensors"):
        (tmp_path / name).write_bytes(name.encode())
    for name in ("requests.json", "config.json", "result.json"):
        (tmp_path / name).write_text("{}")
    made = Made(1)
    made.source = str(tmp_path)  # type: ignore[attr-defined]

    def weights() -> str:
        return str(report.header(evaluation.load("prompts_known"), made)["model"]["weights"])

    before = weights()
    for name in ("evaluator.safetensors", "result.json", "README.md"):  # no part of the model
        (tmp_path / name).write_text("other")
        assert weights() == before
    seen = {before}
    for name in ("requests.safetensors", "requests.json", "config.json", "driver/driver.safetensors"):
        (tmp_path / name).write_text("other")
        seen.add(weights())
    assert len(seen) == 5 and "weights" not in report.header(evaluation.load("prompts_known"), None)["model"]


def test_fingerprint_sees_one_changed_weight_of_any_type() -> None:
    net = torch.nn.Sequential(torch.nn.Linear(2, 2).to(torch.bfloat16), torch.nn.BatchNorm1d(2))
    before = fingerprint(net)
    assert before == fingerprint(net)
    with torch.no_grad():
        net[0].weight[1, 1] += 1
    after = fingerprint(net)
    net[1].num_batches_tracked += 1
    assert len({before, after, fingerprint(net)}) == 3


def prompts_result(path: Path, rows: dict[str, list[int]], fid: float = 0.5, **extra: Any) -> Path:
    prompts = [{"prompt": k, "kind": "side" if k < "m" else "turn", "passed": v} for k, v in rows.items()]
    body = {"suite": "few", "version": 1, "prompts": prompts,
            "results": {"pass_rate": {"mean": 0.5, "low": 0.4, "high": 0.6}, "fid": {"mean": fid}}}  # fmt: skip
    path.write_text(json.dumps({**body, **extra}))
    return path


def test_comparison_is_paired(tmp_path: Path) -> None:
    easy = {f"{c}": [i % 2] * 5 for i, c in enumerate("abcdefghijklmnopqrstuvwx")}
    better = {k: [1] * 5 if k in "acgikms" else v for k, v in easy.items()}
    before, after = prompts_result(tmp_path / "a.json", easy), tmp_path / "b.json"
    got = report.compare(before, prompts_result(after, better | {"y": [1]}, 0.7))
    passed = got["figures"]["passed"]
    assert passed["differs"] and passed["n"] == 24 and passed["difference"] == pytest.approx(7 / 24, abs=1e-5)
    assert got["figures"]["passed/side"]["n"] == 12
    assert {r["row"] for r in got["rows"] if r["differs"]} == set("acgikms") and got["only"] == {"second": ["y"]}
    assert got["unpaired"]["fid"] == {"a": 0.5, "b": 0.7, "difference": 0.2, "differs": None}
    assert not got["unpaired"]["pass_rate"]["differs"]
    equal = report.compare(tmp_path / "a.json", tmp_path / "a.json")
    assert not equal["rows"] and not equal["figures"]["passed"]["differs"]
    assert any(line.startswith("* a (passed)") for line in report.summary(got))


def test_other_weights_are_named(tmp_path: Path) -> None:
    a = prompts_result(tmp_path / "a.json", {"x": [0]}, model={"fingerprint": "f" * 64})
    b = prompts_result(tmp_path / "b.json", {"x": [0]}, model={"fingerprint": "f" * 64, "weights": "b" * 64})
    got = report.compare(a, b)
    assert got["models"] == {"weights": [None, "b" * 64]}
    assert f"other weights: not stated, {'b' * 12}" in report.summary(got)
    assert not report.compare(b, b)["models"]


def test_one_seed_says_nothing_of_chance(tmp_path: Path) -> None:
    a = prompts_result(tmp_path / "a.json", {"x": [0], "z": [1]})
    b = prompts_result(tmp_path / "b.json", {"x": [1], "z": [1]})
    got = report.compare(a, b)
    assert got["rows"] == [{"row": "x", "field": "passed", "a": 0.0, "b": 1.0, "difference": 1.0, "differs": None}]


def test_only_results_of_one_suite_compare(tmp_path: Path) -> None:
    a = prompts_result(tmp_path / "a.json", {"x": [0]})
    prompts_result(tmp_path / "b.json", {"x": [0]}, suite="other")
    (tmp_path / "c.json").write_text("[1]")
    for name, message in (("b.json", "suite other"), ("c.json", "c.json")):
        with pytest.raises(UserError, match=message):
            report.compare(a, tmp_path / name)


def test_compare_command(tmp_path: Path) -> None:
    a, b = prompts_result(tmp_path / "a.json", {"x": [0, 0]}), prompts_result(tmp_path / "b.json", {"x": [1, 1]})
    done = CliRunner().invoke(app, ["eval", "compare", str(a), str(b)])
    assert done.exit_code == 0 and "1 rows differ, 1 beyond chance" in done.stdout
