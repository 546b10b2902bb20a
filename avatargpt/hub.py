"""AvatarGPT's folders for transformers: ``import avatargpt.hub``, and `AutoConfig`, `AutoModel`,
`AutoModelForSeq2SeqLM` and `AutoTokenizer` open them.

>>> import avatargpt.hub
>>> from transformers import AutoModelForSeq2SeqLM
>>> model = AutoModelForSeq2SeqLM.from_pretrained("runs/model")

Importing `avatargpt` alone registers nothing, since transformers takes seconds to import.
"""

from __future__ import annotations

from transformers import AutoConfig, AutoModel, AutoModelForSeq2SeqLM, AutoTokenizer

from avatargpt.lm.config import AvatarGPTConfig
from avatargpt.lm.hub_tokenizer import AvatarGPTTokenizer
from avatargpt.lm.model import AvatarGPTModel

__all__ = ["AvatarGPTConfig", "AvatarGPTModel", "AvatarGPTTokenizer", "register"]


def register() -> None:
    """Make the Auto classes of transformers know ours; done once when this module is imported."""
    AutoConfig.register(AvatarGPTConfig.model_type, AvatarGPTConfig, exist_ok=True)
    AutoModel.register(AvatarGPTConfig, AvatarGPTModel, exist_ok=True)
    AutoModelForSeq2SeqLM.register(AvatarGPTConfig, AvatarGPTModel, exist_ok=True)
    AutoTokenizer.register(AvatarGPTConfig, AvatarGPTTokenizer, exist_ok=True)


register()
