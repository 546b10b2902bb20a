"""Files of keyframed actions, of schemas and of the lexicon: what they hold and how mistakes are named."""

from pathlib import Path

import pytest

from instruct_data.factory.synth.families import actions, families, keyframed, schemas
from instruct_data.factory.synth.format import Family, formula, number, resolve
from instruct_data.factory.synth.loading import (
    load_family,
    load_lexicon,
    load_schema,
    mirror_limb,
    poses,
    read_controls,
)
from tests.instruct_data.synthetic import CAPTIONS
from vqvae.errors import UserError

SCHEMA = """
name: touch
group: hands
handed: right
params:
  place: {choice: [nose, belly]}
  reps: {choice: {once: 1, often: 4}}
  slow: {range: [0.3, 0.9]}
  lean: {range: [-20, 40], default: 5}
tables:
  place:
    columns: [frame, x, y, z]
    nose: [head, -0.05, "-0.02*reps", 0.2]
    belly: [chest, -0.1, -0.2, 0.2]
keys:
  - repeat: reps
    keys:
      - {after: slow, r_hand: {at: [x, y, z], from: frame}}
      - {after: slow, r_hand: rest}
"""
WAYS = ", ".join(f"way {i}" for i in range(8))
ENTRY = "- {name: touch_nose, schema: touch, params: {place: nose}, captions: [CAPTIONS]}\n"


def schema(folder: Path, text: str = SCHEMA) -> Family:
    (folder / "touch.yaml").write_text(text, encoding="utf-8")
    return load_schema(folder / "touch.yaml")


def entries(folder: Path, text: str) -> list[Family]:
    (folder / "words.yaml").write_text(text.replace("CAPTIONS", WAYS), encoding="utf-8")
    return load_lexicon(folder / "words.yaml", {"touch": schema(folder)})


def drawn(family: Family) -> list[dict[str, object]]:
    return [c.extra["params"] for c in keyframed(family, range(24))]


def test_an_entry_is_a_family_with_some_parameters_settled(tmp_path: Path) -> None:
    family = entries(tmp_path, ENTRY.replace("nose}", "nose, slow: {range: [0.5, 0.6]}}"))[0]
    assert (family.name, family.schema, family.group, len(family.captions)) == ("touch_nose", "touch", "hands", 8)
    params = drawn(family)
    assert {p["place"] for p in params} == {"nose"} and {p["reps"] for p in params} == {"once", "often"}
    assert all(0.5 <= float(str(p["slow"])) <= 0.6 for p in params)
    assert {p["lean"] for p in params} == {5}
    assert set(params[0]) == {"place", "reps", "slow", "lean"}  # columns of a table are not told


def test_a_choice_is_narrowed_and_may_have_words_of_its_own(tmp_path: Path) -> None:
    settled = "place: {choice: {the tip: nose}}, reps: {choice: [often]}, slow: {choice: [0.4, 0.7]}"
    params = drawn(entries(tmp_path, ENTRY.replace("place: nose", settled))[0])
    assert {(p["place"], p["reps"]) for p in params} == {("the tip", "often")}
    assert {p["slow"] for p in params} == {0.4, 0.7}


def test_tables_and_frames_follow_what_is_drawn(tmp_path: Path) -> None:
    text = ENTRY + ENTRY.replace("nose", "belly")
    for family, low, high in zip(entries(tmp_path, text), (1.3, 0.9), (1.7, 1.25), strict=True):
        for clip in keyframed(family, range(4)):
            hand = clip.load().joints[:, 20 if clip.extra["side"] == "left" else 21]
            assert low < hand[:, 1].max() < high and hand[:, 2].max() > 0.15


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("schema: touch", "schema: tuch", "schema 'tuch'; accepted touch"),
        ("place: nose", "plce: nose", "unknown key 'plce'; did you mean 'place'? accepted: place, reps, slow, lean"),
        ("place: nose", "place: ear", "place: 'ear'; accepted nose, belly"),
        ("place: nose", "place: {choice: [ear]}", "place: 'ear'; accepted nose, belly"),
        ("place: nose", "reps: {range: [1, 2]}", "reps: range [1, 2]; accepted once, often"),
        ("place: nose", "slow: {range: [0.1, 0.5]}", "range [0.1, 0.5]; accepted numbers from 0.3 to 0.9"),
        ("place: nose", "slow: 2", "slow: 2; accepted numbers from 0.3 to 0.9"),
        (", way 7", "", "7 captions; at least 8"),
        ("way 7", "'way {far}'", "unknown {far}"),
        ("name: touch_nose", "name: touch nose", "entry 1: name: 'touch nose'"),
        ("params:", "group: dance, params:", "group: 'dance'"),
        ("params:", "keys: [], params:", "unknown key 'keys'"),
    ],
)
def test_mistakes_name_file_and_entry(tmp_path: Path, old: str, new: str, message: str) -> None:
    text = ENTRY.replace("CAPTIONS", WAYS)
    assert old in text
    with pytest.raises(UserError) as e:
        entries(tmp_path, text.replace(old, new))
    assert message in str(e.value) and str(e.value).startswith("words.yaml") and "\n" not in str(e.value)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("group: hands", "group: hands\ncaptions: [x]", "unknown key 'captions'"),
        ("    belly: [chest, -0.1, -0.2, 0.2]\n", "", "row belly: None; accepted 4 values"),
        ("columns: [frame, x", "columns: [frame, reps", "'reps'; accepted new names"),
        ("  place:\n    columns", "  slow:\n    columns", "unknown key 'slow'"),
        ("from: frame", "from: belly", "from 'belly'; accepted stage"),
    ],
)
def test_mistakes_in_schemas_are_told(tmp_path: Path, old: str, new: str, message: str) -> None:
    assert old in SCHEMA
    with pytest.raises(UserError) as e:
        schema(tmp_path, SCHEMA.replace(old, new, 1))
    assert message in str(e.value) and str(e.value).startswith("touch.yaml") and "\n" not in str(e.value)


def test_a_frame_that_is_none_is_told(tmp_path: Path) -> None:
    (tmp_path / "touch.yaml").write_text(SCHEMA.replace("nose: [head", "nose: [stand"), encoding="utf-8")
    with pytest.raises(UserError, match=r"unknown name 'stand'"):
        load_schema(tmp_path / "touch.yaml")
    bad = SCHEMA.replace("from: frame", "from: \"frame if reps > 9 else 'nowhere'\"")
    (tmp_path / "words.yaml").write_text(ENTRY.replace("CAPTIONS", WAYS), encoding="utf-8")
    family = load_lexicon(tmp_path / "words.yaml", {"touch": schema(tmp_path, bad)})[0]
    with pytest.raises(UserError, match="from is 'nowhere'; accepted stage"):
        keyframed(family, [0])


def test_no_name_is_there_twice_and_no_schema_without_use() -> None:
    by_name = families()  # refuses a name that is there twice
    assert set(actions()) <= set(by_name) and not set(schemas()) & set(by_name)
    assert {f.schema for f in by_name.values()} - {""} == set(schemas())
    assert all(not f.schema for f in actions().values())


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
