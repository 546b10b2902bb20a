"""Folders of models: saved and loaded, cards, uploads, numbers of lower precision."""

import json
import logging
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import huggingface_hub
import pytest
import torch
import yaml

from avatargpt.lm import devices, encoder
from avatargpt.lm.checkpoint import CODES, load_model, save_model, save_small, start_from_t5
from avatargpt.lm.generate import Generator
from avatargpt.lm.hub import (
    CARD,
    DATA,
    FILES,
    MEASURED,
    USE,
    HubCalls,
    Origin,
    folder_of,
    front_matter,
    list_shipped,
    split_card,
    write_card,  # fmt: skip
)
from avatargpt.lm.loaded import LoadedModel
from avatargpt.lm.model import AvatarGPTModel
from avatargpt.lm.shape import SMALL
from avatargpt.resources import weights
from avatargpt.train.runtime import Runtime
from vqvae.errors import UserError


@torch.no_grad()
@pytest.mark.parametrize("shards", ["2GB", "30KB"])
def test_saved_is_loaded_to_the_bit(model: AvatarGPTModel, ids, tmp_path: Path, shards: str) -> None:
    save_model(model, tmp_path, max_shard_size=shards)
    assert (len(list(tmp_path.glob("*.safetensors"))) > 1) == (shards == "30KB")
    again = load_model(tmp_path)
    ours, theirs = model.state_dict(), again.state_dict()
    assert ours.keys() == theirs.keys() and all(torch.equal(ours[k], theirs[k]) for k in ours)
    assert again.config.fingerprints == {"body": "body-print", "face": "face-print"}
    assert again.config.modalities == model.config.modalities and not again.training
    start = torch.full((5, 1), 84)
    a, b = (m(ids, decoder_input_ids=start, head="body").logits for m in (model, again))
    assert torch.equal(a, b)
    assert again.lm_head.weight.data_ptr() != again.shared.weight.data_ptr()


