"""The reading network, small and untrained: its losses, its files, and what is read by it."""

from pathlib import Path
from typing import Any, cast

import pytest
import torch
from safetensors.torch import load_file, save_file

from avatargpt.reading.batches import PieceReader, make_batch
from avatargpt.reading.network import MAX_ITEMS, ReadingConfig, ReadingNetwork, pool
from avatargpt.reading.reader import Asked, Reader, Reading, _end_writing, _spans
from avatargpt.reading.store import FILES, load_network, save_apart, save_network
from avatargpt.train.reading import item_losses
from instruct_data.reading.examples import WORD
from instruct_data.reading.programs import CONSTANTS, PROGRAMS
from tests.reading.conftest import EXAMPLES, TABLES, small_network
from vqvae.errors import UserError

POINTED = {"more", "wholes", "tags", "kinds", "words", "names", "right", "choice", "flag", "number"}
LOSSES = {
    "read": POINTED | {"written"}, "score": POINTED, "events": (POINTED | {"written"}) - {"choice", "flag"},
    "turn": {"more", "wholes", "choice", "number", "place", "written"},
}  # fmt: skip
UNLABELLED = {"turn": {"wholes"}, "events": {"kinds"}}  # in these texts


@pytest.mark.parametrize("task", PROGRAMS)
def test_every_field_has_a_loss_that_is_learnt_from(task: str, network: ReadingNetwork, pieces: PieceReader) -> None:
    program, examples = PROGRAMS[task], EXAMPLES[task]
    names = {n: i for i, n in enumerate(TABLES.get(program.table, []))}
    written = [(r, i) for r, e in enumerate(examples) for i, x in enumerate(e.items) if x.caption]
    batch = make_batch(examples, [None] * len(examples), program, names, pieces, written if program.written else ())
    losses = item_losses(network.train(), batch, task)
    assert set(losses) == LOSSES[task] and all(v.shape == () and v.isfinite() for v in losses.values())
    assert {k for k, v in losses.items() if v <= 0} - {"right"} == UNLABELLED.get(task, set())
    torch.stack([v for k, v in losses.items() if k != "right"]).sum().backward()
    learnt = [n.split(".") for n, p in network.named_parameters() if p.grad is not None and p.grad.any()]
    parts, heads = {n[0] for n in learnt}, {n[1] for n in learnt if n[0] == "heads"}
    assert {"encoder", "decoder", "enter", "more", "leave"} <= parts and heads == {task}
    assert ("writer" in parts) == program.written and ("names" in parts) == bool(program.table)
    optimizer = torch.optim.SGD(network.parameters(), 1e-3)
    optimizer.step()
    with torch.no_grad():
        after = item_losses(network.eval(), batch, task)
    assert sum(v for k, v in after.items() if k != "right") < sum(v for k, v in losses.items() if k != "right")


def test_a_scene_without_events_has_no_loss_of_items(network: ReadingNetwork, pieces: PieceReader) -> None:
    batch = make_batch(EXAMPLES["events"][1:], [None], PROGRAMS["events"], {}, pieces)
    assert set(item_losses(network, batch, "events")) == {"more", "wholes", "tags", "kinds"}


def test_a_step_knows_nothing_of_later_items(network: ReadingNetwork) -> None:
    torch.manual_seed(1)
    states, mask = torch.randn(2, 7, 384), torch.ones(2, 7, dtype=torch.long)
    before, chosen, names = torch.randn(2, 4, 384), torch.zeros(2, 4, dtype=torch.long), torch.ones(2, 4).long()
    whole = network.steps(states, mask, "read", before, chosen, names)
    assert whole.shape == (2, 5, 384)
    for count in range(4):
        part = network.steps(states, mask, "read", before[:, :count], chosen[:, :count], names[:, :count])
        torch.testing.assert_close(part, whole[:, : count + 1], atol=1e-5, rtol=1e-4)


