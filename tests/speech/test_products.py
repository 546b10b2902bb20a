from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from avatargpt.face.audio_model.driver import Driver
from avatargpt.face.audio_model.network import DriverConfig, DriverNetwork
from avatargpt.face.audio_model.stream import EightBits, Exact, eight_bits_faster
from tests.speech.conftest import voice
from vqvae.io.tensors import lowered, raised


@pytest.mark.parametrize(("rows", "columns"), [(384, 576), (192, 384), (7, 32)])
def test_a_product_with_weights_of_eight_bits_is_that_of_the_stored_ones(rows: int, columns: int) -> None:
    torch.manual_seed(rows)
    layer = nn.Linear(columns, rows)
    nn.init.normal_(layer.bias)
    x = torch.randn(columns)
    with torch.inference_mode():
        layer.weight.copy_(raised(lowered("w", layer.weight.repeat(1, 1), torch.int8)).get("w", layer.weight))
        exact, said = Exact(layer)(x), EightBits(layer)(x.bfloat16())
    assert torch.equal(exact, layer(x)) and said.dtype == torch.bfloat16
    assert (said - exact).abs().max() < 0.02 * exact.abs().max()
    with pytest.raises(ValueError, match="33 columns"):
        EightBits(nn.Linear(33, 8))


def test_weights_of_eight_bits_serve_where_they_are_faster(monkeypatch: pytest.MonkeyPatch) -> None:
    for machine, faster in (("AVX512", True), ("AVX2", True), ("DEFAULT", False)):
        monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda said=machine: said)
        assert eight_bits_faster(192, 384) == faster
        assert not eight_bits_faster(48, 384) and not eight_bits_faster(192, 40)


@pytest.mark.parametrize(("width", "hidden", "eight"), [(64, 96, True), (48, 96, False)])
def test_a_packaged_driver_multiplies_with_what_its_folder_holds(
    tmp_path: Path, width: int, hidden: int, eight: bool
) -> None:  # fmt: skip
    torch.manual_seed(1)
    driver, sound = Driver(DriverNetwork(DriverConfig(width=width, hidden=hidden, slow=1.0))), voice(2.0)
    for one in (driver.network.curves, driver.network.paired):
        one.bias.data.fill_(0.3)
    driver.save(tmp_path / "full")
    driver.save(tmp_path / "packed", torch.int8)
    full, packed = Driver.load(tmp_path / "full"), Driver.load(tmp_path / "packed")
    assert not full.eight_bits and packed.eight_bits
    streamed = {head: packed.drive(sound, head=head).weights for head in ("rule", "recorded")}
    packed.eight_bits = False  # the same weights, multiplied in float32
    for head, weights in streamed.items():
        apart = np.abs(weights - packed.drive(sound, head=head).weights).max()
        assert apart < 0.02 and (apart > 0) == (eight and eight_bits_faster(64, 96)), head  # 48 columns cannot be
    assert np.array_equal(full.drive(sound).weights, driver.drive(sound).weights)
