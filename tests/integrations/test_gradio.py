"""The Gradio page, called with Gradio's own client."""

import importlib.util
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from avatargpt import export
from tests.clips import gliding

APP = Path(__file__).resolve().parents[2] / "integrations" / "gradio" / "app.py"


def test_the_page_is_at_most_eighty_lines_and_needs_what_it_lists() -> None:
    lines = APP.read_text().splitlines()
    assert len(lines) <= 80
    assert (APP.parent / "requirements.txt").read_text().split() == ["avatargpt"]
    front = (APP.parent / "README.md").read_text().split("---")[1]
    assert "sdk: gradio" in front and "app_file: app.py" in front


def test_a_prompt_becomes_files_and_files_words(tmp_path: Path) -> None:
    pytest.importorskip("gradio", reason="needs gradio")
    from gradio_client import Client, handle_file

    spec = importlib.util.spec_from_file_location("gradio_app", APP)
    assert spec is not None and spec.loader is not None
    app: Any = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(app)
    motion = gliding(40, caption="a person walks")
    fake = SimpleNamespace(generate=lambda *_, **__: [motion], describe=lambda clip: [f"{len(clip)} frames"])
    app.model = lambda: fake
    _, url, _ = app.page.launch(prevent_thread_lock=True, quiet=True, allowed_paths=[str(app.FOLDER)])
    try:
        client = Client(url, verbose=False)
        view, files, notes = client.predict("a person walks", 2, 0, api_name="/generate")
        assert [Path(f).suffix for f in files] == [".glb", ".bvh", ".npz", ".vrma"] and notes == ""
        assert len(export.load(view)) == 40
        export.save(motion, tmp_path / "walk.bvh")
        assert client.predict(handle_file(tmp_path / "walk.bvh"), api_name="/describe") == "40 frames"
    finally:
        app.page.close()
