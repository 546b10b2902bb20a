"""Whatever the set-up installs for any of the extras has a pinned version."""

import tomllib
from importlib.metadata import PackageNotFoundError, requires
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).resolve().parents[1]


def pinned() -> dict[str, Version]:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pairs = (line.split("==") for line in lines if line and not line.startswith("#"))
    return {canonicalize_name(name): Version(version) for name, version in pairs}


def asked() -> list[Requirement]:
    """What pyproject.toml itself asks for, with every extra."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return [Requirement(r) for r in (*project["dependencies"], *sum(project["optional-dependencies"].values(), []))]


def brought(requirement: Requirement, known: dict[tuple[str, frozenset[str]], None]) -> None:
    """Add a requirement, and what it brings where it is installed, to `known`."""
    key = canonicalize_name(requirement.name), frozenset(requirement.extras)
    if key in known:
        return
    known[key] = None
    try:
        below = [Requirement(r) for r in requires(requirement.name) or []]
    except PackageNotFoundError:
        return
    for one in below:
        if one.marker is None or any(one.marker.evaluate({"extra": e}) for e in ("", *requirement.extras)):
            brought(one, known)


def test_all_that_is_installed_is_pinned() -> None:
    known: dict[tuple[str, frozenset[str]], None] = {}
    for requirement in asked():
        brought(requirement, known)
    assert len(known) > 80
    assert {name for name, _ in known} <= pinned().keys()


def test_pins_are_versions_that_are_accepted() -> None:
    pins = pinned()
    assert [str(r) for r in asked() if pins[canonicalize_name(r.name)] not in r.specifier] == []
