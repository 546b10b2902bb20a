"""Questions of a cluster's workers: answered, stored and not repeated when the worker is ended."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from avatargpt.curate.detached import Detached
from avatargpt.curate.recipe import Curation
from avatargpt.curate.stages import StageSettings, StageTask
from tests.curate.doubles import StandIn

ROOT = Path(__file__).parents[2]
TASK = StageTask("scenes", {"title": "greeting", "captions": [], "stretches": [{"description": "waves", "words": ""}]})
WORKER = """
import sys
from tests.curate.test_detached import TASK, settings
from avatargpt.curate.detached import Detached
Detached(settings(*sys.argv[1:])).attempt(0, TASK)
"""


def settings(folder: str, url: str) -> StageSettings:
    return StageSettings(folder, Curation().model_dump(mode="json"), url)


def test_a_worker_that_is_killed_while_it_asks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AVATARGPT_LLM_MODEL", "stand-in")
    monkeypatch.setenv("PYTHONPATH", f"{ROOT}{os.pathsep}{os.environ.get('PYTHONPATH', '')}")
    endpoint = StandIn(delay=1.0)
    try:
        command = [sys.executable, "-c", WORKER, str(tmp_path), endpoint.url]
        worker = subprocess.Popen(command, start_new_session=True)
        while not endpoint.log:
            assert worker.poll() is None
            time.sleep(0.02)
        os.killpg(worker.pid, signal.SIGKILL)  # with all that it has started in its session
        worker.wait()
        questions = Detached(settings(str(tmp_path), endpoint.url))
        number, result, problem, ends = questions.attempt(7, TASK)
        assert (number, problem, ends) == (7, "", False)
        assert result["activities"][0]["steps"] == [{"number": 1, "step": "the person waves for time 1"}]
        assert len(endpoint.log) == 1
    finally:
        endpoint.close()


def test_a_process_that_ends_stops_the_run(tmp_path: Path) -> None:
    questions = Detached(StageSettings(str(tmp_path), {"unknown": 1}))  # it cannot start with these
    number, _, problem, ends = questions.attempt(3, TASK)
    assert (number, ends) == (3, True) and "was ended" in problem
