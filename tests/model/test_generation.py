"""The decode loop against the model itself, uncached, and against Hugging Face."""

import pytest
import torch

from avatargpt.lm.engine import DecodeSession
from avatargpt.lm.generate import EncodedPrompt, Generator, ban_repeats, sample, seeds_for, uniforms
from avatargpt.lm.model import AvatarGPTModel
from vqvae.errors import UserError

HEADS = ["text", "body", "face"]


def uncached(model: AvatarGPTModel, prompt: EncodedPrompt, head: str, steps: int, length: torch.Tensor | None = None,
             streams: torch.Tensor | None = None) -> tuple[torch.Tensor, torch.Tensor]:  # fmt: skip
    """Tokens (N, steps) and logits (N, steps, n) with all of the decoder run again for every token."""
    c = model.config
    tokens = torch.full((len(prompt), 1), c.start_id(head))
    given = {"encoder_outputs": (prompt.states,), "attention_mask": prompt.mask, "head": head, "length": length}
    kept = []
    for t in range(steps):
        out = model(**given, decoder_input_ids=tokens, use_cache=False)
        logits = out.logits[:, -1, c.first_id(head) :][:, : c.size(head)]
        if head != "text":  # codes, then the end: the loop knows no start
            logits = torch.cat([logits[:, :-2], logits[:, -1:]], 1)
        kept.append(logits.clone())
        if length is not None:
            logits[:, -1] = float("-inf")
        local = logits.argmax(-1) if streams is None else sample(logits, streams[t], 0.9, 8, 0.95)
        token = local + c.first_id(head)
        token = torch.where((head != "text") & (local == logits.shape[1] - 1), c.end_id(head), token)
        tokens = torch.cat([tokens, token[:, None]], 1)
    return tokens[:, 1:], torch.stack(kept, 1)


@torch.inference_mode()
@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("lengths", [None, [40, 3, 12, 39, 36]])
def test_cached_logits_equal_uncached(model, generator, prompt, head: str, lengths: list[int] | None) -> None:
    length = None if lengths is None else torch.tensor(lengths)
    steps = 40  # beyond one block of keys
    tokens, logits = uncached(model, prompt, head, steps, length)
    left = None if length is None else (length[:, None] - torch.arange(64)).clamp(min=0)
    session = DecodeSession(generator.engine, head, prompt.states, prompt.mask, steps, remaining=left)
    feed = torch.cat([torch.full((5, 1), model.config.start_id(head)), tokens[:, :-1]], 1)
    end = generator.engine.head(head).end
    for t in range(steps):
        local = feed[:, t] - model.config.first_id(head)
        inside = torch.ones(5, dtype=torch.bool)
        if head != "text" and t:
            # past an answer's end both loops are fed the end's own row; there the answers are over
            inside = ~(feed[:, 1 : t + 1] == model.config.end_id(head)).any(1)
            local = local.clamp(max=end)
        mine, _ = session.step(local)
        torch.testing.assert_close(mine[inside], logits[inside, t], atol=1e-4, rtol=1e-4)


@torch.inference_mode()
@pytest.mark.parametrize("head", HEADS)
def test_greedy_equals_hugging_face_and_uncached(model, generator, prompt, ids, head: str) -> None:
    mine = generator.decode(prompt, head, max_tokens=30)
    theirs = model.generate(ids, head=head, max_new_tokens=30)[:, 1:]
    tokens, _ = uncached(model, prompt, head, 30)
    for i, count in enumerate(mine.lengths.tolist()):
        assert mine.ids[i, :count].tolist() == theirs[i, :count].tolist() == tokens[i, :count].tolist()
        if mine.ended[i] and count < 30:
            assert theirs[i, count] == model.config.end_id(head)
        assert (mine.ids[i, count:] == 0).all() and (mine.codes[i, count:] == -1).all()
    if head != "text":
        assert mine.ended.any(), "the model of this test is made to end some answers"


