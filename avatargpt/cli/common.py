"""Common parts of the commands: output (lines, JSON, progress bars, files), shared options and their checks."""

from __future__ import annotations

import json
import math
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated, Any, Self, TypeVar

import typer

from avatargpt.options import is_text
from avatargpt.verbs import VERBS
from vqvae.errors import UserError, printable
from vqvae.io.files import read_text, real_path

if TYPE_CHECKING:
    from avatargpt.api import AvatarGPT
    from avatargpt.llm import LanguageModel

SHEET = ".png"  # one picture shows all results together
DRAWN = (SHEET, ".gif", ".mp4")  # pictures and films, which take their time
Item = TypeVar("Item")
# Called with (steps done, steps in all).
Progress = Callable[[int, int], None]


class Terminated(KeyboardInterrupt):
    """SIGTERM or SIGHUP: as Ctrl-C, but it ends a conversation as well."""


def say(text: object = "", err: bool = False) -> None:
    """Print a line (or several) of results on stdout, of notes on stderr; nothing of it steers a terminal."""
    typer.echo(printable(str(text)), err=err)


def note(line: object) -> None:
    """Print a note on stderr."""
    say(f"note: {line}", err=True)


def warn(line: object) -> None:
    """Print a warning on stderr."""
    say(f"warning: {line}", err=True)


def fail(message: str, status: int = 2) -> int:
    """Print the one line of an error on stderr, and return the exit status."""
    say(f"error: {message}", err=True)
    return status


@contextmanager
def text_warnings(stated: Callable[[str], str]) -> Iterator[None]:
    """Warn of texts that have no effect on the motions made inside the block, each as it is `stated`."""
    from avatargpt.options import UnheededText

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UnheededText)
        yield
    for warning in caught:
        if issubclass(warning.category, UnheededText):
            message = warning.message
            warn(stated(message.args[0] if isinstance(message, Warning) else message))


@contextmanager
def extra_serve(what: str) -> Iterator[None]:
    """Imports of the extra ``serve``. Raises UserError, in words for `what`, where a package is missing."""
    try:
        yield
    except ImportError as e:
        from avatargpt.server import INSTALL

        raise UserError(f"{what} the package {e.name}; install it with {INSTALL}") from None


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
        yield lambda count, total: bar.update(task, completed=count, total=total)


def show_progress(items: Iterable[Item], count: int, label: str, quiet: bool) -> Iterator[Item]:
    """The items, with a progress bar that counts them."""
    with progress(label, quiet) as advance:
        for k, item in enumerate(items, 1):
            yield item
            if advance:
                advance(k, count)


def print_json(value: Any) -> None:
    """Print one JSON document."""
    say(json.dumps(with_uris(value), ensure_ascii=False, indent=2))


def with_uris(value: Any) -> Any:
    """JSON with ``uris`` beside every ``files`` with a name that is not UTF-8, which no text of JSON can hold."""
    if isinstance(value, list):
        return [with_uris(v) for v in value]
    if not isinstance(value, dict):
        return value
    files = value.get("files")
    names = [name for name in files if isinstance(name, str)] if isinstance(files, list) else []
    uris = {} if all(map(is_text, names)) else {"uris": [Path(name).absolute().as_uri() for name in names]}
    return {**{k: with_uris(v) for k, v in value.items()}, **uris}


def print_results(
    motions: Sequence[Any], files: Sequence[Sequence[str]], as_json: bool, details: Sequence[dict[str, Any]] = ()
) -> None:
    """Print the files of results, one path per line, or JSON with captions, lengths, and `details` of each."""
    if as_json:
        rows = [
            {"text": m.caption, "seconds": round(m.seconds, 3), "frames": len(m), "fps": m.fps, "files": [*f]}
            for m, f in zip(motions, files, strict=True)
        ]
        for row, m in zip(rows, motions, strict=True):
            if getattr(m, "notes", ()):
                row["notes"] = [*m.notes]
        details = details or [{}] * len(rows)
        print_json({"results": [row | extra for row, extra in zip(rows, details, strict=True)]})
        return
    for name in dict.fromkeys(name for names in files for name in names):
        say(name)