def test_saving_does_not_warn_of_devices(
    model: AvatarGPTModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    save = type(model).save_pretrained

    def save_and_warn(*args: Any, **options: Any) -> None:
        logging.getLogger("DeepSpeed").warning("Setting accelerator to CPU")
        logging.getLogger("library").warning("another's")
        save(*args, **options)

    monkeypatch.setattr(type(model), "save_pretrained", save_and_warn)
    save_model(model, tmp_path)
    logging.getLogger("DeepSpeed").warning("later")
    assert caplog.messages == ["another's", "later"]


def test_saving_again_leaves_no_old_shard(model: AvatarGPTModel, tmp_path: Path) -> None:
    save_model(model, tmp_path, max_shard_size="30KB")
    save_model(model, tmp_path)
    names = {f.name for f in tmp_path.iterdir()}
    assert names == {"config.json", "generation_config.json", "model.safetensors"}
    load_model(tmp_path)


def test_eight_bits_in_several_files(model: AvatarGPTModel, tmp_path: Path) -> None:
    save_small(model, tmp_path / "one")
    save_small(model, tmp_path / "many", max_bytes=20_000)
    files = sorted(p.name for p in (tmp_path / "many").glob("model*"))
    assert len(files) > 2 and SMALL in files
    one, many = (load_model(tmp_path / name).state_dict() for name in ("one", "many"))
    assert all(torch.equal(many[k], v) for k, v in one.items())
    assert type(model).from_pretrained(tmp_path / "many").state_dict().keys() == many.keys()
    (tmp_path / "many" / "model.int8-2.safetensors").unlink()
    for load in (load_model, type(model).from_pretrained):
        with pytest.raises(UserError, match=r"model.int8-2.safetensors is missing"):
            load(tmp_path / "many")
    save_small(model, tmp_path / "many")
    assert [p.name for p in (tmp_path / "many").glob("model*")] == [SMALL]


def test_eight_bits_and_back(model: AvatarGPTModel, tmp_path: Path) -> None:
    save_model(model, tmp_path, "50KB")
    save_small(model, tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["config.json", SMALL]
    small, before = load_model(tmp_path), model.state_dict()
    for name, after in small.state_dict().items():
        if name.endswith(CODES):
            assert torch.equal(after, before[name].to(torch.bfloat16).float())
        elif before[name].is_floating_point():
            assert (after - before[name]).abs().max() <= before[name].abs().max() / 200, name
    save_model(small, tmp_path)
    assert not (tmp_path / SMALL).exists()
    again = load_model(tmp_path).state_dict()
    assert all(torch.equal(again[k], v) for k, v in small.state_dict().items())


@pytest.mark.parametrize("shards", ["2GB", "30KB"])
def test_damaged_folders_are_refused(model: AvatarGPTModel, tmp_path: Path, shards: str) -> None:
    with pytest.raises(UserError, match="no such folder"):
        load_model(tmp_path / "none")
    with pytest.raises(UserError, match=r"no config\.json"):
        load_model(tmp_path)
    save_model(model, tmp_path, max_shard_size=shards)
    weights = max(tmp_path.glob("*.safetensors"))
    whole = weights.read_bytes()
    for cut in (4, len(whole) // 2, len(whole) - 1):
        weights.write_bytes(whole[:cut])
        with pytest.raises(UserError, match=f"{weights.name}: not whole weights"):
            load_model(tmp_path)
    weights.unlink()
    with pytest.raises(UserError, match="is missing"):
        load_model(tmp_path)
    weights.write_bytes(whole)
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(UserError, match="config.json: not JSON"):
        load_model(tmp_path)


def test_weights_that_do_not_fit_are_refused(model: AvatarGPTModel, tmp_path: Path) -> None:
    save_model(model, tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    for change in ({"num_layers": 3}, {"d_ff": 64}, {"grounding_dim": 0}):
        (tmp_path / "config.json").write_text(json.dumps({**config, **change}))
        with pytest.raises(UserError):
            load_model(tmp_path)


def test_another_tokenizer_is_refused(model: AvatarGPTModel) -> None:
    model.check_fingerprint("body", "body-print")
    with pytest.raises(UserError, match="was trained with body-print"):
        model.check_fingerprint("body", "face-print")
    fresh = AvatarGPTModel(model.config.__class__.from_dict({**model.config.to_dict(), "fingerprints": {}}))
    with pytest.raises(UserError, match="has no codebooks yet"):
        fresh.check_fingerprint("body", "body-print")
    with pytest.raises(UserError, match=r"this model takes \(3, 24, 6\)"):
        fresh.set_codebooks("body", torch.zeros(2, 24, 6), "x")


def test_lora_trains_saves_and_decodes_like_the_merged_model(ids: torch.Tensor, tmp_path: Path, tiny_model) -> None:
    peft = pytest.importorskip("peft")
    base = tiny_model(3)
    new = [f"{part}.{name}" for part in ("codes", "heads", "refiners", "extra") for name in getattr(base, part)]
    settings = peft.LoraConfig(r=4, lora_alpha=16, target_modules=["q", "v", "wi_0", "wo"],
                               modules_to_save=[*new, "countdown", "lm_head"])  # fmt: skip
    tuned = peft.get_peft_model(tiny_model(3), settings)
    trained = [p for p in tuned.parameters() if p.requires_grad]
    optimizer = torch.optim.Adam(trained, lr=2e-2)
    labels = torch.randint(60, 84, (5, 6), generator=torch.Generator().manual_seed(0))
    losses = []
    for _ in range(25):
        loss = tuned(input_ids=ids, labels=labels, head="body").loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.7 * losses[0]
    tuned.eval().save_pretrained(tmp_path)
    again = peft.PeftModel.from_pretrained(tiny_model(3), tmp_path).eval()
    merged = peft.PeftModel.from_pretrained(tiny_model(3), tmp_path).merge_and_unload().eval()
    generators = [Generator(model) for model in (tuned, again, merged, base)]
    first, *same, other = [g.decode(g.encode(ids), "body", length=[6] * 5).ids.tolist() for g in generators]
    assert same == [first, first] and other != first


@torch.no_grad()
@pytest.mark.parametrize("tied", [True, False])
def test_a_t5_is_taken_over_with_its_answers(tmp_path: Path, tied: bool) -> None:
    from transformers import T5Config, T5ForConditionalGeneration

    torch.manual_seed(0)
    sizes = {"vocab_size": 50, "d_model": 24, "d_kv": 6, "d_ff": 32, "num_layers": 2, "num_heads": 4}
    start = {"decoder_start_token_id": 0, "dropout_rate": 0.0, "tie_word_embeddings": tied}
    T5ForConditionalGeneration(T5Config(**sizes, **start)).save_pretrained(tmp_path)
    t5 = T5ForConditionalGeneration.from_pretrained(tmp_path).eval()
    body = {"body": {"codebook_size": 8, "levels": 2, "code_dim": 3}}
    model = start_from_t5(tmp_path, countdown_buckets=0, modalities=body).eval()
    x = torch.randint(2, 50, (2, 9))
    ours = model(x, labels=x, full_logits=True).logits[..., :50]
    torch.testing.assert_close(ours, t5(input_ids=x, labels=x).logits, atol=1e-4, rtol=1e-4)


FREE = {"mine": {"clips": 3, "hours": 0.5, "licence": "CC0"}}
BOUND = {**FREE, "theirs, mirrored": {"clips": 2, "hours": 0.25, "licence": "CC BY-NC 4.0"}}


@pytest.fixture
def folder(tmp_path: Path, model: AvatarGPTModel) -> Path:
    save_small(model, tmp_path / "model")
    (tmp_path / "model" / "body").mkdir()
    (tmp_path / "model" / "body" / "tokenizer.json").write_text("{}")
    return tmp_path / "model"


def front_of(folder: Path) -> dict:
    front, _ = split_card((folder / CARD).read_text(encoding="utf-8"))
    assert front is not None
    return yaml.safe_load(front)


def check_card(folder: Path) -> None:
    """Front matter with every key, every section, every file of the folder."""
    front, body = split_card((folder / CARD).read_text(encoding="utf-8"))
    assert front is not None
    assert all(yaml.safe_load(front)[k] for k in front_matter(folder, body))
    assert all(f"\n{title}\n" in body for title in (USE, FILES, DATA, MEASURED))
    assert all(f"`{f.as_posix()}`" in body for f in list_shipped(folder))


def test_a_new_card_says_where_a_model_comes_from(folder: Path) -> None:
    write_card(folder, Origin(BOUND, {"lm: val_text_to_motion": 1.25}))
    check_card(folder)
    front = front_of(folder)
    assert front["license"] == "cc-by-nc-4.0" and front["datasets"] == ["mine", "theirs"]
    assert front["pipeline_tag"] == "text-to-3d" and {"body", "face"} <= set(front["tags"])
    text = (folder / CARD).read_text(encoding="utf-8")
    assert "| lm: val_text_to_motion | 1.25 |" in text and "`body/tokenizer.json`" in text


def test_the_licence_follows_the_sources(folder: Path) -> None:
    write_card(folder, Origin(FREE, {"val": 1.0}))
    assert front_of(folder)["license"] == "other"
    write_card(folder, Origin({}, {"val": 1.0}))  # nothing recorded: the strictest
    assert front_of(folder)["license"] == "cc-by-nc-4.0"


def test_a_card_that_is_there_keeps_its_text(folder: Path) -> None:
    write_card(folder, Origin(FREE, {"val": 1.0}))
    text = (folder / CARD).read_text(encoding="utf-8")
    (folder / CARD).write_text(text + "\n## Notes\nMine.\n", encoding="utf-8")
    (folder / "more.safetensors").write_bytes(b"x")
    write_card(folder)
    check_card(folder)
    now = (folder / CARD).read_text(encoding="utf-8")
    assert now.count("## Files") == 1 and "`more.safetensors`" in now and "Mine." in now


def test_the_packaged_model_is_saved_with_a_whole_card(tmp_path: Path) -> None:
    class Packaged(HubCalls):
        source = str(weights())

    saved = Packaged().save_pretrained(tmp_path / "copy")
    check_card(saved)
    front = front_of(saved)
    assert front["license"] == "cc-by-nc-4.0" and front["datasets"][0].startswith("bandai-namco")
    assert front == front_matter(saved, split_card((saved / CARD).read_text(encoding="utf-8"))[1])


CONFIG = '{"d_model": 8, "num_layers": 1, "vocab_size": 9}'


class Loaded(HubCalls):
    def __init__(self, source: str) -> None:
        self._source = source

    @property
    def source(self) -> str:
        return self._source


def test_names_are_asked_for_and_paths_are_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []

    def download(name: str, revision: str | None) -> str:
        asked.append((name, revision))
        if name == "org/gone":
            raise OSError("401 Client Error\nmore")
        return str(tmp_path)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    assert folder_of(None) is None and folder_of(tmp_path) == tmp_path and folder_of("/no/such/folder/at/all")
    assert asked == []
    assert folder_of("org/model", "v1") == tmp_path and asked == [("org/model", "v1")]
    with pytest.raises(UserError, match=r"org/gone: no such folder here, .*\(401 Client Error\)"):
        folder_of("org/gone")
    with pytest.raises(UserError, match="revision v1: accepted with a name on the Hub"):
        folder_of(tmp_path, "v1")


def test_a_folder_is_saved_whole(tmp_path: Path) -> None:
    source = tmp_path / "model"
    (source / "body").mkdir(parents=True)
    (source / "body" / "tokenizer.json").write_text("{}")
    (source / "config.json").write_text(CONFIG)
    target = Loaded(str(source)).save_pretrained(tmp_path / "copy")
    assert (target / "body" / "tokenizer.json").is_file() and (target / "README.md").read_text().startswith("---\n")
    with pytest.raises(UserError, match="is there already"):
        Loaded(str(source)).save_pretrained(target)
    with pytest.raises(UserError, match="not loaded from a folder"):
        Loaded("").save_pretrained(tmp_path / "other")


def test_a_folder_is_uploaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[Any] = []

    class Api:
        def __init__(self, token: str | None) -> None:
            told.append(token)

        def create_repo(self, name: str, private: bool, exist_ok: bool) -> None:
            if name == "no/right":
                raise RuntimeError("403 Forbidden")

        def upload_folder(self, **given: Any) -> Any:
            told.append(sorted(p.name for p in Path(given["folder_path"]).iterdir()))
            return SimpleNamespace(commit_url="https://hub/org/model/commit/1")

    monkeypatch.setattr(huggingface_hub, "HfApi", Api)
    (tmp_path / "config.json").write_text(CONFIG)
    assert Loaded(str(tmp_path)).push_to_hub("org/model", token="secret").endswith("/commit/1")
    assert told == ["secret", ["README.md", "config.json"]]
    with pytest.raises(UserError, match=r"no/right: not uploaded \(403 Forbidden\)"):
        Loaded(str(tmp_path)).push_to_hub("no/right")


@pytest.mark.parametrize("packs", [True, False])
def test_maps_without_packed_bfloat16(monkeypatch: pytest.MonkeyPatch, packs: bool) -> None:
    if packs and not devices.packs_bfloat16():
        pytest.skip("this processor takes no weights packed for bfloat16")
    monkeypatch.setattr(encoder, "packs_bfloat16", lambda: packs)
    torch.manual_seed(0)
    weight, x = torch.randn(24, 16), torch.randn(8, 16)
    made = encoder.make_map(weight, True, torch.bfloat16)(x)
    assert torch.allclose(made.float(), x @ weight.T, atol=0.15)


@pytest.mark.parametrize("fast", [True, False])
def test_training_follows_the_processor(monkeypatch: pytest.MonkeyPatch, fast: bool) -> None:
    monkeypatch.setattr("avatargpt.train.runtime.fast_bfloat16", lambda device: fast)
    runtime = Runtime.start(device="cpu")
    assert runtime.bf16 is fast
    with runtime.autocast():
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == (torch.bfloat16 if fast else torch.float32)


@pytest.mark.parametrize("fast", [True, False])
def test_slow_bfloat16_is_said(monkeypatch: pytest.MonkeyPatch, recwarn: pytest.WarningsRecorder, fast: bool) -> None:
    monkeypatch.setattr("avatargpt.lm.loaded.fast_bfloat16", lambda device: fast)
    LoadedModel.from_pretrained(dtype="bfloat16", device="cpu")
    assert any("slower than float32" in str(w.message) for w in recwarn) is not fast


def test_packaged_files_stay_small() -> None:
    sizes = {path: path.stat().st_size for path in weights().rglob("*") if path.is_file()}
    assert [path.name for path, size in sizes.items() if size >= 16 << 20] == []
    assert sum(sizes.values()) <= 106 << 20
