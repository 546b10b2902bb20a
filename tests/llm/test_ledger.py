"""Completions that are kept in a folder: nothing is asked twice, and costs stay within bounds over all runs."""

import json
import threading
from pathlib import Path

import pytest

from avatargpt.llm import Limits
from avatargpt.llm.ledger import COSTS, Remembered, sum_spent
from avatargpt.llm.model import Completion, LlmFailed, Question, check_words_only, prompt, size_of, with_schema
from tests.factories import RecordedModel

MESSAGES = [{"role": "user", "content": "x" * 297}]  # 100 tokens at most


def ask(model: Remembered, text: str = "") -> Completion:
    messages = [{"role": "user", "content": MESSAGES[0]["content"] + text}]
    return model.complete(Question(messages, {}, 0.0, 0, 50), threading.Event())


def test_nothing_is_asked_twice(tmp_path: Path) -> None:
    first = RecordedModel({"a": 1})
    answer = ask(Remembered(first, tmp_path, Limits()))
    second = RecordedModel({"a": 2})
    assert ask(Remembered(second, tmp_path, Limits())) == answer and not second.questions and not second.loaded
    ask(Remembered(second, tmp_path, Limits()), "?")
    assert len(second.questions) == 1
    costs = json.loads((tmp_path / COSTS).read_text(encoding="utf-8"))
    assert costs["calls"] == 2 and costs["open"] == {}


def test_bounds_count_what_a_killed_process_asked(tmp_path: Path) -> None:
    lost = Remembered(RecordedModel(), tmp_path, Limits(tokens=320))
    with pytest.raises(KeyboardInterrupt):
        lost.backend.complete = _killed  # type: ignore[method-assign]
        ask(lost)
    costs = json.loads((tmp_path / COSTS).read_text(encoding="utf-8"))
    assert sum_spent(costs, Limits(price=(1.0, 2.0))) == (150, 0.2)
    model = Remembered(RecordedModel({"a": 1}), tmp_path, Limits(tokens=320))
    ask(model)  # again: the lost one stays paid
    with pytest.raises(LlmFailed, match=r"\d+ of 320 tokens"):
        ask(model, "other")


def _killed(*_: object) -> Completion:
    raise KeyboardInterrupt


def test_pictures() -> None:
    messages = prompt("describe_segment").messages({"times": [0.5], "words": "", "about": ""}, [b"\xff\xd8", b"\xff"])
    parts = messages[-1]["content"]
    assert [p["type"] for p in parts] == ["text", "image_url", "image_url"]
    assert parts[1]["image_url"]["url"] == "data:image/jpeg;base64,/9g="
    extended = with_schema(messages, {"type": "object"})[-1]["content"]
    assert extended[0]["text"].endswith('{"type": "object"}') and extended[1:] == parts[1:]
    assert size_of(messages) > 2 * 4500
    with pytest.raises(LlmFailed, match="takes no pictures"):
        check_words_only("model x", messages)
