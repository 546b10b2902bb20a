"""The face beside the body: tokenizer, codes, a model that learns a second modality, packing; what the clips are."""

from __future__ import annotations

import json
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from avatargpt.api import AvatarGPT
from avatargpt.face.audio_model.driver import Driver
from avatargpt.face.audio_model.network import DriverConfig, DriverNetwork
from avatargpt.face.instructions.network import ParserConfig, ParserNetwork
from avatargpt.face.instructions.parser import InstructionParser
from avatargpt.lm.checkpoint import load_model
from avatargpt.lm.shape import SMALL
from avatargpt.train.command import main
from avatargpt.train.data.faces import LONGEST, conditioned_clip, conditioned_clips, wordless_clips
from instruct_data.face import score as corpus
from instruct_data.face.compose import composed
from instruct_data.store import Store

CONFIGS = Path(__file__).resolve().parents[2] / "configs"


def test_clips_of_instructions(tmp_path: Path) -> None:
    some = list(islice(conditioned_clips(tmp_path, 5), 60))
    assert len({c.id for c in some}) == 60
    for clip in some:
        motion: Any = clip.load()
        assert len(motion) <= LONGEST * 30 + 1 and clip.captions[0] and clip.extra["prompts"]
        assert ("emotion" in clip.extra) == bool(clip.extra["score"]["emotion"])
    sides = [c for c in some if "left" in c.extra["prompts"][0].lower() and c.id.split("_")[2:3] != ["m"]]
    assert sides
    twin = {c.id: c for c in some}
    one = next(c for c in sides if c.id.rsplit("_", 1)[0] + "_m_0" in twin)
    other = twin[one.id.rsplit("_", 1)[0] + "_m_0"]
    assert "right" in other.extra["prompts"][0].lower() and other.captions != one.captions
    assert list(wordless_clips(None, None)) == []


def test_instructions_of_the_corpus_come_in_other_words_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("OWN", "SEQUENCES"):
        monkeypatch.setattr(corpus, name, tmp_path / "none.jsonl")
    (tmp_path / "none.jsonl").write_text("")
    row = next(r for r in corpus.reworded() if r[0].sided and r[0].length <= LONGEST)
    lines = {"train": row[0], "val": row[0]}
    for name, score in lines.items():
        (tmp_path / f"{name}.jsonl").write_text(json.dumps(score.to_json() | {"text": score.text}) + "\n")
    clips = [c for c in conditioned_clips(tmp_path, 0, 1) if not c.id.startswith(("named", "felt"))]
    found = {c.id: c.extra["prompts"] for c in clips}
    said = [s.text for s in row]
    assert found["train_00001_0"] == said and found["val_00001_0"] == said[:1]
    turned = found["train_00001_m_0"]
    assert turned[0] == row[0].mirrored().text and 1 < len(turned) <= len(said) and not set(turned) & set(said)


