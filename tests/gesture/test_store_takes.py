"""Stores of talks become takes, and the gesture network trains on them by one command."""

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile
from safetensors.numpy import load_file

from avatargpt.gesture.features import WIDTH
from avatargpt.train.command import main
from avatargpt.train.gesture import store_takes
from avatargpt.train.gesture.data import GestureCorpus, load_corpus
from avatargpt.train.gesture.store_takes import StoreTakes, corpus_of, corpus_words
from instruct_data.sources.registry import build_store
from instruct_data.store import Store
from tests.gesture.conftest import Spelling, body_driver, body_tokenizer
from tests.instruct_data import corpus_trees as trees
from vqvae.errors import UserError

Tree = Callable[[Path], Path]


@pytest.fixture
def spelling(monkeypatch: pytest.MonkeyPatch) -> Spelling:
    encoder = Spelling()
    monkeypatch.setattr(store_takes, "word_encoder", lambda name: encoder)
    return encoder


def stored(name: str, make: Tree, folder: Path) -> Store:
    return build_store(name, make(folder / name), folder / f"{name}.store")


def arrays(corpus: GestureCorpus, number: int = 0) -> dict[str, np.ndarray]:
    return load_file(corpus.folder / corpus.takes[number].file)


@pytest.mark.parametrize(
    ("name", "make", "train", "val", "speakers"),
    [
        ("beat2", trees.beat2, 1, 1, ["2_scott"]), ("zeroeggs", trees.zeroeggs, 2, 1, ["zeroeggs"]),
        ("genea2023", trees.genea, 1, 1, ["genea_03"]), ("twh", trees.talking_with_hands, 2, 2, ["deep2", "shallow7"]),
        ("llavataros", trees.llavataros_data, 1, 1, ["llavataros"]),
    ],
)  # fmt: skip
def test_every_corpus_becomes_takes(
    tmp_path: Path, spelling: Spelling, name: str, make: Tree, train: int, val: int, speakers: list[str]
) -> None:
    corpus = StoreTakes([stored(name, make, tmp_path)], body_tokenizer()).build(tmp_path / "takes")
    assert (len(corpus.split("train")), len(corpus.split("val"))) == (train, val)
    assert corpus.material.speakers == speakers and corpus.material.audio_width == WIDTH
    take = arrays(corpus)
    talks_of_two = name in ("genea2023", "twh")
    assert ("other_audio" in take) == talks_of_two
    assert (take["word_at"].max() >= 0) == (name not in ("twh", "zeroeggs"))  # the first of ZeroEGGS is a mirrored one
    if name == "genea2023":
        assert take["word_states"].shape == (4, 8), "four words in two annotations"
        assert take["other_word_states"].shape == (4, 8)
    held = sum(t.frames for t in corpus.takes)
    assert held == 30 * len({t.file[:6] for t in corpus.takes})
    part = corpus.part(corpus.takes[0], 0, corpus.takes[0].frames)
    assert ("other_audio" in part) == talks_of_two and len(part["features"]) == len(part["audio"])


def test_takes_stay_as_they_are(tmp_path: Path, spelling: Spelling, capsys: pytest.CaptureFixture[str]) -> None:
    stores = [stored("beat2", trees.beat2, tmp_path), stored("genea2023", trees.genea, tmp_path)]
    out = tmp_path / "takes"
    first = StoreTakes(stores, body_tokenizer()).build(out)
    assert "2 talks, 0.0 minutes, 2 speakers; 0 without words, 0 skipped" in capsys.readouterr().out
    files = {p: p.stat().st_mtime_ns for p in out.glob("*.safetensors")}
    said = len(spelling.calls)
    assert StoreTakes(stores, body_tokenizer()).build(out).takes == first.takes and len(spelling.calls) == said
    (out / "gesture.json").unlink()  # as after an interruption
    assert StoreTakes(stores, body_tokenizer()).build(out).takes == first.takes and len(spelling.calls) == said
    trees.text(tmp_path / "genea2023/trn/main-agent/tsv/trn_2023_v0_000_main-agent.tsv", "0.1\t0.9\tno\n")
    again = StoreTakes(stores, body_tokenizer()).build(out)
    changed = {p.name for p in out.glob("*.safetensors") if p.stat().st_mtime_ns != files[p]}
    assert changed == {"000001-train.safetensors", "000001-val.safetensors"} and again.takes == first.takes
    assert arrays(again, 2)["word_states"].shape == (1, 8) and arrays(again, 2)["other_word_states"].shape == (4, 8)
    before = arrays(again)["features"]
    trees.smplx(tmp_path / "beat2/smplxflame_30/2_scott_0_1_1.npz", trees.talking(bend=0.9))
    stores[0] = build_store("beat2", tmp_path / "beat2", stores[0].path)
    bent = arrays(StoreTakes(stores, body_tokenizer()).build(out))["features"]
    assert np.abs(bent - before).max() > 0.1, "another motion"


