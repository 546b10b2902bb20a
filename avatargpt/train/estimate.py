"""An estimate of a training before it begins, `avatargpt info --plan`: parameters, memory, hours and cost.

Memory: weights in float32 with a bfloat16 copy of the matrices, gradients, and the optimizer's numbers; ZeRO (arXiv
1910.02054, figure 1) divides the optimizer's state among the processes from stage 1 on, gradients from 2, weights at 3,
and adds a float32 copy of the trained weights.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from avatargpt.config import resolve
from avatargpt.lm.network import LanguageNetwork
from avatargpt.lm.shape import TEXT, NetworkShape, forward_flops
from avatargpt.train.language import LanguageRecipe
from avatargpt.train.optimizers import blocks
from vqvae.errors import UserError
from vqvae.io.data_files import read_object

SOURCE, TARGET = 64, 40  # tokens of an example, read and written; typical of clips of 6 to 8 s
UTILISATION = 0.3  # share of the peak: below that of large decoders (0.46 of PaLM, arXiv 2204.02311), T5 is not fused
GIB, FLOAT, HALF = 1 << 30, 4, 2


def _t5(d_model: int, d_ff: int, layers: int, heads: int, form: str = "relu") -> dict[str, Any]:
    return {
        "d_model": d_model, "d_ff": d_ff, "num_layers": layers, "num_decoder_layers": layers, "num_heads": heads,
        "d_kv": 64, "vocab_size": 32128, "feed_forward_proj": form, "dropout_rate": 0.1,
    }  # fmt: skip


# config.json of these checkpoints: T5 1.0 (arXiv 1910.10683, section 3.7), Flan-T5 (arXiv 2210.11416)
BASES: Mapping[str, dict[str, Any]] = {
    "t5-small": _t5(512, 2048, 6, 8), "t5-base": _t5(768, 3072, 12, 12), "t5-large": _t5(1024, 4096, 24, 16),
    "flan-t5-base": _t5(768, 2048, 12, 12, "gated-gelu"),
}  # fmt: skip

# name, dense FLOP/s in 16 bits (data sheet), GiB, US dollars an hour (order of magnitude)
GPUS = {
    "t4": ("NVIDIA T4", 65e12, 16, 0.4), "v100": ("NVIDIA V100 SXM2", 125e12, 32, 0.8),
    "rtx4090": ("NVIDIA RTX 4090", 165e12, 24, 0.5), "l40s": ("NVIDIA L40S", 362e12, 48, 1.2),
    "a100": ("NVIDIA A100 SXM 80 GB", 312e12, 80, 1.8), "h100": ("NVIDIA H100 SXM", 989e12, 80, 3.0),
    "h200": ("NVIDIA H200 SXM", 989e12, 141, 3.8),
}  # fmt: skip


def read_plan(address: str, base: str | None) -> tuple[LanguageRecipe, dict[str, Any], str]:
    """A configuration of the language stage, the fields of its network, and where these come from: a name of `BASES`,
    a folder with a config.json, or (None) the configuration itself, flan-t5-base where it has no shape."""
    recipe = LanguageRecipe.read(resolve(address), address)
    fields = recipe.model.model_dump(exclude_none=True)
    if base is None and "d_model" in fields:
        return recipe, fields, address
    base = base or "flan-t5-base"
    if base not in BASES and not (Path(base) / "config.json").is_file():
        raise UserError(f"--base {base}: accepted: {', '.join(BASES)}, or a folder with a config.json")
    below = BASES.get(base) or read_object(Path(base) / "config.json")
    modalities = {**(below.get("modalities") or {}), **(fields.get("modalities") or {})}
    return recipe, {**below, **fields, "modalities": modalities}, base


def count_parameters(recipe: LanguageRecipe, shape: NetworkShape) -> dict[str, int]:
    """Parameters of the network (``total``), of those trained, of LoRA's updates, of matrices, of those Muon trains."""
    # No memory is allocated: parameters of large models are counted as well.
    with torch.device("meta"):
        network = LanguageNetwork(shape)
    parts: Counter[str] = Counter()
    for name, parameter in network.named_parameters():
        parts[name.partition(".")[0]] += parameter.numel()
    total, matrices = sum(parts.values()), sum(p.numel() for p in blocks(network))
    stacks = [(n, m) for n, m in network.named_modules() if n.startswith(("encoder.", "decoder."))]
    lora = sum(
        recipe.lora.r * (module.in_features + module.out_features) for name, module in stacks
        if recipe.lora and isinstance(module, torch.nn.Linear) and name.rpartition(".")[2] in recipe.lora.targets
    )  # fmt: skip
    trained = total + lora - (parts["encoder"] + parts["decoder"] + parts["shared"] if recipe.lora else 0)
    trained -= 0 if recipe.train.refiner_weight else parts["refiners"]
    trained = parts["refiners"] if recipe.train.refiner_only else trained
    muon = matrices if recipe.train.optimizer == "muon" and not (recipe.lora or recipe.train.refiner_only) else 0
    return {"total": total, "trained": trained, "lora": lora, "matrices": matrices, "muon": muon}


