"""Motion tokens per second of the decode loop, against its matrix products alone and other loops.

Without `--model FOLDER`, random weights of the default size, or with `--base` of T5-base's. "Bare products" are the
products of the weights that a loop multiplies with (encoder, keys and values, decoder, head), nothing in between, in
the loop's own layout; the goal is 75 % of them at every batch. After the batches of different prompts comes one prompt
with eight candidates under guidance, as `generate` decodes it. `mfu` is the share of a GPU's bfloat16 arithmetic
(`avatargpt.train.throughput`). With `--others`, "no cache" is how the AvatarGPT release decodes: for every token it
runs the encoder and the whole decoder again and computes the text head and the motion head at every position. All loops
sample with temperature 0.8 and top-k 50 (Hugging Face: its own sampler) from the same weights and prompts; each figure
is the best of as many rounds (bfloat16 only where the processor has it), and the rounds of all loops alternate, so that
a busy machine disturbs them alike. CPU seconds stand beside: time of all threads, waiting left out.
"""

import time
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from avatargpt.lm.checkpoint import load_model
from avatargpt.lm.encoder import Map, make_map, plain_map
from avatargpt.lm.engine import MANY
from avatargpt.lm.generate import EncodedPrompt, Generator, sample
from avatargpt.lm.model import AvatarGPTConfig, AvatarGPTModel
from avatargpt.lm.shape import forward_flops
from avatargpt.train.runtime import Runtime
from avatargpt.train.throughput import peak_of

GOAL = 0.75  # of bare products, at every batch
# T5 v1.1's base, 248 million parameters
BASE = {"d_model": 768, "d_ff": 2048, "num_layers": 12, "num_heads": 12, "vocab_size": 32128}


def random_model(size: dict[str, int]) -> AvatarGPTModel:
    """Random weights, by default of the default size: decoding speed does not depend on what they say."""
    torch.manual_seed(0)
    body = {"codebook_size": 512, "levels": 4, "code_dim": 128}
    model = AvatarGPTModel(AvatarGPTConfig(modalities={"body": body}, grounding_dim=384, **size))
    model.set_codebooks("body", torch.randn(4, 512, 128), "benchmark")
    return model.eval()


def reencode(model: AvatarGPTModel, ids: Tensor, tokens: int, head: str) -> Tensor:
    """Encoder, whole decoder and both heads again for every token."""
    ids_so_far = torch.full((len(ids), 1), model.config.start_id(head), device=ids.device)
    codes = model.config.modality(head)["codebook_size"]
    for _ in range(tokens):
        states, mask = model.encode(ids)
        hidden = model.decoder(
            inputs_embeds=model.embed_decoder(ids_so_far), encoder_hidden_states=states, encoder_attention_mask=mask,
            use_cache=False,
        ).last_hidden_state
        both = torch.cat([model.lm_head(hidden), model.heads[head](hidden)], dim=-1)
        motion = both[:, -1, model.config.vocab_size :][:, :codes]
        token = sample(motion, torch.rand(len(ids), device=ids.device), 0.8, 50) + model.config.first_id(head)
        ids_so_far = torch.cat([ids_so_far, token[:, None]], dim=1)
    return ids_so_far


def hugging_face(model: AvatarGPTModel, ids: Tensor, tokens: int, head: str) -> Tensor:
    """`generate` with its dynamic cache."""
    return model.generate(
        ids, head=head, max_new_tokens=tokens, min_new_tokens=tokens, do_sample=True, temperature=0.8, top_k=50
    )


def own_loop(generator: Generator, ids: Tensor, tokens: int, head: str, samples: int = 1) -> Tensor:
    """The product's loop, prompt encoding included; with several samples, under guidance."""
    prompt: EncodedPrompt = generator.encode(ids)
    uncond, guidance = (None, 1.0) if samples == 1 else (generator.encode(ids), 2.0)
    return generator.decode(
        prompt, head, length=[tokens] * len(ids), samples=samples, uncond=uncond, guidance=guidance, temperature=0.8,
        top_k=50,
    ).ids


def weights_of(stack: Any, cross: bool) -> tuple[list[Tensor], list[Tensor]]:
    """The matrices of a stack that each position is multiplied with, and those of keys and values of the encoder."""
    out, once = [], []
    for block in stack.block:
        a, forward = block.layer[0].SelfAttention, block.layer[-1].DenseReluDense
        ups = [m.weight for name, m in forward.named_children() if name.startswith("wi")]
        out += [torch.cat([a.q.weight, a.k.weight, a.v.weight]), a.o.weight, torch.cat(ups), forward.wo.weight]
        if cross:
            x = block.layer[1].EncDecAttention
            out += [x.q.weight, x.o.weight]
            once.append(torch.cat([x.k.weight, x.v.weight]))
    return [w.detach().float() for w in out], [w.detach().float() for w in once]


