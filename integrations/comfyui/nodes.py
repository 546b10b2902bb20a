"""Nodes after ComfyUI's convention: INPUT_TYPES, RETURN_TYPES, FUNCTION, CATEGORY."""

import io
import tempfile
import wave
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageSequence

from avatargpt.client import Client, Clip

MOTION = "AVATARGPT_MOTION"
SERVER = ("STRING", {"default": "", "tooltip": "Address of the server; empty: AVATARGPT_URL, else this machine's"})
SEED = ("INT", {"default": 0, "min": 0, "max": 2**32 - 1})
FORMATS = ["glb", "bvh", "vrma", "fbx", "npz", "csv", "mp4", "gif"]


class _Node:
    CATEGORY = "AvatarGPT"
    FUNCTION = "run"
    RETURN_TYPES: tuple[str, ...] = (MOTION, "STRING")
    RETURN_NAMES: tuple[str, ...] = ("motion", "notes")


def _result(server: str, clips: list[Clip]) -> tuple[dict, str]:
    return {"server": server, "clip": clips[0]}, "\n".join((*clips[0].read_as, *clips[0].notes))


class AvatarGPTGenerate(_Node):
    """Words to motion."""

    @classmethod
    def INPUT_TYPES(cls) -> dict:
        """Of the node."""
        text = {"default": "a person walks forward and waves", "multiline": True}
        seconds = {"default": 0.0, "min": 0.0, "max": 120.0, "step": 0.5, "tooltip": "0: as long as the words take"}
        return {"required": {"prompt": ("STRING", text), "seconds": ("FLOAT", seconds), "seed": SEED},
                "optional": {"server": SERVER}}  # fmt: skip

    def run(self, prompt: str, seconds: float, seed: int, server: str = "") -> tuple[dict, str]:
        """Motion and notes."""
        with Client(server or None) as client:
            return _result(server, client.generate(prompt, seconds=seconds or None, seed=seed))


class AvatarGPTEdit(_Node):
    """A motion, changed by words."""

    @classmethod
    def INPUT_TYPES(cls) -> dict:
        """Of the node."""
        return {"required": {"motion": (MOTION,), "text": ("STRING", {"default": "slower"}), "seed": SEED}}

    def run(self, motion: dict, text: str, seed: int) -> tuple[dict, str]:
        """Motion and notes."""
        with Client(motion["server"] or None) as client:
            return _result(motion["server"], client.edit(motion["clip"], text, seed=seed))


class AvatarGPTSpeak(_Node):
    """Speech to an avatar: face, hands and body."""

    @classmethod
    def INPUT_TYPES(cls) -> dict:
        """Of the node."""
        words = ("STRING", {"default": "", "multiline": True, "tooltip": "How it is done: speak sadly, then smile"})
        body = ("STRING", {"default": "", "tooltip": "What the body does: a person sits down"})
        return {"required": {"audio": ("AUDIO",), "seed": SEED},
                "optional": {"text": words, "body": body, "server": SERVER}}  # fmt: skip

    def run(self, audio: dict, seed: int, text: str = "", body: str = "", server: str = "") -> tuple[dict, str]:
        """Motion and notes."""
        with Client(server or None) as client, tempfile.TemporaryDirectory() as folder:
            sound = Path(folder, "speech.wav")
            sound.write_bytes(_wav(audio))
            return _result(server, client.speak(sound, text=text, body=body, seed=seed))


class AvatarGPTPreview(_Node):
    """A motion as pictures."""

    RETURN_TYPES = ("IMAGE", "FLOAT")
    RETURN_NAMES = ("frames", "fps")

    @classmethod
    def INPUT_TYPES(cls) -> dict:
        """Of the node."""
        return {"required": {"motion": (MOTION,), "size": ("INT", {"default": 360, "min": 64, "max": 1024})}}

    def run(self, motion: dict, size: int) -> tuple[torch.Tensor, float]:
        """(frames, size, size, 3) floats from 0 to 1, and their rate."""
        with Client(motion["server"] or None) as client, tempfile.TemporaryDirectory() as folder:
            film = Image.open(client.save(motion["clip"], Path(folder, "motion.gif"), size=size))
            frames = [np.asarray(f.convert("RGB"), np.float32) / 255 for f in ImageSequence.Iterator(film)]
            fps = 1000 / film.info["duration"] if film.info.get("duration") else 20.0
            film.close()
        return torch.from_numpy(np.stack(frames)), fps


class AvatarGPTSave(_Node):
    """A motion as a file in ComfyUI's output folder."""

    RETURN_TYPES = ("STRING",)
    RETURN_NAMES = ("path",)
    OUTPUT_NODE = True

    @classmethod
    def INPUT_TYPES(cls) -> dict:
        """Of the node."""
        name = ("STRING", {"default": "motion"})
        return {"required": {"motion": (MOTION,), "name": name, "format": (FORMATS,)}}

    def run(self, motion: dict, name: str, format: str) -> dict:
        """The path; the number in it is a new one."""
        stem = Path(name).name or "motion"
        folder = _output_folder()
        path = next(p for k in range(100_000) if not (p := folder / f"{stem}_{k:05}.{format}").exists())
        with Client(motion["server"] or None) as client:
            client.save(motion["clip"], path)
        return {"ui": {"text": [str(path)]}, "result": (str(path),)}


def _output_folder() -> Path:
    import folder_paths  # of ComfyUI

    return Path(folder_paths.get_output_directory())


def _wav(audio: dict) -> bytes:
    """The first of ComfyUI's sounds, (batch, channels, samples) floats, as 16-bit mono."""
    sound = audio["waveform"][0].mean(0).clamp(-1, 1).cpu().numpy()
    data = io.BytesIO()
    with wave.open(data, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(int(audio["sample_rate"]))
        file.writeframes(np.round(32767 * sound).astype("<i2").tobytes())
    return data.getvalue()


_NODES = (AvatarGPTGenerate, AvatarGPTEdit, AvatarGPTSpeak, AvatarGPTPreview, AvatarGPTSave)
NODE_CLASS_MAPPINGS = {node.__name__: node for node in _NODES}
NODE_DISPLAY_NAME_MAPPINGS = {name: name.replace("AvatarGPT", "AvatarGPT: ") for name in NODE_CLASS_MAPPINGS}
