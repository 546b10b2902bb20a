"""Stages of face and gesture: clips, tokenizer, codes, a model that learns a second modality, packing."""

import json
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from avatargpt.api import AvatarGPT
from avatargpt.face.audio_model.driver import Driver
from avatargpt.face.audio_model.network import DriverConfig, DriverNetwork
from avatargpt.face.instructions.network import ParserConfig, ParserNetwork
from avatargpt.face.instructions.parser import InstructionParser
from avatargpt.lm.checkpoint import load_model, load_network
from avatargpt.lm.shape import SMALL
from avatargpt.train.data.faces import LONGEST, make_conditioned_clip, make_conditioned_clips, wordless_clips
from avatargpt.train.tokenizer import objective
from instruct_data.clip import Clip
from instruct_data.face import score as corpus
from instruct_data.face.described import describe_timed_score
from instruct_data.factory.face.compose import compose_scores
from instruct_data.store import Store
from tests.train.conftest import CONFIGS, CPU, Mini, Refused
from vqvae import rotations as rot
from vqvae.features import GestureFeatures
from vqvae.io.tensors import load_tensors
from vqvae.motion import Motion
from vqvae.networks import TokenizerConfig
from vqvae.tokenizer import MotionTokenizer


def test_clips_of_instructions(tmp_path: Path) -> None:
    clips = list(islice(make_conditioned_clips(tmp_path, 5), 60))
    assert len({c.id for c in clips}) == 60
    for clip in clips:
        motion: Any = clip.load()
        assert len(motion) <= LONGEST * 30 + 1 and clip.captions[0] and clip.extra["prompts"]
        assert ("emotion" in clip.extra) == bool(clip.extra["score"]["emotion"])
    sides = [c for c in clips if "left" in c.extra["prompts"][0].lower() and c.id.split("_")[2:3] != ["m"]]
    mirrored = {c.id: c for c in clips}
    left = next(c for c in sides if c.id.rsplit("_", 1)[0] + "_m_0" in mirrored)
    right = mirrored[left.id.rsplit("_", 1)[0] + "_m_0"]
    assert "right" in right.extra["prompts"][0].lower() and right.captions != left.captions
    assert list(wordless_clips(None, None)) == []


def test_instructions_of_the_corpus_come_in_other_words_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OWN", "SEQUENCES"):
        monkeypatch.setattr(corpus, name, tmp_path / "none.jsonl")
    (tmp_path / "none.jsonl").write_text("")
    row = next(r for r in corpus.expand_texts() if r[0].sided and r[0].length <= LONGEST)
    lines = {"train": row[0], "val": row[0]}
    for name, score in lines.items():
        (tmp_path / f"{name}.jsonl").write_text(json.dumps(score.to_json() | {"text": score.text}) + "\n")
    clips = [c for c in make_conditioned_clips(tmp_path, 0, 1) if not c.id.startswith(("named", "felt"))]
    prompts = {c.id: c.extra["prompts"] for c in clips}
    texts = [s.text for s in row]
    in_words = describe_timed_score(row[0])  # the score itself, as often as there are instructions
    assert prompts["train_00001_0"] == texts + [in_words] * len(texts)
    assert prompts["val_00001_0"] == [*texts[:1], in_words]
    mirrored = [p for p in prompts["train_00001_m_0"] if p != describe_timed_score(row[0].mirror())]
    assert mirrored[0] == row[0].mirror().text and 1 < len(mirrored) <= len(texts) and not set(mirrored) & set(texts)


