"""The driver as an ONNX graph: the curves of a stream, whatever the network's sizes are."""

import numpy as np
import pytest
import torch

from avatargpt.face.audio_model.driver import Driver
from avatargpt.face.audio_model.network import DriverConfig, DriverNetwork
from avatargpt.face.audio_model.onnx_graph import INSTALL, make_graph
from avatargpt.speech.audio import RATE
from avatargpt.speech.features import WIDTH, extract
from tests.factories import voice
from vqvae import arkit
from vqvae.errors import UserError

SECONDS = 0.8
PARTS = ("seal", "bite", "feel", "told")


def make_driver(eight_bits: bool = False, **sizes: object) -> Driver:
    """A driver with random weights, of eight bits where it stores them so."""
    torch.manual_seed(0)
    network = DriverNetwork(DriverConfig.model_validate({"width": 32, "hidden": 64, "text_width": 8, **sizes}))
    for value in network.state_dict().values():
        if value.ndim == 2:
            value += 0.1 * torch.randn_like(value)
            if eight_bits and value.numel() >= 1024:
                scale = value.abs().amax(1, keepdim=True) / 127
                value.copy_(torch.round(value / scale) * scale)
    return Driver(network, eight_bits=eight_bits)


def run_graph(content: bytes, sound: np.ndarray) -> tuple[np.ndarray, float]:
    """Curves of all frames that the graph gives for a sound, and its delay, by onnx's own evaluator."""
    import onnx
    from onnx.reference import ReferenceEvaluator

    model = onnx.load_from_string(content)
    evaluator, frames = ReferenceEvaluator(model), []
    state = np.zeros([d.dim_value for d in model.graph.input[1].type.tensor_type.shape.dim], np.float32)
    for row in extract(sound, RATE):
        curves, state, delay = evaluator.run(["curves", "next", "delay"], {"features": row[None], "state": state})
        frames.append(curves[0])
    assert [d.dim_value for d in model.graph.input[0].type.tensor_type.shape.dim] == [1, WIDTH]
    names = {entry.key: entry.value for entry in model.metadata_props}["curves"].split(",")
    assert names == [*arkit.NAMES, *arkit.HEAD]
    return np.array(frames), float(delay[0])


@pytest.mark.parametrize(
    ("eight_bits", "sizes"),
    [
        (False, {"dilations": [1, 3], "look_ahead": 1, "inject": 1}),
        (True, {"dilations": [2, 1, 1], "slow": 0.5, "look_ahead": 3, **dict.fromkeys(PARTS, True)}),
    ],
)
def test_gives_the_curves_of_a_stream(eight_bits: bool, sizes: dict[str, object]) -> None:
    pytest.importorskip("onnxscript", reason="needs the extra onnx")
    import onnx

    driver, sound = make_driver(eight_bits, **sizes), voice(SECONDS, RATE)
    content = make_graph(driver)
    curves, delay = run_graph(content, sound)
    ahead = driver.look_ahead
    exact = Driver(driver.network).stream(RATE).push(sound)
    assert len(exact) == len(curves) - ahead and np.ptp(exact, 0).max() > 0.05
    assert np.abs(curves[ahead:] - exact).max() < 1e-5
    assert delay == pytest.approx((ahead + 1) / 30)
    stored = onnx.load_from_string(content).graph.initializer
    integers = sum(tensor.data_type == onnx.TensorProto.INT8 for tensor in stored)
    assert integers == (2 * len(driver.network.blocks) + 3 if eight_bits else 0)  # and two of inputs, one of curves


def test_says_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "onnxscript", None)
    with pytest.raises(UserError, match="onnxscript") as refused:
        make_graph(make_driver())
    assert INSTALL in str(refused.value)
