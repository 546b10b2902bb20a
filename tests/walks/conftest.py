"""Code blocks of CONTRIBUTING.md and docs/modality.md by section, and the steps that tests run with them."""

import importlib
import re
import shlex
import sys
import textwrap
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from avatargpt.train.command import main
from tests.train.conftest import Mini, write_texts

ROOT = Path(__file__).resolve().parents[2]


class Section:
    """One section of a page: its blocks by language, and by the name of the file that they begin with."""

    def __init__(self, title: str, page: str = "CONTRIBUTING.md") -> None:
        contents = (ROOT / page).read_text(encoding="utf-8")
        (text,) = re.findall(rf"^##? {re.escape(title)}\n(.*?)(?=^## |\Z)", contents, re.M | re.S)
        self.text: str = text
        blocks = re.findall(r"^( *)```(\w+)\n(.*?)^ *```", text, re.M | re.S)
        self.blocks = [(language, textwrap.dedent(code)) for _, language, code in blocks]

    def of(self, language: str) -> list[str]:
        """The blocks of a language, in order."""
        return [code for name, code in self.blocks if name == language]

    def file(self, name: str) -> str:
        """The contents that the page gives a file."""
        (code,) = [c for _, c in self.blocks if re.match(rf"# {re.escape(name)}(,|\n)", c)]
        return code

    def command(self, program: str, **places: object) -> list[str]:
        """The words behind `program` in the line that runs it; `places`: what stands for words in capitals."""
        lines = [line for code in self.of("bash") for line in code.splitlines() if program in line]
        words = shlex.split(lines[0].split(program, 1)[1], comments=True)
        return [str(places.get(w.split(".")[0], w)) for w in words]


class Walk:
    """A place in which a section of the page is followed: new modules lie in a folder of the test's own."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder, self.patch = folder, monkeypatch

    def module(self, section: Section, name: str) -> ModuleType:
        """Write a new module of a package of ours and import it, as if it lay beside the others."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(section.file(name), encoding="utf-8")
        package = ".".join(Path(name).parent.parts)
        above, dotted = importlib.import_module(package), f"{package}.{Path(name).stem}"
        self.patch.setattr(above, "__path__", [*above.__path__, str(path.parent)])
        self.patch.setattr(above, path.stem, None, raising=False)  # so that both are gone at the end of the test
        self.patch.setitem(sys.modules, dotted, above)
        del sys.modules[dotted]
        return importlib.import_module(dotted)

    def append(self, section: Section, name: str) -> dict[str, Any]:
        """Run what the page puts at the end of a module that is there; its names."""
        names = dict(vars(importlib.import_module(".".join(Path(name).with_suffix("").parts))))
        exec(compile("from __future__ import annotations\n" + section.file(name), name, "exec"), names)
        return names

    @staticmethod
    def train(words: list[str]) -> None:
        """``scripts/train.py`` with these words, on one thread of the processor; must succeed."""
        assert main([*words, "--threads", "1", "--device", "cpu"]) == 0


@pytest.fixture
def walk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Walk:
    return Walk(tmp_path / "modules", monkeypatch)


@pytest.fixture
def small(tmp_path: Path) -> Mini:
    """Folders of a small run; of these only the texts are written."""
    mini = Mini(tmp_path)
    write_texts(mini.texts)
    return mini


