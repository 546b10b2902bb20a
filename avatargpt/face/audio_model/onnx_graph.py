"""The face driver as an ONNX graph of one frame, for pages and programs without PyTorch; needs the extra ``onnx``."""

from __future__ import annotations

import logging
import warnings
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from avatargpt.face.audio_model import network as networks
from avatargpt.face.audio_model.driver import MAX_ROW, MIN_ROW, Driver
from avatargpt.speech.audio import FPS
from avatargpt.speech.features import BANDS, PER_QUARTER, QUARTERS, WIDTH
from vqvae import arkit
from vqvae.errors import UserError
from vqvae.io.tensors import MIN_QUANTISED, quantise

INSTALL = 'pip install -e ".[onnx]"'
OPSET = 20  # the first with Gelu


class FrameGraph(nn.Module):
    """What `avatargpt.face.audio_model.driver.FaceStream` does with head ``rule``, no style, text or words.

    Without words all phones that a network can be told are unknown, which adds nothing; so it has no input for them.

    The state has the last inputs of each block, oldest first, then the long-term spectrum and how many frames it has
    seen. A stream begins with zeros.
    """

    lowest: Tensor
    highest: Tensor

    def __init__(self, network: networks.DriverNetwork) -> None:
        super().__init__()
        self.network = network
        config = network.config
        spectrum = [2 * BANDS, 1] if config.slow else []
        self.parts = [(networks.KERNEL - 1) * d * config.width for d in config.dilations] + spectrum
        self.register_buffer("lowest", torch.from_numpy(MIN_ROW))
        self.register_buffer("highest", torch.from_numpy(MAX_ROW))

    def forward(self, features: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """A frame.

        Args:
            features: (1, 332) of frame n, as extracted.
            state: (1, S).

        Returns:
            Curves (1, 55) of frame n - look_ahead, which is none for the first ones, and the next state (1, S).
        """
        net, width = self.network, self.network.config.width
        parts = list(state.split(self.parts, 1))
        normal = net.normalise(features)
        x = net.enter(normal)
        if net.config.slow:  # as `network.LongTermSpectrum`
            spectrum, count = parts[-2:]
            bands = normal.view(1, QUARTERS, PER_QUARTER)[..., :BANDS].mean(1)
            share = (1 / (count + 1)).clamp(min=1 / (net.config.slow * FPS))
            spectrum = spectrum + share * (torch.cat((bands, torch.exp(-bands)), 1) - spectrum)
            x = x + net.around(torch.cat((spectrum[:, :BANDS], -spectrum[:, BANDS:].log()), 1))
            parts[-2:] = spectrum, count + 1
        for number, block in enumerate(net.blocks):
            assert isinstance(block, networks.ConvBlock)
            y, past, middle = block.norm(x), parts[number], block.dilation * width
            taps = block.taps(torch.cat((past[:, :width], past[:, middle : middle + width], y), 1))
            parts[number] = torch.cat((past[:, width:], y), 1)
            x = x + block.out(F.gelu(taps, approximate="tanh"))
        curves = net.apply_heads(net.leave(x), None).curves
        return torch.minimum(torch.maximum(curves, self.lowest), self.highest), torch.cat(parts, 1)


def make_graph(driver: Driver) -> bytes:
    """The content of an ONNX file with `FrameGraph`; its metadata name the curves.

    A third output ``delay`` (1,) has the seconds from a frame's beginning to the end of the last sound that it needs.

    Weights that the driver stores in eight bits are in eight bits here too, with a scale for each row, and exact: a
    runtime that computes in float32 gives the curves of float32.

    Raises:
        UserError: a package of the extra ``onnx`` is missing.
    """
    try:
        import onnxscript  # noqa: F401 (what `torch.onnx` needs)
        from onnx import TensorProto, checker, helper
    except ImportError as e:
        raise UserError(f"an ONNX file needs the package {e.name}; install it with {INSTALL}") from None
    graph = FrameGraph(driver.network).eval()
    example = torch.zeros(1, WIDTH), torch.zeros(1, sum(graph.parts))
    registration = logging.getLogger("torch.onnx._internal.exporter._registration")
    registration.addFilter(_is_grave)  # it warns of torchvision
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            program = torch.onnx.export(
                graph, example, input_names=["features", "state"], output_names=["curves", "next"],
                opset_version=OPSET, dynamo=True, verbose=False,
            )  # fmt: skip
    finally:
        registration.removeFilter(_is_grave)
    assert program is not None
    model = program.model_proto
    if driver.eight_bits:
        _store_in_eight_bits(model)
    delay = (driver.look_ahead + 1) / FPS
    model.graph.initializer.append(helper.make_tensor("delay", TensorProto.FLOAT, [1], [delay]))
    model.graph.output.append(helper.make_tensor_value_info("delay", TensorProto.FLOAT, [1]))
    about = {"curves": ",".join((*arkit.NAMES, *arkit.HEAD)), "frames_per_second": str(FPS),
             "look_ahead": str(driver.look_ahead)}  # fmt: skip
    for key, value in about.items():
        model.metadata_props.add(key=key, value=value)
    checker.check_model(model)
    content: bytes = model.SerializeToString()
    return content


def _is_grave(record: logging.LogRecord) -> bool:
    return record.levelno > logging.WARNING


def _store_in_eight_bits(model: Any) -> None:
    """Put each matrix of a layer as integers and a scale for each row in the place of its numbers."""
    # onnxruntime's dynamic quantisation rounds the inputs of layers as well: curves are .02 off, browsers not faster.
    from onnx import helper, numpy_helper

    stored = {tensor.name: tensor for tensor in model.graph.initializer}
    for node in list(model.graph.node):
        name = node.input[1] if node.op_type == "Gemm" else ""
        if not name or (rows := numpy_helper.to_array(stored[name])).size < MIN_QUANTISED:
            continue
        values, scale = (part.numpy() for part in quantise(torch.from_numpy(rows.copy())))
        model.graph.initializer.remove(stored[name])
        model.graph.initializer.extend(
            [numpy_helper.from_array(values, f"{name}.values"), numpy_helper.from_array(scale[:, 0], f"{name}.scale")]
        )
        unpack = helper.make_node("DequantizeLinear", [f"{name}.values", f"{name}.scale"], [name], axis=0)
        model.graph.node.insert(0, unpack)
