"""`scripts/structure.py`: its figures of small trees made for it."""

import ast
import importlib.util
import subprocess
from pathlib import Path

PATH = Path(__file__).resolve().parents[1] / "scripts" / "structure.py"
spec = importlib.util.spec_from_file_location("structure", PATH)
assert spec is not None and spec.loader is not None
structure = importlib.util.module_from_spec(spec)
spec.loader.exec_module(structure)


def test_modules_that_import_one_another_are_a_circle():
    graph = {"p.a": {"p.b"}, "p.b": {"p.c", "p.d"}, "p.c": {"p.b"}, "p.d": set()}
    assert structure.import_circles(graph) == [["p.b", "p.c"]]
    assert structure.import_circles({"p.a": {"p.b"}, "p.b": set()}) == []


def test_code_is_counted(tmp_path):
    imports = "import re\nfrom a import (\n    b,\n)\n"
    function = "# why\ndef f(told, x):\n    made = x\n    return made\n"
    (tmp_path / "m.py").write_text(imports + function)
    (tmp_path / "n.py").write_text("y = 1\nz = 2\n")
    figures = structure.code_figures([tmp_path / "m.py", tmp_path / "n.py"])
    assert figures["product lines"] == 10 and figures["product files"] == 2 and figures["lines a file"] == 5
    assert figures["import lines, %"] == 40 and figures["comment lines, %"] == 10
    assert figures["literary names"] == 2 and figures["literary names, %"] == round(100 * 2 / 6, 3)


def test_names_that_are_only_read_do_not_count():
    tree = ast.parse("class K:\n    def f(self, *rest): return told\n")
    assert sorted(structure.stored_names(tree)) == ["K", "f", "rest", "self"]


def test_files_entered_are_those_whose_functions_run(tmp_path):
    package = tmp_path / "vqvae"
    package.mkdir()
    for name in ("used", "imported"):
        (package / f"{name}.py").write_text("def f():\n    return 1\n\n\nf()\n")
    spaces: dict[str, dict[str, object]] = {"used": {}, "imported": {}}
    with structure.EnteredFiles(tmp_path) as entered:
        for name, space in spaces.items():
            path = package / f"{name}.py"
            exec(compile(path.read_text(), str(path), "exec"), space)
        spaces["used"]["f"]()
    assert entered.files == ["vqvae/used.py"] and entered.folders == {"vqvae"}


def test_what_is_above_its_budget_or_has_none_is_named(tmp_path):
    budgets = {"product lines": 10.0, "networks": 2.0, "gone": 1.0}
    faults = structure.compare_budgets({"product lines": 11.0, "networks": 1.0, "new": 3.0}, budgets)
    assert [f.split(":")[0] for f in faults] == ["product lines", "new", "gone"]
    path = tmp_path / "budgets.yaml"
    path.write_text("# why\nproduct lines: 10\nnetworks: 2\n")
    structure.write_budgets({"product lines": 11.0, "networks": 1.0}, budgets, path)
    assert path.read_text() == "# why\nproduct lines: 10\nnetworks: 1\n"


def test_only_tracked_files_count_and_parts_of_a_network_are_one(tmp_path):
    for name in ("vqvae/a.py", "instruct_data/w/w.yaml", "docs/d.md", "vqvae/w.safetensors", "vqvae/w-2.safetensors"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("one two\nthree\n")
    git = ["git", "-C", str(tmp_path)]
    subprocess.run([*git, "init", "-q"], check=True)
    subprocess.run([*git, "add", "."], check=True)
    (tmp_path / "vqvae" / "b.py").write_text("x = 1\n")
    sizes = structure.measure_size(tmp_path)
    assert sizes["product lines"] == sizes["lines of vqvae"] == 2 and sizes["lines of YAML in instruct_data"] == 2
    assert sizes["words of docs"] == 3 and sizes["weight files"] == 2 and sizes["networks"] == 1
