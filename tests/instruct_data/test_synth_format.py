"""Action files are read strictly, and mistakes are told with file and key."""

from pathlib import Path

import pytest

from instruct_data.synth import actions, load_family
from instruct_data.synth.format import formula, number, resolve
from instruct_data.synth.loading import mirror_limb, poses, read_controls
from tests.instruct_data.synthetic import CAPTIONS
from vqvae.errors import UserError

GOOD = f"""
name: test_move
group: hands
handed: right
params:
  reps: {{choice: [1, 2]}}
  far: {{range: [0.2, 0.3]}}
  how: {{choice: {{low: 0.1, high: 0.6}}, weights: [1, 3]}}
let:
  twice: "2*reps"
captions:
{CAPTIONS}
keys:
  - after: [0.4, 0.6]
    r_hand: {{at: [-0.2, "how", "far"], from: chest, elbow: 20}}
  - repeat: twice
    keys:
      - after: 0.3
        head: [0, "20 if i % 2 == 0 else -20", 0]
  - after: 0.5
    pose: stand
"""


def write(folder: Path, text: str) -> Path:
    path = folder / "test_move.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_reads_a_good_file(tmp_path: Path) -> None:
    family = load_family(write(tmp_path, GOOD))
    assert family.name == "test_move" and family.handed == "right" and len(family.captions) == 12
    assert [p.name for p in family.params] == ["reps", "far", "how"]
    assert family.params[2].weights == (0.25, 0.75)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("group: hands", "group: dance", "group: 'dance'"),
        ("handed: right", "handed: left", "handed: 'left'"),
        ("from: chest", "from: belly", "from 'belly'"),
        ("elbow: 20", "elbows: 20", "unknown key 'elbows'"),
        ('"far"]', '"near"]', "unknown name 'near'"),
        ('"far"]', '"__import__(1)"]', "unknown name '__import__'"),
        ('"far"]', '"far.real"]', "Attribute"),
        ("after: 0.3", "afer: 0.3", "unknown key 'afer'"),
        ("after: [0.4, 0.6]", "after: [0.6, 0.4]", "least"),
        ("pose: stand", "pose: float", "unknown pose 'float'"),
        ("at: [-0.2,", "raise: 40, at: [-0.2,", "not both"),
        ("way 3", "way {colour}", "{colour}"),
        ("weights: [1, 3]", "weights: [1]", "weights"),
        ("  - a person moves in way 0\n", "", "at least 12"),
        ("name: test_move", "name: [", "line"),
    ],
)
def test_mistakes_name_file_and_key(tmp_path: Path, old: str, new: str, message: str) -> None:
    assert old in GOOD
    with pytest.raises(UserError) as e:
        load_family(write(tmp_path, GOOD.replace(old, new, 1)))
    assert message in str(e.value) and "test_move.yaml" in str(e.value) and "\n" not in str(e.value)


def test_missing_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such file"):
        load_family(tmp_path / "nowhere.yaml")


def test_expressions_compute_and_refuse() -> None:
    assert formula("2 + max(a, 3) * (b > 1)", ["a", "b"], "x")({"a": 5, "b": 2}) == 7
    assert resolve(number("sin(90) - a", ["a"], "x"), {"a": 0.25}, "x") == pytest.approx(0.75)
    for bad in ("[i for i in a]", "a if", "lambda: 1", "a['x']"):
        with pytest.raises(UserError):
            formula(bad, ["a"], "x")
    with pytest.raises(UserError, match="number"):
        resolve(number("'word'", [], "x"), {}, "x")
    with pytest.raises(UserError, match="cannot be computed"):
        formula("1 / a", ["a"], "x")({"a": 0})


def test_both_hands_are_mirrored() -> None:
    right, left = (poses()["squat"]["controls"][h][0] for h in ("r_hand", "l_hand"))
    assert [-right.numbers["at"][0], *right.numbers["at"][1:]] == list(left.numbers["at"])
    again = mirror_limb(mirror_limb(right))
    assert again.numbers == right.numbers and again.origin == right.origin
    assert poses()["sit"]["controls"]["l_hand"][0].origin == "l_knee"
    palm = read_controls({"both_hands": {"at": [0, 1, 0], "palm": [10, 20, 30]}}, (), "here")
    assert palm["l_hand"][0].numbers["palm"] == palm["r_hand"][0].numbers["palm"]  # told per side


def test_packaged_families_are_found_under_their_own_names() -> None:
    by_name = actions()
    assert {"drink", "sit_down", "march"} <= set(by_name)
    assert all(Path(f.path).stem == name for name, f in by_name.items())