@torch.inference_mode()
@pytest.mark.parametrize("lengths", [None, [20, 7, 20, 1, 13]])
def test_sampled_equals_uncached(model, generator, prompt, lengths: list[int] | None) -> None:
    length = None if lengths is None else torch.tensor(lengths)
    options = {"temperature": 0.9, "top_k": 8, "top_p": 0.95, "seed": 11}
    mine = generator.decode(prompt, "body", max_tokens=20, length=length, **options)
    tokens, _ = uncached(model, prompt, "body", 20, length, uniforms(seeds_for(11, 5), 20))
    for i, count in enumerate(mine.lengths.tolist()):
        assert mine.ids[i, :count].tolist() == tokens[i, :count].tolist()
    assert not torch.equal(mine.ids, generator.decode(prompt, "body", max_tokens=20, length=length).ids)


@torch.inference_mode()
def test_batch_equals_singles(generator, prompt) -> None:
    length, seeds = [9, 4, 12, 1, 30], [5, 6, 7, 8, 9]
    options = {"temperature": 1.0, "top_k": 12, "guidance": 1.7, "uncond": prompt[[3]]}
    batch = generator.decode(prompt, "body", length=length, seed=seeds, **options)
    for i in range(5):
        one = generator.decode(prompt[[i]], "body", length=length[i : i + 1], seed=seeds[i : i + 1], **options)
        assert one.ids[0].tolist() == batch.ids[i, : length[i]].tolist()
        torch.testing.assert_close(one.hidden[0], batch.hidden[i, : length[i]], atol=1e-4, rtol=1e-3)
        torch.testing.assert_close(one.scores[0], batch.scores[i], atol=1e-3, rtol=1e-4)
    assert torch.equal(generator.decode(prompt, "body", length=length, seed=seeds, **options).ids, batch.ids)


@torch.inference_mode()
@pytest.mark.parametrize("beams", [1, 3])
def test_asked_length_is_exact(generator, prompt, beams: int) -> None:
    length = [1, 33, 8, 2, 20]
    out = generator.decode(prompt, "body", length=length, beams=beams)
    assert out.lengths.tolist() == length and out.ended.all()
    assert out.mask.sum(1).tolist() == length
    assert int(out.codes.max()) < 24, "the end is no code"
    mixed = generator.decode(prompt, "body", length=[5, -1, 5, -1, 5], max_tokens=12, beams=beams)
    assert mixed.lengths[[0, 2, 4]].tolist() == [5, 5, 5] and mixed.lengths.max() <= 12
    free = generator.decode(prompt, "body", max_tokens=12, beams=beams)
    assert mixed.ids[1, : free.lengths[1]].tolist() == free.ids[1, : free.lengths[1]].tolist()
    late = generator.decode(prompt, "body", max_tokens=12, min_tokens=6, beams=beams)
    assert late.lengths.min() >= 6


@torch.inference_mode()
def test_guidance_one_is_none_and_others_mix_logits(model, generator, prompt) -> None:
    empty = prompt[[3]]
    plain = generator.decode(prompt, "face", max_tokens=10)
    assert torch.equal(plain.ids, generator.decode(prompt, "face", max_tokens=10, uncond=empty, guidance=1.0).ids)
    guided = generator.decode(prompt, "face", length=[1] * 5, uncond=empty, guidance=2.5)
    _, c = uncached(model, prompt, "face", 1, torch.ones(5).long())
    _, u = uncached(model, empty, "face", 1, torch.ones(1).long())
    expected = (u + 2.5 * (c - u))[:, 0, :-1].log_softmax(-1)
    assert guided.codes[:, 0].tolist() == expected.argmax(-1).tolist()
    torch.testing.assert_close(guided.log_probs[:, 0], expected.max(-1).values, atol=1e-4, rtol=1e-4)
    with pytest.raises(UserError, match="guidance needs"):
        generator.decode(prompt, "face", guidance=2.0)


