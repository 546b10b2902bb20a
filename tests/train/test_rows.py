"""Training rows from arrays: prompts, attributes, contrast, steps that can be made again, tensors."""

from collections import Counter
from dataclasses import fields
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from avatargpt.lm.encoder import encode_prompt
from avatargpt.lm.shape import IGNORED
from avatargpt.lm.text_encoder import ResidentStates, SentenceGrounder, TextTokenizer
from avatargpt.train.data.batches import Batch, Pool, arranged, share_of
from avatargpt.train.data.clip_tables import LONGEST, clip_attributes
from avatargpt.train.data.examples import CONTEXT, STRETCH, ExampleOptions, Examples
from avatargpt.train.data.prompts import Wording
from avatargpt.train.data.ragged import Growing, pad_stretches, places
from avatargpt.train.language import LanguageObjective, LanguageTraining
from avatargpt.train.stage import StepContext
from instruct_data.attributes import ONWARD, SIDED, VALUES, mirror_attributes, symbols
from instruct_data.factory.text.everyday import everyday_requests
from instruct_data.registry import CodesSegment, get_task
from instruct_data.store import ClipCodes
from instruct_data.text.english import mirror_text, side_of
from tests.factories import RandomGrounder, Row, drawn_rows, rows_of, standing_figures, tiny_config

SIZE = 40  # codes of one clip: clip i has codes from SIZE * i on
LEG = {"left": "right", "right": "left"}
WEIGHTS = {
    "text_to_motion": 0.4, "motion_to_text": 0.1, "continuation": 0.1, "in_between": 0.1, "rewrite": 0.1,
    "activity_to_next_activity": 0.05, "text_to_motion/composed": 0.05, "continuation/composed": 0.1,
    "steps_to_motion": 0.05,
}  # fmt: skip
PAIRS = {
    "rewrite": [({"request": "do a kick"}, "a person kicks")],
    "activity_to_next_activity": [
        ({"scene": "a kitchen", "activity": "cook"}, "eat"), ({"scene": "a gym", "activity": "run"}, "rest"),
    ],
}  # fmt: skip
ALL_WORDS = dict.fromkeys(("only_ground", "only_words", "only_attributes", "unconditional", "everyday", "asked"), 0.0)


def clip_codes(number: int, tokens: int) -> np.ndarray:
    first = SIZE * number + np.arange(tokens)
    return np.stack([first, first[::-1]], 1)


def items() -> list[ClipCodes]:
    """Kicks with either leg, once or twice; stairs up and down; bows; a clip of two parts; one that holds a pose."""
    rows: list[tuple[str, list[str], dict[str, Any]]] = []
    for n in range(16):
        side, times = ("left", "right")[n % 2], 1 + n // 2 % 2
        words = [f"a person kicks {'twice' if times == 2 else 'once'} with the {side} leg", f"a {side} kick"]
        rows.append(("kick", words, {"figures": standing_figures(support=LEG[side]), "times": times, "side": side}))
    for n in range(8):
        up = n % 2 == 0
        words = [f"a person climbs {'up' if up else 'down'} the stairs", "somebody takes the stairs"]
        rise = 1.0 if up else -1.0
        rows.append(("climb_stairs", words, {"figures": standing_figures(rise=rise, direction="forward")}))
    rows += [("bow", ["a person bows"], {"figures": standing_figures(through="bent_over")}) for _ in range(4)]
    out = [
        ClipCodes(f"c{n}", clip_codes(n, 12 + n % 5), words, "train", "ours", "ours", action, frames=4 * (12 + n % 5),
                  extra=extra)
        for n, (action, words, extra) in enumerate(rows)
    ]  # fmt: skip
    joined: dict[str, Any] = {"parts": ["c24", "c0", "c1"], "mirrored": [False, False, True], "seams": [40, 80]}
    out.append(ClipCodes("j0", clip_codes(28, 36), ["a person bows, then kicks, then kicks"], "train", "composed",
                         "ours", "bow+kick+kick", frames=144, extra=joined))  # fmt: skip
    clause = {"captions": ["stay there"], "action": "hold_still",
              "figures": standing_figures(rest=4.0, end="sitting", through="sitting")}  # fmt: skip
    held: dict[str, Any] = {"parts": ["c24", "hold_still"], "mirrored": [False, False], "seams": [60],
                            "clauses": [None, clause]}  # fmt: skip
    out.append(ClipCodes("j1", clip_codes(29, 30), ["a person bows and stays"], "train", "composed", "ours",
                         "bow+hold_still", frames=120, extra=held))  # fmt: skip
    return out


