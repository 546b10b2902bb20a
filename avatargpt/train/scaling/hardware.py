"""Accelerators, and how much of what they promise a training gets."""

from __future__ import annotations

from dataclasses import dataclass

from vqvae.errors import UserError

UTILISATION = 0.3
"""Share of the peak that a training reaches: an assumption, below what is published of large decoders (0.46 of PaLM,
arXiv 2204.02311, table 3), since T5's attention here is not fused and sequences are short."""


@dataclass(frozen=True)
class Gpu:
    """One accelerator.

    Attributes:
        name: as its maker calls it.
        peak: dense FLOP/s in 16 bits, without sparsity, of the maker's data sheet.
        memory: bytes.
        price: US dollars an hour: an order of magnitude of what it is lent for by the hour, to be replaced by your own.
    """

    name: str
    peak: float
    memory: int
    price: float


GPUS = {
    "t4": Gpu("NVIDIA T4", 65e12, 16 << 30, 0.4),
    "v100": Gpu("NVIDIA V100 SXM2", 125e12, 32 << 30, 0.8),
    "rtx4090": Gpu("NVIDIA RTX 4090", 165e12, 24 << 30, 0.5),
    "l40s": Gpu("NVIDIA L40S", 362e12, 48 << 30, 1.2),
    "a100": Gpu("NVIDIA A100 SXM 80 GB", 312e12, 80 << 30, 1.8),
    "h100": Gpu("NVIDIA H100 SXM", 989e12, 80 << 30, 3.0),
    "h200": Gpu("NVIDIA H200 SXM", 989e12, 141 << 30, 3.8),
}


def gpu(name: str) -> Gpu:
    """The accelerator of a name.

    Raises:
        UserError: one that is not in the table.
    """
    if name.lower() not in GPUS:
        raise UserError(f"--gpu {name}: accepted: {', '.join(GPUS)}")
    return GPUS[name.lower()]