@torch.inference_mode()
def test_beams_find_likelier_answers(generator, prompt) -> None:
    greedy = generator.decode(prompt, "body", length=[12] * 5)
    wide = generator.decode(prompt, "body", length=[12] * 5, beams=6)
    assert (wide.scores >= greedy.scores - 1e-4).float().mean() >= 0.8
    assert wide.scores.sum() > greedy.scores.sum()
    one = generator.decode(prompt[[2]], "body", length=[12], beams=6)
    assert one.ids[0].tolist() == wide.ids[2].tolist()


@torch.inference_mode()
def test_beams_equal_hugging_face(model, generator, prompt, ids) -> None:
    mine = generator.decode(prompt, "text", max_tokens=7, beams=3)
    theirs = model.generate(ids, head="text", max_new_tokens=8, num_beams=3, length_penalty=1.0)[:, 1:]
    same = [mine.ids[i, :n].tolist() == theirs[i, :n].tolist() for i, n in enumerate(mine.lengths.tolist())]
    assert sum(same) >= 3, "the two differ only in how an answer cut short by the limit is ranked"


@torch.inference_mode()
@pytest.mark.parametrize(("head", "beams"), [("body", 1), ("text", 1), ("face", 1), ("body", 4), ("text", 4)])
def test_scores_are_the_models_own(generator, prompt, head: str, beams: int) -> None:
    out = generator.decode(prompt, head, max_tokens=15, beams=beams)
    rows = [row[:n] for row, n in zip(out.ids.tolist(), out.lengths.tolist(), strict=True)]
    for i, ended in enumerate(out.ended.tolist()):
        again = generator.score(prompt[[i]], [rows[i]], head)
        total = again.total[0] if ended else again.tokens[0, : len(rows[i])].sum()
        torch.testing.assert_close(total, out.scores[i], atol=1e-3, rtol=1e-4)
    together = generator.score(prompt, rows, head)
    alone = generator.score(prompt[[1]], [rows[1]], head)
    torch.testing.assert_close(together.total[1], alone.total[0], atol=1e-3, rtol=1e-4)
    assert together.lengths.tolist() == [len(r) + 1 for r in rows]


@torch.inference_mode()
def test_hidden_states_are_the_models_own(model, generator, prompt) -> None:
    out = generator.decode(prompt, "body", length=[6] * 5, beams=3)
    labels = torch.cat([out.ids, torch.full((5, 1), 85)], 1)
    given = {"encoder_outputs": (prompt.states,), "attention_mask": prompt.mask, "length": torch.full((5,), 6)}
    forward = model(**given, labels=labels, head="body")
    torch.testing.assert_close(out.hidden, forward.hidden[:, :6], atol=1e-4, rtol=1e-3)


@torch.inference_mode()
def test_samples_of_one_prompt_are_neighbours(generator, prompt) -> None:
    out = generator.decode(prompt, "body", length=[5] * 5, samples=3, temperature=1.5, seed=list(range(15)))
    assert out.ids.shape == (15, 5)
    one = generator.decode(prompt[[2]], "body", length=[5], samples=3, temperature=1.5, seed=[6, 7, 8])
    assert torch.equal(one.ids, out.ids[6:9])
    assert len({tuple(r) for r in one.ids.tolist()}) > 1


@torch.inference_mode()
def test_no_repeat_in_answers(generator, prompt) -> None:
    def repeats(rows: list[list[int]]) -> bool:
        return any(len(set(zip(r, r[1:], strict=False))) < len(r) - 1 for r in rows)

    def rows(**options: int) -> list[list[int]]:
        out = generator.decode(prompt, "text", max_tokens=40, min_tokens=40, **options)
        return [r[:n] for r, n in zip(out.ids.tolist(), out.lengths.tolist(), strict=True)]

    assert repeats(rows()), "the model of this test loops when it is let"
    assert not repeats(rows(no_repeat=2))


