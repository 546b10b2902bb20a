"""What the evaluation harness reads of others: motion arrays, lists of prompts and names, results, parts of a run."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np

from tests.fuzz.running import Target
from vqvae import rotations as rot
from vqvae.motion import Motion

ROWS = b'name,prompt,action,category\nx1,walk home,walk,gait\nx2,"run, fast",run,gait\n'
NAMES = b'{"x1": "walk home", "x2": "run, fast"}'
PROMPTS = b'["walk home", {"prompt": "run, fast", "action": "run", "category": "gait"}]'


def _npy(array: Any) -> bytes:
    out = io.BytesIO()
    np.save(out, array)
    return out.getvalue()


def _body() -> Motion:
    rng = np.random.default_rng(0)
    return Motion(rot.from_axis_angle(rng.normal(0, 0.2, (12, 22, 3))), np.zeros((12, 3)) + [0, 0.9, 0])


def _result(value: int) -> bytes:
    rows = [{"prompt": "a", "kind": "side", "passed": [value, 1]}, {"prompt": "b", "kind": "turn", "passed": [1, 0]}]
    figures = {"pass_rate": {"mean": 0.5, "low": 0.1, "high": 0.9, "n": 2}}
    return json.dumps({"suite": "few", "version": 1, "results": figures, "prompts": rows}).encode()


def harness(folder: Path) -> dict[str, Target]:
    """Name -> target; `folder` takes the whole files that damaged ones are read beside."""
    from avatargpt.evaluation import cache, output_files
    from avatargpt.evaluation.compare import compare
    from avatargpt.evaluation.output_files import read_names
    from avatargpt.evaluation.prompts import Answer, answer_of
    from avatargpt.evaluation.suites import read_list
    from vqvae.io import ms272
    from vqvae.io.hml263 import HML263Features

    here = folder / "harness"
    here.mkdir(exist_ok=True)
    (here / "whole.json").write_bytes(_result(0))
    whole = cache.save_answer(here / "part.npz", [answer_of(_body()), Answer(None, None, "no such motion")])
    arrays = [_npy(a) for a in (_body().joints, HML263Features().encode(_body()), ms272.encode(_body()))]
    return {
        "outputs": Target(arrays, ".npy", output_files.read_body, share=2),
        "outputs with rotations": Target(arrays, ".npy", output_files.read_motion),
        "prompts as csv": Target([ROWS], ".csv", read_list, True),
        "prompts as json": Target([PROMPTS], ".json", read_list, True),
        "names as csv": Target([ROWS], ".csv", read_names, True),
        "names as json": Target([NAMES], ".json", read_names, True),
        "result": Target([_result(1)], ".json", lambda p: compare(here / "whole.json", p), True, 2),
        "part of a run": Target([whole.read_bytes()], ".npz", cache.load_answer),
    }  # fmt: skip
