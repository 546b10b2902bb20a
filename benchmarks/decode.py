"""Motion tokens per second of the decode loop, against its matrix products alone and other loops.

    python benchmarks/decode.py [--model FOLDER | --base] [--device cuda] [--threads 1] [--tokens 49] [--batches 1,32]

"Bare products" are the matrix products of a step's weights alone, nothing in between, in the loop's own layout; the
goal is 75 % of them at every batch. `mfu` is the share of a GPU's bfloat16 arithmetic (`avatargpt.train.throughput`).
With `--others`, "no cache" is how the AvatarGPT release decodes: for every token it runs the encoder and the whole
decoder again and computes the text head and the motion head at every position. All loops sample with temperature 0.8
and top-k 50 (Hugging Face: its own sampler) from the same weights and prompts; each figure is the best of as many
rounds (bfloat16 only where the processor has it), and the rounds of all loops alternate, so that a busy machine
disturbs them alike. CPU seconds stand beside: time of all threads, waiting left out.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from torch import Tensor

from avatargpt.lm.checkpoint import load_model
from avatargpt.lm.encoder import make_map
from avatargpt.lm.engine import MANY
from avatargpt.lm.generate import Generator, Prompt, sample
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


def greedy_loop(generator: Generator, ids: Tensor, tokens: int, head: str) -> Tensor:
    """The product's loop, prompt encoding included."""
    prompt: Prompt = generator.encode(ids)
    return generator.decode(prompt, head, length=[tokens] * len(ids), temperature=0.8, top_k=50).ids


def step_weights(generator: Generator, head: str) -> list[Tensor]:
    """The matrices that one step of the decoder reads, (out, in) float32 each."""
    out = []
    for block in generator.model.decoder.block:
        a, cross, forward = block.layer[0].SelfAttention, block.layer[1].EncDecAttention, block.layer[2].DenseReluDense
        out += [torch.cat([a.q.weight, a.k.weight, a.v.weight]), a.o.weight, cross.q.weight, cross.o.weight]
        out += [m.weight for m in forward.children() if isinstance(m, torch.nn.Linear)]
    return [*(w.detach().float() for w in out), generator.engine.head(head).weight]


def bare(weights: list[Tensor], batch: int, tokens: int, dtype: torch.dtype) -> Callable[[], None]:
    """The matrix products of `tokens` steps, as the loop lays the weights out."""
    maps = [
        (make_map(w, batch >= MANY, dtype), torch.randn(batch, w.shape[1], device=w.device).to(dtype)) for w in weights
    ]

    def run() -> None:
        for _ in range(tokens):
            for product, x in maps:
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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", help="folder of a language model; default: random weights of the default size")
    parser.add_argument("--base", action="store_true", help="random weights of T5-base's size")
    parser.add_argument("--device", help="cpu, cuda, ...; default: a GPU when there is one")
    parser.add_argument("--head", default="body")
    parser.add_argument("--tokens", type=int, default=49)
    parser.add_argument("--prompt", type=int, default=60, help="encoder tokens")
    parser.add_argument("--batches", default="1,32")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=4, help="of each loop; the best counts")
    parser.add_argument("--others", action="store_true", help="the loops of others, too")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    runtime = Runtime.start(args.threads, args.device)
    device, peak = runtime.device, peak_of(runtime)
    model = load_model(args.model, dtype=torch.float32) if args.model else random_model(BASE if args.base else {})
    torch.nn.Module.to(model, device)
    dtypes = {"float32": torch.float32} | ({"bfloat16": torch.bfloat16} if runtime.bf16 else {})
    generators = {name: Generator(model, dtype) for name, dtype in dtypes.items()}
    weights = step_weights(generators["float32"], args.head)
    results: dict[int, dict[str, dict[str, float]]] = {}
    with torch.inference_mode():
        for batch in (int(b) for b in args.batches.split(",")):
            torch.manual_seed(batch)
            ids = torch.randint(2, model.config.vocab_size, (batch, args.prompt), device=device)
            loops: dict[str, Callable[[], object]] = {}
            if args.others:
                loops["no cache, both heads"] = partial(reencode, model, ids, args.tokens, args.head)
                loops["Hugging Face generate"] = partial(hugging_face, model, ids, args.tokens, args.head)
            for name, dtype in dtypes.items():
                loops[f"own loop, {name}"] = partial(greedy_loop, generators[name], ids, args.tokens, args.head)
                loops[f"bare products, {name}"] = bare(weights, batch, args.tokens, dtype)
            measure(loops, 1, device)  # warm-up
            count = batch * args.tokens
            figures = {
                name: {"wall": count / wall, "cpu": count / cpu}
                for name, (wall, cpu) in measure(loops, args.rounds, device).items()
            }
            for name in dtypes:
                own, products = figures[f"own loop, {name}"], figures[f"bare products, {name}"]
                own["of_bare_products"] = own["wall"] / products["wall"]
            if peak:
                flops = forward_flops(
                    model.config, np.full(batch, args.prompt), np.full(batch, args.tokens), [args.head] * batch
                )
                own = figures["own loop, bfloat16"]
                own["mfu"] = flops * own["wall"] / count / (peak * 1e12)
            results[batch] = figures
    about = {
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu", "threads": args.threads,
        "tokens": args.tokens, "prompt": args.prompt,
        "step_megabytes": round(4 * sum(map(Tensor.numel, weights)) / 1e6, 1),
        "processor": torch.backends.cpu.get_cpu_capability(), "parameters": sum(p.numel() for p in model.parameters()),
    }  # fmt: skip
    if args.json:
        print(json.dumps({**about, "goal": GOAL, "tokens_per_second": results}, indent=1))
        return
    print(", ".join(f"{k} {v}" for k, v in about.items()))
    for batch, figures in results.items():
        print(f"batch {batch}: tokens per second, per CPU second")
        for name, row in figures.items():
            further = "".join(f", {k.replace('_', ' ')} {row[k]:.2f}" for k in ("of_bare_products", "mfu") if k in row)
            print(f"  {name:24s}{row['wall']:10.0f}{row['cpu']:10.0f}{further}")
    print(f"goal: own loops at {GOAL:.2f} of bare products")


if __name__ == "__main__":
    main()
