"""Figures of the code's structure: size, names, imports, and the files that seven typical runs enter.

    python scripts/structure.py                  # print the figures as a table
    python scripts/structure.py --runs           # with the traced runs (loads the model, about a minute)
    python scripts/structure.py --json FILE      # also write the figures to FILE
    python scripts/structure.py --before FILE    # print those of FILE beside them
    python scripts/structure.py --check          # exit with 1 above a budget or where modules import in a circle
    python scripts/structure.py --lower          # take today's figures as budgets where they are below them

Which package may import which is a contract of `lint-imports` (pyproject.toml).
"""

from __future__ import annotations

import argparse
import ast
import inspect
import json
import re
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import CodeType, FrameType

import yaml

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("avatargpt", "instruct_data", "vqvae")
LITERARY_NAMES = frozenset(
    "asked told said shown seen made given held heard found taken some one other others whole besides rest own book "
    "spoken known kept meant wanted felt done joined apart alike near more most least".split()
)
Graph = Mapping[str, set[str]]
TURN = "make a person walk and then sit down\n"
RUNS = ("generate", "describe", "inbetween", "chat turn", "long, first frames", "face", "evaluation suite")


def import_graph(root: Path, type_checking: bool) -> Graph:
    """Module -> modules of the project that it imports; with those under TYPE_CHECKING or without."""
    import grimp

    sys.path.insert(0, str(root))
    graph = grimp.build_graph(*PACKAGES, cache_dir=None, exclude_type_checking_imports=not type_checking)
    return {m: set(graph.find_modules_directly_imported_by(m)) for m in sorted(graph.modules)}


def import_circles(graph: Graph) -> list[list[str]]:
    """Groups of modules that import one another, directly or not (Tarjan 1972)."""
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    circles: list[list[str]] = []

    def visit(node: str) -> None:
        index[node] = low[node] = len(index)
        stack.append(node)
        for target in sorted(graph[node]):
            if target not in index:
                visit(target)
            if target in stack:
                low[node] = min(low[node], low[target])
        if low[node] == index[node]:
            start = stack.index(node)
            if len(stack) - start > 1:
                circles.append(sorted(stack[start:]))
            del stack[start:]

    for node in graph:
        if node not in index:
            visit(node)
    return circles


def python_files(root: Path, folders: Iterable[str]) -> list[Path]:
    """Every Python file below these folders."""
    return sorted(p for f in folders for p in (root / f).rglob("*.py") if "__pycache__" not in p.parts)


