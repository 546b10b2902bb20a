"""The chain from the corpora to a model: `configs/recipe.yaml`, printed or run step by step."""

from __future__ import annotations

import json
import os
import re
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

from avatargpt.config import resolve
from avatargpt.resources import configs
from avatargpt.train.command import STAGES
from instruct_data.factory.texts import PREFIX
from vqvae.errors import UserError
from vqvae.io.data_files import read_json
from vqvae.motion import atomic_write
from vqvae.strict import Strict

FILE = "recipe.yaml"
DONE = "done.json"  # in a step's folder: its command
PROMPT = "a person waves"  # of the clip at the end of the debug chain
DEBUG, CLIP = "debug", "clip"  # variant and step of ``--debug``
REFERENCE = re.compile(r"\$(\w+)")  # to another step


class Recipe(Strict):
    """`configs/recipe.yaml`."""

    corpora: dict[str, str]  # name -> folder inside ``--data``, or texts of the package
    # Name -> stage, config and options; ``note``: where the run of the packaged weights differed
    steps: dict[str, dict[str, str | int]]


@dataclass(frozen=True)
class RecipeStep:
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


def read_recipe(variant: str | None = None) -> Recipe:
    """The packaged recipe, or a variant of it."""
    address = f"{configs() / FILE}:{variant}" if variant else str(configs() / FILE)
    return Recipe.read(resolve(address), address)


def order_steps(recipe: Recipe, targets: Sequence[str]) -> list[str]:
    """Names of the steps that are needed for some, each behind those that it reads.

    Raises:
        UserError: a step that is not there, or that needs itself.
    """
    out: list[str] = []

    def add(name: str, path: tuple[str, ...]) -> None:
        if name in out:
            return
        if name not in recipe.steps:
            where = f"{FILE}: {path[-1]}" if path else "--to"
            raise UserError(f"{where}: no step {name!r}; accepted: {', '.join(recipe.steps)}")
        if name in path:
            raise UserError(f"{FILE}: {name} needs itself ({' <- '.join([*path, name])})")
        for value in recipe.steps[name].values():
            for other in REFERENCE.findall(str(value)):
                add(other, (*path, name))
        out.append(name)

    for name in targets:
        add(name, ())
    return out


def steps(
    recipe: Recipe, targets: Sequence[str], out: Path, data: Path, common: Sequence[str] = (), present: bool = False
) -> Iterator[RecipeStep]:
    """The steps that are needed for some, in order, with folders filled in.

    Args:
        common: options that every stage takes (``--threads 2``).
        present: whether options that a stage can do without are left out where `data` lacks their corpus.
    """
    for name in order_steps(recipe, targets):
        row = recipe.steps[name]
        stage, note = str(row["stage"]), str(row.get("note", ""))
        argv = [stage]
        for key, value in row.items():
            if key in ("stage", "note"):
                continue
            words = [_fill_part(name, key, part, recipe, out, data) for part in str(value).split(",")]
            optional = stage in STAGES and key in STAGES[stage].options and not STAGES[stage].options[key].needed
            absent = str(value).startswith("@") and not words[0].startswith(PREFIX) and not os.path.exists(words[0])
            if present and optional and absent:
                note = f"{note}; " * bool(note) + f"without --{key}: no {words[0]}"
            else:
                argv += [f"--{key}", ",".join(words)]
        if stage == "generate":
            argv += ["--seconds", "2", "--seed", "0", "--best-of", "1", "-o", str(out / f"{name}.glb"), "--", PROMPT]
        else:
            argv += [*common, "-o", str(out / name)]
        yield RecipeStep(name, stage, tuple(argv), note)


def _fill_part(name: str, key: str, part: str, recipe: Recipe, out: Path, data: Path) -> str:
    """A part of a value with `$STEP`, `@CORPUS` and the folder of the configurations filled in."""
    if key == "config":
        # Relative: printed commands are meant to be copied.
        return os.path.relpath(configs() / part)
    if not part.startswith("@"):
        return REFERENCE.sub(lambda match: str(out / match[1]), part)
    if part[1:] not in recipe.corpora:
        raise UserError(f"{FILE}: {name}: {key}: no corpus {part[1:]!r}; accepted: {', '.join(recipe.corpora)}")
    folder = recipe.corpora[part[1:]]
    return folder if folder.startswith(PREFIX) else str(data / folder)


def recipe_stage(args: SimpleNamespace) -> None:
    """Print the chain, or run those steps that are not complete."""
    if args.data is None and not args.debug and not args.print:
        raise UserError("recipe: --data FOLDER is needed: the corpora; accepted without it: --debug, --print")
    recipe, targets = read_recipe(DEBUG if args.debug else args.variant), CLIP if args.debug else args.to
    out, data = Path(args.output or "runs"), Path(args.data or "DATA")
    common = [w for k in ("threads", "device") if (v := getattr(args, k)) is not None for w in (f"--{k}", str(v))]
    chain = list(steps(recipe, targets.split(","), out, data, common, not args.print))
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


def _run(step: RecipeStep, out: Path) -> None:
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


def _generate(step: RecipeStep) -> None:
    """A clip of the model, as `avatargpt generate` makes it."""
    from avatargpt import AvatarGPT, export

    options = dict(zip(step.argv[1::2], step.argv[2::2], strict=False))
    model = AvatarGPT.from_pretrained(options["--model"])
    motion = model.generate(PROMPT, seconds=float(options["--seconds"]), seed=int(options["--seed"]), best_of=1)[0]
    export.save(motion, options["-o"])
    print(options["-o"])
