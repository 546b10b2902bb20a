"""Every snippet of the documentation works: Python runs, commands exist with their options, links lead somewhere."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
import typer

from avatargpt import resources
from avatargpt.cli.app import app

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
IDS = [p.relative_to(ROOT).as_posix() for p in PAGES]


def blocks(path: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", path.read_text(encoding="utf-8"), re.M | re.S)


def commands(path: Path) -> list[list[str]]:
    """The lines of a page's bash blocks, as words, without redirected input and output."""
    lines = "\n".join(blocks(path, "bash")).replace("\\\n", " ").splitlines()
    return [words for line in lines if (words := shlex.split(re.split(r" [<>] ", line)[0], comments=True))]


@pytest.mark.skipif(
    not (resources.PACKAGE / "weights" / "config.json").is_file(), reason="this checkout carries no weights"
)
@pytest.mark.parametrize("number", range(len(blocks(ROOT / "README.md", "python"))))
def test_python_snippets_of_the_readme(number, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    exec(compile(blocks(ROOT / "README.md", "python")[number], f"README.md, snippet {number}", "exec"), names)
    out = capsys.readouterr().out.splitlines()
    if number == 0:
        frames = len(names["motion"])  # type: ignore[arg-type]
        assert abs(frames - 80) <= 8
        assert out[:2] == [f"({frames}, 22, 3)", f"({frames}, 22, 4)"] and len(out[2].split()) >= 3
    else:
        assert (tmp_path / "both.glb").read_bytes()[:4] == b"glTF" and re.fullmatch(r"\d+ mm", out[-1])


def test_the_readme_has_its_snippets():
    assert len(blocks(ROOT / "README.md", "python")) == 2
    assert ["bash", "scripts/demo.sh"] in [c[:2] for c in commands(ROOT / "README.md")]


@pytest.mark.parametrize("page", PAGES, ids=IDS)
def test_commands_of_the_documentation(page):
    """`avatargpt` commands parse with all their options; scripts and configurations exist."""
    for words in commands(page):
        if words[0] == "avatargpt":
            command, arguments = typer.main.get_command(app), words[1:]
            name = "avatargpt"
            while hasattr(command, "list_commands"):
                name = arguments.pop(0)
                command = command.get_command(None, name)
                assert command is not None, f"{page.name}: no command {name} in {' '.join(words)}"
            command.make_context(name, arguments)
            continue
        for word in words:
            if re.match(r"(scripts|configs|benchmarks|eval)/", word):
                assert (ROOT / word.partition(":")[0]).exists(), f"{page.name}: {word} in {' '.join(words)}"


@pytest.mark.parametrize("page", PAGES, ids=IDS)
def test_links_of_the_documentation(page):
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.S)
    for target in re.findall(r"\]\(([^)#\s]+)", text):
        if "://" not in target:
            assert (page.parent / target).exists(), f"{page.name}: {target}"
