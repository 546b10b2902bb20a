"""The text tokenizer as transformers keeps one: what `AutoTokenizer` makes of a folder's ``spiece.model``."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

from transformers import PreTrainedTokenizer

from avatargpt.lm.text_encoder import SPIECE, TextTokenizer


class AvatarGPTTokenizer(PreTrainedTokenizer):
    """`TextTokenizer`'s ids to the letter: NFKC, lower case, one space between words.

    A prompt has no end id, as in training; a target (``text_target=``) has one.

    Args:
        vocab_file: ``spiece.model`` of a model folder.

    Raises:
        UserError: no sentencepiece model.
    """

    vocab_files_names = {"vocab_file": SPIECE}
    model_input_names = ["input_ids", "attention_mask"]

    def __init__(self, vocab_file: str | os.PathLike[str], **kwargs: Any) -> None:
        self.vocab_file = str(vocab_file)
        self.text = TextTokenizer.load(Path(vocab_file).parent)
        self._pieces = self.text.processor
        self._target = False
        special = {"pad_token": "<pad>", "eos_token": "</s>", "unk_token": "<unk>"}
        super().__init__(**{**special, **kwargs})

    @property
    def vocab_size(self) -> int:
        """V, number of pieces."""
        return self.text.size

    def get_vocab(self) -> dict[str, int]:
        """Piece -> id."""
        return {self._pieces.id_to_piece(i): i for i in range(self.vocab_size)} | self.added_tokens_encoder

    def _tokenize(self, text: str, **kwargs: Any) -> list[str]:
        return [self._pieces.id_to_piece(i) for i in self.text.encode(text)]

    def _convert_token_to_id(self, token: str) -> int:
        return int(self._pieces.piece_to_id(token))

    def _convert_id_to_token(self, index: int) -> str:
        return str(self._pieces.id_to_piece(index))

    def convert_tokens_to_string(self, tokens: list[str]) -> str:
        """Pieces -> text."""
        return str(self._pieces.decode_pieces(tokens)).strip()

    def build_inputs_with_special_tokens(
        self, token_ids_0: list[int], token_ids_1: list[int] | None = None
    ) -> list[int]:
        """One or two texts behind one another; a target ends with the end id."""
        ids = [*token_ids_0, *(token_ids_1 or [])]
        return [*ids, int(self.eos_token_id)] if self._target else ids

    def _switch_to_input_mode(self) -> None:
        self._target = False

    def _switch_to_target_mode(self) -> None:
        self._target = True

    def save_vocabulary(self, save_directory: str, filename_prefix: str | None = None) -> tuple[str, ...]:
        """Copy ``spiece.model`` to a folder."""
        target = Path(save_directory) / (f"{filename_prefix}-{SPIECE}" if filename_prefix else SPIECE)
        if target.resolve() != Path(self.vocab_file).resolve():
            shutil.copyfile(self.vocab_file, target)
        return (str(target),)
