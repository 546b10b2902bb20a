"""Packaged files are found where they are, and their absence is said."""

from __future__ import annotations

import pytest

from avatargpt import resources
from vqvae.errors import UserError


def test_configurations_are_found_in_a_checkout_and_in_a_wheel(tmp_path, monkeypatch):
    assert resources.configs() == resources.PACKAGE.parent / "configs"
    wheel = tmp_path / "site-packages" / "avatargpt"
    (wheel / "configs" / "train").mkdir(parents=True)
    (wheel / "configs" / "train" / "debug.yaml").write_text("steps: 1\n", encoding="utf-8")
    monkeypatch.setattr(resources, "PACKAGE", wheel)
    assert resources.configs() == wheel / "configs"
    assert resources.config("train/debug") == wheel / "configs" / "train" / "debug.yaml"
    with pytest.raises(UserError, match="accepted: train/debug"):
        resources.config("train/none")
    with pytest.raises(UserError, match="accepted: train/debug"):
        resources.config("../../secret")


def test_missing_weights_are_named(tmp_path, monkeypatch):
    monkeypatch.setattr(resources, "PACKAGE", tmp_path)
    with pytest.raises(UserError, match=r"no packaged weights.*--model"):
        resources.weights()
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights" / "config.json").write_text("{}", encoding="utf-8")
    assert resources.weights() == tmp_path / "weights"