def check_different(paths: Sequence[Path]) -> None:
    """Refuse output files that are named twice."""
    if len({real_path(p) for p in paths}) < len(paths):
        raise UserError(f"-o {paths[-1]}: the same output file is named twice")


def check_not_source(path: Path, sources: Sequence[Path]) -> None:
    """Refuse an output file that is also read."""
    if any(real_path(path) == real_path(source) for source in sources):
        raise UserError(f"{path}: input and output are the same file; choose another output")


def check_targets(
    paths: Sequence[Path], many: bool, modality: str | None = None, sources: Sequence[Path] = (), count: int = 1,
    character: Path | None = None,
) -> None:  # fmt: skip
    """Refuse output files that could not be written, before any work is done.

    Args:
        modality: of the results, `count` of them.
        sources: files that are read, and not to be written over. character: that of ``--character``, as well.
    """
    from avatargpt import export

    check_different(paths)
    for path in paths:
        export.check_target(path, modality, character)
        check_not_source(path, [*sources, *([] if character is None else [character])])
        if path.suffix.lower() == SHEET:
            if count > export.MAX_CLIPS:
                raise UserError(f"{path}: one picture of {count} clips; accepted 1 to {export.MAX_CLIPS}")
        elif many:
            _check_batch(path, count)


def _check_batch(path: Path, count: int) -> None:
    """Refuse a folder for several results that is a file, or that keeps results of an earlier batch."""
    folder = path.with_suffix("")
    if folder.exists() and not folder.is_dir():
        raise UserError(f"{folder}: a file is where the folder for several results should be; choose another -o")
    new = {p.name for p in _number_paths(path, count)}
    earlier = sorted(p.name for p in folder.glob(f"*{path.suffix}") if p.stem.isdecimal() and len(p.stem) > 1)
    if stale := [name for name in earlier if name not in new]:
        raise UserError(f"{folder}: {len(stale)} of an earlier batch would stay among {count} new ({stale[0]}); "
                        "remove them or choose another -o")  # fmt: skip


def _number_paths(path: Path, count: int) -> list[Path]:
    """STEM/00.ext, STEM/01.ext ... of so many results."""
    width = max(2, len(str(count - 1)))
    return [path.with_suffix("") / f"{i:0{width}d}{path.suffix}" for i in range(count)]


def write_results(
    paths: Sequence[Path], motions: Sequence[Any], many: bool,
    options: Sequence[dict[str, Any]], drawn: Sequence[Any] | None = None, keep_finished: bool = False,
) -> list[list[str]]:  # fmt: skip
    """Write every motion in every format, after all targets and options were checked.

    When one fails all the same, no new file stays behind.

    Args:
        motions: their captions are shown in a contact sheet.
        many: write STEM/00.ext, STEM/01.ext ... even for one motion.
        options: of the format of each path, see :func:`avatargpt.export.save`.
        drawn: motions for a contact sheet, instead of `motions`.
        keep_finished: Ctrl-C leaves out what is not written yet, and finished files stay.

    Returns:
        For each motion the files that hold it, in the order of `paths`.
    """
    from avatargpt import export

    files: list[dict[int, str]] = [{} for _ in motions]  # place in `paths` -> name
    new_files: list[Path] = []
    new_folders: list[Path] = []
    for path, chosen in zip(paths, options, strict=True):
        export.check_target(path, motions[0].modality, chosen.get("character"))
        export.check_options(path, motions[0].modality, chosen)
    # pictures and films last: what is quick stays when the user interrupts the drawing
    order = sorted(range(len(paths)), key=lambda k: paths[k].suffix.lower() in DRAWN)
    try:
        for k in order:
            path = paths[k]
            if path.suffix.lower() == SHEET:
                new_files += [] if path.exists() else [path]
                sheet = motions if drawn is None else drawn
                export.contact_sheet(sheet, [m.caption for m in sheet], path)
                for names in files:
                    names[k] = str(path)
                continue
            if many and not path.with_suffix("").exists():
                new_folders.append(path.with_suffix(""))
            targets = _number_paths(path, len(motions)) if many else [path] * len(motions)
            for i, (motion, target) in enumerate(zip(motions, targets, strict=True)):
                new_files += [] if target.exists() else [target]
                export.save(motion, target, **options[k])
                files[i][k] = str(target)
    except BaseException as e:
        if not (keep_finished and isinstance(e, KeyboardInterrupt)):
            for path in new_files:
                path.unlink(missing_ok=True)
            for folder in new_folders:
                if folder.is_dir() and not any(folder.iterdir()):
                    folder.rmdir()
            raise
    return [[names[k] for k in sorted(names)] for names in files]