def stored_names(tree: ast.AST) -> Iterable[str]:
    """Names that a file gives: variables, parameters, functions, classes."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id
        elif isinstance(node, ast.arg):
            yield node.arg
        elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            yield node.name


def import_lines(tree: ast.AST) -> int:
    """Lines of import statements."""
    nodes = [n for n in ast.walk(tree) if isinstance(n, (ast.Import, ast.ImportFrom))]
    return sum((n.end_lineno or n.lineno) - n.lineno + 1 for n in nodes)


def code_figures(paths: Iterable[Path]) -> dict[str, float]:
    """Size, imports, comments and names of Python files."""
    files = lines = imports = comments = names = literary = 0
    for path in paths:
        text = path.read_text(encoding="utf-8")
        tree = ast.parse(text)
        files += 1
        lines += len(text.splitlines())
        imports += import_lines(tree)
        comments += sum(line.strip().startswith("#") for line in text.splitlines())
        stored = list(stored_names(tree))
        names += len(stored)
        literary += sum(name.strip("_") in LITERARY_NAMES for name in stored)
    return {
        "product lines": lines, "product files": files, "lines a file": round(lines / max(files, 1), 1),
        "import lines, %": round(100 * imports / max(lines, 1), 2),
        "comment lines, %": round(100 * comments / max(lines, 1), 2),
        "literary names, %": round(100 * literary / max(names, 1), 3), "literary names": literary,
    }  # fmt: skip


def figures(root: Path) -> dict[str, float]:
    """The static figures of a checkout."""
    out = code_figures(python_files(root, PACKAGES))
    tests = python_files(root, ["tests"])
    out["test lines"] = sum(len(p.read_text(encoding="utf-8").splitlines()) for p in tests)
    out["YAML files in configs"] = len(list((root / "configs").rglob("*.yaml")))
    pages = [*(root / "docs").glob("*.md"), root / "README.md", root / "CONTRIBUTING.md"]
    out["words of docs, README and CONTRIBUTING"] = sum(len(p.read_text(encoding="utf-8").split()) for p in pages)
    out["import circles"] = len(import_circles(import_graph(root, type_checking=True)))
    lint = subprocess.run([Path(sys.executable).with_name("lint-imports")], cwd=root, capture_output=True, text=True)
    out["broken import contracts"] = sum(line.rstrip().endswith("BROKEN") for line in lint.stdout.splitlines())
    return out


BUDGETS = Path(__file__).with_name("budgets.yaml")
FACTORY = "instruct_data/factory/"  # draws training data: has a budget of its own


def measure_size(root: Path) -> dict[str, float]:
    """What has a budget: tracked files only, so that a working folder and a clean clone have the same figures."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=root, capture_output=True, text=True, check=True).stdout
    files = [p for p in listed.split("\0") if p and (root / p).is_file()]
    lines = {p: len((root / p).read_bytes().splitlines()) for p in files if p.endswith((".py", ".yaml"))}
    product = {p: n for p, n in lines.items() if p.endswith(".py") and p.split("/", 1)[0] in PACKAGES}
    out: dict[str, float] = {"product lines": sum(n for p, n in product.items() if not p.startswith(FACTORY))}
    for path, count in product.items():
        folder = "lines of " + "/".join(path.split("/")[:2] if path.count("/") > 1 else path.split("/")[:1])
        out[folder] = out.get(folder, 0) + count
    wordings = [n for p, n in lines.items() if p.endswith(".yaml") and p.startswith("instruct_data/")]
    pages = [p for p in files if p.endswith(".md") and (p.startswith("docs/") or "/" not in p) and p != "CHANGELOG.md"]
    weights = [p for p in files if p.endswith(".safetensors") and not p.startswith("tests/")]
    out["lines of YAML in instruct_data"] = sum(wordings)
    out["lines of YAML in configs"] = sum(n for p, n in lines.items() if p.startswith("configs/"))
    out["words of docs"] = sum(len((root / p).read_text(encoding="utf-8").split()) for p in pages)
    out["MB of tracked files"] = round(sum((root / p).stat().st_size for p in files) / 1e6, 1)
    out["weight files"] = len(weights)
    # the parts of one network end in a number
    out["networks"] = len({re.sub(r"(-\d+)?\.safetensors$", "", p) for p in weights})
    return out


def compare_budgets(sizes: Mapping[str, float], budgets: Mapping[str, float]) -> list[str]:
    """A line for each figure above its budget or without one, and for each budget of what is no more."""
    out = [f"{k}: {v:g}, above its budget of {budgets[k]:g}" for k, v in sizes.items() if v > budgets.get(k, v)]
    out += [f"{k}: {v:g}, and has no budget" for k, v in sizes.items() if k not in budgets]
    return out + [f"{k}: has a budget and is no more" for k in budgets if k not in sizes]


def write_budgets(sizes: Mapping[str, float], budgets: Mapping[str, float], path: Path) -> None:
    """Lower the budgets of a file to the figures that are below them; the comment on its top stays."""
    head = "".join(f"{line}\n" for line in path.read_text(encoding="utf-8").splitlines() if line.startswith("#"))
    rows = [f"{k}: {min(v, budgets.get(k, v)):g}" for k, v in sizes.items()]
    path.write_text(head + "\n".join(rows) + "\n", encoding="utf-8")


class EnteredFiles:
    """Records the product files whose functions are called while it is active."""

    def __init__(self, root: Path) -> None:
        self.prefix = f"{root}/"
        self.codes: set[CodeType] = set()

    def __enter__(self) -> EnteredFiles:
        threading.setprofile(self._event)
        sys.setprofile(self._event)
        return self

    def _event(self, frame: FrameType, event: str, _arg: object) -> None:
        if event == "call" and (code := frame.f_code) not in self.codes and self._is_function(code):
            outer: FrameType | None = frame
            while outer is not None and not self._is_module(outer.f_code):
                outer = outer.f_back
            if outer is None:
                self.codes.add(code)

    def _is_function(self, code: CodeType) -> bool:
        return bool(code.co_flags & inspect.CO_OPTIMIZED) and code.co_filename.startswith(self.prefix)

    def _is_module(self, code: CodeType) -> bool:
        return code.co_name == "<module>" and code.co_filename.startswith(self.prefix)

    def __exit__(self, *exc: object) -> None:
        sys.setprofile(None)
        threading.setprofile(None)  # type: ignore[arg-type]

    @property
    def files(self) -> list[str]:
        """Paths of the files, relative to the checkout; what runs while a module is imported does not count."""
        relative = [name.removeprefix(self.prefix) for name in {c.co_filename for c in self.codes}]
        return sorted(r for r in relative if r.split("/", 1)[0] in PACKAGES)

    @property
    def folders(self) -> set[str]:
        """Folders of these files."""
        return {name.rpartition("/")[0] for name in self.files}


