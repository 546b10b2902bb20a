"""Examples in training prompts: whose codes they are, how many, how long, and what happens without."""

from __future__ import annotations

import numpy as np
import pytest

from avatargpt.lm.model import AvatarGPTConfig
from avatargpt.lm.text_encoder import TextTokenizer
from avatargpt.requests.exemplars import EXAMPLE_TOKENS
from avatargpt.train.data.examples import ExampleOptions, Examples
from avatargpt.train.data.neighbours import Neighbours, base_id, caption_side
from instruct_data.mixture import Draw
from instruct_data.store import ClipCodes

CLASSES = ["kick-left", "kick-right", "walk", "bow"]


def clip(number: int, action: str, tokens: int, source: str = "ours", **more: object) -> ClipCodes:
    """A clip whose codes name it: level 0 its number, level 1 the token's place."""
    codes = np.stack([np.full(tokens, number), np.arange(tokens)], 1)
    captions = [f"a person does a {action.replace('-', ' ')}"]
    return ClipCodes(f"c{number:02d}", codes, captions, "train", source, "ours", action, **more)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def items() -> list[ClipCodes]:
    made = []
    for n in range(40):
        one = clip(n, CLASSES[n % 4], 60 if n % 8 < 4 else 12, style="proud" if n >= 32 else "")
        made += [one, ClipCodes(**{**vars(one), "id": f"{one.id}_m", "mirrored": True})]
    parts = {"parts": ["c02", "c03_m"]}
    return [*made, clip(50, "walk+bow", 30, "composed", extra=parts), clip(51, "bow+walk+kick_left", 30, "composed")]


def shown(codes: np.ndarray) -> int:
    """Number of the clip that an example was cut from."""
    assert len(set(codes[:, 0])) == 1 and 0 < len(codes) <= EXAMPLE_TOKENS
    assert (np.diff(codes[:, 1]) == 1).all()
    return int(codes[0, 0])


def test_ids_and_sides() -> None:
    assert base_id("c01_m") == base_id("c01") == "c01"
    assert caption_side(["kicks with the left leg", "a kick"]) == "left"
    assert caption_side(["turns left", "turns right"]) == caption_side(["from left to right"]) == caption_side([]) == ""


def test_examples_are_other_clips_of_the_same_kind(items: list[ClipCodes]) -> None:
    neighbours, rng = Neighbours(items, wrong=0.0), np.random.default_rng(0)
    counts = []
    for _ in range(20):
        for item in items[:-2]:
            found = [shown(c) for c in neighbours.examples(item, item.captions[0], rng)]
            counts.append(len(found))
            own = int(item.id[1:3])
            assert own not in found and len(set(found)) == len(found)
            assert all(f % 4 == own % 4 and (f >= 32) == (own >= 32) for f in found)
    assert max(counts) == 2 and counts.count(1) > counts.count(2) > 0


def test_composed_clips_get_an_example_per_part_in_order(items: list[ClipCodes]) -> None:
    neighbours, rng = Neighbours(items, wrong=0.0), np.random.default_rng(0)
    for item, order in ((items[-2], [2, 3]), (items[-1], [3, 2])):
        whole = 0
        for _ in range(200):
            found = [shown(c) for c in neighbours.examples(item, "walks and bows", rng)]
            assert not {2, 3} & set(found) or item is items[-1]  # what the first was made of is never shown
            kinds = [f % 4 for f in found]
            assert kinds in (order, order[:1], order[1:], [])
            whole += kinds == order
        assert whole > 100


def test_only_what_repeats_is_cut_anywhere(items: list[ClipCodes]) -> None:
    neighbours, rng = Neighbours(items, wrong=0.0), np.random.default_rng(1)
    starts: dict[str, set[int]] = {"walk": set(), "bow": set()}
    for item in items[:-2] * 20:
        if item.action in starts:
            starts[item.action] |= {int(c[0, 1]) for c in neighbours.examples(item, "", rng)}
    assert starts["bow"] == {0} and max(starts["walk"]) > 20


