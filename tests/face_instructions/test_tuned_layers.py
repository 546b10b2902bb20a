"""The sentence encoder's upper layers with small changes: first as installed, then as trained, alone in the file."""

from pathlib import Path

import torch

from avatargpt.face.instructions.network import ParserConfig, ParserNetwork, pad_states
from avatargpt.face.instructions.parser import InstructionParser, reading_grounder
from avatargpt.lm.text_encoder import WIDTH, SentenceGrounder, TunedLayers

TEXTS = ["wink twice with the left eye, then nod", "smile"]


def test_before_training_they_are_the_encoder() -> None:
    torch.manual_seed(0)
    states, words = pad_states(SentenceGrounder(layers=(0, 3, 6)).states(TEXTS))
    found = TunedLayers(3, 2, 0.0).eval()(states[..., WIDTH : 2 * WIDTH], words)
    assert (found - states[..., 2 * WIDTH :])[words.bool()].abs().max() < 0.02  # states are kept as float16


def test_a_reader_stores_its_changes_alone(tmp_path: Path) -> None:
    torch.manual_seed(0)
    config = ParserConfig(width=16, hidden=16, heads=2, decoder=1, layers=[0, 3], rank=2)
    parser = InstructionParser(ParserNetwork(config))
    assert not any(k.endswith("query.weight") for k in parser.network.state_dict())
    with torch.no_grad():
        for k, v in parser.network.named_parameters():
            v.add_(0.1 * torch.randn_like(v)) if k.endswith(".up") else None
    parser.save(tmp_path)
    grounder = reading_grounder(config)
    again = InstructionParser.load(tmp_path)
    states, words = pad_states(grounder.states(TEXTS))
    assert torch.equal(again.network.encode(states, words), parser.network.encode(states, words))
    assert again.read(TEXTS, grounder) == parser.read(TEXTS, grounder)
