"""A model of known answers and an intent that takes the grammar itself, so that conversations can be computed."""

import pytest

from avatargpt.chat import Conversation
from tests.chat.stand_ins import FakeModel, FakePlanner, LineIntent


@pytest.fixture
def model():
    return FakeModel()


@pytest.fixture
def talk(model, tmp_path):
    """A conversation without a session folder; turns are lines of acts."""
    return Conversation(model, intent=LineIntent(), outputs=tmp_path, planner=FakePlanner())