def test_share_of_wrong_examples(items: list[ClipCodes]) -> None:
    neighbours, rng = Neighbours(items, wrong=0.12), np.random.default_rng(2)
    odd = total = near = 0
    for item in items[:-2] * 10:
        for codes in neighbours.examples(item, item.captions[0], rng):
            own, found = int(item.id[1:3]), shown(codes)
            total += 1
            odd += own % 4 != found % 4 or (own >= 32) != (found >= 32)
            near += own % 4 == found % 4 and (own >= 32) != (found >= 32)
    assert 0.08 < odd / total < 0.16 and 0.02 < near / total < 0.08


def test_the_nearest_words_win() -> None:
    near = [ClipCodes(**{**vars(clip(n, "reach", 5)), "captions": [f"reaches {'high' if n % 2 else 'low'}"]})
            for n in range(40)]  # fmt: skip
    neighbours, rng = Neighbours(near, wrong=0.0), np.random.default_rng(3)
    found = [shown(c) for _ in range(300) for c in neighbours.examples(near[0], "someone reaches up high", rng)]
    assert np.mean([f % 2 for f in found]) > 0.8


@pytest.fixture(scope="module")
def text() -> TextTokenizer:
    lines = [f"a person does a {c} example: generate a motion for this description" for c in CLASSES] * 20
    return TextTokenizer.train(lines, 300)


def make(items: list[ClipCodes], text: TextTokenizer, **options: float) -> Examples:
    body = {"codebook_size": 64, "levels": 2, "code_dim": 4}
    config = AvatarGPTConfig(vocab_size=text.size, d_model=16, d_kv=8, d_ff=16, num_layers=1, num_heads=2,
                             modalities={"body": body})  # fmt: skip
    weights = {"text_to_motion": 1.0, "text_to_motion/composed": 1.0}
    return Examples(items, [], {}, text, config, ExampleOptions(weights=weights, **options))  # type: ignore[arg-type]


def test_prompts_carry_all_levels_of_the_examples(items: list[ClipCodes], text: TextTokenizer) -> None:
    examples = make(items, text, retrieve=1.0, unconditional=0.0)
    first = examples.config.first_id("body")
    for seed in range(50):
        prompt = examples.make(Draw("text_to_motion", 8, seed)).prompt
        codes = prompt.ids[(prompt.ids >= first) & (prompt.ids < first + 64)] - first
        assert len(codes) and (prompt.residual[:, 0] >= 0).sum() == len(codes)
        at = prompt.residual[:, 0] >= 0
        assert (prompt.residual[at, 0] == codes).all() and (prompt.residual[at, 1] < 60).all()


def test_share_of_prompts_with_examples(items: list[ClipCodes], text: TextTokenizer) -> None:
    examples = make(items, text, retrieve=0.5, unconditional=0.0)
    draws = [Draw("text_to_motion", 4, seed) for seed in range(400)]
    share = np.mean([(examples.make(d).prompt.residual >= 0).any() for d in draws])
    assert 0.4 < share < 0.6
    again = [examples.make(d).prompt.ids for d in draws[:20]]
    assert all(np.array_equal(a, examples.make(d).prompt.ids) for a, d in zip(again, draws, strict=False))


def test_unconditional_prompts_show_nothing(items: list[ClipCodes], text: TextTokenizer) -> None:
    examples = make(items, text, retrieve=1.0, unconditional=1.0, only_ground=0.0, only_words=0.0)
    for seed in range(30):
        assert (examples.make(Draw("text_to_motion", 4, seed)).prompt.residual < 0).all()


def test_off_by_default(items: list[ClipCodes], text: TextTokenizer) -> None:
    examples = make(items, text)
    assert all((examples.make(Draw("text_to_motion", n, n)).prompt.residual < 0).all() for n in range(60))
    assert "neighbours" not in vars(examples)  # not even built
