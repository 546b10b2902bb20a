"""Keyframed action families written on the spot, for the tests of the solver."""

from pathlib import Path

from instruct_data.synth import Family, load_family

CAPTIONS = "\n".join(f"  - a person moves in way {i}" for i in range(12))


def family_of(folder: Path, keys: str, head: str = "") -> Family:
    """A family of these keys, written to `folder` and loaded."""
    path = folder / "try_it.yaml"
    path.write_text(f"name: try_it\ngroup: hands\n{head}\ncaptions:\n{CAPTIONS}\nkeys:\n{keys}", encoding="utf-8")
    return load_family(path)
