"""The stages one after the other, and going on exactly where a run stopped."""

import time
from concurrent.futures import ThreadPoolExecutor
from multiprocessing import active_children
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from avatargpt.lm.checkpoint import load_model, save_model
from avatargpt.lm.text_encoder import SentenceGrounder, TextTokenizer
from avatargpt.train.processes import map_in_order
from avatargpt.train.tokenizer import feature_windows
from instruct_data.store import Store
from tests.train.conftest import CPU, Mini, Refused
from vqvae.errors import UserError
from vqvae.io.files import folder_lock
from vqvae.networks import TokenizerConfig
from vqvae.tokenizer import MotionTokenizer

SHORT: dict[str, Any] = {"steps": 2, "val_every": 100, "save_every": 100}


def test_prepared_store(mini: Mini) -> None:
    store = Store.open(mini.store)
    train, val = list(store.clips("train")), list(store.clips("val"))
    composed = [c for c in train if c.source == "composed"]
    # of 28 recordings, the one whose feet slide most and the one that jitters most are left out
    assert (len(composed), len(train), len(val)) == (20, 26 * 2 + 20, 4)
    assert all("figures" in c.extra for c in (*train, *val) if c.source != "composed")
    assert all(c.extra["prompts"] for c in train) and not any(c.extra.get("prompts") for c in val)
    val_ids = {c.id for c in val}
    assert not val_ids & {part for c in composed for part in c.extra["parts"]}
    left = next(c for c in train if c.id.endswith("_m") and "wave" in c.action)
    assert left.action == "wave-left-hand" and "left" in left.captions[0]


def test_tokenizer_learns_and_makes_the_codes(mini: Mini) -> None:
    for name, share in (("features", 0.93), ("path", 0.85)):
        loss = mini.rows(mini.tokenizer, name)
        assert loss[-1] < share * loss[0]
    assert mini.rows(mini.tokenizer, "val_mm") and (mini.tokenizer / "losses.png").is_file()
    tokenizer, cache = MotionTokenizer.load(mini.tokenizer), Store.open(mini.codes)
    assert cache.manifest["fingerprint"] == tokenizer.fingerprint
    clip = next(Store.open(mini.store).clips("val"))
    codes = next(c for c in cache.codes("val") if c.id == clip.id).codes
    np.testing.assert_array_equal(codes, tokenizer.encode(clip.load()))


def test_a_decoder_is_trained_alone(mini: Mini, tmp_path: Path, refused: Refused) -> None:
    start, alone = ("--start", mini.tokenizer), {"train.decoder_only": True}
    run = mini.tokenizer_run(tmp_path / "decoder", *start, change={"train.error": 2.0, **alone}, **SHORT)
    mini.run(*run)
    before, after = (MotionTokenizer.load(p) for p in (mini.tokenizer, tmp_path / "decoder"))
    assert before.fingerprint == after.fingerprint
    changed = {k.split(".")[0] for k, v in before.state_dict().items() if not torch.equal(v, after.state_dict()[k])}
    assert changed == {"decoder"}
    other = mini.tokenizer_run(tmp_path / "other", *start, change={"model.width": 48, **alone}, **SHORT)
    assert "another shape than that of --start" in refused(*other)
    assert "decoder_only needs" in refused(*mini.tokenizer_run(tmp_path / "none", change=alone, **SHORT))


def test_a_tokenizer_is_trained_on(mini: Mini, tmp_path: Path) -> None:
    """Its codes move little with slow entries, so that a language model goes on with them."""
    on, codes, lm = (tmp_path / name for name in ("on", "codes", "lm"))
    slow = {"train.error": 1.0, "model.ema_decay": 0.999, "model.dead_below": 0.0}
    mini.run(*mini.tokenizer_run(on, "--start", mini.tokenizer, change=slow, **SHORT))
    before, after = (MotionTokenizer.load(p) for p in (mini.tokenizer, on))
    assert before.fingerprint != after.fingerprint and torch.equal(before.mean, after.mean)
    assert (before.config.ema_decay, after.config.ema_decay) == (0.97, 0.999)
    mini.run("codes", "--tokenizer", on, "--store", mini.store, *CPU, "-o", codes)
    moved = {str(mini.tokenizer): str(on), str(mini.codes): str(codes)}
    first = tmp_path / "first"
    mini.run(*mini.language(first, **SHORT))
    mini.run(*(moved.get(str(a), a) for a in mini.language(lm, "--start", first, **SHORT)))
    assert load_model(lm).config.fingerprints == {"body": after.fingerprint}