def test_validation_may_be_a_store_of_its_own(tmp_path: Path, spelling: Spelling) -> None:
    both = [stored("genea2023", trees.genea, tmp_path / part) for part in ("one", "two")]
    folder = tmp_path / "two/genea2023"
    for path in sorted(folder.rglob("trn_2023*")):
        path.rename(path.with_name(path.name.replace("trn_", "val_")))
    (folder / "trn").rename(folder / "val")
    both[1] = build_store("genea2023", folder, both[1].path)
    corpus = StoreTakes([*both, stored("beat2", trees.beat2, tmp_path)], body_tokenizer()).build(tmp_path / "takes")
    assert [(t.name, t.split, t.frames) for t in corpus.takes] == [
        ("trn_2023_v0_000_main-agent", "train", 30), ("val_2023_v0_000_main-agent", "val", 30),
        ("2_scott_0_1_1/train", "train", 24), ("2_scott_0_1_1/val", "val", 6),
    ]  # fmt: skip


def test_talks_that_cannot_be_read_are_named(
    tmp_path: Path, spelling: Spelling, capsys: pytest.CaptureFixture[str]
) -> None:
    stores = [stored("beat2", trees.beat2, tmp_path), stored("llavataros", trees.llavataros, tmp_path)]
    (tmp_path / "llavataros/a.wav").unlink()
    corpus = StoreTakes(stores, body_tokenizer()).build(tmp_path / "takes")
    assert [t.speaker for t in corpus.takes] == ["2_scott"] * 2
    out = capsys.readouterr().out
    assert "skipped: a.wav: no such file" in out and "1 without words" not in out and "1 skipped" in out
    text = tmp_path / "beat2/textgrid/2_scott_0_1_1.TextGrid"
    text.write_text("x")
    with pytest.raises(UserError, match="no takes"):
        StoreTakes(stores, body_tokenizer()).build(tmp_path / "takes")


def test_what_is_refused(tmp_path: Path, spelling: Spelling, monkeypatch: pytest.MonkeyPatch) -> None:
    store = stored("beat2", trees.beat2, tmp_path)
    bodies = build_store("100style", trees.style100(tmp_path / "bodies"), tmp_path / "bodies.store")
    with pytest.raises(UserError, match="a store of body; accepted: one of talks"):
        StoreTakes([bodies], body_tokenizer())
    with pytest.raises(UserError, match="'2_scott' of the store is not in the table"):
        StoreTakes([store], body_tokenizer(), speakers=["anna"])
    maker = StoreTakes([store], body_tokenizer())
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(UserError, match="with one process first"):
        maker.build(tmp_path / "takes")
    monkeypatch.delenv("WORLD_SIZE")
    index = maker.build(tmp_path / "takes").folder / "gesture.json"
    index.write_text(json.dumps(json.loads(index.read_text()) | {"source": ""}))
    with pytest.raises(UserError, match="not of a store"):
        maker.build(tmp_path / "takes")
    trees.text(tmp_path / "beat2/train_test_split.csv", "id,type\n2_scott_0_1_1,val\n")
    held = build_store("beat2", tmp_path / "beat2", tmp_path / "held.store")
    with pytest.raises(UserError, match=r"no talk of the split train \(BEAT2 terms"):
        StoreTakes([held], body_tokenizer())
    options = {"takes": None, "store": None, "tokenizer": None, "words": None, "speech": None, "output": str(tmp_path)}
    for given, message in (
        ({}, "--takes, or --store with --tokenizer, needed"), ({"takes": "x", "words": "y"}, "--words needs --store"),
        ({"store": str(store.path)}, "--store needs --tokenizer"),
    ):
        with pytest.raises(UserError, match=message):
            corpus_of(SimpleNamespace(**{**options, **given}), None)


