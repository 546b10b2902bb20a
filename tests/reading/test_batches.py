"""Labelled texts as tensors: where words, numbers and places stand among the word pieces."""

import torch

from avatargpt.reading.batches import (
    END,
    IGNORED,
    MAX_WRITTEN,
    VALUED,
    PieceReader,
    ReadingBatch,
    make_batch,
    where_lines_begin,
)
from instruct_data.factory.draw import PHRASING_FIELDS, caption_example
from instruct_data.reading.examples import Example
from instruct_data.reading.programs import CONSTANTS, PROGRAMS, Kind
from tests.reading.conftest import REQUESTS, SCENES, SCORES, TABLES, TURNS

NAMES = {table: {n: i for i, n in enumerate(names)} for table, names in TABLES.items()}


def batch_of(task: str, examples: list[Example], pieces: PieceReader, **about: object) -> ReadingBatch:
    program = PROGRAMS[task]
    fields = about.pop("fields", [None] * len(examples))
    return make_batch(examples, fields, program, NAMES.get(program.table, {}), pieces, **about)  # type: ignore[arg-type]


def values(batch: ReadingBatch, task: str, row: int, item: int) -> dict[str, int]:
    """Field -> class of what is labelled and not none."""
    by_kind: dict[Kind, tuple[object, ...]] = dict(PROGRAMS[task].by_kind)  # type: ignore[arg-type]
    return {
        f.name: v  # type: ignore[attr-defined]
        for kind in VALUED for f, v in zip(by_kind[kind], batch.values[kind][row, item].tolist(), strict=True)
        if v not in (0, IGNORED)
    }  # fmt: skip


def said(batch: ReadingBatch, row: int, chosen: torch.Tensor, pieces: PieceReader) -> str:
    return pieces.words(batch.ids[row][chosen[: len(batch.ids[row])].bool()].tolist())


def test_requests_point_at_their_words_and_numbers(pieces: PieceReader) -> None:
    batch = batch_of("read", REQUESTS, pieces)
    fields = {f.name: k for k, f in enumerate(PROGRAMS["read"].by_kind["words"])}
    assert batch.present.tolist() == [[True, True], [True, False]]
    assert said(batch, 0, batch.words[0, 0, fields["words"]], pieces) == "wave left hand"
    assert said(batch, 0, batch.words[0, 1, fields["target"]], pieces) == "the king" and not batch.words[0, 0, 1:].any()
    told = values(batch, "read", 0, 0)
    number = told["seconds"] - 1 - len(CONSTANTS)
    assert said(batch, 0, torch.arange(99) == number, pieces) == "3" and batch.counted[0, number] == 1
    twice = told["times"] - 1 - len(CONSTANTS)
    assert int(batch.counted[0].sum()) == 2 and said(batch, 0, torch.arange(99) == twice, pieces) == "twice"
    assert told["side"] == 1 + PROGRAMS["read"].by_kind["choice"][0].choices.index("left") and set(told) == {
        "seconds", "times", "side",
    }  # fmt: skip
    turn = [f.name for f in PROGRAMS["read"].by_kind["number"]].index("turn")
    assert batch.values["number"][1, 0, turn] == IGNORED, "a number that stands nowhere"
    assert batch.names.tolist() == [[2, 0], [3, IGNORED]], "none of them is the last"
    seconds, loop = batch.wholes.T.tolist()
    assert (seconds, loop) == ([1 + len(CONSTANTS) + number, 0], [0, 1])
    assert said(batch, 0, batch.kinds[0] == 1, pieces) == "in the rain"
    assert said(batch, 0, batch.kinds[0] == 0, pieces) == "wave left hand bows the king"
    assert said(batch, 0, batch.tags[0] == 0, pieces) == "wave bows"
    assert said(batch, 0, batch.tags[0] == 1, pieces) == "left hand"
    assert (batch.tags[0] == IGNORED).tolist() == (batch.kinds[0] == IGNORED).tolist()
    assert batch.mask[1].sum() < len(batch.mask[1]) and (batch.tags[1][batch.mask[1] == 0] == IGNORED).all()