@pytest.fixture(scope="module")
def text() -> TextTokenizer:
    actions = [*sorted({i.action for i in items() if "+" not in i.action}), "hold_still", "walk"]
    lines = [c for i in items() for c in i.captions] + ["instruction input response attributes example seconds long"]
    return TextTokenizer.train(lines * 3, 400, symbols=symbols(actions))


def examples_of(text: TextTokenizer, weights: dict[str, float] | None = None, **options: Any) -> Examples:
    chosen = ExampleOptions(weights=weights or WEIGHTS, **{**ALL_WORDS, **options})
    return Examples(items(), PAIRS, text, tiny_config(text, SIZE * 31), chosen)


def numbers_of(codes: list[int]) -> set[int]:
    """The clips that codes are of."""
    return {c // SIZE for c in codes}


@pytest.mark.parametrize("stream", WEIGHTS)
def test_prompts_are_those_that_the_model_is_asked_with(
    text: TextTokenizer, stream: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    examples, asked = examples_of(text, contrast=0.0), list[Any]()
    skeleton = Wording.skeleton
    monkeypatch.setattr(Wording, "skeleton", lambda *a: asked.append(a[1:]) or skeleton(*a))
    number = [s.task for s in examples.streams()].index(stream)
    count = len(examples.streams()[number].classes)
    rows = examples.make(np.full(3 * count, number), np.tile(np.arange(count), 3), (4,))
    table = examples.clips.codes
    for n, (row, call) in enumerate(zip(rows_of(examples, rows), asked, strict=True)):
        name, template, filled, tokens, value = call
        task, slots, motions = get_task(name), dict[str, Any](), iter(row.motions)
        pair = next((p for p, a in PAIRS.get(name, []) if a == row.answer), None)
        for slot in task.inputs:
            if slot.name not in filled:
                continue
            if slot.kind == "motion":
                codes = np.array(next(motions))
                slots[slot.name] = CodesSegment("body", np.stack([codes, _details(examples, codes)], 1))
            elif slot.kind == "attributes":
                slots[slot.name] = row.attributes
            else:
                slots[slot.name] = (pair or {}).get(slot.name, row.ground) if slot.kind == "text" else tokens / 5
        assert not value and (not tokens or tokens == len(row.codes))
        prompt = encode_prompt(task.render(slots, template=template), text, examples.config)
        span = slice(rows.starts[n], rows.starts[n] + rows.sources[n])
        assert prompt.ids.tolist() == rows.ids[span].tolist()
        at = rows.places[span][:, None]
        assert np.array_equal(np.where(at >= 0, table[np.maximum(at[:, 0], 0)], -1), prompt.residual)
        assert (prompt.grounded or "") == row.ground


def _details(examples: Examples, codes: np.ndarray) -> np.ndarray:
    item = examples.clips.items[int(codes[0]) // SIZE]
    return item.codes[np.searchsorted(item.codes[:, 0], codes), 1]


def test_words_and_answers_are_the_clips(text: TextTokenizer) -> None:
    examples = examples_of(text, contrast=0.0, attributes=1.0, each=1.0)
    clips = examples.clips.items
    for row in drawn_rows(examples, "text_to_motion", 84):
        (n,) = numbers_of(row.codes)
        assert row.codes == clips[n].codes[:, 0].tolist() and row.ground in clips[n].captions
        assert row.ground in row.prompt and row.length in (-1, len(row.codes)) and row.motions == []
        assert row.attributes == examples.clips.typed[n] and row.attributes["action"] == clips[n].action
    for row in drawn_rows(examples, "motion_to_text", 84):
        (n,) = numbers_of(row.motions[0])
        assert row.answer in clips[n].captions and row.motions[0] == clips[n].codes[:, 0].tolist()
    for row in drawn_rows(examples, "continuation", 84):
        (n,) = numbers_of(row.codes + row.motions[0])
        assert [*row.motions[0], *row.codes] == clips[n].codes[:, 0].tolist()[-len(row.codes + row.motions[0]) :]
        assert set(row.attributes) <= set(ONWARD) - {"times"} and (row.ground != "" or not row.attributes)
    for row in drawn_rows(examples, "in_between", 84):
        before, after = row.motions
        (n,) = numbers_of(before + row.codes + after)
        assert [*before, *row.codes, *after] == list(range(before[0], after[-1] + 1)) and len(row.codes) == row.length
    for row in drawn_rows(examples, "rewrite", 3):
        assert "do a kick" in row.prompt and (row.answer, row.ground, row.length) == ("a person kicks", "do a kick", -1)


def test_parts_of_joined_clips_go_on_from_the_part_before(text: TextTokenizer) -> None:
    examples = examples_of(text, attributes=1.0, each=1.0)
    rows = drawn_rows(examples, "continuation/composed", 30)
    first, second, held = rows[0::3], rows[1::3], rows[2::3]
    for part, clip, seam, end in ((first, 28, 10, 20), (second, 28, 20, 36), (held, 29, 15, 30)):
        for row in part:
            assert row.codes == list(range(SIZE * clip + seam, SIZE * clip + end))
            assert row.motions == [list(range(SIZE * clip + max(0, seam - CONTEXT), SIZE * clip + seam))]
            assert "start" not in row.attributes and row.attributes["action"] != "bow"
    kick = {"action": "kick", "times": "1", "end": "standing", "quality": "good"}
    assert all(row.attributes == {**kick, "side": "left", "support": "right"} for row in first)
    # the third part is mirrored: a kick of the right leg became one of the left
    assert all(row.attributes == {**kick, "side": "left", "support": "right"} for row in second)
    assert {row.ground for row in second} == {"a person kicks once with the left leg", "a left kick"}
    assert {row.ground for row in held} == {"stay there"}
    assert all(row.attributes == {"action": "hold_still", "end": "sitting", "through": "sitting", "rest": "still",
                                  "quality": "good"} for row in held)  # fmt: skip


def negatives_of(rows: list[Row]) -> list[tuple[Row, Row]]:
    return [(rows[row.positive], row) for row in rows if row.positive >= 0]


def test_a_denying_prompt_has_one_other_attribute_and_the_same_answer(text: TextTokenizer) -> None:
    examples = examples_of(text, attributes=1.0, each=0.7, contrast=1.0)
    rows = drawn_rows(examples, "text_to_motion", 280)
    pairs, exchanged = negatives_of(rows), Counter[str]()
    assert [row.positive for row in rows[:280]] == [-1] * 280 and len(rows) == 280 + len(pairs)
    for right, wrong in pairs:
        assert all(getattr(right, k) == getattr(wrong, k) for k in ("codes", "length", "head", "task", "end"))
        assert right.attributes.keys() == wrong.attributes.keys()
        changed = {k for k in right.attributes if right.attributes[k] != wrong.attributes[k]}
        (n,) = numbers_of(right.codes)
        typed = examples.clips.typed[n]
        if changed & set(SIDED):
            assert wrong.attributes == mirror_attributes(right.attributes) and wrong.ground == mirror_text(right.ground)
            assert changed <= set(SIDED)
        else:
            (name,) = changed
            assert wrong.attributes[name] in VALUES[name] and right.attributes[name] == typed[name]
        exchanged.update(changed - {"support"} or {"support"})
        assert (wrong.ground == "") == (right.ground == "") and typed["action"] != "bow"
        if right.ground and not changed & set(SIDED):
            before, after = (("up", "down"), ("once", "twice"))[changed == {"times"}]
            assert wrong.ground in (right.ground.replace(before, after), right.ground.replace(after, before))
    assert {"side", "times", "rise", "support"} <= set(exchanged) and "quality" not in exchanged
    numbers = [n for row in rows[:280] for n in numbers_of(row.codes)]
    expected = [n for n in range(280) if examples.clips.typed[numbers[n]]["action"] != "bow"]
    assert {row.positive for row in rows[280:]} <= set(expected)
    assert len(pairs) > 0.8 * len(expected)


def test_sides_in_words_alone_are_exchanged_too(text: TextTokenizer) -> None:
    examples = examples_of(text, attributes=1.0, each=1.0, contrast=1.0)
    sided = [(a, b) for a, b in negatives_of(drawn_rows(examples, "text_to_motion", 200))
             if a.ground and a.attributes.get("side") != b.attributes.get("side")]  # fmt: skip
    assert sided and all(LEG[str(side_of(a.ground))] == side_of(b.ground) == b.attributes["side"] for a, b in sided)


@pytest.mark.parametrize(
    ("share", "words", "ground", "attributes"),
    [("only_ground", 0, 1, 1), ("only_words", 1, 0, 1), ("only_attributes", 0, 0, 1), ("unconditional", 0, 0, 0)],
)
def test_what_is_left_out_of_a_prompt(
    text: TextTokenizer, share: str, words: int, ground: int, attributes: int
) -> None:
    examples = examples_of(text, contrast=0.0, attributes=1.0, each=1.0, **{share: 1.0})
    for stream in ("text_to_motion", "continuation/composed"):
        for row in drawn_rows(examples, stream, 42):
            captions = {c for i in examples.clips.items for c in i.captions} | {"stay there"}
            assert any(c in row.prompt for c in captions) == bool(words)
            assert (row.ground in captions) == bool(ground) and bool(row.attributes) == bool(attributes)
            assert "[instruction]" in row.prompt and row.codes


def test_shares_are_met(text: TextTokenizer) -> None:
    examples = examples_of(
        text, only_ground=0.2, only_words=0.15, only_attributes=0.1, unconditional=0.1, attributes=0.5, each=0.5,
        announce=0.6, say_seconds=0.5, contrast=0.0,
    )  # fmt: skip
    rows = drawn_rows(examples, "text_to_motion", 2000)
    in_words = [row.ground and row.ground in row.prompt for row in rows]
    assert np.mean([bool(w) for w in in_words]) == pytest.approx(0.45, abs=0.04)
    assert np.mean([row.ground != "" for row in rows]) == pytest.approx(0.65, abs=0.04)
    assert np.mean([bool(row.attributes) for row in rows]) == pytest.approx(0.8 * 0.5 + 0.1, abs=0.04)
    assert np.mean([row.length >= 0 for row in rows]) == pytest.approx(0.6, abs=0.04)
    assert np.mean(["seconds" in row.prompt for row in rows]) == pytest.approx(0.3, abs=0.04)
    typed = examples.clips.typed
    whole = [row.attributes == typed[row.codes[0] // SIZE] for row in rows if row.attributes]
    assert np.mean(whole) == pytest.approx(0.5, abs=0.08)


def test_stretches_of_cyclic_clips(text: TextTokenizer) -> None:
    config = tiny_config(text, 400, levels=1)
    typed = {"figures": standing_figures(direction="forward", distance=3.0, rest=2.0)}
    walk = ClipCodes("w", np.arange(30)[:, None], ["a person walks"], "train", "ours", "", "walk", extra=typed)
    long = ClipCodes("l", 100 + np.arange(200)[:, None], ["a person bows"], "train", "ours", "", "bow", extra=typed)
    options = ExampleOptions(weights={"text_to_motion": 1.0}, crop=1.0, announce=0.0, attributes=1.0, each=1.0,
                             **ALL_WORDS)  # fmt: skip
    examples = Examples([walk, long], {}, text, config, options)
    rows = drawn_rows(examples, "text_to_motion", 60)
    assert all(set(row.attributes) <= set(STRETCH) and row.attributes["action"] for row in rows)
    walks, bows = rows[::2], rows[1::2]
    assert len({row.codes[0] for row in walks}) > 5 and all(8 <= len(row.codes) <= 30 for row in walks)
    assert all(len(row.codes) == LONGEST for row in bows) and len({row.codes[0] for row in bows}) > 10
    assert all(row.codes == list(range(row.codes[0], row.codes[-1] + 1)) for row in rows)
    # the end of a stretch is taught as the end of what was announced alone
    assert all(row.length == len(row.codes) for row in rows)
    options = ExampleOptions(weights=dict.fromkeys(("continuation", "in_between"), 1.0), announce=0.0, **ALL_WORDS)
    examples = Examples([walk, long], {}, text, config, options)
    onward = [row for row in drawn_rows(examples, "continuation", 60) if row.codes[0] >= 100]
    assert {row.length for row in onward if row.codes[-1] < 299} == {LONGEST}
    assert {row.length for row in onward if row.codes[-1] == 299} <= {-1}
    assert max(row.codes[0] for row in drawn_rows(examples, "in_between", 60)) > 100 + LONGEST + 2 * 16


def test_everyday_words_and_requests_are_those_of_the_action(text: TextTokenizer) -> None:
    requests = everyday_requests()
    for share in ("everyday", "asked"):
        examples = examples_of(text, {"text_to_motion": 1.0}, contrast=0.0, **{share: 1.0})
        by_action: dict[str, set[str]] = {}
        for row in drawn_rows(examples, "text_to_motion", 112):
            (n,) = numbers_of(row.codes)
            item = examples.clips.items[n]
            if item.action == "climb_stairs":  # whose clips say whether they are the usual ones
                continue
            by_action.setdefault(item.action, set()).add(row.ground)
            if share == "asked":
                assert row.ground in requests.requests(item.action, item.extra.get("side"))
        assert min(map(len, by_action.values())) > 5 and not set.intersection(*by_action.values())


def same(a: Any, b: Any) -> bool:
    return all(np.array_equal(getattr(a, k), getattr(b, k)) for k in a.__dataclass_fields__)


def test_steps_are_made_again(text: TextTokenizer) -> None:
    straight = Pool(examples_of(text), 3, 4, 12, end=12)
    steps = [straight.step(n) for n in range(10)]
    resumed = Pool(examples_of(text), 3, 4, 12, end=12)
    for n in (6, 7, 8):  # inside of a pool
        rows, order = resumed.step(n)
        assert [vars(a) for a in rows_of(resumed.examples, rows)] == [
            vars(b) for b in rows_of(straight.examples, steps[n][0])
        ]  # fmt: skip
        assert np.array_equal(order, steps[n][1])
    other = Pool(examples_of(text), 4, 4, 12)
    assert not np.array_equal(other.step(0)[0].ids, steps[0][0].ids)
    assert not np.array_equal(steps[0][0].ids, steps[4][0].ids)


def test_every_draw_is_in_one_step_with_rows_of_similar_length(text: TextTokenizer) -> None:
    pool = Pool(examples_of(text), 0, 16, 8)
    parts = [pool.step(n) for n in range(16)]
    rows = parts[0][0]
    assert all(r is rows for r, _ in parts)
    orders = np.stack([order for _, order in parts])
    assert sorted(orders.ravel()) == list(range(128)) and (rows.positive[:128] == -1).all()
    assert (rows.positive[128:] >= 0).all() and len(rows) > 128

    def padding(lengths: np.ndarray, order: np.ndarray) -> int:
        return sum(int((lengths[o].max() - lengths[o]).sum()) for o in order)

    for lengths, most in ((rows.targets, 0.6), (rows.sources, 0.6)):
        assert padding(lengths, orders) < most * padding(lengths, np.arange(128).reshape(16, 8))
    streams, entries = zip(*(pool.mixture.draw(n, 8) for n in range(16)), strict=True)
    assert Counter(np.concatenate(streams).tolist()).keys() <= set(range(len(WEIGHTS))) and len(np.concatenate(entries))


def test_a_batch_holds_its_rows(text: TextTokenizer) -> None:
    examples = examples_of(text, attributes=1.0, contrast=1.0, only_words=0.5)
    pool = Pool(examples, 0, 1, 24)
    rows, order = pool.step(0)
    share = share_of(rows, order, examples, StepContext(0, 0, 1, 0), ["body"], 0.5)
    table, host = torch.from_numpy(examples.clips.codes), torch.device("cpu")
    batch = Batch.of(rows, share.chosen, examples, RandomGrounder()).to(host, table)  # type: ignore[arg-type]
    assert batch.inputs["longest"] == batch.read.max() and set(batch.ground) == set(rows.ground[share.chosen])
    read, (states, mask, name) = rows_of(examples, rows), batch.inputs["extra_embeddings"][0]
    assert name == "grounding" and states.shape[:2] == mask.shape
    for b, n in enumerate(share.chosen.tolist()):
        row, ids = read[n], rows.ids[rows.starts[n] : rows.starts[n] + rows.sources[n]]
        count = len(ids)
        assert batch.inputs["input_ids"][b, :count].tolist() == ids.tolist()
        assert batch.inputs["attention_mask"][b].nonzero().ravel().tolist() == list(range(count))
        residual = batch.inputs["residual_codes"][b, :, 0]
        assert residual[residual >= 0].tolist() == [c for motion in row.motions for c in motion]
        labels = batch.labels[b][batch.labels[b] != IGNORED].tolist()
        assert len(labels) == rows.targets[n] and labels[-1] == row.end == examples.config.end_id(row.head)
        codes = batch.codes[b]
        assert codes[codes[:, 0] >= 0, 0].tolist() == row.codes
        if row.codes:
            assert codes[: len(row.codes), 1].tolist() == _details(examples, np.array(row.codes)).tolist()
        assert (batch.heads[b], batch.tasks[b], int(batch.length[b])) == (row.head, row.task, row.length)
        assert int(mask[b].sum()) == len(row.ground.split())
        positive = int(batch.positive[b])
        assert (positive >= 0) == (row.positive >= 0) and (positive < 0 or share.chosen[positive] == row.positive)
    assert (batch.positive >= 0).any()


def test_a_batch_gathers_states_on_the_device(text: TextTokenizer) -> None:
    examples, encoder, host = examples_of(text, attributes=1.0, contrast=1.0), SentenceGrounder(), torch.device("cpu")
    rows, order = Pool(examples, 0, 1, 24).step(0)
    table, resident = torch.from_numpy(examples.clips.codes), ResidentStates(encoder, examples.wording.texts, host)
    resident.add(np.arange(4))
    gathered = Batch.of(rows, order, examples).place_states(resident).to(host, table, resident.states)
    expected = Batch.of(rows, order, examples, encoder).to(host, table)
    (states, mask, name), (read, read_mask, _) = (b.inputs["extra_embeddings"][0] for b in (gathered, expected))
    assert name == "grounding" and torch.equal(mask, read_mask) and int(mask.sum()) > 0
    assert torch.allclose(states[mask > 0].float(), read[mask > 0], atol=0.03)  # bfloat16 where that is fast
    assert gathered.read.tolist() == expected.read.tolist()
    assert gathered.read.sum() == int(mask.sum() + gathered.inputs["attention_mask"].sum())
    assert gathered.written.sum() == int((gathered.labels != IGNORED).sum())


def test_processes_prepare_the_same_batches(text: TextTokenizer) -> None:
    pools = [
        Pool(examples_of(text, attributes=1.0, contrast=1.0), 3, 2, 12, 8, workers, ["body"], 0.5, (1, 2))
        for workers in (0, 2)
    ]
    for step in range(8):
        context = StepContext(step, 1, 2, 3)
        (share, batch), (same, other) = (pool.prepare_part(context) for pool in pools)
        for field in fields(share):
            assert np.array_equal(getattr(share, field.name), getattr(same, field.name)), field.name
        assert batch.inputs.keys() == other.inputs.keys() and batch.places.keys() == other.places.keys()
        for name, value in {**batch.inputs, **batch.places}.items():
            assert np.array_equal(value, (other.inputs | other.places)[name]), name
        assert np.array_equal(batch.labels, other.labels) and (batch.heads, batch.tasks) == (other.heads, other.tasks)
        texts = [[p.examples.wording.texts[g] if g >= 0 else "" for g in b.ground] for p, b in
                 zip(pools, (batch, other), strict=True)]  # fmt: skip
        assert texts[0] == texts[1] and any(texts[0])
    pools[1].close()


@pytest.mark.parametrize(
    ("losses", "short", "apart"),
    [([1.0, 2.0, 1.26, 2.26], 0.0, 1.0), ([1.0, 2.0, 1.0, 2.0], 0.25, 0.0), ([1.0, 2.0, 1.1, 1.5], 0.45, 0.5),
     ([1.0, 2.0, 9.0, 9.0], 0.0, 1.0)],
)  # fmt: skip
def test_contrast_is_the_shortfall_of_the_margin(losses: list[float], short: float, apart: float) -> None:
    """Two rows that fit, and two that deny them: nats per token of each, over two tokens."""
    training = LanguageTraining(contrast_margin=0.25)
    objective = LanguageObjective(torch.nn.Linear(1, 1), training, None)  # type: ignore[arg-type]
    labels = torch.tensor([[3, 4, IGNORED]] * 4)
    token_loss = (torch.tensor(losses)[:, None] * torch.tensor([[1.0, 1.0, 0.0]])).requires_grad_()
    batch: Any = SimpleNamespace(labels=labels, positive=np.array([-1, -1, 0, 1]))
    share: Any = SimpleNamespace(times=1, denied=2)
    contrast, told_apart = objective._contrast(token_loss, batch, share)
    assert float(contrast.detach()) == pytest.approx(short, abs=1e-6) and float(told_apart) == apart
    (gradient,) = torch.autograd.grad(contrast, token_loss)
    assert bool(gradient.any()) == (short > 0)
    if short:
        assert (gradient[:2] >= 0).all() and (gradient[2:] <= 0).all()
    none: Any = SimpleNamespace(labels=labels, positive=np.full(4, -1))
    assert [float(x) for x in objective._contrast(token_loss, none, share)] == [0.0, 0.0]


def test_relative_attributes_compare_clips_of_one_action() -> None:
    clips = [
        ClipCodes(f"{action}{n}", np.zeros((4, 1), int), [], "train", "ours", "", action,
                  extra={"figures": standing_figures(speed=factor * (1 + n), extent=20 - n)})
        for action, factor in (("walk", 1.0), ("run", 100.0)) for n in range(20)
    ]  # fmt: skip
    for extra in ({"figures": standing_figures()}, {}):
        clips.append(ClipCodes("few", np.zeros((4, 1), int), [], "train", "ours", "", "bow", extra=extra))
    typed = clip_attributes(clips)
    for rows in (typed[:20], typed[20:40]):
        assert [r.get("tempo") for r in rows] == ["slow"] * 4 + [None] * 12 + ["fast"] * 4
        assert [r.get("size") for r in rows] == ["large"] * 4 + [None] * 12 + ["small"] * 4
    assert "tempo" not in typed[40] and typed[40]["action"] == "bow" and typed[41] == {}


def test_attributes_of_words_are_those_of_single_actions() -> None:
    measured = standing_figures(turn=100.0, distance=1.9, direction="left")
    both = ClipCodes("x", np.zeros((4, 1), int), ["kicks with the left leg", "kicks with the right leg"], "train",
                     "ours", "", "kick", extra={"figures": measured, "times": 2.0, "quality": "fair"})  # fmt: skip
    (typed,) = clip_attributes([both])
    assert typed == {"start": "standing", "end": "standing", "direction": "left", "distance": "2", "turn": "left_90",
                     "action": "kick", "times": "2", "quality": "fair"}  # fmt: skip
    layered = ClipCodes("y", both.codes, both.captions[:1], "train", "layered", "", "walk+kick", extra=both.extra)
    assert "action" not in clip_attributes([layered])[0] and "side" not in clip_attributes([layered])[0]


def test_flat_arrays_of_rows() -> None:
    growing, rows = Growing(np.int16), [np.arange(n) for n in (3, 0, 2000, 1, *[5] * 200)]
    assert [growing.add(row) for row in rows] == list(range(204)) and len(growing) == 204
    assert growing.lengths.tolist() == [len(r) for r in rows] and growing.flat.dtype == np.int16
    for start, length, row in zip(growing.starts, growing.lengths, rows, strict=True):
        assert growing.flat[start : start + length].tolist() == row.tolist()
    assert len(growing.flat) == 3004 and len(Growing().flat) == len(Growing()) == 0
    starts, lengths = np.array([[4, 0], [7, 2]]), np.array([[2, 0], [1, 3]])
    assert places(starts, lengths).tolist() == [4, 5, 7, 2, 3, 4] and places(starts, 0 * lengths).tolist() == []
    flat = np.arange(10)
    assert pad_stretches(flat, np.array([2, 5]), np.array([3, 1]), 4, -1).tolist() == [[2, 3, 4, -1], [5, -1, -1, -1]]
    deep = pad_stretches(flat.reshape(5, 2), np.array([1]), np.array([2]), 3, -7)
    assert deep.tolist() == [[[2, 3], [4, 5], [-7, -7]]]


def test_rows_are_alike_in_what_is_read_and_written() -> None:
    rng = np.random.default_rng(0)
    read, written = rng.integers(5, 100, 640), rng.integers(3, 60, 640)
    order = arranged(read, written, 64)
    assert order.shape == (64, 10) and sorted(order.ravel()) == list(range(640))

    def share(lengths: np.ndarray) -> float:
        return 1 - lengths.sum() / (lengths[order].max(1) * order.shape[1]).sum()

    assert share(read) < 0.2 and share(written) < 0.25
    assert np.array_equal(arranged(read, written, 64), order)
    assert arranged(read[:30], written[:30], 3).shape == (3, 10)