def format_options(
    paths: Sequence[Path], modality: str, layout: str | None, size: int | None, audio: Path | None = None,
    character: Mapping[str, Any] = MappingProxyType({}), names: str | None = None,
) -> list[dict[str, Any]]:  # fmt: skip
    """For each output file those of the options that its format has, for a motion of `modality`.

    `character`: those of `Worn`, which go with every file. `names`: of expressions
    (`avatargpt.export.expressions.NAMES`).
    """
    from avatargpt import export
    from avatargpt.export.formats import layouts

    if character:
        for name, value in (("--layout", layout), ("--size", size)):
            if value is not None:
                raise UserError(f"{name} {value}: accepted without --character")
        return [dict(character) for _ in paths]

    available = {path: layouts(path, modality) for path in paths if layouts(path, modality)}
    if layout is not None and not any(layout in names for names in available.values()):
        if not available:
            raise UserError(f"--layout {layout}: no output has layouts; accepted with .json, .vrma, .csv and .bvh")
        accepted = "; ".join(f"{path}: {', '.join(names)}" for path, names in available.items())
        raise UserError(f"--layout {layout}: accepted for {accepted}")
    if size is not None and not any(export.has_option(path, "size") for path in paths):
        raise UserError(f"--size {size}: none of the output files is a film; accepted with .mp4, .mov and .gif")
    out = []
    for path in paths:
        chosen = layout if layout in available.get(path, ()) else None
        values: dict[str, Any] = {"size": size, "audio": audio, "layout": chosen}
        if names is not None and export.has_option(path, "names"):
            values |= vrma_options(names) | ({} if chosen is None else {"layout": chosen})
        out.append({k: v for k, v in values.items() if v is not None and export.has_option(path, k)})
    return out


def vrma_options(names: str) -> dict[str, Any]:
    """Options of a .vrma whose expressions have these names (`avatargpt.export.expressions.NAMES`)."""
    layout = {"presets": "presets", "all": "both"}.get(names, "arkit")
    return {"layout": layout} if names == "presets" else {"layout": layout, "names": names}


MAX_CHARACTERS = 1000
MAX_TEXTS = 10_000


REQUEST = "request_class"  # attribute of a command: where the class of its request is


