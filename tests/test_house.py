"""`scripts/house.py`: what it finds in a small house made for it."""

import importlib.util
from pathlib import Path

import pytest

PATH = Path(__file__).resolve().parents[1] / "scripts" / "house.py"
spec = importlib.util.spec_from_file_location("house", PATH)
assert spec is not None and spec.loader is not None
house = importlib.util.module_from_spec(spec)
spec.loader.exec_module(house)

GRAPH = {"p.a": {"p.b"}, "p.b": {"p.c", "p.d"}, "p.c": {"p.b"}, "p.d": set()}


def test_circles_and_levels():
    assert house.circles(GRAPH) == [["p.b", "p.c"]]
    assert house.levels(GRAPH) == {"p.a": 3, "p.b": 2, "p.c": 2, "p.d": 1}


@pytest.mark.parametrize(
    "folder, modules, size, said",
    [
        ("avatargpt", 11, 1, "avatargpt: 11 modules; accepted: up to 10"),
        ("vqvae/io", 26, 1, "vqvae/io: 26 modules; accepted: up to 25"),
        ("tests/walks", 26, 301, "tests/walks: 26 modules; accepted: up to 25"),
        ("instruct_data", 1, 301, "instruct_data/m0.py: 301 lines; accepted: up to 300"),
    ],
)
def test_what_is_above_its_bound_is_a_fault(tmp_path, folder, modules, size, said):
    (tmp_path / folder).mkdir(parents=True)
    for k in range(modules):
        (tmp_path / folder / f"m{k}.py").write_text("x = 1\n" * size)
    assert house.faults(tmp_path, {}) == [said]


def test_patterns_are_counted(tmp_path):
    (tmp_path / "m.py").write_text("import re\nA = re.compile('a')\nB = re.sub('a', 'b', 'c').strip()\n")
    assert house.pattern_calls(tmp_path / "m.py") == 2
    (tmp_path / "m.py").write_text("x = 1\n")
    assert house.pattern_calls(tmp_path / "m.py") is None