def test_written_pieces_are_known_or_copied(network: ReadingNetwork) -> None:
    """Both together have all of the probability; a piece that is both has the sum of both."""
    writer, spoken = network.writer, network.config.spoken
    strange = next(i for i in range(2000, 3000) if i not in spoken)
    ids = torch.tensor([[spoken[0], strange, strange, 0]])
    mask = torch.tensor([[1, 1, 1, 0]])
    torch.manual_seed(1)
    states, step = torch.randn(1, 4, 384), torch.randn(1, 384)
    with torch.no_grad():
        words, copies = writer(network.encoder, step, torch.tensor([[spoken[1], strange]]), states, mask)
    assert words.shape == (1, 3, len(spoken)) and copies.shape == (1, 3, 4)
    total = words.exp().sum(-1) + copies.exp().sum(-1)
    torch.testing.assert_close(total, torch.ones(1, 3)) and (copies[..., 3] < -1e6).all()
    text = torch.tensor([[spoken[0], strange, spoken[2]]])
    found = writer.likelihood(words, copies, ids, text).exp()[0]
    torch.testing.assert_close(found[0], words[0, 0, 0].exp() + copies[0, 0, 0].exp())
    torch.testing.assert_close(found[1], copies[0, 1, 1:3].exp().sum())
    torch.testing.assert_close(found[2], words[0, 2, 2].exp())
    # two copies of a piece outdo a known one that is likelier than each
    shares = torch.tensor([[0.4, *[1e-6] * (len(spoken) - 1)]]).log(), torch.tensor([[1e-6, 0.3, 0.3, 1e-6]]).log()
    ids, nothing = torch.tensor([[7, strange, strange, 8]]), torch.zeros(1, 0, dtype=torch.long)
    assert writer.likeliest(*shares, ids, 30522, nothing).tolist() == [strange]
    # nothing is written twice in a row
    assert writer.likeliest(*shares, ids, 30522, torch.tensor([[8, strange]])).tolist() == [spoken[0]]


def test_what_is_written_again_at_once_is_left_out() -> None:
    assert _end_writing([5, 6, 7, 102, 9]) == [5, 6, 7] and _end_writing([5, 6]) == [5, 6]
    assert _end_writing([1, 2, 3, 4, 2, 3, 4, 2, 3, 4, 5]) == [1, 2, 3, 4, 5]
    assert _end_writing([1, 2, 3, 9, 1, 2, 3, 8]) == [1, 2, 3, 9, 1, 2, 3, 8]


def test_means_leave_out_what_has_no_weight() -> None:
    states = torch.arange(12.0).reshape(1, 3, 4)
    weights = torch.tensor([[[1, 0, 1], [0, 0, 0]]])
    assert pool(states, weights).tolist() == [[[4, 5, 6, 7], [0, 0, 0, 0]]]


def test_a_network_begins_with_fields_that_are_none(network: ReadingNetwork) -> None:
    reader = Reader(network)
    for task in ("read", "score"):
        (reading,) = reader.read([EXAMPLES[task][0].text], task)
        assert reading.items and not any(i.values for i in reading.items) and not reading.whole


@pytest.fixture
def lively(network: ReadingNetwork) -> ReadingNetwork:
    """A network whose fields are anything, as after a training that went wrong."""
    torch.manual_seed(3)
    with torch.no_grad():
        for heads in network.heads.values():
            for layer in (heads.read[-1], heads.whole):  # type: ignore[union-attr, index]
                layer.weight.mul_(40.0)
                layer.bias.normal_(std=2.0)  # type: ignore[operator]
            for layer in (heads.count, heads.whole_count, heads.find):  # type: ignore[union-attr]
                layer.weight.mul_(8.0)  # type: ignore[operator]
            heads.bias.fill_(1.0)  # type: ignore[union-attr, operator]
        network.kinds.weight.mul_(9.0)
    return network


def asked(task: str) -> list[str | Asked]:
    return [Asked(e.text, e.places, e.asked) if task == "turn" else e.text for e in EXAMPLES[task]]