def run_commands(folder: Path) -> dict[str, Callable[[], object]]:
    """The seven runs, each by what a user types."""
    from avatargpt.__main__ import main

    def call(*args: str) -> None:
        sys.argv = ["avatargpt", *args]
        try:
            main()
        except SystemExit as end:
            if end.code:
                raise RuntimeError(f"avatargpt {' '.join(args)}: exit {end.code}") from end

    prompts = folder / "prompts.csv"
    prompts.write_text("prompt\na person walks forward\n", encoding="utf-8")
    clip, other = str(folder / "a.npz"), str(folder / "b.npz")
    return {
        "generate": lambda: call("generate", "walk in a circle, then bow", "-o", str(folder / "a.glb"), "-o", clip),
        "describe": lambda: call("describe", clip),
        "inbetween": lambda: call("inbetween", clip, clip, "--seconds", "1", "-o", other),
        "chat turn": lambda: call("chat"),  # the turn stands on the standard input
        "long, first frames": lambda: call("long", "a boy plays in the snow", "--seconds", "8", "-o", other),
        "face": lambda: call("face", "--text", "smile, then wink", "-o", str(folder / "f.csv")),
        "evaluation suite": lambda: call("eval", "run", str(prompts), "-o", str(folder / "r.json")),
    }


def traced(root: Path, name: str) -> tuple[int, int]:
    """Files and folders that one run enters, in a process of its own."""
    program = f"import sys; sys.path[:0] = [{str(root)!r}, {str(root / 'scripts')!r}]\n" + (
        "import contextlib, io, json, pathlib, tempfile, structure\n"
        "with tempfile.TemporaryDirectory() as d, contextlib.redirect_stdout(io.StringIO()):\n"
        f"    runs = structure.run_commands(pathlib.Path(d)); name = {name!r}\n"
        "    if name in ('describe', 'inbetween'): runs['generate']()\n"
        f"    with structure.EnteredFiles(pathlib.Path({str(root)!r})) as entered: runs[name]()\n"
        "sys.stderr.write(chr(10) + json.dumps([len(entered.files), len(entered.folders)]))"
    )
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run([sys.executable, "-c", program], cwd=folder, capture_output=True,
                              text=True, input=TURN)  # fmt: skip
    try:
        files, folders = json.loads(done.stderr.splitlines()[-1])
    except (ValueError, IndexError):
        raise SystemExit(f"{name}: {done.stderr[-500:]}") from None
    return files, folders


def main() -> int:
    """Entry point; returns the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--root", type=Path, default=ROOT, help="another checkout (default: this one)")
    parser.add_argument("--runs", action="store_true", help="trace the seven runs, too")
    parser.add_argument("--json", type=Path, help="also write the figures here")
    parser.add_argument("--before", type=Path, help="figures to print beside these")
    parser.add_argument(
        "--check", action="store_true", help="exit with 1 above a budget or where modules import in a circle"
    )
    parser.add_argument("--lower", action="store_true", help="lower budgets to today's figures")
    args = parser.parse_args()
    if args.check or args.lower:
        sizes, budgets = measure_size(args.root), yaml.safe_load(BUDGETS.read_text(encoding="utf-8")) or {}
        if args.lower:
            write_budgets(sizes, budgets, BUDGETS)
            return 0
        faults = [f"import circle: {', '.join(c)}" for c in import_circles(import_graph(args.root, type_checking=True))]
        faults += compare_budgets(sizes, budgets)
        print("\n".join(faults) or "no import circles, and everything within its budget")
        return bool(faults)
    table = figures(args.root)
    for name in RUNS if args.runs else ():
        table[f"files entered: {name}"], table[f"folders entered: {name}"] = traced(args.root, name)
    before = json.loads(args.before.read_text(encoding="utf-8")) if args.before else {}
    for name, value in table.items():
        print(f"| {name} | {before.get(name, '')} | {value} |" if before else f"{value:>10}  {name}")
    if args.json:
        args.json.write_text(json.dumps(table, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
