"""eval/run.py: whose results go where."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_published_results_are_not_overwritten_by_other_weights(tmp_path: Path) -> None:
    command = [sys.executable, str(ROOT / "eval/run.py"), "prompts_known", "--model", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 2 and "--out" in done.stderr
