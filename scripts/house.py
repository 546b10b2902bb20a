"""The table of the house: what lies where, how deep imports go, what is above its bounds.

    python scripts/house.py            # print the table
    python scripts/house.py --check    # exit with 1 and one line per fault where a bound is broken

Which room may import which is a contract of `lint-imports` (pyproject.toml); here is what contracts do not say.
"""

from __future__ import annotations

import argparse
import ast
import sys
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("avatargpt", "instruct_data", "vqvae")
OTHERS = ("tests", "scripts", "eval", "benchmarks")
MOST_IN_FOLDER, MOST_LINES, MOST_AT_ROOT = 25, 300, 10
PATTERNS_IN = "language"  # the one room whose work is to read words
Graph = Mapping[str, set[str]]


def imports(type_checking: bool) -> Graph:
    """Module -> modules of ours that it imports; with those under TYPE_CHECKING or without."""
    import grimp

    sys.path.insert(0, str(ROOT))
    graph = grimp.build_graph(*PACKAGES, cache_dir=None, exclude_type_checking_imports=not type_checking)
    return {m: set(graph.find_modules_directly_imported_by(m)) for m in sorted(graph.modules)}


def components(graph: Graph) -> list[list[str]]:
    """Strongly connected components, each behind those that it reaches (Tarjan 1972)."""
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    out: list[list[str]] = []

    def visit(node: str) -> None:
        index[node] = low[node] = len(index)
        stack.append(node)
        for other in sorted(graph[node]):
            if other not in index:
                visit(other)
            if other in stack:
                low[node] = min(low[node], low[other])
        if low[node] == index[node]:
            at = stack.index(node)
            out.append(sorted(stack[at:]))
            del stack[at:]

    for node in graph:
        if node not in index:
            visit(node)
    return out


def circles(graph: Graph) -> list[list[str]]:
    """Modules that import one another, directly or not."""
    return [c for c in components(graph) if len(c) > 1]


def levels(graph: Graph) -> dict[str, int]:
    """Node -> nodes on the longest chain of imports that begins there; a circle counts as one."""
    out: dict[str, int] = {}
    for members in components(graph):
        below = {o for m in members for o in graph[m]} - set(members)
        out |= dict.fromkeys(members, 1 + max((out[o] for o in below), default=0))
    return out


def within(graph: Graph, package: str) -> Graph:
    """The modules of one package and the imports among them."""
    inside = {m for m in graph if m.split(".")[0] == package}
    return {m: graph[m] & inside for m in sorted(inside)}


def room(module: str) -> str:
    """``avatargpt.chat.making`` -> ``chat``; a module of another package -> that package."""
    first, *rest = module.split(".")
    return first if first != "avatargpt" else rest[0] if rest else "__init__"


def rooms(graph: Graph) -> Graph:
    """Room -> other rooms that it imports."""
    out: dict[str, set[str]] = {room(m): set() for m in graph}
    for module, others in graph.items():
        out[room(module)] |= {room(o) for o in others} - {room(module)}
    return out


def sources(root: Path, folders: Iterable[str]) -> list[Path]:
    """Every Python file of these folders."""
    return sorted(p for f in folders for p in (root / f).rglob("*.py") if "__pycache__" not in p.parts)


def lines(path: Path) -> int:
    return len(path.read_text(encoding="utf-8").splitlines())


def pattern_calls(path: Path) -> int | None:
    """Calls ``re.something(...)`` in a file; None where it does not import `re`."""
    nodes = list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))
    named = [n for n in nodes if isinstance(n, ast.Import) and any(a.name == "re" for a in n.names)]
    if not named and not any(isinstance(n, ast.ImportFrom) and n.module == "re" for n in nodes):
        return None
    calls = [n.func for n in nodes if isinstance(n, ast.Call) and isinstance(n.func, ast.Attribute)]
    return sum(isinstance(f.value, ast.Name) and f.value.id == "re" for f in calls)


def faults(root: Path, graph: Graph) -> list[str]:
    """One line for every bound that is broken."""
    out = [f"import circle: {', '.join(c)}" for c in circles(graph)]
    for folder, count in sorted(Counter(p.parent for p in sources(root, (*PACKAGES, *OTHERS))).items()):
        most = MOST_AT_ROOT if folder == root / "avatargpt" else MOST_IN_FOLDER
        if count > most:
            out.append(f"{folder.relative_to(root)}: {count} modules; accepted: up to {most}")
    for path in sources(root, (*PACKAGES, "scripts", "eval", "benchmarks")):
        if (count := lines(path)) > MOST_LINES:
            out.append(f"{path.relative_to(root)}: {count} lines; accepted: up to {MOST_LINES}")
    return out


def table(root: Path, graph: Graph, typed: Graph) -> str:
    """The table, as text; `graph` without imports under TYPE_CHECKING, `typed` with them."""
    out = ["modules  lines  folder"]
    product, everything = sources(root, PACKAGES), sources(root, (*PACKAGES, *OTHERS))
    for folder, count in sorted(Counter(p.parent for p in everything).items()):
        size = sum(lines(p) for p in everything if p.parent == folder)
        out.append(f"{count:7d} {size:6d}  {folder.relative_to(root)}")
    for name in PACKAGES:
        out.append(f"lines of {name}: {sum(lines(p) for p in sources(root, [name]))}")
    long = [p for p in sources(root, ["tests"]) if lines(p) > MOST_LINES]
    out.append(f"test files above {MOST_LINES} lines: {len(long)}")
    found = circles(typed)
    out += [f"circles: {len(found)}, of them at run time {len(circles(graph))}", *("  " + ", ".join(c) for c in found)]
    out += [f"levels within {p}: {max(levels(within(graph, p)).values())}" for p in PACKAGES]
    floor = sorted(levels(rooms(graph)).items(), key=lambda e: (-e[1], e[0]))
    out += [f"levels of the rooms: {floor[0][1]}", "  " + ", ".join(f"{name} {level}" for name, level in floor)]
    out.append(f"YAML files in configs/: {len(list((root / 'configs').rglob('*.yaml')))}")
    calls: Counter[str] = Counter()
    outside = []
    for path in product:
        if (count := pattern_calls(path)) is not None:
            where = room(".".join(path.relative_to(root).with_suffix("").parts))
            calls[where] += count
            outside += [] if where == PATTERNS_IN else [str(path.relative_to(root))]
    out.append("calls of re. by room: " + ", ".join(f"{name} {count}" for name, count in calls.most_common()))
    out.append(f"modules outside {PATTERNS_IN}/ that import re: {len(outside)}")
    return "\n".join([*out, *("  " + path for path in outside)])


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--check", action="store_true", help="say what is above its bounds, exit with 1 if anything is")
    check = parser.parse_args().check
    typed = imports(type_checking=True)
    if not check:
        print(table(ROOT, imports(type_checking=False), typed))
        return 0
    found = faults(ROOT, typed)
    print("\n".join(found) or "the house is in order")
    return bool(found)


if __name__ == "__main__":
    sys.exit(main())