def test_stages_from_instructions_to_a_model_of_two_modalities(mini: Any, tmp_path: Path) -> None:
    store = tmp_path / "store"
    clips = [conditioned_clip(f"c{i}", s, i, "val" if i % 5 == 0 else "train") for i, s in enumerate(composed(25, 2))]
    Store.write(clips, store)
    quick = ["--threads", "1", "--device", "cpu"]
    debug = f"{CONFIGS / 'tokenizer' / 'face.yaml'}:debug"
    assert main(["tokenizer", "--config", str(debug), "--store", str(store), "-o", str(tmp_path / "tok"), *quick]) == 0
    loss = mini.rows(tmp_path / "tok", "features")
    assert loss[-1] < 0.9 * loss[0] and mini.rows(tmp_path / "tok", "val_weight_error")
    assert main(["codes", "--tokenizer", str(tmp_path / "tok"), "--store", str(store), "-o", str(tmp_path / "codes"),
                 *quick]) == 0  # fmt: skip

    def first(data: dict) -> None:
        mini.no_grounding(data)
        data["train"]["steps"] = 1

    def second(data: dict) -> None:
        first(data)
        shape = {"codebook_size": 32, "levels": 2, "code_dim": 16, "refiner_dim": 16, "refiner_heads": 2}
        data["model"] = {"modalities": {"face": shape}}
        data["train"] |= {"steps": 2, "refiner_weight": 0.5, "faster": {"heads.face": 3.0}}
        data["train"]["options"] = {"weights": {"text_to_face": 1.0, "face_to_text": 0.5, "text_to_motion": 0.5}}

    mini.run(*mini.language(mini.config("language", first, "narrow"), tmp_path / "body"))
    args = mini.language(mini.config("language", second, "wide"), tmp_path / "both", "--start", tmp_path / "body")
    for option, more in (("--tokenizer", tmp_path / "tok"), ("--codes", tmp_path / "codes")):
        args[args.index(option) + 1] += f",{more}"
    mini.run(*args)
    model = load_model(tmp_path / "both")
    assert model.config.heads == ("text", "body", "face")
    assert mini.rows(tmp_path / "both", "val_text_to_face") and mini.rows(tmp_path / "both", "val_text_to_motion")

    def alone(data: dict) -> None:
        second(data)
        data["model"] |= {"vocab_size": 300, "d_model": 32, "d_kv": 8, "d_ff": 48, "num_layers": 1, "num_heads": 4}
        data["train"]["options"] = {"weights": {"text_to_face": 1.0, "face_to_emotion": 0.5}}

    config = mini.config("language", alone, "alone")
    mini.run("language", "--config", config, "--tokenizer", tmp_path / "tok", "--codes",
             tmp_path / "codes", "--texts", mini.texts, "-o", tmp_path / "face", *quick)  # fmt: skip
    packed = tmp_path / "packed"
    assert main(["pack", "--language", str(tmp_path / "both"), "--tokenizer", str(mini.tokenizer), "-o",
                 str(packed)]) == 2  # fmt: skip
    assert main(["pack", "--language", str(tmp_path / "face"), "--tokenizer", str(tmp_path / "tok"), "-o",
                 str(packed)]) == 2  # fmt: skip
    both = f"{mini.tokenizer},{tmp_path / 'tok'}"
    assert main(["pack", "--language", str(tmp_path / "both"), "--tokenizer", both, "-o", str(packed)]) == 0
    assert len(AvatarGPT.from_pretrained(packed, "cpu").face("smile", 1.0)[0]) == 30
    apart = tmp_path / "apart"
    for name, width in (("a", 16), ("b", 16), ("c", 24)):
        driver = DriverNetwork(DriverConfig(width=width, hidden=16, dilations=[1], text_width=8, inject=1))
        Driver(driver).save(tmp_path / name)
        shape = ParserConfig(width=width, hidden=16, heads=2, layers=[6], rank=0)
        InstructionParser(ParserNetwork(shape)).save(tmp_path / name)
    drivers = ["--driver", f"{tmp_path / 'a'},{tmp_path / 'b'}", "--recorded", str(tmp_path / "c")]
    readers = ["--parser", f"{tmp_path / 'a'},{tmp_path / 'b'}+{tmp_path / 'c'}"]
    assert main(["pack", "--language", str(tmp_path / "body"), "--face", str(tmp_path / "face"), "--tokenizer", both,
                 "-o", str(apart), "--bits", "8", *drivers, *readers]) == 0  # fmt: skip
    found, asked = Driver.load(apart / "driver"), InstructionParser.load(apart / "driver")
    assert [found.network.config.width, found.paired.config.width] == [16, 24]
    assert [one.config.width for one in (asked.network, *asked.others)] == [16, 24]
    assert (apart / SMALL).is_file() and not list(apart.glob("model-*"))
    assert len(AvatarGPT.from_pretrained(apart, "cpu").face("smile", 1.0)[0]) == 30


def test_a_direct_path_trains_and_resumes(mini: Any, tmp_path: Path) -> None:
    """Begun as principal components, it is far ahead of convolutions alone after a handful of steps."""

    def change(direct: bool) -> Any:
        def to(data: dict[str, Any]) -> None:
            data["model"]["direct"] = direct
            data["train"].update({"steps": 6, "val_every": 6, "save_every": 100, "level_dropout": 0.0, "log_every": 1})

        return to

    args = ["tokenizer", "--store", mini.store, "--threads", 1, "--device", "cpu"]
    config = mini.config("tokenizer", change(True), "direct")
    mini.run(*args, "--config", config, "-o", tmp_path / "parts", "--until", 3)
    mini.run(*args, "--config", config, "-o", tmp_path / "parts")
    mini.run(*args, "--config", config, "-o", tmp_path / "whole")
    mini.assert_same(mini.weights(tmp_path / "whole"), mini.weights(tmp_path / "parts"))
    mini.run(*args, "--config", mini.config("tokenizer", change(False), "plain"), "-o", tmp_path / "plain")
    first, plain = (mini.rows(tmp_path / name, "features")[0] for name in ("whole", "plain"))
    assert first < 0.8 * plain
