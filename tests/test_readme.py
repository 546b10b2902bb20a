"""The documentation works: Python runs, commands and paths exist, links lead somewhere, prompts are followed."""

import re
import shlex
import warnings
from pathlib import Path

import numpy as np
import pytest
import typer

from avatargpt import AvatarGPT, resources
from avatargpt.cli.app import app
from avatargpt.metrics.geometry.predicates import judge_all
from avatargpt.options import UnheededText
from vqvae.skeleton import JOINT_NAMES

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
IDS = [p.relative_to(ROOT).as_posix() for p in PAGES]


def blocks(path: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", path.read_text(encoding="utf-8"), re.M | re.S)


def commands(path: Path) -> list[list[str]]:
    """The lines of a page's bash blocks, as words, without redirected input and output."""
    lines = "\n".join(blocks(path, "bash")).replace("\\\n", " ").splitlines()
    return [words for line in lines if (words := shlex.split(re.split(r" [<>] ", line)[0], comments=True))]


weights = pytest.mark.skipif(
    not (resources.PACKAGE / "weights" / "config.json").is_file(), reason="this checkout carries no weights"
)
# Prompt of a `generate` command of the README -> geometric checks that its motion passes.
CHECKS = {
    "a person jumps, then waves with the left hand": [
        {"then": ["jumps", {"waves": {"side": "left"}}]}, {"not": {"raises_hand": {"side": "right"}}},
    ],
    "walk in a circle while waving, then turn left 90 degrees and bow": [
        {"then": [{"with": ["walks", "waves"]}, "bows"]}, {"turns": {"side": "left", "degrees": 400, "most": 500}},
    ],
}  # fmt: skip


def generate_commands() -> dict[str, tuple[float | None, int]]:
    """Prompts of the README's `generate` commands, with their seconds and seed."""
    prompts = {}
    for words in commands(ROOT / "README.md"):
        if words[:2] == ["avatargpt", "generate"]:
            options = dict(zip(words[3::2], words[4::2], strict=True))
            prompts[words[2]] = float(options["--seconds"]) if "--seconds" in options else None, int(options["--seed"])
    return prompts


@weights
def test_motions_of_the_readme_follow_their_prompts():
    prompts = generate_commands()
    assert set(prompts) == set(CHECKS)
    model, motions = AvatarGPT.from_pretrained(), {}
    for prompt, (seconds, seed) in prompts.items():
        with warnings.catch_warnings():
            warnings.simplefilter("error", UnheededText)
            (motion,) = model.generate(prompt, seconds=seconds, seed=seed)
        verdict = judge_all(CHECKS[prompt], motion)
        assert verdict, f"{prompt}: {verdict.values}"
        assert abs(motion.joints[0, :, 1].min()) < 0.05  # begins on the floor
        assert seconds is None or len(motion) == seconds * motion.fps
        motions[prompt] = motion

    jump = motions["a person jumps, then waves with the left hand"]
    height = dict(zip(JOINT_NAMES, jump.joints[..., 1].T, strict=True))
    flight = np.flatnonzero(jump.joints[..., 1].min(1) > 0.1)
    assert 4 <= len(flight) == np.ptp(flight) + 1 and flight[-1] < len(jump) / 2  # one flight, early
    left, right = ((height[f"{side}_wrist"] - height[f"{side}_shoulder"])[flight[-1] + 1 :] for side in "lr")
    assert (left > 0).mean() > 0.5 and right.max() < 0  # after landing the left hand is up, the right one stays down


@weights
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


# Names of the files that examples add.
EXAMPLE_FILES = ("count_steps", "ring_bell", "NAME", "grip", "xyz")


# Not experiments.md, which names what was removed.
@pytest.mark.parametrize("page", [p for p in PAGES if p.name != "experiments.md"], ids=lambda p: p.stem)
def test_paths_of_the_documentation(page):
    """Paths in backticks exist; in the map of the code, names without a folder do so too."""
    folders = [ROOT / f for f in ("avatargpt", "instruct_data", "vqvae", "eval", "scripts")]
    names = {p.name for folder in folders for p in folder.rglob("*") if "__pycache__" not in p.parts}
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.S)
    for path in re.findall(r"`([\w./]+(?:\.(?:py|yaml|md|toml)|/))(?::\w+)?`", text):
        if Path(path).stem in EXAMPLE_FILES:
            continue
        if (ROOT / path.split("/")[0]).is_dir() and "/" in path:
            assert (ROOT / path).exists(), f"{page.name}: {path}"
        elif page.name == "architecture.md":
            assert path in names or (ROOT / path).exists(), f"{page.name}: {path}"
