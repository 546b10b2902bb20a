"""A model of known answers and an intent that takes the grammar itself, so that conversations can be computed."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest

_spec = importlib.util.spec_from_file_location("chat_stand_ins", Path(__file__).with_name("stand_ins.py"))
assert _spec and _spec.loader
stand_ins = importlib.util.module_from_spec(_spec)
sys.modules["chat_stand_ins"] = stand_ins
_spec.loader.exec_module(stand_ins)


@pytest.fixture
def model():
    return stand_ins.FakeModel()


@pytest.fixture
def talk(model, tmp_path):
    """A conversation without a session folder; turns are lines of acts."""
    from avatargpt.chat import Conversation

    return Conversation(model, intent=stand_ins.LineIntent(), outputs=tmp_path, planner=stand_ins.FakePlanner())
