"""The ComfyUI nodes as ComfyUI calls them: by their mapping, their INPUT_TYPES and FUNCTION."""

import importlib.util
import sys
import types
import wave
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
import torch

from avatargpt import export
from avatargpt.client import Client, Clip

FOLDER = Path(__file__).resolve().parents[2] / "integrations" / "comfyui"


@pytest.fixture(scope="module")
def package() -> Any:
    """The folder, loaded as ComfyUI loads a folder of custom_nodes."""
    spec = importlib.util.spec_from_file_location("comfy_avatargpt", FOLDER / "__init__.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def run(node: Any, **values: Any) -> Any:
    """Run a node with the defaults of what is not given; only what it declares may be given."""
    fields = {k: v for group in node.INPUT_TYPES().values() for k, v in group.items()}
    assert values.keys() <= fields.keys()
    defaults = {k: v[1]["default"] for k, v in fields.items() if len(v) > 1 and "default" in v[1]}
    result = getattr(node(), node.FUNCTION)(**defaults | values)
    assert isinstance(result, dict) or len(result) == len(node.RETURN_TYPES) == len(node.RETURN_NAMES)
    return result


def test_prompt_to_pictures_and_file(package: Any, address: str, tmp_path: Path, monkeypatch: Any) -> None:
    nodes = package.NODE_CLASS_MAPPINGS
    assert nodes.keys() == package.NODE_DISPLAY_NAME_MAPPINGS.keys() and len(nodes) == 5
    motion, notes = run(nodes["AvatarGPTGenerate"], prompt="a person walks", seconds=1.0, server=address)
    assert notes == "a person walks"
    frames, fps = run(nodes["AvatarGPTPreview"], motion=motion, size=64)
    assert frames.shape == (20, 64, 64, 3) and 0 <= frames.min() < frames.max() <= 1 and fps == pytest.approx(20, abs=1)
    comfy = types.SimpleNamespace(get_output_directory=lambda: str(tmp_path))
    monkeypatch.setitem(sys.modules, "folder_paths", comfy)
    paths = [run(nodes["AvatarGPTSave"], motion=motion, name="../../walk", format="bvh")["result"][0] for _ in "ab"]
    assert paths == [str(tmp_path / f"walk_0000{k}.bvh") for k in (0, 1)]
    assert len(export.load(paths[0])) == 20


def test_sound_goes_out_as_a_wav(package: Any, monkeypatch: Any) -> None:
    sent: list[bytes] = []

    def speak(client: Client, sound: Path, **fields: Any) -> list[Clip]:
        sent.append(sound.read_bytes())
        return [Clip("id", "", "avatar", 1.0, 30, 30.0)]

    monkeypatch.setattr(Client, "speak", speak)
    sound = {"waveform": torch.linspace(-1, 1, 800).expand(1, 2, 800), "sample_rate": 16000}
    motion, _ = run(package.NODE_CLASS_MAPPINGS["AvatarGPTSpeak"], audio=sound)
    with wave.open(BytesIO(sent[0])) as file:
        assert (file.getframerate(), file.getnchannels(), file.getnframes()) == (16000, 1, 800)
    assert motion["clip"].kind == "avatar"
