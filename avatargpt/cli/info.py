"""``avatargpt info``: the parts of this installation, and what a training takes."""

import os
import platform
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any

from avatargpt import __version__, resources
from avatargpt.cli import common
from avatargpt.cli.common import option, print_json, say
from vqvae.errors import UserError

PACKAGES = ("torch", "transformers", "numpy", "vector-quantize-pytorch", "av")
LICENCES = {
    "code": "MIT",
    "weights": "non-commercial use only (CC BY-NC 4.0, from the Bandai-Namco Research Motion Dataset)",
}
NO_WEIGHTS = "none; this installation has no weights"
_PLAN = "Only what training a configuration of the language stage takes."
_BASE = "With --plan: a T5 to begin from, by name or folder; default: the configuration's own shape, or flan-t5-base."
_TOKENS = "With --plan: to train on; default: its steps'."


def info(
    model: common.Model = None,
    as_json: common.Json = False,
    plan: Annotated[str | None, option("--plan FILE[:VARIANT]", _PLAN)] = None,
    base: Annotated[str | None, option("--base NAME|FOLDER", _BASE)] = None,
    gpus: Annotated[int | None, option("--gpus N", "With --plan: how many.", min=1, max=4096)] = None,
    gpu: Annotated[str | None, option("--gpu NAME", "With --plan: a100 (default), h100, ...")] = None,
    tokens: Annotated[int | None, option("--tokens N", _TOKENS, min=1)] = None,
) -> None:
    """Versions, tasks, formats, presets, weights, licences; or what a training takes (--plan)."""
    if plan is not None:
        from avatargpt.train.estimate import estimate, render_text

        table = estimate(plan, base, gpus or 1, gpu or "a100", tokens)
        if as_json:
            print_json(table)
        else:
            say(render_text(table))
        return
    for name, value in {"--base": base, "--gpus": gpus, "--gpu": gpu, "--tokens": tokens}.items():
        if value is not None:
            raise UserError(f"{name}: goes with --plan FILE; accepted: that, or neither")
    from avatargpt import export, planning
    from instruct_data import registry
    from vqvae import modalities

    folder = model
    if folder is None:
        with suppress(UserError):
            folder = resources.weights()
    facts: dict[str, Any] = {
        "avatargpt": __version__,
        "python": platform.python_version(),
        "packages": {name: _version(name) for name in PACKAGES},
        "modalities": {
            m.name: f"{m.description}, {m.fps:g} frames per second" for m in map(modalities.get, modalities.names())
        },
        "tasks": {t.name: f"{t.description}: {t.takes}" for t in map(registry.get_task, registry.list_tasks())},
        "formats": {"read": export.readable(), "write": export.writable()},
        "presets": _presets(),
        "weights": {"folder": "none in this installation"} if folder is None else _weights(folder),
        "planners": {"retrieval": NO_WEIGHTS} if folder is None else planning.describe_planners(folder),
        "language model": _language_model(),
        ".fbx": _blender(),
        "face": {part: NO_WEIGHTS if folder is None else f"{what}; {where}" if (folder / where).exists() else "none"
                 for part, (where, what) in FACE.items()},
        "licences": LICENCES,
    }  # fmt: skip
    if as_json:
        print_json(facts)
        return
    for key, value in facts.items():
        if not isinstance(value, dict):
            say(f"{key}: {value}")
            continue
        say(f"{key}:")
        for name, entry in value.items():
            say(f"  {name}: {', '.join(entry) if isinstance(entry, list) else entry}")


def _language_model() -> dict[str, str]:
    """Language models named in the environment, extras, where answers are kept; without contacting any."""
    import importlib.util

    from avatargpt.llm.model import AnswerCache

    folder = AnswerCache().folder
    files = [p for p in folder.rglob("*") if p.is_file()] if folder.is_dir() else []
    size = sum(p.stat().st_size for p in files)
    installed = importlib.util.find_spec("llama_cpp") is not None
    return {
        "AVATARGPT_LLM": os.environ.get("AVATARGPT_LLM") or "not set; nothing is sent anywhere",
        "AVATARGPT_LLM_LIMITS": os.environ.get("AVATARGPT_LLM_LIMITS") or "not set; the defaults",
        "gguf:FILE": "llama-cpp-python is installed" if installed else 'needs pip install "avatargpt[llm]"',
        "kept": f"{folder}, {len(files)} files, {size / 1e6:.1f} MB",
    }


def _blender() -> str:
    from avatargpt.export.fbx import find_blender

    try:
        return f"converted by {find_blender('.fbx')[0]}"
    except UserError as e:
        return str(e).partition(": ")[2]


def _version(name: str) -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"


def _presets() -> dict[str, list[str]]:
    root = resources.configs()
    names: dict[str, list[str]] = {}
    for path in sorted(root.rglob("*.yaml")):
        names.setdefault(path.parent.relative_to(root).as_posix(), []).append(path.stem)
    return names


# Part -> its file in a folder of weights, and its purpose.
FACE = {
    "driver": ("driver/driver.safetensors", "speech, feelings and actions to curves: a network"),
    "recorded": ("driver/paired.safetensors", "the mouth as in recorded pairs of speech and face: a network"),
    "upper": ("driver/upper.safetensors", "brows, lids, cheeks and nose of who speaks: a network"),
    "parser": ("driver/reader.safetensors", "instructions in words to actions and feelings with times: a network"),
    "tokens": ("face_language", "the face's own language model (`--by language`), both ways"),
}


def _weights(folder: Path) -> dict[str, Any]:
    files = [p for p in sorted(folder.rglob("*")) if p.is_file()]
    if not files:
        raise UserError(f"--model {folder}: no such folder, or it is empty; accepted a folder of weights")
    size = sum(p.stat().st_size for p in files)
    facts: dict[str, Any] = {"folder": str(folder), "megabytes": round(size / 1e6, 1)}
    if (folder / "config.json").is_file():
        from vqvae.io.data_files import read_object

        config = read_object(folder / "config.json")
        facts |= {k: v for k, v in config.items() if isinstance(v, str | int | float | bool)}
    return facts
