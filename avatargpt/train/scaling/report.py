"""The plan of a training as figures and as tables; the tables of docs/scaling.md come from here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import takewhile
from typing import Any

from avatargpt import resources
from avatargpt.train.scaling.compute import TYPICAL, training_token
from avatargpt.train.scaling.duration import CORPORA, duration, own_tokens
from avatargpt.train.scaling.hardware import UTILISATION, gpu
from avatargpt.train.scaling.memory import SPLITS, activations, states
from avatargpt.train.scaling.parameters import PARTS, count
from avatargpt.train.scaling.shapes import BASES, Planned, planned
from vqvae.errors import UserError

GIB = 1 << 30
FLEETS = (1, 8)
OPENS, CLOSES, END = "<!-- table ", " -->", "<!-- end -->"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Markdown; all columns but the first flush right."""
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def figures(plan: Planned, gpus: int, gpu_name: str, tokens: float | None = None) -> dict[str, Any]:
    """Everything that is known of a plan beforehand.

    Args:
        tokens: to be trained on, read and spoken; None = those of the configuration's steps.

    Raises:
        UserError: an accelerator that is not in the table.
    """
    device, found = gpu(gpu_name), count(plan)
    budget, rows = tokens or own_tokens(plan), -(-plan.recipe.train.batch // gpus // plan.recipe.train.accumulate)
    splits: list[dict[str, Any]] = []
    for stage, offload in SPLITS:
        memory = states(plan, found, stage, gpus, offload)
        entry: dict[str, Any] = {
            "zero": stage, "offload": offload, "weights": memory.weights, "gradients": memory.gradients,
            "optimizer": memory.optimizer, "host": memory.host,
        }  # fmt: skip
        for name, recompute in (("plain", False), ("checkpointing", True)):
            entry[name] = memory.accelerator + activations(plan, rows, checkpointing=recompute)
        splits.append({**entry, "fits": entry["plain"] <= device.memory})
    work = {"this configuration" if tokens is None else "--tokens": budget, **{c.name: c.tokens for c in CORPORA}}
    fleets = sorted({gpus, *FLEETS})
    spent = [
        {"data": name, "tokens": some, "gpus": n, "hours": d.hours, "dollars": d.dollars}
        for name, some in work.items() for n in fleets for d in [duration(plan, some, device, n)]
    ]  # fmt: skip
    return {
        "shape": plan.base, "gpu": device.name, "gpus": gpus, "utilisation": UTILISATION, "rows": rows,
        "source": TYPICAL.source, "target": TYPICAL.target, "parts": found.parts, "parameters": found.total,
        "lora": found.lora, "trained": found.trained, "flops_per_token": training_token(plan),
        "flops_per_token_checkpointing": training_token(plan, checkpointing=True), "memory": splits, "time": spent,
    }  # fmt: skip


def rendered(found: dict[str, Any]) -> str:
    """What `figures` found, for people."""
    parts = [[PARTS[k], f"{v / 1e6:.2f}"] for k, v in found["parts"].items()]
    parts += [["all", f"{found['parameters'] / 1e6:.2f}"], ["trained", f"{found['trained'] / 1e6:.2f}"]]
    memory = [_memory_row(m) for m in found["memory"]]
    time = [
        [t["data"], f"{t['tokens'] / 1e6:,.0f}", str(t["gpus"]), _hours(t["hours"]), f"{t['dollars']:,.0f}"]
        for t in found["time"]
    ]
    return "\n\n".join([
        f"Shape of {found['shape']}; examples of {found['source']} tokens read and {found['target']} spoken; "
        f"{found['gpu']}, {found['utilisation']:.0%} of its peak.",
        table(["parameters", "millions"], parts),
        f"Training takes {found['flops_per_token'] / 1e9:.2f} GFLOP per token, with activation checkpointing "
        f"{found['flops_per_token_checkpointing'] / 1e9:.2f}.",
        f"GiB of one of {found['gpus']} processes, {found['rows']} rows at a time:",
        table(MEMORY_HEAD, memory),
        table(["data", "million tokens", "GPUs", "hours", "US dollars"], time),
    ])  # fmt: skip


MEMORY_HEAD = [
    "split", "weights", "gradients", "optimizer", "host memory", "with activations", "with checkpointing", "fits",
]  # fmt: skip


def _memory_row(entry: dict[str, Any]) -> list[str]:
    name = f"ZeRO-{entry['zero']}" + (", offloaded" if entry["offload"] else "") if entry["zero"] else "none"
    sizes = ("weights", "gradients", "optimizer", "host", "plain", "checkpointing")
    return [name, *(f"{entry[k] / GIB:.2f}" for k in sizes), "yes" if entry["fits"] else "no"]


def _hours(hours: float) -> str:
    return f"{hours:,.1f}" if hours >= 1 else f"{hours:.2f}"


def document() -> dict[str, str]:
    """The tables of docs/scaling.md by name."""
    unified = str(resources.configs() / "language" / "unified.yaml")
    plans = {name: planned(unified, name) for name in BASES}
    sizes = []
    for name, plan in plans.items():
        one = count(plan)
        stacks, words = (sum(one.parts[k] for k in keys) for keys in (("encoder", "decoder"), ("shared", "lm_head")))
        numbers = (one.total, stacks, words, one.total - stacks - words, one.trained)
        sizes.append([name, *(f"{n / 1e6:.1f}" for n in numbers), f"{training_token(plan) / 1e9:.2f}"])
    kinds = [(g, n) for g in ("a100", "h100") for n in FLEETS]
    spent = []
    for name, plan in plans.items():
        for corpus in CORPORA:
            cells = [duration(plan, corpus.tokens, gpu(g), n) for g, n in kinds]
            spent.append([f"{name}, {corpus.name}", *(f"{_hours(d.hours)} h, ${d.dollars:,.0f}" for d in cells)])
    head = ["T5", "all", "stacks", "text table and head", "added", "trained", "GFLOP per token"]
    memory = {
        f"memory {name} on {n}": table(MEMORY_HEAD, [_memory_row(m) for m in figures(plan, n, "a100")["memory"]])
        for name, plan in plans.items() for n in FLEETS
    }  # fmt: skip
    corpora = [[c.name, f"{c.hours:g}", f"{c.clips:,}", f"{c.texts:,}", f"{c.tokens / 1e6:,.0f}", c.source]
               for c in CORPORA]  # fmt: skip
    return {
        "parameters": table(head, sizes),
        **memory,
        "corpora": table(["corpus", "hours", "clips", "descriptions", "million tokens", "source"], corpora),
        "time": table(["T5, data", *(f"{n} x {gpu(g).name}" for g, n in kinds)], spent),
    }


def filled(page: str, tables: Mapping[str, str]) -> str:
    """A page with its tables anew, each between the lines ``<!-- table NAME -->`` and ``<!-- end -->``.

    Raises:
        UserError: a table that there is not.
    """
    out, lines = [], iter(page.splitlines())
    for line in lines:
        out.append(line)
        if not (line.startswith(OPENS) and line.endswith(CLOSES)):
            continue
        name = line.removeprefix(OPENS).removesuffix(CLOSES)
        if name not in tables:
            raise UserError(f"table {name!r}; accepted: {', '.join(tables)}")
        for _ in takewhile(lambda old: old != END, lines):
            pass
        out += [tables[name], END]
    return "\n".join(out) + "\n"