def test_what_is_not_labelled_is_ignored(pieces: PieceReader) -> None:
    plain = caption_example("he walks 3 m", "walk")
    batch = batch_of("read", [plain], pieces, fields=[PHRASING_FIELDS])
    assert batch.names.tolist() == [[1]] and (batch.wholes == IGNORED).all() and (batch.kinds == IGNORED).all()
    assert all((batch.values[kind] == IGNORED).all() for kind in VALUED)
    labelled = dict(zip((f.name for f in PROGRAMS["read"].by_kind["words"]), batch.labelled[0].tolist(), strict=True))
    assert labelled == {"words": True, "style": False, "target": False, "other": False}
    unnamed = batch_of("read", [plain], pieces, fields=[frozenset(["words"])])
    assert unnamed.names.tolist() == [[IGNORED]] and (unnamed.tags != IGNORED).sum() == 4


def test_turns_point_at_the_lines_of_their_timelines(pieces: PieceReader) -> None:
    batch = batch_of("turn", TURNS, pieces)
    told = values(batch, "turn", 1, 0)
    placed = where_lines_begin(batch.lines)
    assert said(batch, 1, placed[1], pieces) == "1 2" and not batch.lines[0].any()
    at = told["segment"] - 1
    assert placed[1, at] and int(placed[1, :at].sum()) == 1, "the second of them"
    assert said(batch, 1, batch.lines[1] == 1 + at, pieces) == "2 bows 2s"
    near = told["seconds"] - 1 - len(CONSTANTS)
    assert said(batch, 1, torch.arange(99) == near, pieces) == "4" and near > at
    assert batch.wholes.shape == (2, 0) and batch.words.shape[2] == 0 and (batch.tags == IGNORED).all()


def test_the_nearest_of_equal_numbers_is_pointed_at(pieces: PieceReader) -> None:
    batch = batch_of("turn", [TURNS[1], *TURNS], pieces)
    seconds = values(batch, "turn", 0, 0)["seconds"]
    again = Example(TURNS[1].text.replace("walks 3s", "walks 4 s"), TURNS[1].items, places=TURNS[1].places,
                    asked=TURNS[1].asked + 1, labelled_words=False)  # fmt: skip
    other = batch_of("turn", [again], pieces)
    place = values(other, "turn", 0, 0)["seconds"] - 1 - len(CONSTANTS)
    assert other.counted[0].nonzero()[:, 0].tolist().count(place) == 1 and seconds > 0
    assert said(other, 0, torch.arange(99) >= place, pieces).startswith("4 s"), "of the turn, not of the timeline"


def test_items_in_words_end(pieces: PieceReader) -> None:
    long = "he walks " * MAX_WRITTEN
    scene = SCENES[0]
    batch = batch_of("events", SCENES, pieces, written=[(0, 1), (0, 0)])
    assert batch.written.tolist() == [[0, 1], [0, 0]] and batch.present.tolist() == [[True, True], [False, False]]
    for row, item in enumerate((1, 0)):
        ids = batch.text[row].tolist()
        end = ids.index(END)
        assert pieces.words(ids[:end]) == scene.items[item].caption and not any(ids[end + 1 :])
    assert len(pieces.write(long)) == MAX_WRITTEN and pieces.write(long)[-1] == END
    assert batch_of("events", SCENES, pieces).text.shape[0] == 0
    person = 1 + PROGRAMS["events"].whole[0].choices.index("he"), 1 + PROGRAMS["events"].whole[0].choices.index("it")
    assert batch.wholes[:, 0].tolist() == list(person)


def test_faces_have_names_of_their_own(pieces: PieceReader) -> None:
    batch = batch_of("score", SCORES, pieces)
    assert batch.names.tolist() == [[1, 0]]
    told = values(batch, "score", 0, 1)
    assert told["together"] == 1 and told["course"] == 1 and "strength" not in told
    strength = PROGRAMS["score"].by_kind["choice"][1]
    assert strength.choices[values(batch, "score", 0, 0)["strength"] - 1] == "0.4"
    word = [f.name for f in PROGRAMS["score"].by_kind["words"]].index("word")
    assert said(batch, 0, batch.words[0, 1, word], pieces) == "now"
