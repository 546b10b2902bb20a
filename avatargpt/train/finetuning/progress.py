"""What a run began with, so that the same command goes on with it and another one is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from vqvae.errors import UserError
from vqvae.io.data_files import read_object
from vqvae.io.files import atomic_write, parsing

FILE = "begun.json"


class Progress:
    """Facts of a run, each computed once and kept in its folder.

    Args:
        folder: of the run; made where it is not there.
        inputs: what must be the same for the run to go on: options, digests.

    Raises:
        UserError: the folder holds a run with other inputs.
    """

    def __init__(self, folder: Path, inputs: dict[str, Any]) -> None:
        self.path, self.facts = folder / FILE, {"inputs": inputs}
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as e:
            raise UserError(f"cannot write {folder}: {e.strerror or e}") from None
        if not self.path.is_file():
            return
        self.facts = read_object(self.path)
        with parsing(self.path, "what a fine-tuning began with", f"remove {folder} to begin anew"):
            before = dict(self.facts["inputs"])
        other = [k for k in sorted({*before, *inputs}) if before.get(k) != inputs.get(k)]
        if other:
            raise UserError(f"{folder}: a run with another {other[0]} was begun there; accepted: the same command, "
                            "another -o, or that folder removed")  # fmt: skip

    def get(self, name: str) -> Any:
        """A fact, None where it is not known yet."""
        return self.facts.get(name)

    def keep(self, name: str, value: Any) -> Any:
        """Write a fact down; the value itself."""
        self.facts[name] = value
        text = json.dumps(self.facts, indent=1, ensure_ascii=False)
        atomic_write(self.path, lambda p: p.write_text(text, encoding="utf-8"))
        return value