def test_stages_from_instructions_to_a_model_of_two_modalities(mini: Mini, tmp_path: Path, refused: Refused) -> None:
    store, tokenizer, codes = tmp_path / "store", tmp_path / "tok", tmp_path / "codes"
    body, both, face = tmp_path / "body", tmp_path / "both", tmp_path / "face"
    clips = [
        make_conditioned_clip(f"c{i}", s, i, "val" if i % 5 == 0 else "train")
        for i, s in enumerate(compose_scores(25, 2))
    ]
    Store.write(clips, store)
    debug = f"{CONFIGS / 'tokenizer' / 'face.yaml'}:debug"
    mini.run("tokenizer", "--config", debug, "--store", store, "-o", tokenizer, *CPU)
    loss = mini.rows(tokenizer, "features")
    assert loss[-1] < 0.9 * loss[0] and mini.rows(tokenizer, "val_weight_error")
    mini.run("codes", "--tokenizer", tokenizer, "--store", store, "-o", codes, *CPU)

    shape = {"codebook_size": 32, "levels": 2, "code_dim": 16, "refiner_dim": 16, "refiner_heads": 2}
    train = {"steps": 2, "refiner_weight": 0.5, "faster": {"heads.face": 3.0}}
    weights = {"text_to_face": 1.0, "face_to_text": 0.5, "text_to_motion": 0.5}
    mini.run(*mini.language(body, steps=1))
    args = mini.language(both, "--start", body, change={"model": {"modalities": {"face": shape}}},
                         options={"weights": weights}, **train)  # fmt: skip
    for option, more in (("--tokenizer", tokenizer), ("--codes", codes)):
        args[args.index(option) + 1] += f",{more}"
    mini.run(*args)
    assert load_model(both).config.heads == ("text", "body", "face")
    assert mini.rows(both, "val_text_to_face") and mini.rows(both, "val_text_to_motion")

    separate, stacks = tmp_path / "separate", {"vocab_size": 320, "d_model": 32, "d_kv": 8, "d_ff": 48, "num_layers": 1}
    mini.run(*mini.language(separate, "--tokenizer", tokenizer, "--codes", codes,
                            change={"model": {"modalities": {"face": shape}, **stacks, "num_heads": 4}},
                            options={"weights": {"text_to_face": 1.0, "face_to_emotion": 0.5}}, **train))  # fmt: skip
    pytest.importorskip("peft")
    lora = {"r": 2, "alpha": 4, "targets": ["q", "v"], "full": ["codes", "heads", "refiners"]}
    alone = {"weights": {"text_to_face": 1.0, "face_to_emotion": 0.5}}
    mini.run(*mini.language(face, "--start", body, "--tokenizer", tokenizer, "--codes", codes,
                            change={"model": {"modalities": {"face": shape}}, "lora": lora},
                            options=alone, **train))  # fmt: skip
    packed, apart, tokenizers = tmp_path / "packed", tmp_path / "apart", f"{mini.tokenizer},{tokenizer}"
    refused("pack", "--language", both, "--tokenizer", mini.tokenizer, "-o", packed)
    refused("pack", "--language", body, "--adapters", "face", "--tokenizer", tokenizers, "-o", packed)
    refused("pack", "--language", body, "--adapters", f"face={both}", "--tokenizer", tokenizers, "-o", packed)
    refused("pack", "--language", separate, "--tokenizer", tokenizer, "-o", packed)
    mini.run("pack", "--language", body, "--face", separate, "--tokenizer", tokenizers, "-o", tmp_path / "two")
    assert AvatarGPT.from_pretrained(tmp_path / "two", "cpu").facial.model.config.d_model == 32
    mini.run("pack", "--language", both, "--tokenizer", tokenizers, "-o", packed)
    assert len(AvatarGPT.from_pretrained(packed, "cpu").face("smile", 1.0)[0]) == 30
    a, b, c = (tmp_path / name for name in "abc")
    for folder, width in ((a, 16), (b, 16), (c, 24)):
        driver = DriverNetwork(DriverConfig(width=width, hidden=16, dilations=[1], text_width=8, inject=1))
        Driver(driver).save(folder)
        parser = ParserConfig(width=width, hidden=16, heads=2, layers=[6], rank=0)
        InstructionParser(ParserNetwork(parser)).save(folder)
    mini.run("pack", "--language", body, "--adapters", f"face={face}", "--tokenizer", tokenizers, "-o", apart,
             "--bits", 8, "--driver", f"{a},{b}", "--recorded", c, "--parser", f"{a},{b}")  # fmt: skip
    packed_driver = Driver.load(apart / "driver")
    assert [packed_driver.network.config.width, packed_driver.paired.config.width] == [16, 24]
    assert InstructionParser.load(apart / "driver").network.config.width == 16
    assert (apart / SMALL).is_file() and not list(apart.glob("model-*"))
    for folder, packed_bits in ((packed, torch.bfloat16), (apart, torch.int8)):
        assert load_tensors(folder / "body" / "tokenizer.safetensors")["encoder.down.weight"].dtype == packed_bits
    loaded = AvatarGPT.from_pretrained(apart, "cpu")
    assert loaded.adapters == ["face"] and len(loaded.face("smile", 1.0)[0]) == 30 and "face" not in loaded.tokenizers
    whole = load_network(face).state_dict()
    adapted = loaded.facial.model.state_dict()
    assert whole.keys() == adapted.keys()
    assert all((whole[k] - adapted[k]).abs().max() <= whole[k].abs().max() / 50 for k in whole)