def activation_bytes(shape: NetworkShape, dropout: bool, rows: int, checkpointing: bool) -> float:
    """Bytes that autograd saves of T5 without fused attention, logits (half of the rows in words) included."""
    d, inner, heads, gated = shape.d_model, shape.num_heads * shape.d_kv, shape.num_heads, shape.is_gated_act
    wide, scores = (4 + 10 * gated + 2 * dropout) * shape.d_ff, 6 + 4 * dropout
    encoder = SOURCE * ((24 + 2 * gated + 4 * dropout) * d + 8 * inner + wide + scores * heads * SOURCE)
    # Attention of the decoder over the encoder's states.
    across = (2 + 4 * dropout) * heads * SOURCE + 4 * (inner + d) * SOURCE / TARGET
    decoder = TARGET * ((34 + 2 * gated + 6 * dropout) * d + 12 * inner + wide + scores * heads * TARGET + across)
    layers = shape.num_decoder_layers or shape.num_layers
    saved = shape.num_layers * encoder + layers * decoder
    if checkpointing:  # the inputs of all layers, and one layer in full
        saved = FLOAT * d * (shape.num_layers * SOURCE + layers * TARGET) + max(encoder, decoder)
    return rows * (saved + (2 * HALF + 2 * FLOAT) * TARGET * shape.vocab_size / 2)


def estimate(
    address: str, base: str | None = None, gpus: int = 1, gpu: str = "a100", tokens: float | None = None
) -> dict[str, Any]:
    """Figures of a training on `gpus` accelerators; bytes are those of one process, by ZeRO stage. `tokens`: read and
    written in training; None = those of the configuration's steps.
    """
    recipe, fields, source = read_plan(address, base)
    train, shape = recipe.train, NetworkShape.of(fields)
    if train.batch % gpus:
        raise UserError(f"{address}: train: batch: {train.batch} on --gpus {gpus}; accepted: what divides the batch")
    if gpu.lower() not in GPUS:
        raise UserError(f"--gpu {gpu}: accepted: {', '.join(GPUS)}")
    (device, peak, size, price), n = GPUS[gpu.lower()], count_parameters(recipe, shape)
    rows = -(-train.batch // gpus // train.accumulate)
    activations = activation_bytes(shape, bool(fields.get("dropout_rate")), rows, train.checkpointing)
    weights, copies = FLOAT * (n["total"] + n["lora"]), HALF * n["matrices"]
    gradients, adam = FLOAT * n["trained"], FLOAT * (2 * n["trained"] - n["muon"])
    shared = (adam + gradients) / gpus
    memory = []
    for stage, w, g, o in (  # at stages 1 and 2 the trainer holds all gradients twice while it hands them to DeepSpeed
        (0, weights, gradients, adam), (1, weights, 2 * gradients, shared),
        (2, weights, gradients * (1 + 1 / gpus), shared), (3, weights / gpus, gradients / gpus, shared),
    ):  # fmt: skip
        row = {"weights": w + copies, "gradients": g, "optimizer": o, "activations": activations}
        memory.append({"zero": stage, **row, "fits": sum(row.values()) <= size * GIB})
    lengths, motion = (np.array([SOURCE]), np.array([TARGET])), [h for h in shape.heads if h != TEXT]
    forward = [forward_flops(shape, *lengths, [h]) for h in (TEXT, *motion)]
    mean = (forward[0] + float(np.mean(forward[1:]))) / 2 if motion else forward[0]
    # Backward takes twice a forward pass; with LoRA no weight gradients are needed, checkpointing repeats the forward
    # one.
    passes = 1 if train.refiner_only else (2 if recipe.lora else 3) + train.checkpointing
    per_token = passes * mean / (SOURCE + TARGET)
    budget = tokens or train.end * train.batch * (SOURCE + TARGET)
    hours = budget * per_token / (gpus * peak * UTILISATION) / 3600
    return {
        "shape": source, "gpu": device, "gpus": gpus, "rows": rows, "parameters": n["total"], "lora": n["lora"],
        "trained": n["trained"], "flops_per_token": per_token, "memory": memory, "tokens": budget, "hours": hours,
        "dollars": hours * gpus * price,
    }  # fmt: skip


def render_text(f: Mapping[str, Any]) -> str:
    """An estimate as text."""
    lines = [
        f"network: {f['shape']}, {f['parameters'] / 1e6:.1f} million parameters, {f['trained'] / 1e6:.1f} trained",
        f"arithmetic: {f['flops_per_token'] / 1e9:.2f} GFLOP per token ({SOURCE} read, {TARGET} written)",
        f"time: {f['tokens'] / 1e6:,.0f} million tokens, {f['hours']:.2f} hours on {f['gpus']} x {f['gpu']} at "
        f"{UTILISATION:.0%} of the peak, {f['dollars']:,.0f} US dollars",
        f"memory of one process in GiB, {f['rows']} rows at a time:",
    ]
    for row in f["memory"]:
        name = f"ZeRO-{row['zero']}" if row["zero"] else "plain"
        sizes = ", ".join(f"{k} {row[k] / GIB:.2f}" for k in ("weights", "gradients", "optimizer", "activations"))
        lines.append(f"  {name}: {sizes}; {'fits' if row['fits'] else 'does not fit'}")
    return "\n".join(lines)
