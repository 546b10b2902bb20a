"""The whole chain from the corpora to the shipped weights: `configs/recipe.yaml`, printed or run step by step."""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from string import Template
from types import SimpleNamespace

from avatargpt.resources import configs
from vqvae.errors import UserError
from vqvae.io.data_files import read_json, read_yaml
from vqvae.motion import atomic_write
from vqvae.strict import Strict

FILE = "recipe.yaml"
DONE = "done.json"
"""In a step's folder: the command that made it."""
GENERATED = "a person waves"


class Recipe(Strict):
    """`configs/recipe.yaml`.

    Attributes:
        corpora: name -> folder inside ``--data``.
        steps: name -> stage, config and options; ``note``: where the shipped run differed.
        debug: the same in its smallest form.
    """

    corpora: dict[str, str]
    steps: dict[str, dict[str, str | int]]
    debug: dict[str, dict[str, str | int]]


@dataclass(frozen=True)
class Step:
    """One command. `name` is its folder's; `argv` what `scripts/train.py` (or, for a clip, `avatargpt`) takes."""

    name: str
    stage: str
    argv: tuple[str, ...]
    note: str = ""

    @property
    def command(self) -> str:
        """As typed."""
        program = "avatargpt" if self.stage == "generate" else "python scripts/train.py"
        return f"{program} {shlex.join(self.argv)}"


def read_recipe() -> Recipe:
    """The packaged recipe."""
    path = configs() / FILE
    return Recipe.read(read_yaml(path), str(path))


def steps(recipe: Recipe, out: Path, data: Path, debug: bool = False, more: Sequence[str] = ()) -> Iterator[Step]:
    """Every step, in order, with folders filled in.

    Args:
        more: options that every stage takes (``--threads 2``).

    Raises:
        UserError: a step that names a later step or an unknown corpus.
    """
    known: set[str] = set()
    for name, row in (recipe.debug if debug else recipe.steps).items():
        argv = [str(row["stage"])]
        for key, value in row.items():
            if key not in ("stage", "note"):
                argv += [f"--{key}", _filled(name, key, str(value), known, recipe, out, data)]
        if row["stage"] == "generate":
            argv += ["--seconds", "2", "--seed", "0", "--best-of", "1", "-o", str(out / f"{name}.glb"), "--", GENERATED]
        else:
            argv += [*more, "-o", str(out / name)]
        known.add(name)
        yield Step(name, str(row["stage"]), tuple(argv), str(row.get("note", "")))


def _filled(name: str, key: str, value: str, known: set[str], recipe: Recipe, out: Path, data: Path) -> str:
    """A value with `$STEP`, `@CORPUS` and the folder of the configurations filled in."""
    if key == "config":
        return os.path.relpath(configs() / value)

    def corpus(part: str) -> str:
        if not part.startswith("@"):
            return part
        if part[1:] not in recipe.corpora:
            raise UserError(f"{FILE}: {name}: {key}: no corpus {part[1:]!r}; accepted: {', '.join(recipe.corpora)}")
        return str(data / recipe.corpora[part[1:]])

    try:
        folders = {step: str(out / step) for step in known}
        return Template(",".join(corpus(part) for part in value.split(","))).substitute(folders)
    except KeyError as e:
        raise UserError(f"{FILE}: {name}: {key}: no earlier step {e}; accepted: {', '.join(known)}") from None


def recipe_stage(args: SimpleNamespace) -> None:
    """Print the chain, or run what of it is not done yet.

    Raises:
        UserError: no ``--data`` where it is needed, an unknown name, or a folder made by another command.
    """
    recipe = read_recipe()
    if args.data is None and not args.debug and not args.print:
        raise UserError("recipe: --data FOLDER is needed: the corpora; accepted without it: --debug, --print")
    out, data = Path(args.output or "runs"), Path(args.data or "DATA")
    more = [w for k in ("threads", "device") if (v := getattr(args, k)) is not None for w in (f"--{k}", str(v))]
    chain = list(steps(recipe, out, data, args.debug, more))
    wanted = args.only.split(",") if args.only else [s.name for s in chain]
    if unknown := sorted(set(wanted) - {s.name for s in chain}):
        raise UserError(f"--only: no step {unknown[0]!r}; accepted: {', '.join(s.name for s in chain)}")
    for step in chain:
        if step.name not in wanted:
            continue
        if step.note:
            print(f"# {step.note}")
        print(step.command, flush=True)
        if not args.print:
            _do(step, out)


def _do(step: Step, out: Path) -> None:
    """Run a step unless it is done."""
    done = out / step.name / DONE
    if done.is_file():
        made = read_json(done)
        if made != list(step.argv):
            raise UserError(f"{done.parent}: made by another command ({str(made)[:80]} ...); move it away")
        return
    if step.stage == "generate":
        _generate(step)
        return
    from avatargpt.train.command import run_stage

    try:
        run_stage(step.argv)
    except UserError as e:
        raise UserError(f"recipe: step {step.name}: {e}; run again to go on with it") from None
    text = json.dumps(list(step.argv)) + "\n"
    atomic_write(done, lambda p: p.write_text(text, encoding="utf-8"))


def _generate(step: Step) -> None:
    """What the command line does for such a step."""
    from avatargpt import AvatarGPT, export

    said = dict(zip(step.argv[1::2], step.argv[2::2], strict=False))
    model = AvatarGPT.from_pretrained(said["--model"])
    motion = model.generate(GENERATED, seconds=float(said["--seconds"]), seed=int(said["--seed"]), best_of=1)[0]
    export.save(motion, said["-o"])
    print(said["-o"])
