"""What several kinds of goldens need: the packaged model, sentence encoders that compute text by text, files."""

from functools import cache
from typing import Any

import yaml
from golden_store import ROOT

from avatargpt import AvatarGPT
from avatargpt.face.instructions.network import MAX_WORDS
from avatargpt.face.pipeline import FacePipeline
from avatargpt.lm.checkpoint import driver_folder
from avatargpt.lm.text_encoder import SentenceGrounder
from avatargpt.planning import load_planner

SUITES = ROOT / "eval" / "suites"


@cache
def model() -> AvatarGPT:
    """The packaged weights, float32 on the CPU; texts are encoded one by one, so that no row depends on others."""
    loaded = AvatarGPT.from_pretrained(device="cpu", dtype="float32")
    loaded.grounder = SentenceGrounder(alone=True)
    return loaded


@cache
def planner() -> Any:
    """The default planner."""
    return load_planner(None, model())


def performer(reader: Any = None) -> FacePipeline:
    """The packaged face; `reader` in place of its own. Its sentence encoders work text by text, too."""
    loaded = _performer()
    layers = loaded.parser.network.config.layers
    reading = SentenceGrounder(max_tokens=MAX_WORDS + 1, cache_size=500, layers=layers, alone=True)
    made = FacePipeline(loaded.driver, reader or loaded.parser, SentenceGrounder(alone=True), reading)
    made._folder = driver_folder()  # where the reader of requests is found
    return made


@cache
def _performer() -> FacePipeline:
    return FacePipeline.load()


def suite(name: str) -> dict[str, Any]:
    """A suite's YAML as it stands."""
    return yaml.safe_load((SUITES / f"{name}.yaml").read_text(encoding="utf-8"))