def test_a_direct_path_trains_and_resumes(mini: Mini, tmp_path: Path) -> None:
    """Begun as principal components, it is far ahead of convolutions alone after a handful of steps."""

    def run(out: Path, direct: bool = True) -> list[str]:
        train = {"steps": 6, "val_every": 6, "save_every": 100, "level_dropout": 0.0, "log_every": 1}
        return mini.tokenizer_run(out, change={"model.direct": direct}, **train)

    mini.assert_resumes(run, tmp_path)
    mini.run(*run(tmp_path / "plain", False))
    first, plain = (mini.rows(tmp_path / name, "features")[0] for name in ("whole", "plain"))
    assert first < 0.8 * plain


def beating(seed: int) -> Motion:
    """Both hands in front, beating; fingers that open and close."""
    rng = np.random.default_rng(seed)
    t = np.arange(45 + seed) / 30
    pulse = np.sin(2 * np.pi * rng.uniform(1, 2) * t)
    q, fingers = rot.identity((len(t), 22)), rot.identity((len(t), 30))
    for side, sign in ((0, 1.0), (1, -1.0)):
        q[:, 16 + side] = rot.from_axis_angle(np.array([0, 0, -1.2 * sign]))
        q[:, 18 + side] = rot.from_axis_angle(np.outer(1.2 + 0.4 * pulse, [0, -sign, 0]))
        bent = rot.from_axis_angle(np.outer(0.4 + 0.3 * pulse, [0, 0, -sign]))
        fingers[:, 15 * side + 3 : 15 * side + 15] = bent[:, None]
    return Motion(q, np.tile([0, 0.99, 0], (len(t), 1)), 30.0, "gesture", fingers=fingers)


def test_tokens_of_gestures(tmp_path: Path) -> None:
    clips = [Clip(f"g{i}", beating(i), [], "made", "ours", "val" if i > 9 else "train", "beat") for i in range(12)]
    Store.write(clips, tmp_path / "store")
    common = ("--store", tmp_path / "store", *CPU)
    few = ("--set", "train.steps=24", "--set", "train.val_every=24")
    config = f"{CONFIGS / 'tokenizer' / 'gesture.yaml'}:debug"
    Mini.run("tokenizer", "--config", config, *few, *common, "-o", tmp_path / "tok")
    assert Mini.rows(tmp_path / "tok", "val_finger_mm") and Mini.rows(tmp_path / "tok", "val_speed_kept")
    back = MotionTokenizer.load(tmp_path / "tok").reconstruct(clips[0].load())
    assert back.fingers is not None and len(back) == 45
    decoded, real = (np.concatenate([m.joints[:, 18:], m.finger_joints], 1) for m in (back, clips[0].load()))
    assert np.linalg.norm(decoded - real, axis=-1).mean() < 0.15
    Mini.run("codes", "--tokenizer", tmp_path / "tok", *common, "-o", tmp_path / "codes")
    assert {c.modality for c in Store.open(tmp_path / "codes").codes()} == {"gesture"}


def test_losses_see_the_fingers() -> None:
    spec = GestureFeatures()
    x = torch.from_numpy(spec.encode(beating(0)))[None]
    aim = objective("gesture", {}, "test", 3)
    flat, unit = torch.zeros(spec.dim), torch.ones(spec.dim)
    losses, logged = aim.losses(x, x, flat, unit)
    assert sum(losses.values()) < 1e-4 and logged["mpjpe_mm"] < 1e-2
    bent = x.clone()
    bent[..., spec.slices()["fingers"]] = torch.tensor([1.0, 0, 0, 0, 1, 0]).repeat(30)
    worse, _ = aim.losses(bent, x, flat, unit)
    assert worse["tips"] > 0.01 and worse["joints"] > 0.01
    assert MotionTokenizer(TokenizerConfig(modality="gesture", downsample=3, levels=2)).spec.dim == 270
