"""Run a benchmark: python benchmarks/run.py NAME [ARGUMENTS] [--json] [-o RESULT.json]; NAME --help says more.

A benchmark is a file of this folder with a function `run`: its parameters are the arguments and options, its result is
a table of figures, or some rows of them one after another.
"""

from __future__ import annotations

import importlib
import inspect
import json
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, get_type_hints

import typer

ROOT = Path(__file__).resolve().parents[1]
NAMES = sorted(p.stem for p in Path(__file__).parent.glob("*.py") if p.stem not in ("run", "common"))


def show(figures: Mapping[str, Any], indent: str = "") -> None:
    """A line for each figure, tables below their names."""
    for name, value in figures.items():
        if isinstance(value, Mapping):
            print(f"{indent}{name}")
            show(value, f"{indent}  ")
        else:
            number = f"{value:.4g}" if isinstance(value, float) else value
            print(f"{indent}{str(name).replace('_', ' '):{max(36 - len(indent), 1)}s} {number}", flush=True)


def command(function: Callable[..., Any], about: str) -> Callable[..., None]:
    """A benchmark's function as a command that prints its figures and writes them where it is asked to."""

    def run(
        as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
        output: Annotated[Path | None, typer.Option("-o", "--output", help="Write the figures here, as JSON.")] = None,
        **options: Any,
    ) -> None:
        from vqvae.errors import UserError
        from vqvae.motion import atomic_write

        rows = []
        try:
            result = function(**options)
            for row in result if isinstance(result, Iterator) else [result]:
                rows.append(row)
                print(json.dumps(row, indent=1, ensure_ascii=False), flush=True) if as_json else show(row)
        except UserError as e:
            raise SystemExit(f"error: {e}") from None
        if output is not None:
            text = json.dumps(rows[0] if len(rows) == 1 else rows, indent=1, ensure_ascii=False) + "\n"
            atomic_write(output, lambda p: p.write_text(text, encoding="utf-8"))

    own = inspect.signature(function).parameters
    hints = get_type_hints(function, include_extras=True) | get_type_hints(run, include_extras=True)
    shared = [p.replace(kind=p.KEYWORD_ONLY) for n, p in inspect.signature(run).parameters.items() if n != "options"]
    parameters = [p.replace(kind=p.KEYWORD_ONLY) for p in own.values()] + shared
    run.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [p.replace(annotation=hints[p.name]) for p in parameters]
    )
    run.__annotations__ = {p.name: hints[p.name] for p in parameters}
    run.__doc__ = about.replace("\n\n", "\0").replace("\n", " ").replace("\0", "\n\n")
    return run


def main() -> None:
    if len(sys.argv) < 2 or sys.argv[1] not in NAMES:
        print(__doc__.splitlines()[0])
        raise SystemExit(f"error: no benchmark {' '.join(sys.argv[1:2])!r}; accepted {', '.join(NAMES)}")
    sys.path.insert(0, str(ROOT))
    module = importlib.import_module(f"benchmarks.{sys.argv.pop(1)}")
    app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)
    app.command()(command(module.run, module.__doc__ or ""))
    app()


if __name__ == "__main__":
    main()