def test_banned_are_exactly_the_continuations() -> None:
    before = torch.tensor([[1, 2, 3, 1, 2], [4, 4, 4, 4, 4]])
    out = ban_repeats(torch.zeros(2, 6), before, 3)
    assert torch.isinf(out).nonzero().tolist() == [[0, 3], [1, 4]]
    assert torch.isinf(ban_repeats(torch.zeros(2, 6), before, 1)).sum(1).tolist() == [3, 1]
    assert torch.equal(ban_repeats(torch.zeros(2, 6), before[:, :2], 3), torch.zeros(2, 6))


def test_sampling_follows_the_distribution_and_its_filters() -> None:
    logits = torch.tensor([2.0, 0.0, 1.0, -1.0]).expand(4000, 4)
    u = torch.rand(4000, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    for options, expected in (
        ((1.0,), logits[0].softmax(-1)), ((2.0,), (logits[0] / 2).softmax(-1)),
        ((1.0, 2), torch.tensor([0.7311, 0.0, 0.2689, 0.0])),  # the two likeliest alone
    ):  # fmt: skip
        share = torch.bincount(sample(logits, u, *options), minlength=4) / 4000
        torch.testing.assert_close(share, expected, atol=0.02, rtol=0)
    # probabilities .64 .24 .09 .03: half is reached by the first alone, .7 by the first two
    assert set(sample(logits, u, 1.0, top_p=0.5).tolist()) == {0}
    assert set(sample(logits, u, 1.0, top_p=0.7).tolist()) == {0, 2}


def test_sampling_ranks_as_topk_does() -> None:
    logits = torch.randn(200, 60, generator=torch.Generator().manual_seed(0))
    logits[:, 7] = float("-inf")
    u = torch.rand(200, generator=torch.Generator().manual_seed(1))
    values, order = logits.topk(9, dim=-1)
    rank = (values.softmax(-1).cumsum(-1) <= u[:, None]).sum(-1).clamp(max=8)
    assert torch.equal(sample(logits, u, 1.0, top_k=9), order.gather(1, rank[:, None])[:, 0])


def test_equal_logits_share_their_probability() -> None:
    logits = torch.tensor([[0.0, 1.0, 1.0, 1.0, -2.0]]).expand(3000, -1)
    picked = sample(logits, (torch.arange(3000) + 0.5) / 3000, 1.0, top_k=3)
    assert torch.bincount(picked, minlength=5).tolist() == [0, 1000, 1000, 1000, 0]
    # more equal ones than are kept: any of them, never another
    assert set(sample(logits, torch.linspace(0, 0.999, 3000), 1.0, top_k=2).tolist()) <= {1, 2, 3}


def test_streams_do_not_depend_on_the_batch_or_the_limit() -> None:
    many, one = uniforms([3, 4, 5], 100), uniforms([4], 17)
    assert torch.equal(many[:17, 1], one[:, 0])


@torch.inference_mode()
def test_bfloat16_stays_close(model, generator, ids, prompt) -> None:
    half = Generator(model, torch.bfloat16)
    near = half.encode(ids)
    assert (near.states - prompt.states)[prompt.mask.bool()].abs().mean() < 0.05
    fine = generator.decode(prompt, "body", length=[8] * 5)
    coarse = half.decode(near, "body", length=[8] * 5)
    assert (fine.ids[:, 0] == coarse.ids[:, 0]).float().mean() >= 0.6
    torch.testing.assert_close(fine.log_probs[:, 0], coarse.log_probs[:, 0], atol=0.15, rtol=0.1)


@torch.inference_mode()
def test_impossible_settings(generator, prompt) -> None:
    for options in ({"max_tokens": 0}, {"temperature": -1.0}, {"top_p": 0.0}, {"beams": 2, "temperature": 1.0}):
        with pytest.raises(UserError, match="accepted|beams"):
            generator.decode(prompt, "body", **options)
    with pytest.raises(UserError, match="this model has"):
        generator.decode(prompt, "hand")
