"""Motion tokens per second of the decode loop against a no-cache re-encode loop and Hugging Face `generate`.

    python benchmarks/decode.py [--model FOLDER | --base] [--threads 1] [--tokens 49] [--batches 1,32] [--rounds 4]

The re-encode loop is how the AvatarGPT release decodes: for every token it runs the encoder and the whole decoder
again and computes the text head and the motion head at every position. All loops sample with temperature 0.8 and
top-k 50 (Hugging Face: its own sampler) from the same weights and prompts of about 60 tokens; each figure is the
best of as many rounds (bfloat16 only where the processor has it), and the rounds of all loops alternate, so that a busy
machine disturbs them alike. CPU seconds stand beside: time of all threads, waiting left out.

"Roofline" is what no loop with float32 weights can exceed: the weights that a step reads, over the bandwidth with which
this machine reads memory (or, where they fit its caches, the caches), measured in the same run; "bare products" are the
step's matrix products alone, over the same weights, nothing in between. At many rows arithmetic binds, not reading.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable

import torch
from torch import Tensor

from avatargpt.lm.checkpoint import load_model
from avatargpt.lm.devices import fast_bfloat16
from avatargpt.lm.encoder import make_map
from avatargpt.lm.engine import MANY
from avatargpt.lm.generate import Generator, Prompt, sample
from avatargpt.lm.model import AvatarGPTConfig, AvatarGPTModel

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
    ids_so_far = torch.full((len(ids), 1), model.config.start_id(head))
    codes = model.config.modality(head)["codebook_size"]
    for _ in range(tokens):
        states, mask = model.encode(ids)
        hidden = model.decoder(
            inputs_embeds=model.embed_decoder(ids_so_far), encoder_hidden_states=states, encoder_attention_mask=mask,
            use_cache=False,
        ).last_hidden_state
        both = torch.cat([model.lm_head(hidden), model.heads[head](hidden)], dim=-1)
        motion = both[:, -1, model.config.vocab_size :][:, :codes]
        token = sample(motion, torch.rand(len(ids)), 0.8, 50) + model.config.first_id(head)
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
    engine = generator.engine
    layers = [w for layer in engine.weights for w in layer if w is not None]
    return [*layers, engine.head(head).weight]


def bandwidth(count: int) -> float:
    """Bytes per second of reading `count` bytes again and again on the given threads."""
    numbers = torch.ones(count // 4)
    numbers.sum()
    best = float("inf")
    for _ in range(5):
        start = time.perf_counter()
        for _ in range(3):
            numbers.sum()
        best = min(best, (time.perf_counter() - start) / 3)
    return count / best


def bare(weights: list[Tensor], batch: int, tokens: int) -> Callable[[], None]:
    """The matrix products of `tokens` steps, as the loop lays the weights out."""
    maps = [(make_map(w, batch >= MANY, torch.float32), torch.randn(batch, w.shape[1])) for w in weights]

    def run() -> None:
        for _ in range(tokens):
            for product, x in maps:
                product(x)

    return run


def measure(loops: dict[str, Callable[[], object]], rounds: int) -> dict[str, tuple[float, float]]:
    """Best seconds and CPU seconds of each loop, rounds interleaved."""
    best = dict.fromkeys(loops, (float("inf"), float("inf")))
    for _ in range(rounds):
        for name, loop in loops.items():
            start, spent = time.perf_counter(), time.process_time()
            loop()
            took = time.perf_counter() - start, time.process_time() - spent
            best[name] = min(best[name][0], took[0]), min(best[name][1], took[1])
    return best


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", help="folder of a language model; default: random weights of the default size")
    parser.add_argument("--base", action="store_true", help="random weights of T5-base's size")
    parser.add_argument("--head", default="body")
    parser.add_argument("--tokens", type=int, default=49)
    parser.add_argument("--prompt", type=int, default=60, help="encoder tokens")
    parser.add_argument("--batches", default="1,32")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=4, help="of each loop; the best counts")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    model = load_model(args.model, dtype=torch.float32) if args.model else random_model(BASE if args.base else {})
    single, half = Generator(model), Generator(model, torch.bfloat16) if fast_bfloat16() else None
    weights = step_weights(single, args.head)
    count = 4 * sum(w.numel() for w in weights)
    speed = bandwidth(count)
    results: dict[int, dict[str, dict[str, float]]] = {}
    with torch.inference_mode():
        for batch in (int(b) for b in args.batches.split(",")):
            torch.manual_seed(batch)
            ids = torch.randint(2, model.config.vocab_size, (batch, args.prompt))
            loops: dict[str, Callable[[], object]] = {
                "no cache, both heads": lambda ids=ids: reencode(model, ids, args.tokens, args.head),
                "Hugging Face generate": lambda ids=ids: hugging_face(model, ids, args.tokens, args.head),
                "own loop, float32": lambda ids=ids: greedy_loop(single, ids, args.tokens, args.head),
                "bare products, float32": bare(weights, batch, args.tokens),
            }
            if half is not None:
                loops["own loop, bfloat16"] = lambda ids=ids, half=half: greedy_loop(half, ids, args.tokens, args.head)
            for name in list(loops)[1:]:
                loops[name]()  # warm-up
            count = batch * args.tokens
            results[batch] = {
                name: {"wall": count / wall, "cpu": count / cpu}
                for name, (wall, cpu) in measure(loops, args.rounds).items()
            }
            results[batch]["roofline, float32"] = {"wall": batch * speed / count}
    about = {
        "threads": args.threads, "tokens": args.tokens, "prompt": args.prompt, "step_megabytes": round(count / 1e6, 1),
        "read_gigabytes_per_second": round(speed / 1e9, 1), "processor": torch.backends.cpu.get_cpu_capability(),
        "parameters": sum(p.numel() for p in model.parameters()),
    }  # fmt: skip
    if args.json:
        print(json.dumps({**about, "tokens_per_second": results}, indent=1))
        return
    print(", ".join(f"{k} {v}" for k, v in about.items()))
    print("tokens per wall second (ratio), per CPU second")
    names = list(next(iter(results.values())))
    print(f"{'':24s}" + "".join(f"{f'batch {b}':>32s}" for b in results))
    for name in names:
        cells = []
        for r in results.values():
            cpu = f"{r[name]['cpu']:10.0f}" if "cpu" in r[name] else " " * 10
            cells.append(f"{r[name]['wall']:10.0f} ({r[name]['wall'] / r[names[0]]['wall']:5.1f}x){cpu}")
        print(f"{name:24s}" + "".join(f"{c:>32s}" for c in cells))


if __name__ == "__main__":
    main()
