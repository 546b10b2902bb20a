"""The reader of kinds of scenes, and plans that follow it."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from avatargpt import resources
from avatargpt.planning.kinds import FILE, KindNet, KindReader
from avatargpt.planning.library import PlanLibrary
from avatargpt.planning.retriever import Retriever, about
from tests.planning.conftest import Encoder
from vqvae.errors import UserError

SCENE = "Somebody does something somewhere."


def test_a_file_gives_back_what_was_saved(tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = KindNet(3, 2)
    torch.nn.init.normal_(network.vectors)
    one = KindReader(network, ["a", "b", "c"])
    one.save(tmp_path)
    other = KindReader.load(tmp_path)
    assert other is not None and other.names == one.names
    assert np.allclose(one.shares(SCENE), other.shares(SCENE), atol=1e-3)
    assert one.shares(SCENE).sum() == pytest.approx(1)
    assert KindReader.load(tmp_path / "none") is None
    (tmp_path / FILE).write_bytes(b"nothing")
    with pytest.raises(UserError, match=FILE):
        KindReader.load(tmp_path)


def test_a_text_is_read_alike_whatever_was_read_beside_it_before() -> None:
    # a training that is resumed reads its texts beside others than one that was not stopped
    texts = [SCENE, *(f"{SCENE} And then {'something else happens ' * n}" for n in range(1, 12))]
    one, other = (KindNet(3, 2).eval() for _ in range(2))
    other.load_state_dict(one.state_dict())
    one.reader(texts)
    for text in texts:
        assert torch.equal(one.reader([text]), other.reader([text]))


def test_the_packaged_reader_knows_the_packaged_kinds() -> None:
    reader = KindReader.load(resources.weights())
    assert reader is not None and reader.names == PlanLibrary.load(resources.weights()).kinds.names
    shares = reader.shares("keeper of a football team waits for the penalty")
    assert "goalkeeper" in reader.names[int(shares.argmax())]


def test_the_likeliest_kind_comes_first(library: PlanLibrary, encoder: Encoder) -> None:
    names = library.kinds.names
    for number, name in enumerate(names):
        shares = np.full(len(names), 0.01)
        shares[number] = 0.9
        reader = SimpleNamespace(names=names, shares=lambda scene, shares=shares: shares)
        stories = Retriever(library, encoder, reader).stories(SCENE)  # type: ignore[arg-type]
        assert stories[0].name == name and about(stories[0])
        plain = {s.name: s.nearness for s in Retriever(library, encoder).stories(SCENE)}  # type: ignore[arg-type]
        assert stories[0].nearness == plain[name] and all(s.nearness < plain[s.name] for s in stories[1:])


def test_a_reader_of_other_kinds_is_not_asked(library: PlanLibrary, encoder: Encoder) -> None:
    other = SimpleNamespace(names=["another"])
    assert Retriever(library, encoder, other).kinds is None  # type: ignore[arg-type]
