"""Models by their names on the Hub, and folders that are saved and uploaded."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import huggingface_hub
import pytest

from avatargpt.lm.hub import HubCalls, folder_of
from vqvae.errors import UserError

CONFIG = '{"d_model": 8, "num_layers": 1, "vocab_size": 9}'


class Loaded(HubCalls):
    def __init__(self, source: str) -> None:
        self._source = source

    @property
    def source(self) -> str:
        return self._source


def test_names_are_asked_for_and_paths_are_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []

    def download(name: str, revision: str | None) -> str:
        asked.append((name, revision))
        if name == "org/gone":
            raise OSError("401 Client Error\nmore")
        return str(tmp_path)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    assert folder_of(None) is None and folder_of(tmp_path) == tmp_path and folder_of("/no/such/folder/at/all")
    assert asked == []
    assert folder_of("org/model", "v1") == tmp_path and asked == [("org/model", "v1")]
    with pytest.raises(UserError, match=r"org/gone: no such folder here, .*\(401 Client Error\)"):
        folder_of("org/gone")
    with pytest.raises(UserError, match="revision v1: accepted with a name on the Hub"):
        folder_of(tmp_path, "v1")


def test_a_folder_is_saved_whole(tmp_path: Path) -> None:
    source = tmp_path / "model"
    (source / "body").mkdir(parents=True)
    (source / "body" / "tokenizer.json").write_text("{}")
    (source / "config.json").write_text(CONFIG)
    target = Loaded(str(source)).save_pretrained(tmp_path / "copy")
    assert (target / "body" / "tokenizer.json").is_file() and (target / "README.md").read_text().startswith("---\n")
    with pytest.raises(UserError, match="is there already"):
        Loaded(str(source)).save_pretrained(target)
    with pytest.raises(UserError, match="not loaded from a folder"):
        Loaded("").save_pretrained(tmp_path / "other")


def test_a_folder_is_uploaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[Any] = []

    class Api:
        def __init__(self, token: str | None) -> None:
            told.append(token)

        def create_repo(self, name: str, private: bool, exist_ok: bool) -> None:
            if name == "no/right":
                raise RuntimeError("403 Forbidden")

        def upload_folder(self, **given: Any) -> Any:
            told.append(sorted(p.name for p in Path(given["folder_path"]).iterdir()))
            return SimpleNamespace(commit_url="https://hub/org/model/commit/1")

    monkeypatch.setattr(huggingface_hub, "HfApi", Api)
    (tmp_path / "config.json").write_text(CONFIG)
    assert Loaded(str(tmp_path)).push_to_hub("org/model", token="secret").endswith("/commit/1")
    assert told == ["secret", ["README.md", "config.json"]]
    with pytest.raises(UserError, match=r"no/right: not uploaded \(403 Forbidden\)"):
        Loaded(str(tmp_path)).push_to_hub("no/right")
