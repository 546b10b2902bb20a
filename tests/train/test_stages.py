"""The stages one after the other, and going on exactly where a run stopped."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from avatargpt.lm.checkpoint import load_model, save_model
from avatargpt.lm.text_encoder import TextTokenizer
from avatargpt.train.command import main
from avatargpt.train.pack import averaged, parse_shares
from instruct_data.store import Store
from instruct_data.text.everyday import everyday_requests
from vqvae.errors import UserError
from vqvae.io.files import folder_lock
from vqvae.tokenizer import MotionTokenizer


def test_prepared_store(mini: Any) -> None:
    store = Store.open(mini.store)
    train, val = list(store.clips("train")), list(store.clips("val"))
    composed = [c for c in train if c.source == "composed"]
    assert (len(composed), len(train), len(val)) == (20, 28 * 2 + 20, 4)
    assert all(c.extra["prompts"] for c in train) and not any(c.extra.get("prompts") for c in val)
    val_ids = {c.id for c in val}
    assert not val_ids & {part for c in composed for part in c.extra["parts"]}
    left = next(c for c in train if c.id.endswith("_m") and "wave" in c.action)
    assert left.action == "wave-left-hand" and "left" in left.captions[0]


def test_tokenizer_learns_and_makes_the_codes(mini: Any) -> None:
    for name, share in (("features", 0.93), ("path", 0.7)):
        loss = mini.rows(mini.tokenizer, name)
        assert loss[-1] < share * loss[0]
    assert mini.rows(mini.tokenizer, "val_mm") and (mini.tokenizer / "losses.png").is_file()
    tokenizer = MotionTokenizer.load(mini.tokenizer)
    cache = Store.open(mini.codes)
    assert cache.manifest["fingerprint"] == tokenizer.fingerprint
    clip = next(Store.open(mini.store).clips("val"))
    codes = next(c for c in cache.codes("val") if c.id == clip.id).codes
    np.testing.assert_array_equal(codes, tokenizer.encode(clip.load()))


def test_tokenizer_resumes_exactly(mini: Any, tmp_path: Path) -> None:
    config = mini.config("tokenizer", lambda d: d["train"].update(steps=6, level_dropout=0.5, save_every=100))
    args = ["tokenizer", "--config", config, "--store", mini.store, "--threads", 1, "--device", "cpu"]
    mini.run(*args, "-o", tmp_path / "whole")
    mini.run(*args, "-o", tmp_path / "parts", "--until", 3)
    assert mini.rows(tmp_path / "parts", "val_mm") == []
    mini.run(*args, "-o", tmp_path / "parts")
    mini.assert_same(mini.weights(tmp_path / "whole"), mini.weights(tmp_path / "parts"))


def test_a_folder_belongs_to_one_run(mini: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = mini.config("tokenizer", lambda d: d["train"].update(steps=2), "alone")
    args = ["tokenizer", "--config", config, "--store", mini.store, "--threads", 1, "--device", "cpu", "-o", tmp_path]
    with folder_lock(tmp_path, "busy"), ThreadPoolExecutor(1) as other:  # as another process: locks are a thread's
        line = other.submit(refused, capsys, args).result()
    assert "another run is going on there" in line and not (tmp_path / "log.jsonl").exists()


def test_a_changed_configuration_is_not_passed_over(
    mini: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = mini.config("tokenizer", lambda d: d["train"].update(steps=2), "changes")
    args = ["tokenizer", "--config", config, "--store", mini.store, "--threads", 1, "--device", "cpu", "-o", tmp_path]
    mini.run(*args)
    assert "train.lr" in refused(capsys, [*args, "--set", "train.lr=1e-5"])
    mini.run(*args)
    assert "at step 2 already" in capsys.readouterr().err
    mini.run(*args, "--set", "train.lr=1e-5", "--set", "train.steps=3")
    told = capsys.readouterr().err
    assert "goes on from step 2" in told and "now 1e-05" in told and "train.steps: 2, now 3" in told


def test_decoder_stage_keeps_codes(mini: Any, tmp_path: Path) -> None:
    config = mini.config("tokenizer", lambda d: d["train"].update(steps=3, decoder_only=True, level_dropout=0))
    mini.run("tokenizer", "--config", config, "--store", mini.store, "--start", mini.tokenizer, "-o", tmp_path,
        "--threads", 1, "--device", "cpu")  # fmt: skip
    before, after = MotionTokenizer.load(mini.tokenizer), MotionTokenizer.load(tmp_path)
    assert before.fingerprint == after.fingerprint
    changed = {k.split(".")[0] for k, v in before.state_dict().items() if not v.equal(after.state_dict()[k])}
    assert changed == {"decoder"}


class FewRequests:
    """Some of the everyday requests: the states of all of them take minutes."""

    def __init__(self) -> None:
        self.all = everyday_requests()

    def classes(self) -> list[str]:
        return list(self.all.classes())[:4]

    def requests(self, name: str) -> list[str]:
        return list(self.all.requests(name))[:8]


def test_language_with_grounding_learns(mini: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as few:
        few.setattr("instruct_data.text.everyday.everyday_requests", FewRequests)
        mini.run("ground", "--store", mini.store, "--texts", mini.texts, "-o", tmp_path / "grounding", "--threads", 1,
            "--device", "cpu")  # fmt: skip
    config = mini.configs / "language" / "debug.yaml"
    mini.run(*mini.language(config, tmp_path / "lm", "--grounding", tmp_path / "grounding"))
    for name in ("ce_body", "ce_text", "refiner"):
        assert mini.rows(tmp_path / "lm", name)[-1] < mini.rows(tmp_path / "lm", name)[0]
    assert mini.rows(tmp_path / "lm", "val_text_to_motion")
    model = load_model(tmp_path / "lm")
    assert model.config.fingerprints == {"body": MotionTokenizer.load(mini.tokenizer).fingerprint}
    mini.assert_same(dict(model.state_dict()), mini.weights(tmp_path / "lm"))


def test_language_resumes_exactly(mini: Any, tmp_path: Path) -> None:
    def change(data: dict) -> None:
        mini.no_grounding(data)
        data["model"]["dropout_rate"] = 0.1
        data["train"].update(steps=6, val_every=100, save_every=100)

    config = mini.config("language", change, "resume")
    mini.run(*mini.language(config, tmp_path / "whole"))
    mini.run(*mini.language(config, tmp_path / "parts", "--until", 3))
    mini.run(*mini.language(config, tmp_path / "parts"))
    mini.assert_same(mini.weights(tmp_path / "whole"), mini.weights(tmp_path / "parts"))


def refused(capsys: pytest.CaptureFixture[str], argv: list[str]) -> str:
    """The one line of a run that is refused."""
    capsys.readouterr()
    assert main([str(a) for a in argv]) == 2
    return capsys.readouterr().err.strip()


def short(mini: Any, name: str, **model: Any) -> Path:
    """A configuration of two steps."""

    def change(data: dict) -> None:
        mini.no_grounding(data)
        data["model"] |= model
        data["train"] |= {"steps": 2, "val_every": 100, "save_every": 100}

    return mini.config("language", change, name)


@pytest.fixture(scope="module")
def other_tokenizer(mini: Any) -> tuple[Path, Path]:
    """Another tokenizer of the same shape, and the store as its codes."""
    config = mini.config("tokenizer", lambda d: d["train"].update(steps=2, seed=5), "other")
    tokenizer, codes = mini.root / "other_tokenizer", mini.root / "other_codes"
    where = ["--store", mini.store, "--threads", 1, "--device", "cpu"]
    mini.run("tokenizer", "--config", config, *where, "-o", tokenizer)
    mini.run("codes", "--tokenizer", tokenizer, *where, "-o", codes)
    return tokenizer, codes


def test_another_tokenizer_is_refused(
    mini: Any, other_tokenizer: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config, lm = short(mini, "fingerprint"), tmp_path / "lm"
    mini.run(*mini.language(config, lm, "--until", 1))
    other = {str(mini.tokenizer): str(other_tokenizer[0]), str(mini.codes): str(other_tokenizer[1])}

    def swapped(*argv: Any) -> list[str]:
        return [other.get(str(a), str(a)) for a in argv]

    line = refused(capsys, swapped(*mini.language(config, lm)))
    assert "checkpoint.pt: of a run with another tokenizer of 'body'" in line
    line = refused(capsys, swapped(*mini.language(config, tmp_path / "new", "--start", lm)))
    assert "tokenizer of 'body': fingerprint" in line and not (tmp_path / "new").exists()
    fingerprint = MotionTokenizer.load(mini.tokenizer).fingerprint
    assert load_model(lm).config.fingerprints == {"body": fingerprint}

    # an older checkpoint, which does not say, goes on as before
    saved = torch.load(lm / "checkpoint.pt", weights_only=True)
    torch.save({k: v for k, v in saved.items() if k not in ("fingerprints", "shape")}, lm / "checkpoint.pt")
    mini.run(*mini.language(config, lm))


def test_another_shape_is_refused(mini: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    mini.run(*mini.language(short(mini, "shape"), tmp_path / "lm", "--until", 1))
    for key, value in (("feed_forward_proj", "gated-silu"), ("refiner_heads", 4)):
        line = refused(capsys, mini.language(short(mini, "shape", **{key: value}), tmp_path / "lm"))
        assert "checkpoint.pt: of another shape" in line and key in line

    def train(name: str, dilations: list[int], *more: Any) -> list[Any]:
        change = {"decoder_dilations": dilations}
        config = mini.config("tokenizer", lambda d: (d["model"].update(change), d["train"].update(steps=2)), name)
        return ["tokenizer", "--config", config, "--store", mini.store, "-o", tmp_path / "t", "--device", "cpu", *more]

    mini.run(*train("dilated", [1, 3], "--until", 1))
    line = refused(capsys, train("dilated", [1, 5]))
    assert "of another shape (decoder_dilations: [1, 3], now [1, 5])" in line


def test_word_pieces_of_a_refused_run(mini: Any, tmp_path: Path) -> None:
    config, begun = short(mini, "pieces"), tmp_path / "begun"
    mini.run(*mini.language(config, begun))
    (tmp_path / "lm").mkdir()
    TextTokenizer.train(["quite other words than those"] * 5, 300, tmp_path / "lm")
    mini.run(*mini.language(config, tmp_path / "lm", "--start", begun))
    assert (tmp_path / "lm" / "spiece.model").read_bytes() == (begun / "spiece.model").read_bytes()


def test_smoothed_labels(mini: Any, tmp_path: Path) -> None:
    def change(share: float) -> Callable[[dict], None]:
        def of(data: dict) -> None:
            mini.no_grounding(data)
            data["train"] |= {"steps": 1, "log_every": 1, "val_every": 100, "label_smoothing": share}

        return of

    for name, share in (("plain", 0.0), ("smooth", 0.5)):
        mini.run(*mini.language(mini.config("language", change(share), name), tmp_path / name))
    for key in ("ce_text", "ce_body"):  # of the same weights and rows
        assert mini.rows(tmp_path / "plain", key) != mini.rows(tmp_path / "smooth", key)


def test_text_stage_then_motion_stage(mini: Any, tmp_path: Path) -> None:
    def text_only(data: dict) -> None:
        mini.no_grounding(data)
        data["train"].update(steps=4, refiner_weight=0.0, options={"weights": {"denoise": 0.6, "rewrite": 0.4}})

    def motion(data: dict) -> None:
        mini.no_grounding(data)
        data["train"].update(steps=2)

    config = mini.config("language", text_only, "text")
    mini.run("language", "--config", config, "--texts", mini.texts, "--store", mini.store,
             "--threads", 1, "--device", "cpu", "-o", tmp_path / "text")  # fmt: skip
    mini.run(*mini.language(mini.config("language", motion, "motion"), tmp_path / "lm", "--start", tmp_path / "text"))
    spieces = [(tmp_path / f / "spiece.model").read_bytes() for f in ("text", "lm")]
    assert spieces[0] == spieces[1]

    # going on from packed weights (bfloat16) learns in float32: small steps would be lost
    packed = tmp_path / "packed"
    save_model(load_model(tmp_path / "text").to(torch.bfloat16), packed)
    (packed / "spiece.model").write_bytes(spieces[0])
    mini.run(*mini.language(mini.config("language", motion, "motion"), tmp_path / "on", "--start", packed))
    assert {p.dtype for p in load_model(tmp_path / "on").parameters()} == {torch.float32}


def test_shares_of_a_mean() -> None:
    assert parse_shares("3,1", 2) == [0.75, 0.25] and parse_shares(None, 2) == [0.5, 0.5]
    for said in ("1", "0,0", "-1,2", "nan,1", "1;2"):
        with pytest.raises(UserError, match="shares"):
            parse_shares(said, 2)


def test_the_mean_of_models(mini: Any, tmp_path: Path) -> None:
    def small(seed: int) -> Callable[[dict], None]:
        def change(data: dict) -> None:
            mini.no_grounding(data)
            data["train"] |= {"steps": 1, "seed": seed}

        return change

    mini.run(*mini.language(mini.config("language", small(1), "one"), tmp_path / "one"))
    mini.run(*mini.language(mini.config("language", small(2), "two"), tmp_path / "two", "--start", tmp_path / "one"))
    states = [load_model(tmp_path / f).state_dict() for f in ("one", "two")]
    folders = [str(tmp_path / "one"), str(tmp_path / "two")]
    mean = averaged(folders, [1.0, 3.0]).state_dict()
    for name, value in mean.items():
        assert torch.allclose(value, 0.25 * states[0][name] + 0.75 * states[1][name]), name
    assert any(not torch.equal(mean[n], states[0][n]) for n in mean if n.startswith("shared"))