def takes(verb: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """A command with an option for each field of the request of a verb, see `avatargpt.cli.verbs.add_options`.

    The class is imported when the command is used: the list of commands does without.
    """

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        setattr(command, REQUEST, VERBS[verb])
        return command

    return decorate


def option(declaration: str, description: str, **details: Any) -> Any:
    """A command-line option."""
    words = declaration.split()
    names = [word for word in words if word.startswith("-")]
    return typer.Option(*names, metavar=" ".join(words[len(names) :]) or None, help=description, **details)


def argument(placeholder: str, description: str) -> Any:
    """A command-line argument."""
    return typer.Argument(metavar=placeholder, help=description)


def _show_all_options(context: typer.Context, value: bool) -> None:
    if value:
        for parameter in context.command.params:
            parameter.hidden = False  # type: ignore[attr-defined]
        say(context.get_help())
        raise typer.Exit


_SEED = option("--seed N", "Same seed, same result.", min=0, max=2**32 - 1)
_OUTPUT = option("-o --output FILE", "Where to write; the suffix is the format. Repeatable.")
_LLM = "A language model that helps: https://..., endpoint, gguf:FILE, hf:FOLDER."
_LLM_LIMITS = "Its bounds: seconds, total, answer, tokens, price, money, samples."
Seed = Annotated[int, _SEED]
AnySeed = Annotated[int | None, _SEED]
Outputs = Annotated[list[Path], _OUTPUT]
AnyOutputs = Annotated[list[Path] | None, _OUTPUT]
Model = Annotated[Path | None, option("--model FOLDER", "Weights to use instead of the packaged ones.")]
Adapter = Annotated[
    str | None, option("--adapter NAME|FOLDER", "A LoRA adapter: of the model's folder adapters, or another folder.")
]
Device = Annotated[str | None, option("--device NAME", "cpu, cuda, cuda:1 ...")]
Dtype = Annotated[
    str | None, option("--dtype float32|bfloat16", "Of matrix products; float32 repeats a seed everywhere.")
]
Character = Annotated[
    Path | None, option("--character FILE", "A .glb, .gltf, .vrm, .fbx or .bvh: the motion on its own skeleton, added.")
]
Root = Annotated[
    str, option("--root hips|ground", "Of a character: ground moves the bone above the hips along the floor.")
]
Threads = Annotated[int | None, option("--threads N", "CPU threads to use.", min=1, max=256)]
Quiet = Annotated[bool, option("--quiet -q", "No progress bar.")]
Json = Annotated[bool, option("--json", "Print JSON.")]
HelpAll = Annotated[bool, option("--help-all", "Show every option.", is_eager=True, callback=_show_all_options)]
Llm = Annotated[str, option("--llm SPEC", _LLM, envvar="AVATARGPT_LLM")]
LlmLimits = Annotated[str, option("--llm-limits K=N,..", _LLM_LIMITS, envvar="AVATARGPT_LLM_LIMITS")]


def text_file(argument: str | None) -> Path | None:
    """The file that a TEXT argument names as ``@FILE``, None where it names none."""
    return Path(argument[1:]) if argument is not None and argument.startswith("@") else None


def read_texts(argument: str, emoji: bool = False) -> tuple[list[str], bool]:
    """The texts that a TEXT argument stands for.

    Args:
        argument: a text, or ``@FILE`` for a UTF-8 file with one text per line (blank lines are skipped).

    Returns:
        The texts, and whether they came from a file (then results are written as a batch).
    """
    path = text_file(argument)
    if path is None:
        return [_check_text(argument, "TEXT", emoji)], False
    lines = read_text(path, MAX_TEXTS * MAX_CHARACTERS, "accepted a text file with one text per line").splitlines()
    texts = [_check_text(line, f"{path} line {n}", emoji) for n, line in enumerate(lines, 1) if line.strip()]
    if not 0 < len(texts) <= MAX_TEXTS:
        raise UserError(f"{path}: {len(texts)} texts; accepted 1 to {MAX_TEXTS}, one per line")
    return texts, True


def warn_unreadable(texts: Sequence[str], model: AvatarGPT | None = None) -> None:
    """Say on stderr which texts are not in the one language that the weights know, or have no word.

    Args:
        model: its captions are English; texts of their words are not looked up in other languages.
    """
    from avatargpt.requests.english import unreadable

    captions = None if model is None else model.phrase_index
    words = frozenset(() if captions is None else captions.index.words.words)
    for text in texts:
        if reason := unreadable(text, words):
            warn(f"{text[:60]!r} {reason}")


def _check_text(text: str, where: str, emoji: bool = False) -> str:
    from avatargpt.requests.english import is_emoji

    text = " ".join(text.split())
    if not is_text(text):
        raise UserError(f"{where}: not UTF-8 text; accepted a description in words, or @FILE with one per line")
    if not any(c.isalnum() or (emoji and is_emoji(c)) for c in text):
        what = "signs without a word" if text else "empty text"
        raise UserError(f"{where}: {what}; accepted a description in words, or @FILE with one per line")
    if len(text) > MAX_CHARACTERS:
        raise UserError(f"{where}: {len(text)} characters; accepted at most {MAX_CHARACTERS}")
    return text


def check_range(name: str, value: float | None, low: float, high: float, unit: str = "") -> None:
    """Refuse a value of an option outside low..high, NaN and infinity; None is accepted."""
    if value is not None and not (math.isfinite(value) and low <= value <= high):
        raise UserError(f"{name} {value:g}: accepted {low:g} to {high:g}{unit}")


@dataclass(frozen=True, kw_only=True)
class Setup:
    """The model of a command, where it computes, and how results are printed."""

    adapter: Adapter = None
    model: Model = None
    device: Device = None
    dtype: Dtype = None
    threads: Threads = None
    as_json: Json = False
    quiet: Quiet = False

    def load(self) -> AvatarGPT:
        """The model, with its adapter; a terminal shows that it is being loaded."""
        import avatargpt
        from avatargpt.lm.checkpoint import check_model

        check_model(self.model)
        with progress("loading", self.quiet):
            model = avatargpt.AvatarGPT.from_pretrained(self.model, self.device, self.dtype, self.threads)
            return model if self.adapter is None else model.with_adapter(self.adapter)

    def load_llm(self, spec: str, limits: str) -> LanguageModel | None:
        """That of ``--llm``, loaded with its first question; None where none is named."""
        from avatargpt.llm import Limits, load_llm

        device = self.device or "cpu"
        return load_llm(spec, Limits.of(limits), True, device, self.threads) if spec.strip() else None


@dataclass(frozen=True, kw_only=True)
class VoiceSetup(Setup):
    """Of commands whose networks are small and run on the CPU; `device` is that of a body in words."""

    adapter: str | None = None
    dtype: str | None = None


@dataclass(frozen=True, kw_only=True)
class PlainSetup(VoiceSetup):
    """Of commands that never load the language model elsewhere."""

    device: str | None = None


@dataclass(frozen=True, kw_only=True)
class PrintSetup(PlainSetup):
    """Of commands without a model of ours."""

    model: Path | None = None
    threads: int | None = None


@dataclass(frozen=True, kw_only=True)
class Worn:
    """The character on whose skeleton motions are written."""

    character: Character = None
    root: Root = "hips"

    def options(self, modality: str) -> dict[str, Any]:
        """Those of files of motions of `modality`; empty without a character.

        Raises:
            UserError: a character that cannot be read or is not understood.
        """
        if self.character is None:
            if self.root != "hips":
                raise UserError(f"--root {self.root}: accepted with --character FILE")
            return {}
        from avatargpt.export.character import load_character, notes_of

        if modality == "face":  # needs no skeleton
            if self.root != "hips":
                raise UserError(f"--root {self.root}: accepted with a body")
            from avatargpt.export.face_making import load_talk

            talk = load_talk(self.character)
            note(f"{self.character}: face: {talk.line}")
            return {"character": talk}
        character = load_character(self.character, self.root)
        for line in notes_of(character, modality):
            note(f"{self.character}: {line}")
        return {"character": character, "root": self.root}


@dataclass(frozen=True, kw_only=True)
class Output:
    """The files of a command's results, checked already, and how the results are printed."""

    paths: list[Path]
    options: Sequence[dict[str, Any]]  # of the format of each path
    many: bool  # several results, written as STEM/00.ext, STEM/01.ext ...
    as_json: bool
    quiet: bool

    @classmethod
    def check(
        cls, paths: list[Path], modality: str, setup: Setup, worn: Worn | None = None, sources: Sequence[Path] = (),
        many: bool = False, count: int = 1, layout: str | None = None, size: int | None = None,
        audio: Path | None = None, names: str | None = None,
    ) -> Self:  # fmt: skip
        """Raises UserError for what could not be written; see `check_targets`, `Worn` and `format_options`."""
        worn = worn or Worn()
        check_targets(paths, many, modality, sources, count, worn.character)
        options = format_options(paths, modality, layout, size, audio, worn.options(modality), names)
        return cls(paths=paths, options=options, many=many, as_json=setup.as_json, quiet=setup.quiet)

    def finish(
        self, motions: Sequence[Any], details: Sequence[dict[str, Any]] = (), drawn: Sequence[Any] | None = None
    ) -> None:
        """Write and print the results; see `write_results` and `print_results`."""
        with progress("writing", self.quiet):
            files = write_results(self.paths, motions, self.many, self.options, drawn)
        print_results(motions, files, self.as_json, details)