def test_features_are_the_same_with_any_number_of_processes(mini: Mini, tmp_path: Path) -> None:
    store = Store.open(mini.store)
    one, three = (feature_windows(store, "train", tmp_path, TokenizerConfig(), n) for n in (1, 3))
    assert one.labels == three.labels and len(one.labels) == 52
    np.testing.assert_array_equal(one.rare, three.rare)
    for a, b in zip(one.clips, three.clips, strict=True):
        np.testing.assert_array_equal(a, b)


def test_codes_are_the_same_with_any_number_of_processes(mini: Mini, tmp_path: Path) -> None:
    threads = torch.get_num_threads()
    try:
        mini.run("codes", "--tokenizer", mini.tokenizer, "--store", mini.store, "-o", tmp_path, *CPU, "--threads", 3)
    finally:
        torch.set_num_threads(threads)
    assert Store.open(tmp_path).manifest == Store.open(mini.codes).manifest


def test_an_error_ends_all_processes() -> None:
    def work(item: int) -> int:
        if item == 2:
            raise UserError("item 2")
        time.sleep(60 if item > 2 else 0)
        return -item

    begin, results = time.monotonic(), map_in_order(work, iter(range(9)), 3)
    assert [next(results), next(results)] == [0, -1]
    with pytest.raises(UserError, match="item 2"):
        next(results)
    assert time.monotonic() - begin < 30 and not active_children()


def test_tokenizer_resumes_exactly(mini: Mini, tmp_path: Path) -> None:
    mini.assert_resumes(lambda out: mini.tokenizer_run(out, steps=6, level_dropout=0.5, save_every=100), tmp_path)
    assert len(mini.rows(tmp_path / "parts", "val_mm")) == 1  # at the end, not where the run was stopped


def test_a_folder_belongs_to_one_run(mini: Mini, tmp_path: Path, refused: Refused) -> None:
    with folder_lock(tmp_path, "busy"), ThreadPoolExecutor(1) as other:  # as another process: locks are a thread's
        line = other.submit(refused, *mini.tokenizer_run(tmp_path, steps=2)).result()
    assert "another run is going on there" in line and not (tmp_path / "log.jsonl").exists()


def test_a_changed_configuration_is_reported(
    mini: Mini, tmp_path: Path, refused: Refused, capsys: pytest.CaptureFixture[str]
) -> None:
    args = mini.tokenizer_run(tmp_path, steps=2)
    mini.run(*args)
    assert "train.lr" in refused(*args, "--set", "train.lr=1e-5")
    mini.run(*args)
    assert "at step 2 already" in capsys.readouterr().err
    mini.run(*args, "--set", "train.lr=1e-5", "--set", "train.steps=3")
    line = capsys.readouterr().err
    assert "goes on from step 2" in line and "now 1e-05" in line and "train.steps: 2, now 3" in line


def test_language_with_grounding_learns(mini: Mini, tmp_path: Path, refused: Refused) -> None:
    grounding, more, lm = tmp_path / "grounding", tmp_path / "more", tmp_path / "lm"
    mini.run("ground", "--store", mini.store, "--texts", mini.texts, "-o", grounding, *CPU)
    SentenceGrounder().save_states(["a text of another store"], more)
    grounded = {"model.grounding_dim": 384}
    absent = refused(*mini.language(lm, "--grounding", f"{grounding},{tmp_path / 'gone'}", change=grounded))
    assert f"{tmp_path / 'gone'}: no grounding.safetensors" in absent
    mini.run(*mini.language(lm, "--grounding", f"{more},{grounding}", change=grounded))
    for name in ("ce_body", "ce_text", "refiner"):
        assert mini.rows(lm, name)[-1] < mini.rows(lm, name)[0]
    assert mini.rows(lm, "val_text_to_motion")
    model = load_model(lm)
    assert model.config.fingerprints == {"body": MotionTokenizer.load(mini.tokenizer).fingerprint}
    mini.assert_same(dict(model.state_dict()), mini.weights(lm))


