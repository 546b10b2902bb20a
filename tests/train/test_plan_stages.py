"""Stages whose data are texts about scenes: the library of plans, kinds of scenes, consequences."""

import json
import lzma
from pathlib import Path
from typing import Any

import pytest

from avatargpt.planning.consequences import Consequences
from avatargpt.planning.kinds import KindReader
from avatargpt.planning.library import PlanLibrary
from tests.train.conftest import CPU, Mini, Refused

KIND = """
{name}:
  scenes: ["{{Who}} at the {name} {{place}} {{when}}.", "A day at the {name}: {{who}}"]
  who: [a clerk|she, a guard|he]
  place: [in town, by the sea]
  when: [at noon, at night]
  activities:
    - {{task: "{{He}} comes to the {name}.", at: [1, 2], steps: ["{{he}} walks in", "{{he}} nods"]}}
    - {{task: "{{He}} leaves the {name}.", at: [3], steps: ["{{he}} waves"]}}
"""


def pack(path: Path, rows: list[dict[str, Any]]) -> None:
    with lzma.open(path, "wt", encoding="utf-8") as out:
        out.writelines(json.dumps(r) + "\n" for r in rows)


@pytest.fixture(scope="module")
def texts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two kinds with wordings, two events, and pairs by two authors."""
    folder = tmp_path_factory.mktemp("plans")
    (folder / "kinds").mkdir()
    (folder / "kinds" / "some.yaml").write_text(KIND.format(name="bank") + KIND.format(name="harbour"))
    pack(folder / "wordings.jsonl.xz", [
        {"kind": name, "scenes": [f"{w} {name}" for w in ("old", "closed", "my")]} for name in ("bank", "harbour")
    ])  # fmt: skip
    pack(folder / "events.jsonl.xz", [
        {"task": f"{{^he}} {t}.", "steps": ["{he} bends", "{he} nods"]} for t in ("sells a boat", "counts money")
    ])  # fmt: skip
    answers = {"{^he} gets up.": ["{he} gets up"], "{^he} dries {himself}.": ["{he} wipes {his} face", "{he} nods"]}
    pairs = []
    for author in ("author_1", "author_4"):
        for sort, (task, steps), seen in zip(
            ("fell", "wet"), answers.items(), ("he falls over", "a wave soaks him"), strict=True
        ):
            about = {"said": f"he walks on as {author}", "author": author}
            pairs.append(about | {"described": seen, "sort": sort, "then": "first",
                                  "next": {"task": task, "steps": steps}})  # fmt: skip
            pairs.append(about | {"described": "he walks on", "sort": "none", "then": "go_on", "next": None})
    pack(folder / "consequences.jsonl.xz", pairs)
    return folder


def argv(mini: Mini, texts: Path, stage: str, out: Path) -> list[object]:
    places = ["--plans", texts] if stage == "kinds" else ["--pairs", texts / "consequences.jsonl.xz"]
    return [stage, "--config", f"{mini.configs / stage}.yaml:debug", *places, *CPU, "-o", out]


@pytest.mark.parametrize(("stage", "reader"), [("kinds", KindReader), ("consequences", Consequences)])
def test_networks_of_plans_resume_to_the_byte(
    mini: Mini, texts: Path, tmp_path: Path, stage: str, reader: Any
) -> None:  # fmt: skip
    mini.run(*argv(mini, texts, stage, tmp_path / "a"))
    mini.run(*argv(mini, texts, stage, tmp_path / "b"), "--until", 2)
    mini.run(*argv(mini, texts, stage, tmp_path / "b"))
    name = f"{stage}.safetensors"
    assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    assert reader.load(tmp_path / "a") is not None


def test_kinds_and_events_take_their_place_in_the_library(mini: Mini, texts: Path, tmp_path: Path) -> None:
    mini.run("plans", "--plans", texts, *CPU, "-o", tmp_path)
    library = PlanLibrary.load(tmp_path)
    assert library.kinds.names == ["bank", "harbour"] and len(library.events.parts) == 2 and library.scenes
    part = library.kinds.parts[0][0]
    assert part.task == "{^he} comes to the bank." and part.at == {1, 2}
    assert ("a clerk", "she") in library.kinds.persons


@pytest.mark.parametrize(("old", "new", "wrong"), [
    ("a guard|he", "a guard", "a bar and he, she or they"), ("at: [3]", "at: []", "at"), ("harbour:", "bank:", "bank"),
])  # fmt: skip
def test_damaged_kinds_are_refused(
    texts: Path, tmp_path: Path, refused: Refused, old: str, new: str, wrong: str
) -> None:  # fmt: skip
    (tmp_path / "kinds").mkdir()
    text = (texts / "kinds" / "some.yaml").read_text()
    first, second = (KIND.format(name="bank"), text.removeprefix(KIND.format(name="bank")))
    (tmp_path / "kinds" / "a.yaml").write_text(first)
    (tmp_path / "kinds" / "b.yaml").write_text(second.replace(old, new))
    line = refused("plans", "--plans", tmp_path, *CPU, "-o", tmp_path / "out")
    assert wrong in line and "b.yaml" in line


def test_consequences_need_rows_of_both_sides(mini: Mini, texts: Path, tmp_path: Path, refused: Refused) -> None:
    given = argv(mini, texts, "consequences", tmp_path / "out")
    line = refused(*given, "--set", "train.validation=[nobody]")
    assert "no answers of the authors nobody" in line
