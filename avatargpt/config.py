"""The configuration system: files with variants, overrides on the command line, and the schedule of all stages.

Every stage has a recipe: a pydantic model of its sections (`vqvae.strict.Strict`), with the bounds on the fields. A
configuration is addressed as ``FILE`` or ``FILE:VARIANT``: a file may hold ``variants``, each of which is laid over
the rest of the file; ``like: NAME`` in a variant lays that other variant below it, ``like: nothing`` leaves out the
rest of the file. Mappings are merged key by key, null takes a key away, and everything else replaces what was there.
"""

import difflib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import Field

from vqvae.errors import UserError
from vqvae.io.data_files import parse_yaml, read_yaml
from vqvae.motion import atomic_write
from vqvae.strict import NonNegativeInt, PositiveInt, Rate, Strict

WatcherName = Literal["tensorboard", "wandb"]
VARIANTS, LIKE, NOTHING = "variants", "like", "nothing"
MAX_DOTS = 8  # in a key that `--set` changes
RESOLVED = "config.yaml"  # the configuration in a run's folder


class Schedule(Strict):
    """Settings of every training: length, batch, rate, reports."""

    steps: PositiveInt = 5000
    stop: PositiveInt | None = None  # the last step, with the schedule of all `steps`; None = all of them
    batch: PositiveInt = 64  # rows per step, over all processes
    # lr, lr_floor, warmup: linear warm-up to `lr`, then half a cosine down to `lr_floor`
    lr: Rate = 1e-3
    lr_floor: Rate = 2e-5
    warmup: NonNegativeInt = 100
    weight_decay: Rate = 0.01
    clip: Rate = 1.0  # norm that gradients are cut to
    seed: NonNegativeInt = 0
    log_every: PositiveInt = 25
    save_every: PositiveInt = 250
    val_every: PositiveInt = 500
    watch: list[WatcherName] = []  # further reports beside the files of the run: tensorboard, wandb
    accumulate: PositiveInt = 1  # parts of a step, each with its own forward and backward pass, for less memory
    keep: PositiveInt = 1  # number of last checkpoints that stay
    # best: a validation figure; where it is lowest (with "-" before it: highest) the usable files go to ``best``
    best: str = ""
    # peak_tflops: of the device, in the precision of the run, for the figure ``mfu``; None = by the device's name
    peak_tflops: Annotated[Rate, Field(gt=0)] | None = None

    @property
    def end(self) -> int:
        """The step that training ends at."""
        return min(self.steps, self.stop or self.steps)


def merge_settings(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """`above` laid over `below`."""
    out = dict(below)
    for key, value in above.items():
        if value is None:
            out.pop(key, None)
        # Key by key; everything else, lists too, replaces what was there.
        elif isinstance(value, Mapping) and isinstance(out.get(key), Mapping):
            out[key] = merge_settings(out[key], value)
        else:
            out[key] = value
    return out


def resolve(address: str | Path | None, overrides: Sequence[str] = ()) -> dict[str, Any]:
    """A configuration as a dict: the file, its variant, and ``KEY.KEY=VALUE`` overrides on top."""
    path, name = _split(str(address or ""))
    data = read_yaml(path) if address else {}
    if not isinstance(data, dict):
        raise UserError(f"{path}: not a YAML mapping")
    variants = data.pop(VARIANTS, None) or {}
    if name:
        alone, layers = _layers(path, name, variants)
        data = {} if alone else data
        for layer in layers:
            data = merge_settings(data, layer)
    for override in overrides:
        data = merge_settings(data, _nest_override(override))
    return data


def _split(address: str) -> tuple[Path, str]:
    """``FILE:VARIANT`` -> file, variant; a colon of a Windows drive or of the file itself stays."""
    file, colon, name = address.rpartition(":")
    # A path may hold a colon itself.
    if colon and not Path(address).is_file() and Path(file).suffix:
        return Path(file), name
    return Path(address), ""


def _layers(
    path: Path, name: str, variants: Any, below: tuple[str, ...] = ()
) -> tuple[bool, list[dict[str, Any]]]:
    """Whether a variant leaves out the rest of the file, and its layers, the lowest first."""
    if not isinstance(variants, dict) or not isinstance(variants.get(name), dict):
        names = list(map(str, variants)) if isinstance(variants, dict) else []
        similar = difflib.get_close_matches(name, names, 1)
        hint = f"did you mean {similar[0]!r}? " if similar else ""
        raise UserError(f"{path}: no variant {name!r}; {hint}accepted: {', '.join(names) or 'none, it has none'}")
    if name in below:
        raise UserError(f"{path}: variants: {name} is like itself ({' -> '.join([*below, name])})")
    layer = dict(variants[name])
    base = layer.pop(LIKE, None)
    if base in (None, NOTHING):
        return base == NOTHING, [layer]
    alone, layers = _layers(path, str(base), variants, (*below, name))
    return alone, [*layers, layer]


def _nest_override(override: str) -> dict[str, Any]:
    """``train.lr=1e-3`` as nested mappings; the value is read as YAML."""
    key, equals, text = override.partition("=")
    if not equals or not all(key.split(".")) or key.count(".") > MAX_DOTS:
        raise UserError(f"--set {override!r}: accepted: SECTION.KEY=VALUE, for example train.lr=1e-3")
    value = parse_yaml(text, f"--set {key}")
    # The innermost key first.
    for part in reversed(key.split(".")):
        value = {part: value}
    return dict(value)


def dump_recipe(recipe: Strict) -> str:
    """A recipe with all defaults filled in, as YAML."""
    return yaml.safe_dump(recipe.model_dump(mode="json"), sort_keys=False, allow_unicode=True)


def changes(recipe: Strict, folder: Path) -> list[str]:
    """Differences from the configuration in a run's folder: ``train.lr: 0.001, now 0.0005``. Keys that an earlier
    version lacks are not compared."""
    # A run's folder without its configuration is of an early version: nothing to compare.
    path = folder / RESOLVED
    before = read_yaml(path) if path.is_file() else {}
    return list(_changes(before, recipe, ()))


def _changes(before: Any, now: Strict, place: tuple[str, ...]) -> Iterator[str]:
    plain = now.model_dump(mode="json")
    for key in [k for k in plain if k in before] if isinstance(before, dict) else []:
        inner = getattr(now, key)
        if isinstance(inner, Strict):
            yield from _changes(before[key], inner, (*place, key))
        elif before[key] != plain[key]:
            yield f"{'.'.join((*place, key))}: {before[key]}, now {plain[key]}"


def save_resolved(recipe: Strict, folder: Path) -> Path:
    """Write the resolved configuration into a run's folder."""
    return atomic_write(folder / RESOLVED, lambda p: p.write_text(dump_recipe(recipe), encoding="utf-8"))

