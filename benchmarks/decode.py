"""Motion tokens per second of the decode loop against a no-cache re-encode loop and Hugging Face `generate`.

    python benchmarks/decode.py [--model FOLDER] [--threads 1] [--tokens 49] [--batches 1,32] [--rounds 4]

The re-encode loop is how the AvatarGPT release decodes: for every token it runs the encoder and the whole decoder
again and computes the text head and the motion head at every position. All loops sample with temperature 0.8 and
top-k 50 (Hugging Face: its own sampler) from the same weights and prompts of about 60 tokens; each figure is the
best of as many rounds (bfloat16 only where the processor gains by it), and the rounds of all loops alternate, so that
a busy machine disturbs them alike.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable

import torch
from torch import Tensor

from avatargpt.decoding.generate import Generator, Prompt
from avatargpt.model.checkpoint import load_model
from avatargpt.model.config import AvatarGPTConfig
from avatargpt.model.model import AvatarGPTModel
from avatargpt.model.precision import fast_bfloat16
from avatargpt.model.sampling import sample


def default_model() -> AvatarGPTModel:
    """Random weights of the default size: decoding speed does not depend on what they say."""
    torch.manual_seed(0)
    body = {"codebook_size": 512, "levels": 4, "code_dim": 128}
    model = AvatarGPTModel(AvatarGPTConfig(modalities={"body": body}, grounding_dim=384))
    model.set_codebooks("body", torch.randn(4, 512, 128), "benchmark")
    return model.eval()


def reencode(model: AvatarGPTModel, ids: Tensor, tokens: int, head: str) -> Tensor:
    """Encoder, whole decoder and both heads again for every token."""
    said = torch.full((len(ids), 1), model.config.start_id(head))
    codes = model.config.modality(head)["codebook_size"]
    for _ in range(tokens):
        states, mask = model.encode(ids)
        hidden = model.decoder(
            inputs_embeds=model.embed_decoder(said), encoder_hidden_states=states, encoder_attention_mask=mask,
            use_cache=False,
        ).last_hidden_state
        both = torch.cat([model.lm_head(hidden), model.heads[head](hidden)], dim=-1)
        motion = both[:, -1, model.config.vocab_size :][:, :codes]
        token = sample(motion, torch.rand(len(ids)), 0.8, 50) + model.config.first_id(head)
        said = torch.cat([said, token[:, None]], dim=1)
    return said


def hugging_face(model: AvatarGPTModel, ids: Tensor, tokens: int, head: str) -> Tensor:
    """`generate` with its dynamic cache."""
    return model.generate(
        ids, head=head, max_new_tokens=tokens, min_new_tokens=tokens, do_sample=True, temperature=0.8, top_k=50
    )


def own(generator: Generator, ids: Tensor, tokens: int, head: str) -> Tensor:
    """The product's loop, prompt encoding included."""
    prompt: Prompt = generator.encode(ids)
    return generator.decode(prompt, head, length=[tokens] * len(ids), temperature=0.8, top_k=50).ids


def measure(loops: dict[str, Callable[[], Tensor]], rounds: int) -> dict[str, float]:
    """Best seconds of each loop, rounds interleaved."""
    best = dict.fromkeys(loops, float("inf"))
    for _ in range(rounds):
        for name, loop in loops.items():
            start = time.perf_counter()
            loop()
            best[name] = min(best[name], time.perf_counter() - start)
    return best


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", help="folder of a language model; default: random weights of the default size")
    parser.add_argument("--head", default="body")
    parser.add_argument("--tokens", type=int, default=49)
    parser.add_argument("--prompt", type=int, default=60, help="encoder tokens")
    parser.add_argument("--batches", default="1,32")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=4, help="of each loop; the best counts")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    model = load_model(args.model, dtype=torch.float32) if args.model else default_model()
    single, half = Generator(model), Generator(model, torch.bfloat16) if fast_bfloat16() else None
    results: dict[int, dict[str, float]] = {}
    with torch.inference_mode():
        for batch in (int(b) for b in args.batches.split(",")):
            torch.manual_seed(batch)
            ids = torch.randint(2, model.config.vocab_size, (batch, args.prompt))
            loops = {
                "no cache, both heads": lambda ids=ids: reencode(model, ids, args.tokens, args.head),
                "Hugging Face generate": lambda ids=ids: hugging_face(model, ids, args.tokens, args.head),
                "own loop, float32": lambda ids=ids: own(single, ids, args.tokens, args.head),
            }
            if half is not None:
                loops["own loop, bfloat16"] = lambda ids=ids, half=half: own(half, ids, args.tokens, args.head)
            for name in list(loops)[1:]:
                loops[name]()  # warm-up
            best = measure(loops, args.rounds)
            results[batch] = {name: batch * args.tokens / seconds for name, seconds in best.items()}
    if args.json:
        print(json.dumps({"threads": args.threads, "tokens": args.tokens, "tokens_per_second": results}))
        return
    print(f"{args.tokens} motion tokens, {args.prompt} prompt tokens, {args.threads} thread(s); tokens/s (ratio)")
    names = list(next(iter(results.values())))
    print(f"{'':24s}" + "".join(f"{f'batch {b}':>20s}" for b in results))
    for name in names:
        cells = (f"{r[name]:10.0f} ({r[name] / r[names[0]]:5.1f}x)" for r in results.values())
        print(f"{name:24s}" + "".join(f"{c:>20s}" for c in cells))


if __name__ == "__main__":
    main()
