"""One reader of JSON lines: line numbers, characters that are no line ends, clear refusals."""

from __future__ import annotations

import json

import pytest

from vqvae.errors import UserError
from vqvae.io.data_files import json_rows


def test_rows_with_their_numbers(tmp_path):
    path = tmp_path / "rows.jsonl"
    said = "one\u2028two\u0085three\x0b"
    path.write_text("{}\n\n" + json.dumps({"text": said}, ensure_ascii=False) + "\n[1]", encoding="utf-8")
    assert list(json_rows(path)) == [(1, {}), (3, {"text": said}), (4, [1])]


@pytest.mark.parametrize(
    ("content", "message"),
    [(b'{}\n{"a": 1', "line 2: not JSON"), (b"\xff\xfe", "not UTF-8 text"), (b"[" * 100_000, "line 1: not JSON")],
)
def test_what_is_no_json_is_named(tmp_path, content, message):
    path = tmp_path / "rows.jsonl"
    path.write_bytes(content)
    with pytest.raises(UserError, match=message):
        list(json_rows(path))


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(UserError, match=r"rows\.jsonl: no such file"):
        list(json_rows(tmp_path / "rows.jsonl"))
