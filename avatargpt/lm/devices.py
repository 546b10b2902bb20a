"""Devices: which can be used, and where bfloat16 is worth using."""

from __future__ import annotations

import platform
from functools import cache

import torch

from vqvae.errors import UserError


def check_device(device: str | None) -> str:
    """`device` itself where torch can compute on it; None = a GPU when there is one."""
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    here = ["cpu", *(f"cuda:{i}" for i in range(count)), *(["mps"] if torch.backends.mps.is_available() else [])]
    if device is None:
        return "cuda" if count else "cpu"
    try:
        chosen = torch.device(device)
    except RuntimeError:
        raise UserError(f"device {device}: unknown; accepted here: {', '.join(here)}") from None
    if (f"{chosen.type}:{chosen.index or 0}" if chosen.type == "cuda" else chosen.type) not in here:
        raise UserError(f"device {device}: none that this build of torch can use; accepted here: {', '.join(here)}")
    return device


# x86 below AVX-512 bf16 or AMX computes bfloat16 some ten times slower than float32.
def fast_bfloat16(device: torch.device | str = "cpu") -> bool:
    """Whether `device` multiplies in bfloat16 faster than in float32."""
    kind = torch.device(device).type
    if kind == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return _cpu() if kind == "cpu" else False


@cache
def _cpu() -> bool:
    # oneDNN computes bfloat16 on every x86 with AVX-512, but slowly without instructions for it.
    if platform.machine().lower() in ("x86_64", "amd64"):
        return torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


@cache
def packs_bfloat16() -> bool:
    """Whether oneDNN takes a weight reordered for bfloat16 on this CPU (AVX-512 without bf16 will do)."""
    try:
        torch.ops.mkldnn._reorder_linear_weight(torch.zeros(8, 8, dtype=torch.bfloat16), 8)
    except RuntimeError:
        return False
    return True
