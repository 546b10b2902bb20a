"""A process beside a worker of a cluster that asks the language model, and lives until its question is answered.

A cluster ends the workers of a driver that is killed. The question that is on its way is paid by then: so it is asked
by a process that is no child of the worker, in a session of its own, which stores the answer and ends when the worker
is gone. Whoever repeats the question meanwhile waits for it (`avatargpt.llm.ledger`).
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import asdict
from typing import IO

from avatargpt.curate.stages import Outcome, StageSettings, StageTask, attempt


class Detached:
    """Runs tasks in a detached process, one at a time; it starts with the first."""

    def __init__(self, settings: StageSettings) -> None:
        self.settings = settings
        self._pipes: tuple[IO[str], IO[str]] | None = None

    def attempt(self, number: int, task: StageTask) -> Outcome:
        """As `stages.attempt`; the run stops where the process ends before the task."""
        questions, outcomes = self._pipes = self._pipes or self._start()
        try:
            print(json.dumps([number, task.stage, dict(task.inputs), dict(task.files)]), file=questions, flush=True)
            line = outcomes.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            self._pipes = None
            return number, {}, "the process that asks the language model was ended", True
        number, result, problem, ends = json.loads(line)
        return number, result, problem, ends

    def _start(self) -> tuple[IO[str], IO[str]]:
        command = [sys.executable, "-m", __name__, json.dumps(asdict(self.settings))]
        pipe = subprocess.PIPE
        process = subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, start_new_session=True)
        process.wait()  # it has forked
        assert process.stdin is not None and process.stdout is not None
        return process.stdin, process.stdout


def serve(settings: StageSettings) -> None:
    """Run tasks, one a line of the standard input, until it ends; outcomes are lines of the standard output."""
    shop = settings.workshop()
    # prints of libraries do not belong between outcomes
    outcomes, sys.stdout = sys.stdout, sys.stderr
    for line in sys.stdin:
        number, stage, inputs, files = json.loads(line)
        outcome = attempt(shop, number, StageTask(stage, inputs, files))
        try:
            print(json.dumps(outcome), file=outcomes, flush=True)
        except BrokenPipeError:  # the worker has gone; the result is stored
            os._exit(0)


if __name__ == "__main__":
    # a child of nobody: clusters end the children of a worker with it
    if os.fork():
        os._exit(0)
    serve(StageSettings(**json.loads(sys.argv[1])))