@pytest.fixture(scope="module")
def other_tokenizer(mini: Mini) -> tuple[Path, Path]:
    """Another tokenizer of the same shape, and the store as its codes."""
    tokenizer, codes = mini.root / "other_tokenizer", mini.root / "other_codes"
    mini.run(*mini.tokenizer_run(tokenizer, steps=2, seed=5))
    mini.run("codes", "--tokenizer", tokenizer, "--store", mini.store, *CPU, "-o", codes)
    return tokenizer, codes


def test_another_tokenizer_is_refused(
    mini: Mini, other_tokenizer: tuple[Path, Path], tmp_path: Path, refused: Refused
) -> None:
    lm, new = tmp_path / "lm", tmp_path / "new"
    args = mini.language(lm, **SHORT)
    mini.run(*args, "--until", 1)
    other = {str(mini.tokenizer): str(other_tokenizer[0]), str(mini.codes): str(other_tokenizer[1])}

    def swapped(argv: list[str]) -> list[str]:
        return [other.get(a, a) for a in argv]

    assert "checkpoint.pt: of a run with another tokenizer of 'body'" in refused(*swapped(args))
    line = refused(*swapped(mini.language(new, "--start", lm, **SHORT)))
    assert "tokenizer of 'body': fingerprint" in line and not new.exists()
    assert load_model(lm).config.fingerprints == {"body": MotionTokenizer.load(mini.tokenizer).fingerprint}

    # an older checkpoint, without these records, goes on as before
    saved = torch.load(lm / "checkpoint.pt", weights_only=True)
    torch.save({k: v for k, v in saved.items() if k not in ("fingerprints", "shape")}, lm / "checkpoint.pt")
    mini.run(*args)


def test_another_shape_is_refused(mini: Mini, tmp_path: Path, refused: Refused) -> None:
    lm, tokenizer = tmp_path / "lm", tmp_path / "tokenizer"
    mini.run(*mini.language(lm, "--until", 1, **SHORT))
    for key, value in (("feed_forward_proj", "gated-silu"), ("refiner_heads", 4)):
        line = refused(*mini.language(lm, change={f"model.{key}": value}, **SHORT))
        assert "checkpoint.pt: of another shape" in line and key in line
    mini.run(*mini.tokenizer_run(tokenizer, "--until", 1, change={"model.decoder_dilations": [1, 3]}, steps=2))
    line = refused(*mini.tokenizer_run(tokenizer, change={"model.decoder_dilations": [1, 5]}, steps=2))
    assert "of another shape (decoder_dilations: [1, 3], now [1, 5])" in line


def test_word_pieces_of_a_refused_run(mini: Mini, tmp_path: Path) -> None:
    begun, lm = tmp_path / "begun", tmp_path / "lm"
    mini.run(*mini.language(begun, **SHORT))
    lm.mkdir()
    TextTokenizer.train(["quite other words than those"] * 5, 300, lm)
    mini.run(*mini.language(lm, "--start", begun, **SHORT))
    assert (lm / "spiece.model").read_bytes() == (begun / "spiece.model").read_bytes()


def test_smoothed_labels(mini: Mini, tmp_path: Path) -> None:
    for name, share in (("plain", 0.0), ("smooth", 0.5)):
        mini.run(*mini.language(tmp_path / name, steps=1, log_every=1, val_every=100, label_smoothing=share))
    for key in ("ce_text", "ce_body"):  # of the same weights and rows
        assert mini.rows(tmp_path / "plain", key) != mini.rows(tmp_path / "smooth", key)


def test_text_stage_then_motion_stage(mini: Mini, tmp_path: Path) -> None:
    text, lm, packed = tmp_path / "text", tmp_path / "lm", tmp_path / "packed"
    weights = {"weights": {"rewrite": 1.0}}
    config = mini.config("language", steps=4, refiner_weight=0.0, options=weights)
    mini.run("language", "--config", config, "--texts", mini.texts, *CPU, "-o", text)
    mini.run(*mini.language(lm, "--start", text, steps=2))
    pieces = (text / "spiece.model").read_bytes()
    assert pieces == (lm / "spiece.model").read_bytes()

    # packed weights (bfloat16) are trained in float32: small steps would be lost
    save_model(load_model(text).to(torch.bfloat16), packed)
    (packed / "spiece.model").write_bytes(pieces)
    mini.run(*mini.language(tmp_path / "on", "--start", packed, steps=2))
    assert {p.dtype for p in load_model(tmp_path / "on").parameters()} == {torch.float32}