def test_a_network_to_begin_from_gives_words_and_speakers(tmp_path: Path, spelling: Spelling) -> None:
    body_tokenizer().save(tmp_path / "tokenizer")
    options = {"takes": str(tmp_path / "takes"), "store": str(stored("beat2", trees.beat2, tmp_path).path),
               "tokenizer": str(tmp_path / "tokenizer"), "words": None, "speech": None, "output": None}  # fmt: skip
    config = body_driver().network.config.replace_fields(speakers=["2_scott", "anna"])
    corpus = corpus_of(SimpleNamespace(**options), config)
    assert corpus.material.speakers == ["2_scott", "anna"] and corpus.material.words == Spelling.name
    by_name = corpus_of(SimpleNamespace(**options | {"store": None, "tokenizer": None}), None)
    assert by_name.takes == corpus.takes


def test_word_tables_of_genea(tmp_path: Path) -> None:
    path = trees.text(tmp_path / "a.tsv", "1.0\t2.0\tgo on\n\n0.5\t0.75\tWell,\n2.5\t3.0\t#\n")
    assert [(w.text, w.start, w.end) for w in corpus_words(path)] == [
        ("Well,", 0.5, 0.75), ("go", 1.0, 1.5), ("on", 1.5, 2.0),
    ]  # fmt: skip
    assert corpus_words(trees.text(path, "")) == []
    for bad in ("1.0\t2.0\n", "start\tend\ttext\n", "2.0\t1.0\tno\n", "0\tinf\tno\n"):
        with pytest.raises(UserError, match=r"a\.tsv: line 1: .*; accepted start, end in seconds and text"):
            corpus_words(trees.text(path, bad))


def test_one_command_trains(tmp_path: Path, llama: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A conversation, word states of a causal model, features 768 wide by file, windows as in the paper."""
    monkeypatch.setattr("avatargpt.train.loop.plot_log", lambda out: None)
    store = stored("genea2023", trees.genea, tmp_path)
    speech, tokenizer, out = tmp_path / "speech", tmp_path / "tokenizer", tmp_path / "run"
    body_tokenizer().save(tokenizer)
    speech.mkdir()
    changes = ("train.steps=2", "train.batch=2", "train.segments=1", "model.reach=512")
    options = {"config": "configs/gesture/cpu.yaml:debug", "store": store.path, "tokenizer": tokenizer, "words": llama,
               "speech": speech, "output": out}  # fmt: skip
    command = ["gesture", *(f"--{key}={value}" for key, value in options.items()), *(f"--set={c}" for c in changes)]
    assert main(command) == 2, "no features yet"
    rng = np.random.default_rng(0)
    for role in ("main-agent", "interloctr"):
        np.save(speech / f"trn_2023_v0_000_{role}.npy", rng.standard_normal((50, 768)).astype(np.float32))
    assert main(command) == 0
    config = json.loads((out / "gesture.json").read_text())
    shape = config.get("config", config)
    assert (shape["audio"], shape["audio_width"], shape["words"], shape["word_width"]) == ("file", 768, str(llama), 16)
    assert shape["reach"] == 512 and shape["speakers"] == ["genea_03"]
    take = arrays(load_corpus(out / "takes"))
    assert take["other_audio"].shape == take["audio"].shape and take["audio"].shape[1] == 768
    assert "val_nats" in (out / "log.jsonl").read_text()


def test_the_real_take_of_beat2(tmp_path: Path, shared: Path, spelling: Spelling) -> None:
    """Its first eight seconds, in BEAT2's tree."""
    folder, name = tmp_path / "beat_english_v2.0.0", "2_scott_0_1_1"
    real = shared / "data" / "gesture" / "paired" / "beat2_scott"
    take = {k: v for k, v in np.load(real / f"{name}.npz", allow_pickle=True).items()}
    cut = {k: v[:240] if np.ndim(v) and len(v) == len(take["poses"]) else v for k, v in take.items()}
    for part in ("smplxflame_30", "wave16k"):
        (folder / part).mkdir(parents=True)
    np.savez(folder / "smplxflame_30" / f"{name}.npz", **{k: v for k, v in cut.items() if v.dtype != object})
    sound, rate = soundfile.read(real / f"{name}.flac", frames=8 * 16000)
    soundfile.write(folder / "wave16k" / f"{name}.wav", sound, rate)
    trees.word_times(folder / "textgrid" / f"{name}.TextGrid")
    trees.text(folder / "train_test_split.csv", f"id,type\n{name},train\n")
    store = build_store("beat2", tmp_path, tmp_path / "store")
    corpus = StoreTakes([store], body_tokenizer()).build(tmp_path / "takes")
    assert [(t.split, t.frames) for t in corpus.takes] == [("train", 204), ("val", 36)]
    motion = arrays(corpus)["features"]
    assert np.abs(np.diff(motion[:, 258:264], axis=0)).max() * 30 > 0.3, "the hands move, m/s"
