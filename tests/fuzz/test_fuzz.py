"""Thousands of damaged files, and none that ends in anything but a result or one line."""

import json
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

from tests.fuzz.mutate import mutated
from tests.fuzz.running import Target, run
from vqvae.errors import UserError

ROOT = Path(__file__).resolve().parents[2]
CASES = int(os.environ.get("AVATARGPT_FUZZ_CASES", 2000))


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs forked processes")
def test_no_damaged_file_ends_in_a_traceback_a_crash_a_hang_or_a_gigabyte(tmp_path: Path) -> None:
    figures = tmp_path / "figures.json"
    process = subprocess.run(
        [sys.executable, "-m", "tests.fuzz", "--cases", str(CASES), "--keep", str(tmp_path), "--report", str(figures)],
        cwd=ROOT, env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}, capture_output=True, text=True,
    )  # fmt: skip
    assert figures.is_file(), process.stderr[-2000:]
    report = json.loads(figures.read_text())
    assert not report["faults"], json.dumps(report["faults"], indent=1)
    assert report["cases"] >= 0.9 * CASES and report["read"] > 0.05 * report["cases"] < report["refused"]


def test_the_same_case_is_the_same_bytes() -> None:
    data = b"frames: 12\nfps: 30.0\n" * 4
    first, second = ([mutated(data, random.Random(k), True, [data]) for k in range(200)] for _ in range(2))
    assert first == second and len(set(first)) > 150


def check_faults(folder: Path) -> None:
    """What goes wrong on purpose is found; run in a process of its own, whose forks wait for no locks of threads."""
    parent = os.getpid()

    def read(path: Path) -> None:
        kind = path.read_bytes()[:1]
        if kind == b"c" and os.getpid() != parent:  # good files are read once before
            os.abort()
        if kind == b"m":
            bytearray(b"x") * (3 << 29)
        if kind == b"z":
            raise ZeroDivisionError("by zero")
        if kind == b"u":
            raise UserError("one line")

    kinds = {"crash": b"c", "memory": b"m", "division": b"z", "refused": b"u", "fine": b"f"}
    report = run({n: Target([data], ".bin", read, name=f"{n}.bin") for n, data in kinds.items()}, folder, 5)
    faults = report.faults  # of two cases each; those with number 0 are not damaged
    assert {"crash:0", "memory:0", "division:0"} <= faults.keys() and not {"refused:0", "fine:0"} & faults.keys()
    assert "signal 6" in faults["crash:0"] and "ZeroDivisionError" in faults["division:0"], faults
    assert any(word in faults["memory:0"] for word in ("MiB", "MemoryError")), faults
    assert report.cases == 10 and (folder / "fault-crash-0.bin").read_bytes() == b"c"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs forked processes")
def test_faults_are_found_with_their_cases(tmp_path: Path) -> None:
    code = "import sys, pathlib; from tests.fuzz.test_fuzz import *; check_faults(pathlib.Path(sys.argv[1]))"
    result = subprocess.run([sys.executable, "-c", code, str(tmp_path)], cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr[-2000:]