def bare(
    generator: Generator, head: str, rows: int, tokens: int, inputs: int, dtype: torch.dtype
) -> Callable[[], None]:  # fmt: skip
    """The products of the weights of `tokens` steps of `rows` rows, and of the encoder's `inputs`."""
    encoder, _ = weights_of(generator.model.encoder, False)
    step, once = weights_of(generator.model.decoder, True)
    step.append(generator.engine.head(head).weight)

    def maps(weights: list[Tensor], many: bool, n: int) -> list[tuple[Map, Tensor]]:
        plain = partial(plain_map, dtype=dtype) if many else partial(make_map, many=rows >= MANY, dtype=dtype)
        return [(plain(w), torch.randn(n, w.shape[1], device=w.device).to(dtype)) for w in weights]

    first, each = maps([*encoder, *once], True, inputs), maps(step, False, rows)

    def run() -> None:
        for product, x in first:
            product(x)
        for _ in range(tokens):
            for product, x in each:
                product(x)

    return run


def measure(
    loops: dict[str, Callable[[], object]], rounds: int, device: torch.device
) -> dict[str, tuple[float, float]]:
    """Best seconds and CPU seconds of each loop, rounds interleaved."""
    best = dict.fromkeys(loops, (float("inf"), float("inf")))
    for _ in range(rounds):
        for name, loop in loops.items():
            start, spent = time.perf_counter(), time.process_time()
            loop()
            if device.type == "cuda":
                torch.cuda.synchronize(device)
            took = time.perf_counter() - start, time.process_time() - spent
            best[name] = min(best[name][0], took[0]), min(best[name][1], took[1])
    return best


def run(
    model: str | None = None, base: bool = False, device: str | None = None, head: str = "body", tokens: int = 49,
    prompt: int = 60, batches: str = "1,32", threads: int = 1, rounds: int = 4, others: bool = False,
) -> dict[str, Any]:
    """Measure; `prompt`: encoder tokens, `others`: the loops of others, too."""
    runtime = Runtime.start(threads, device)
    place, peak = runtime.device, peak_of(runtime)
    loaded = load_model(model, dtype=torch.float32) if model else random_model(BASE if base else {})
    torch.nn.Module.to(loaded, place)
    dtypes = {"float32": torch.float32} | ({"bfloat16": torch.bfloat16} if runtime.bf16 else {})
    generators = {name: Generator(loaded, dtype) for name, dtype in dtypes.items()}
    results: dict[str, dict[str, dict[str, float]]] = {}
    with torch.inference_mode():
        for batch, samples in [*((int(b), 1) for b in batches.split(",")), (1, 8)]:
            torch.manual_seed(batch)
            ids = torch.randint(2, loaded.config.vocab_size, (batch, prompt), device=place)
            loops: dict[str, Callable[[], object]] = {}
            if others and samples == 1:
                loops["no cache, both heads"] = partial(reencode, loaded, ids, tokens, head)
                loops["Hugging Face generate"] = partial(hugging_face, loaded, ids, tokens, head)
            for (name, dtype), generator in zip(dtypes.items(), generators.values(), strict=True):
                loops[f"own loop, {name}"] = partial(own_loop, generator, ids, tokens, head, samples)
                # guidance doubles rows and prompts
                rows, prompts = (batch, batch) if samples == 1 else (2 * batch * samples, 2 * batch)
                loops[f"bare products, {name}"] = bare(generator, head, rows, tokens, prompts * prompt, dtype)
            measure(loops, 1, place)  # warm-up
            count = batch * samples * tokens
            figures = {
                name: {"wall": count / wall, "cpu": count / cpu}
                for name, (wall, cpu) in measure(loops, rounds, place).items()
            }
            for name in dtypes:
                own, products = figures[f"own loop, {name}"], figures[f"bare products, {name}"]
                clock = "cpu" if place.type == "cpu" else "wall"
                own["of_bare_products"] = own[clock] / products[clock]
            if peak and samples == 1:
                flops = forward_flops(loaded.config, np.full(batch, prompt), np.full(batch, tokens), [head] * batch)
                own = figures["own loop, bfloat16"]
                own["mfu"] = flops * own["wall"] / count / (peak * 1e12)
            results[str(batch) if samples == 1 else f"{batch} x {samples}, guided"] = figures
    return {
        "device": torch.cuda.get_device_name(place) if place.type == "cuda" else "cpu", "threads": threads,
        "tokens": tokens, "prompt": prompt, "processor": torch.backends.cpu.get_cpu_capability(),
        "parameters": sum(p.numel() for p in loaded.parameters()), "goal": GOAL, "tokens_per_second": results,
    }  # fmt: skip