@pytest.fixture
def briefly(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is written is cut off soon: untrained networks find no end."""
    monkeypatch.setattr("avatargpt.reading.reader.MAX_WRITTEN", 3)


@pytest.mark.usefixtures("briefly")
@pytest.mark.parametrize("more", [-9.0, 9.0])
@pytest.mark.parametrize("task", PROGRAMS)
def test_what_is_read_is_of_the_types_of_its_fields(task: str, more: float, lively: ReadingNetwork) -> None:
    """Whatever a network has learnt."""
    lively.more.bias.data.fill_(more)
    program, texts = PROGRAMS[task], asked(task)
    readings = Reader(lively).read(texts, task, near=2, write=True)
    fields, wholes = ({f.name: f for f in fs} for fs in (program.items, program.whole))
    seen: set[str] = set()
    for text, reading in zip(EXAMPLES[task], readings, strict=True):
        assert reading.text == text.text
        assert len(reading.items) == (MAX_ITEMS if more > 0 else int(task != "events"))
        words = {m.span() for m in WORD.finditer(text.text)}
        rows = [(fields, i.values) for i in reading.items] + [(wholes, reading.whole)]
        for of, values in rows:
            for name, value in values.items():
                field = of[name]
                seen.add(field.kind)
                match field.kind:
                    case "flag":
                        assert value is True
                    case "choice":
                        assert value in field.choices
                    case "place":
                        assert type(value) is int and 1 <= value <= len(text.places)
                    case _:
                        assert field.kind == "number" and type(value) is float
        for item in reading.items:
            assert set(item.words) <= {f.name for f in program.by_kind["words"]}
            assert bool(item.words.get(program.pointed)) == bool(program.pointed), "an item has a word at least"
            for spans in item.words.values():
                assert list(spans) == sorted(set(spans)) and all(0 <= a < b <= len(text.text) for a, b in spans)
                assert all(s in words or not text.text[slice(*s)].isalnum() for s in spans), "whole words"
            if program.table:
                names, shares = zip(*item.names, strict=True)
                assert set(names) <= {*TABLES[program.table], None} and None in names and len(names) in (2, 3)
                assert list(shares[:2]) == sorted(shares[:2], reverse=True) and 0 < sum(shares) <= 1.0001
            assert (item.names == ()) == (not program.table) and (program.written or item.written == "")
    if more > 0:
        kinds = {f.kind for f in (*program.items, *program.whole)} - {"words", "name"}
        assert seen == kinds


def test_numbers_are_those_that_the_text_names(lively: ReadingNetwork) -> None:
    """Or constants; a number that something was read from is told."""
    lively.more.bias.data.fill_(9.0)
    with torch.no_grad():  # numerals before constants and none
        lively.heads["read"].read[-1].weight.zero_()  # type: ignore[union-attr, index, operator]
        lively.heads["read"].read[-1].bias.fill_(-50.0)  # type: ignore[union-attr, index, operator]
    (reading,) = Reader(lively).read(["walk 31 min, then 47 m or 59 times"])
    numbers = {f.name for f in PROGRAMS["read"].by_kind["number"]}
    found = {(k, v) for i in reading.items for k, v in i.values.items() if k in numbers}
    assert {k for k, _ in found} == numbers
    for name, value in found:
        seconds, distance = (31.0 * 60, 47.0 * 60, 59.0), (31.0, 47.0, 59.0)
        assert value in (seconds if name == "seconds" else distance), name
    counted = [reading.text[a:b] for a, b in reading.counted]
    assert counted and set(counted) <= {"31", "47", "59"}
    assert not {v for _, v in found} & {*CONSTANTS}


@pytest.mark.usefixtures("briefly")
@pytest.mark.parametrize("task", PROGRAMS)
def test_a_text_is_read_alike_beside_longer_ones(task: str, lively: ReadingNetwork) -> None:
    reader, texts = Reader(lively), asked(task)
    short, long = texts[0], Asked("and so on and on " * 20 + "5 times", (), 0)
    alone, beside = reader.read([short], task, write=True)[0], reader.read([long, short], task, write=True)[1]
    assert (alone.whole, alone.unshown, len(alone.items)) == (beside.whole, beside.unshown, len(beside.items))
    for one, other in zip(alone.items, beside.items, strict=True):
        assert (one.values, one.words, one.written) == (other.values, other.words, other.written)
        assert [n for n, _ in one.names] == [n for n, _ in other.names]


def test_more_texts_than_are_read_at_once(network: ReadingNetwork, monkeypatch: pytest.MonkeyPatch) -> None:
    reader = Reader(network)
    texts = [f"walk {k} steps" for k in range(5)]
    whole, names = reader.read(texts), reader.name(texts)
    monkeypatch.setattr("avatargpt.reading.reader.BLOCK", 2)
    assert [r.text for r in reader.read(texts)] == texts
    assert [[i.words for i in r.items] for r in reader.read(texts)] == [[i.words for i in r.items] for r in whole]
    assert [[n for n, _ in row] for row in reader.name(texts)] == [[n for n, _ in row] for row in names]


def test_words_are_whole_with_their_apostrophes(pieces: PieceReader) -> None:
    text = "don't unscrewably bow"  # a long word has several pieces
    row = pieces(text)
    chosen = torch.zeros(len(row.ids), dtype=torch.bool)
    told = [text[a:b] for a, b in row.spans.tolist()]
    assert told[1:5] == ["don", "'", "t", "un"] and len(told) > 8
    chosen[2], chosen[5] = True, True  # the apostrophe, and a part of the second word
    assert Reading(text, ()).join_spans(_spans(text, row, chosen)) == "don't unscrewably"


def test_names_can_be_added(network: ReadingNetwork) -> None:
    reader = Reader(network)
    own = {"somersault": ["does a somersault", "turns a somersault"], "own bow": ["bows like an old butler"]}
    before = reader.name(["a person does a somersault", "hum"], near=4)
    assert [n for row in before for n, _ in row].count("somersault") == 0
    reader.add_names("read", own)
    after = reader.name(["turns a somersault", "bows like an old butler", "hum"], near=9)
    assert [row[0][0] for row in after[:2]] == ["somersault", "own bow"]
    assert {n for n, _ in after[0]} == {*TABLES["actions"], *own, None}
    assert sum(p for _, p in after[0]) == pytest.approx(1.0)
    # the names that were there keep their places among one another
    kept = [n for n, _ in after[2] if n not in own]
    assert kept == [n for n, _ in before[1]]
    assert all(n in {*TABLES["actions"], *own, None} for i in reader.read(["hum"])[0].items for n, _ in i.names)
    assert reader.names["faces"] == TABLES["faces"] and network.config.tables == TABLES


def test_a_network_is_saved_and_loaded(network: ReadingNetwork, tmp_path: Path) -> None:
    assert load_network(tmp_path) is None
    texts = [EXAMPLES["read"][0].text]
    for dtype in (None, torch.int8):
        save_network(network, tmp_path, dtype)
        again = load_network(tmp_path)
        assert again is not None and again.config == network.config and not again.training
        states, others = network.state_dict(), again.state_dict()
        assert states.keys() == others.keys() and {v.dtype for v in others.values()} == {torch.float32}
        if dtype is None:
            assert all(torch.equal(v, others[k]) for k, v in states.items())
        error = max(float((v - others[k]).abs().max() / (v.abs().max() + 1e-9)) for k, v in states.items())
        assert error < (1e-7 if dtype is None else 0.02)
        one, other = (dict(Reader(n).name(texts, near=4)[0]) for n in (network, again))
        assert one == pytest.approx(other, abs=1e-5 if dtype is None else 0.05)
    assert sum((tmp_path / f).stat().st_size for f in FILES) < 0.3 * sum(4 * v.numel() for v in states.values())


@pytest.mark.parametrize(("name", "change"), [
    (FILES[0], lambda data: data[:-100]), (FILES[1], lambda data: data[: len(data) // 2]), (FILES[1], None),
    ("reading.json", lambda data: data.replace(b'"version": 1', b'"version": 99')),
    ("reading.json", lambda data: data[:-9]), ("reading.json", lambda data: b"[]"),
    ("reading.json", lambda data: data.replace(b'"wide": 16', b'"wide": 24')),
    ("reading.json", lambda data: data.replace(b'"wide": 16', b'"width": 16')),
    ("reading.json", lambda data: data.replace(b'"walk", ', b"")),
    ("reading.json", lambda data: data.replace(b'"spoken": [', b'"spoken": [-1, ')),
])  # fmt: skip
def test_damaged_files_are_told_in_one_line(name: str, change: object, tmp_path: Path, saved: Path) -> None:
    for file in saved.iterdir():
        data = file.read_bytes()
        if file.name == name:
            new = None if change is None else change(data)  # type: ignore[operator]
            assert new != data
            data = new
        if data is not None:
            (tmp_path / file.name).write_bytes(data)
    with pytest.raises(UserError) as e:
        load_network(tmp_path)
    assert "\n" not in str(e.value) and str(tmp_path) in str(e.value)


@pytest.fixture(scope="module")
def saved(pieces: PieceReader, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("reading")
    save_network(small_network(pieces), folder)
    return folder


def test_a_task_may_have_a_network_of_its_own(pieces: PieceReader, tmp_path: Path) -> None:
    base, other = small_network(pieces), small_network(pieces, 1)
    texts = {task: [Asked(e.text, e.places, e.asked) for e in EXAMPLES[task]] for task in ("read", "turn")}

    def told(reader: Reader, task: str) -> list[Any]:
        return [[(i.values, i.words, i.written) for i in r.items] for r in reader.read(texts[task], task, write=True)]

    wanted = [told(Reader(n), task) for task, n in (("read", base), ("turn", other))]
    # all of it, and what fits into few numbers
    for rank, same in ((384, True), (4, False)):
        save_apart(base, other, "turn", tmp_path, rank, None)
        save_network(base, tmp_path, None)
        reader = Reader.load(str(tmp_path))
        assert told(reader, "read") == wanted[0] and (told(reader, "turn") == wanted[1]) == same
    sizes = {f.name: f.stat().st_size for f in tmp_path.glob("*.safetensors")}
    assert sizes["reading-turn.safetensors"] < 0.2 * sizes["reading-2.safetensors"]
    state = load_file(tmp_path / "reading-turn.safetensors")
    for name in ("keys.weight.left", "keys.weight.right"):
        save_file({k: v for k, v in state.items() if k != name}, tmp_path / "reading-turn.safetensors")
        with pytest.raises(UserError, match="reading-turn.safetensors: not a reading network"):
            cast("ReadingNetwork", load_network(tmp_path)).of_task("turn")


@pytest.mark.parametrize("spoken", [[], [5, 3], [3, 3], [-1], [30522]])
def test_pieces_that_are_written_are_pieces_that_there_are(spoken: list[int]) -> None:
    with pytest.raises(ValueError):
        ReadingNetwork(ReadingConfig(hidden=32, heads=2, layers=1, wide=16, writer=[5], spoken=spoken), start=False)
