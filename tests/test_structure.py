"""`scripts/structure.py`: its figures of small trees made for it."""

import ast
import importlib.util
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
