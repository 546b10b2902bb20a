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
DONE = "done.json"  # in a step's folder: its command
PROMPT = "a person waves"  # of the clip at the end of the debug chain


class Recipe(Strict):
    """`configs/recipe.yaml`."""

    corpora: dict[str, str]  # name -> folder inside ``--data``
    # Name -> stage, config and options; ``note``: where the shipped run differed
    steps: dict[str, dict[str, str | int]]
    debug: dict[str, dict[str, str | int]]  # the same in its smallest form


@dataclass(frozen=True)
class Step:
    """One command. name: of its folder. argv: of `scripts/train.py` (or, for a clip, of `avatargpt`)."""

    name: str
    stage: str
    argv: tuple[str, ...]
    note: str = ""

    @property
    def command(self) -> str:
        """As a shell line."""
        program = "avatargpt" if self.stage == "generate" else "python scripts/train.py"
        return f"{program} {shlex.join(self.argv)}"


def read_recipe() -> Recipe:
    """The packaged recipe."""
    path = configs() / FILE
    return Recipe.read(read_yaml(path), str(path))


def steps(recipe: Recipe, out: Path, data: Path, debug: bool = False, common: Sequence[str] = ()) -> Iterator[Step]:
    """Every step, in order, with folders filled in. `common`: options that every stage takes (``--threads 2``)."""
    earlier: set[str] = set()
    for name, row in (recipe.debug if debug else recipe.steps).items():
        argv = [str(row["stage"])]
        for key, value in row.items():
            if key not in ("stage", "note"):
                argv += [f"--{key}", _filled(name, key, str(value), earlier, recipe, out, data)]
        if row["stage"] == "generate":
            argv += ["--seconds", "2", "--seed", "0", "--best-of", "1", "-o", str(out / f"{name}.glb"), "--", PROMPT]
        else:
            argv += [*common, "-o", str(out / name)]
        # Only steps above may be named: the chain is in order by construction.
        earlier.add(name)
        yield Step(name, str(row["stage"]), tuple(argv), str(row.get("note", "")))


def _filled(name: str, key: str, value: str, earlier: set[str], recipe: Recipe, out: Path, data: Path) -> str:
    """A value with `$STEP`, `@CORPUS` and the folder of the configurations filled in."""
    if key == "config":
        # Relative: printed commands are meant to be copied.
        return os.path.relpath(configs() / value)

    def corpus(part: str) -> str:
        if not part.startswith("@"):
            return part
        if part[1:] not in recipe.corpora:
            raise UserError(f"{FILE}: {name}: {key}: no corpus {part[1:]!r}; accepted: {', '.join(recipe.corpora)}")
        return str(data / recipe.corpora[part[1:]])

    try:
        folders = {step: str(out / step) for step in earlier}
        return Template(",".join(corpus(part) for part in value.split(","))).substitute(folders)
    except KeyError as e:
        raise UserError(f"{FILE}: {name}: {key}: no earlier step {e}; accepted: {', '.join(earlier)}") from None


def recipe_stage(args: SimpleNamespace) -> None:
    """Print the chain, or run those steps that are not complete."""
    recipe = read_recipe()
    if args.data is None and not args.debug and not args.print:
        raise UserError("recipe: --data FOLDER is needed: the corpora; accepted without it: --debug, --print")
    out, data = Path(args.output or "runs"), Path(args.data or "DATA")
    common = [w for k in ("threads", "device") if (v := getattr(args, k)) is not None for w in (f"--{k}", str(v))]
    chain = list(steps(recipe, out, data, args.debug, common))
    selected = args.only.split(",") if args.only else [s.name for s in chain]
    if unknown := sorted(set(selected) - {s.name for s in chain}):
        raise UserError(f"--only: no step {unknown[0]!r}; accepted: {', '.join(s.name for s in chain)}")
    for step in chain:
        if step.name not in selected:
            continue
        if step.note:
            print(f"# {step.note}")
        print(step.command, flush=True)
        if not args.print:
            _run(step, out)


def _run(step: Step, out: Path) -> None:
    """Run a step unless it is complete."""
    path = out / step.name / DONE
    if path.is_file():
        command = read_json(path)
        if command != list(step.argv):
            raise UserError(f"{path.parent}: made by another command ({str(command)[:80]} ...); move it away")
        return
    if step.stage == "generate":
        _generate(step)
        return
    from avatargpt.train.command import run_stage

    try:
        # In this process: importing everything anew would take longer than a debug step.
        run_stage(step.argv)
    except UserError as e:
        raise UserError(f"recipe: step {step.name}: {e}; run again to go on with it") from None
    text = json.dumps(list(step.argv)) + "\n"
    atomic_write(path, lambda p: p.write_text(text, encoding="utf-8"))


def _generate(step: Step) -> None:
    """A clip of the model, as `avatargpt generate` makes it."""
    from avatargpt import AvatarGPT, export

    options = dict(zip(step.argv[1::2], step.argv[2::2], strict=False))
    model = AvatarGPT.from_pretrained(options["--model"])
    motion = model.generate(PROMPT, seconds=float(options["--seconds"]), seed=int(options["--seed"]), best_of=1)[0]
    export.save(motion, options["-o"])
    print(options["-o"])
