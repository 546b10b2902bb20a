"""AvatarGPT: one instruction-tuned model that understands and generates human motion.

>>> from avatargpt import AvatarGPT
>>> model = AvatarGPT.from_pretrained()          # the packaged weights
>>> motion = model.generate("a person waves")[0]
>>> motion.save("wave.npz")

`AvatarGPT` and `Motion` are loaded on first use, so that importing the package costs nothing.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from avatargpt.api import AvatarGPT
    from avatargpt.export.avatar import AvatarMotion
    from vqvae.errors import UserError
    from vqvae.motion import Motion

__version__ = "0.3.0"
__all__ = ["AvatarGPT", "AvatarMotion", "Motion", "UserError", "__version__"]

_LAZY = {
    "AvatarGPT": "avatargpt.api", "AvatarMotion": "avatargpt.export.avatar", "Motion": "vqvae.motion",
    "UserError": "vqvae.errors",
}  # fmt: skip


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module 'avatargpt' has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module(_LAZY[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
