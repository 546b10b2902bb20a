"""What the commands share: options, checks of arguments, reading texts, writing results, progress."""

from __future__ import annotations

import json
import math
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from avatargpt.cli.output import say
from avatargpt.options import MAX_SECONDS, MIN_SECONDS, is_text
from vqvae.errors import UserError
from vqvae.io.files import read_text

if TYPE_CHECKING:
    from avatargpt.api import AvatarGPT
    from avatargpt.llm import LanguageModel

MAX_CHARACTERS = 1000
MAX_TEXTS = 10_000
SHEET = ".png"  # one picture shows all results together
DRAWN = (SHEET, ".gif", ".mp4")  # pictures and films, which take their time

Progress = Callable[[int, int], None]
"""Called with (steps done, steps in all)."""

Model = Annotated[
    Path | None, typer.Option("--model", metavar="FOLDER", help="Weights to use instead of the packaged ones.")
]
Device = Annotated[str | None, typer.Option("--device", metavar="NAME", help="cpu, cuda, cuda:1 ...")]
Dtype = Annotated[
    str | None,
    typer.Option("--dtype", metavar="float32|bfloat16", help="Of matrix products; float32 repeats a seed everywhere."),
]
Threads = Annotated[int | None, typer.Option("--threads", min=1, max=256, metavar="N", help="CPU threads to use.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress bar.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
_LLM = "A language model that helps: https://..., endpoint, gguf:FILE, hf:FOLDER."
Llm = Annotated[str, typer.Option("--llm", envvar="AVATARGPT_LLM", metavar="SPEC", help=_LLM)]
_BOUNDS = "Its bounds: seconds, total, answer, tokens, price, money, samples."
LlmLimits = Annotated[str, typer.Option("--llm-limits", envvar="AVATARGPT_LLM_LIMITS", metavar="K=N,..", help=_BOUNDS)]
_SEED = typer.Option("--seed", min=0, max=2**32 - 1, metavar="N", help="Same seed, same result.")
Seed = Annotated[int, _SEED]
AnySeed = Annotated[int | None, _SEED]
_OUTPUT = typer.Option("-o", "--output", metavar="FILE", help="Where to write; the suffix is the format. Repeatable.")
Outputs = Annotated[list[Path], _OUTPUT]
AnyOutputs = Annotated[list[Path] | None, _OUTPUT]


def listed(argument: str | None) -> Path | None:
    """The file that a TEXT argument names as ``@FILE``, None where it names none."""
    return Path(argument[1:]) if argument is not None and argument.startswith("@") else None


def read_texts(argument: str, emoji: bool = False) -> tuple[list[str], bool]:
    """The texts that a TEXT argument stands for.

    Args:
        argument: a text, or ``@FILE`` for a UTF-8 file with one text per line (blank lines are skipped).
        emoji: whether a text may be of emoji alone.

    Returns:
        The texts, and whether they came from a file (then results are written as a batch).

    Raises:
        UserError: empty, too long, or the file cannot be read.
    """
    path = listed(argument)
    if path is None:
        return [_check_text(argument, "TEXT", emoji)], False
    lines = read_text(path, MAX_TEXTS * MAX_CHARACTERS, "accepted a text file with one text per line").splitlines()
    texts = [_check_text(line, f"{path} line {n}", emoji) for n, line in enumerate(lines, 1) if line.strip()]
    if not 0 < len(texts) <= MAX_TEXTS:
        raise UserError(f"{path}: {len(texts)} texts; accepted 1 to {MAX_TEXTS}, one per line")
    return texts, True


def warn_unreadable(texts: Sequence[str]) -> None:
    """Say on stderr which texts are not in the one language that the weights know, or have no word."""
    from avatargpt.requests.typed import unreadable

    for text in texts:
        if said := unreadable(text):
            say(f"warning: {text[:60]!r} {said}", err=True)


def _check_text(text: str, where: str, emoji: bool = False) -> str:
    from avatargpt.requests.typed import is_emoji

    text = " ".join(text.split())
    if not is_text(text):
        raise UserError(f"{where}: not UTF-8 text; accepted a description in words, or @FILE with one per line")
    if not any(c.isalnum() or (emoji and is_emoji(c)) for c in text):
        what = "signs without a word" if text else "empty text"
        raise UserError(f"{where}: {what}; accepted a description in words, or @FILE with one per line")
    if len(text) > MAX_CHARACTERS:
        raise UserError(f"{where}: {len(text)} characters; accepted at most {MAX_CHARACTERS}")
    return text


def check_seconds(seconds: float | None) -> float | None:
    """`seconds` itself when it is a length that can be made."""
    return None if seconds is None else check_range("--seconds", seconds, MIN_SECONDS, MAX_SECONDS, " seconds")


def check_range(option: str, value: float, low: float, high: float, unit: str = "") -> float:
    """`value` itself when low <= value <= high; NaN and infinity never are."""
    if not (math.isfinite(value) and low <= value <= high):
        raise UserError(f"{option} {value:g}: accepted {low:g} to {high:g}{unit}")
    return value


def check_targets(
    paths: Sequence[Path], many: bool, modality: str | None = None, sources: Sequence[Path] = (), count: int = 1
) -> None:
    """Refuse output files that could not be written, before any work is done.

    Args:
        paths: as given on the command line.
        many: several results will be written as STEM/00.ext, STEM/01.ext ...
        modality: of what will be written.
        sources: files that are read, and not to be written over.
        count: how many results there will be.
    """
    from avatargpt import export

    if len({p.resolve() for p in paths}) < len(paths):
        raise UserError(f"-o {paths[-1]}: the same output file is named twice")
    for path in paths:
        export.check_target(path, modality)
        if any(path.resolve() == source.resolve() for source in sources):
            raise UserError(f"{path}: input and output are the same file; choose another output")
        if path.suffix.lower() == SHEET and count > export.MAX_CLIPS:
            raise UserError(f"{path}: one picture of {count} clips; accepted 1 to {export.MAX_CLIPS}")
        folder = path.with_suffix("")
        if many and path.suffix.lower() != SHEET and folder.exists() and not folder.is_dir():
            raise UserError(f"{folder}: a file is where the folder for several results should be; choose another -o")
        if many and path.suffix.lower() != SHEET and (left := _left_over(path, count)):
            raise UserError(
                f"{folder}: {len(left)} of an earlier batch would stay among {count} new ({left[0]}); "
                "remove them or choose another -o"
            )


def _numbered(path: Path, count: int) -> list[Path]:
    """STEM/00.ext, STEM/01.ext ... of so many results."""
    width = max(2, len(str(count - 1)))
    return [path.with_suffix("") / f"{i:0{width}d}{path.suffix}" for i in range(count)]


def _left_over(path: Path, count: int) -> list[str]:
    """Names of results that an earlier batch left in the folder and that `count` new ones do not replace."""
    new = {p.name for p in _numbered(path, count)}
    there = sorted(p for p in path.with_suffix("").glob(f"*{path.suffix}") if p.stem.isdecimal() and len(p.stem) > 1)
    return [p.name for p in there if p.name not in new]


def check_folder(path: Path) -> None:
    """Refuse a file whose folder cannot be made or written."""
    folder = path.absolute().parent
    while not folder.exists():
        folder = folder.parent
    if not folder.is_dir() or not os.access(folder, os.W_OK | os.X_OK):
        raise UserError(f"cannot write {path}: {folder} is not a folder that can be written in")


def _sheet(motions: Sequence[Any], path: Path) -> None:
    from avatargpt.export.sheet import contact_sheet

    contact_sheet(motions, [m.caption for m in motions], path)


def write_results(
    paths: Sequence[Path], motions: Sequence[Any], many: bool,
    options: dict[str, Any] | Sequence[dict[str, Any]] | None = None, drawn: Sequence[Any] | None = None,
    kept: bool = False,
) -> list[list[str]]:  # fmt: skip
    """Write every motion in every format, once all targets and options are known to be good; what is drawn comes last.

    When one fails all the same, no file that was not there before stays behind.

    Args:
        paths: output files; a contact sheet (.png) holds all motions, every other file one.
        motions: their captions are what a contact sheet shows.
        many: write STEM/00.ext, STEM/01.ext ... even for one motion.
        options: of the format, see :func:`avatargpt.export.save`; of each path, or the same for all.
        drawn: what a contact sheet shows instead of `motions`.
        kept: Ctrl-C leaves out what is not written yet, and what has been written stays.

    Returns:
        For each motion the files that hold it, in the order of `paths`.
    """
    from avatargpt import export

    files: list[dict[int, str]] = [{} for _ in motions]  # place in `paths` -> name
    new: list[Path] = []
    made: list[Path] = []
    each = [options or {}] * len(paths) if options is None or isinstance(options, dict) else options
    for path, own in zip(paths, each, strict=True):
        export.check_target(path, motions[0].modality)
        export.check_options(path, motions[0].modality, own)
    order = sorted(range(len(paths)), key=lambda k: paths[k].suffix.lower() in DRAWN)
    try:
        for k in order:
            path, own = paths[k], each[k]
            if path.suffix.lower() == SHEET:
                new += [] if path.exists() else [path]
                _sheet(motions if drawn is None else drawn, path)
                for names in files:
                    names[k] = str(path)
                continue
            if many and not path.with_suffix("").exists():
                made.append(path.with_suffix(""))
            targets = _numbered(path, len(motions)) if many else [path] * len(motions)
            for i, (motion, target) in enumerate(zip(motions, targets, strict=True)):
                new += [] if target.exists() else [target]
                export.save(motion, target, **own)
                files[i][k] = str(target)
    except BaseException as e:
        if kept and isinstance(e, KeyboardInterrupt):
            return _named(files)
        for path in new:
            path.unlink(missing_ok=True)
        for folder in made:
            if folder.is_dir() and not any(folder.iterdir()):
                folder.rmdir()
        raise
    return _named(files)


def _named(files: Sequence[dict[int, str]]) -> list[list[str]]:
    return [[names[k] for k in sorted(names)] for names in files]


def print_results(
    motions: Sequence[Any], files: Sequence[Sequence[str]], as_json: bool, more: Sequence[dict[str, Any]] = ()
) -> None:
    """Tell on stdout where the results are: one path per line, or JSON with captions, lengths, and `more` of each."""
    if as_json:
        rows = [
            {"text": m.caption, "seconds": round(m.seconds, 3), "frames": len(m), "fps": m.fps, "files": [*f]}
            for m, f in zip(motions, files, strict=True)
        ]
        print_json({"results": [row | about for row, about in zip(rows, more or [{}] * len(rows), strict=True)]})
        return
    for name in dict.fromkeys(name for names in files for name in names):
        say(name)


def print_json(value: Any) -> None:
    """Print one JSON document."""
    say(json.dumps(value, ensure_ascii=False, indent=2))


def load_model(
    folder: Path | None, device: str | None, threads: int | None, quiet: bool, dtype: str | None = None,
    adapter: Path | None = None,
) -> AvatarGPT:  # fmt: skip
    """The model for one command, with an adapter's updates; a terminal shows that it is being loaded."""
    import avatargpt
    from avatargpt.lm.checkpoint import adapted, check_model

    check_model(folder)
    with progress("loading", quiet):
        return adapted(avatargpt.AvatarGPT.from_pretrained(folder, device, dtype, threads), adapter)


def language_model(spec: str, limits: str, device: str | None, threads: int | None) -> LanguageModel | None:
    """That of ``--llm``, loaded with its first question; None where none is named."""
    from avatargpt.llm import Limits, load_llm

    return load_llm(spec, Limits.of(limits), True, device or "cpu", threads) if spec.strip() else None


@contextmanager
def progress(label: str, quiet: bool) -> Iterator[Progress | None]:
    """A progress bar on stderr while the block runs; nothing, and None, unless stderr is a terminal."""
    if quiet or not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Bar

    columns = TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn()
    with Bar(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(label, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)
