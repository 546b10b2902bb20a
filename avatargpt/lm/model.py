"""The language model as a transformers model, for training and for the Hub: configuration, model, tokenizer.

Importing this module registers the classes with `AutoConfig`, `AutoModel`, `AutoModelForSeq2SeqLM` and `AutoTokenizer`:

>>> import avatargpt.lm.model
>>> from transformers import AutoModelForSeq2SeqLM
>>> model = AutoModelForSeq2SeqLM.from_pretrained("runs/model")

Use of a model goes through `avatargpt.lm.network`, because transformers takes seconds to import.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from huggingface_hub.dataclasses import strict
from torch import Tensor, nn
from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForSeq2SeqLM,
    AutoTokenizer,
    PreTrainedTokenizer,
    T5Config,
    T5ForConditionalGeneration,
)
from transformers import initialization as init
from transformers.modeling_outputs import (
    BaseModelOutput,
    BaseModelOutputWithPastAndCrossAttentions,
    Seq2SeqLMOutput,
)

from avatargpt.lm import flat
from avatargpt.lm.fused import stack
from avatargpt.lm.network import TIED, CodeAdapter, Extra, Heads, Network
from avatargpt.lm.shape import IGNORED, TEXT, NetworkShape, Shape, read_small
from avatargpt.lm.text_encoder import SPIECE, TextTokenizer

# arguments of `from_pretrained` that locate a file
LOCATION = ("cache_dir", "force_download", "local_files_only", "token", "revision", "subfolder")


@strict
class AvatarGPTConfig(Shape, T5Config):
    """A T5 configuration plus the modalities the model knows."""

    model_type = "avatargpt"

    vocab_size: int = NetworkShape.vocab_size
    d_model: int = NetworkShape.d_model
    d_kv: int = NetworkShape.d_kv
    d_ff: int = NetworkShape.d_ff
    num_layers: int = NetworkShape.num_layers
    num_heads: int = NetworkShape.num_heads
    dropout_rate: float | int = 0.0
    feed_forward_proj: str = NetworkShape.feed_forward_proj
    # Name -> ``{"codebook_size": K, "levels": R, "code_dim": C}`` and, for a residual decoder of another size,
    # ``refiner_dim``, ``refiner_layers``, ``refiner_heads``. ``first_id``, the start of the modality's block in the id
    # space, is filled in here and then stays: adding a modality later moves no id
    modalities: dict[str, Any] | None = None
    # Modality -> fingerprint of the tokenizer whose codebooks the model carries
    fingerprints: dict[str, Any] | None = None
    # Width of the frozen sentence encoder's token states; 0 = no grounding
    grounding_dim: int = NetworkShape.grounding_dim
    # Further encoder inputs that come as vectors (speech, ...): name -> width
    extra_inputs: dict[str, Any] | None = None
    # Rows of the table of remaining motion tokens (0 = off): 32 exact, then logarithmic up to 512, the last row =
    # unknown
    countdown_buckets: int = NetworkShape.countdown_buckets
    # refiner_dim, refiner_layers, refiner_heads: the residual decoder
    refiner_dim: int = NetworkShape.refiner_dim
    refiner_layers: int = NetworkShape.refiner_layers
    refiner_heads: int = NetworkShape.refiner_heads

    def __post_init__(self, **kwargs: Any) -> None:
        self._complete()
        if kwargs.get("decoder_start_token_id") is None:
            kwargs["decoder_start_token_id"] = self.pad_token_id  # as every T5
        if kwargs.get("attn_implementation") is None:
            kwargs["attn_implementation"] = "eager"  # fastest here on CPU, and the only one with a position bias
        super().__post_init__(**kwargs)


def eight_bits(
    name: str | os.PathLike[str] | None, options: Mapping[str, Any]
) -> tuple[dict[str, torch.Tensor], AvatarGPTConfig] | None:
    """Float32 weights and configuration of a folder or Hub repository in eight bits; None for other weights."""
    if name is None or options.get("state_dict") is not None:
        return None
    from transformers.utils import cached_file

    from vqvae.io.tensors import raise_weights

    places = {k: options[k] for k in LOCATION if options.get(k) is not None}
    optional = {"_raise_exceptions_for_missing_entries": False, "_raise_exceptions_for_connection_errors": False}
    state = read_small(lambda file: cached_file(name, file, **places, **optional))
    if state is None:
        return None
    config = options.get("config")
    if not isinstance(config, AvatarGPTConfig):
        config = AvatarGPTConfig.from_pretrained(name if config is None else config, **places)
    return raise_weights(state), config


@dataclass
class AvatarGPTOutput(Seq2SeqLMOutput):
    """Output of `forward`, with two fields besides the usual ones.

    `token_loss` (B, L): cross-entropy of every label in nats, 0 where it is ignored; `hidden` (B, L, d_model): last
    decoder states.
    """

    token_loss: Tensor | None = None
    hidden: Tensor | None = None


class AvatarGPTModel(Network, T5ForConditionalGeneration):
    """T5 with a code adapter and an untied head per modality.

    Ids share one space (see `AvatarGPTConfig`); `head` selects the block that the decoder may choose from, other logits
    are -inf. Shapes: B batch, L length, R residual levels, K codes, V text ids.
    """

    config_class = AvatarGPTConfig
    config: AvatarGPTConfig
    accepts_loss_kwargs = False  # of transformers' Trainer: it divides the losses of a step's parts itself
    _tied_weights_keys = dict.fromkeys(TIED, "shared.weight")  # the text head is its own here

    def __init__(self, config: AvatarGPTConfig) -> None:
        super().__init__(config)
        self._add_parts(config)
        self.post_init()

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: Any, *args: Any, **kwargs: Any) -> Any:
        """As of transformers, also for weights in eight bits."""
        small = eight_bits(pretrained_model_name_or_path, kwargs)
        if small is None:
            from vqvae.io.tensors import check_finite

            loaded = super().from_pretrained(pretrained_model_name_or_path, *args, **kwargs)
            model = loaded[0] if isinstance(loaded, tuple) else loaded  # with `output_loading_info`
            check_finite(pretrained_model_name_or_path, model.state_dict())
            return loaded
        state, kwargs["config"] = small
        return super().from_pretrained(None, *args, state_dict=state, **kwargs)

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        """Every added map at fan_in**-0.5 (heads: d_model**-0.5), every added table at d_model**-0.5."""
        # T5's own rule would give them std 1 and a first loss near 70
        if module is self.shared:
            init.normal_(self.shared.weight, mean=0.0, std=self.config.initializer_factor)
        elif isinstance(module, nn.Linear):
            init.normal_(module.weight, mean=0.0, std=module.in_features**-0.5)
            if module.bias is not None:
                init.zeros_(module.bias)
        elif isinstance(module, nn.Embedding):
            init.normal_(module.weight, mean=0.0, std=self.config.d_model**-0.5)
        elif isinstance(module, CodeAdapter):
            init.zeros_(module.codebooks)
            init.ones_(module.scale)
        else:
            super()._init_weights(module)

    def forward(
        self, input_ids: Tensor | None = None, attention_mask: Tensor | None = None,
        decoder_input_ids: Tensor | None = None, decoder_attention_mask: Tensor | None = None,
        encoder_outputs: Any = None, past_key_values: Any = None, labels: Tensor | None = None,
        use_cache: bool | None = None, head: Heads = TEXT, residual_codes: Tensor | None = None,
        extra_embeddings: Sequence[Extra] | None = None, remaining: Tensor | None = None,
        length: Tensor | None = None, label_smoothing: float = 0.0, full_logits: bool | None = None,
        longest: int | None = None, **kwargs: Any,
    ) -> AvatarGPTOutput:
        """Teacher-forced or one-step forward: `loss` (mean over labels), `token_loss`, `logits` (or None), `hidden`.

        Args:
            input_ids, attention_mask, residual_codes, extra_embeddings: see `inputs`. With `encoder_outputs`
                given, `attention_mask` is the mask of its states.
            labels: (B, L) in the one id space, -100 = ignored; `decoder_input_ids` follow by `shift_right`.
            head: one head, or one per row (names, or indices into `config.heads`).
            remaining: (B, L) number of remaining motion tokens before each prediction, below 0 = unknown.
            longest: see `inputs`.
            length: (B,) instead of `remaining`: the number at decoder position t is length - t (below 0: unknown).
            full_logits: logits over the one id space with -inf outside the head; default: when there are no
                labels. False without labels: (B, L, n) of the head's own block.
        """
        # the encoder runs once; generation passes its states on
        if encoder_outputs is None:
            assert input_ids is not None
            states, attention_mask = self.encode(input_ids, attention_mask, residual_codes, extra_embeddings, longest)
            encoder_outputs = BaseModelOutput(last_hidden_state=states)
        states = encoder_outputs[0]
        names = self.head_names(head, len(states))
        if decoder_input_ids is None:
            assert labels is not None
            decoder_input_ids = self.shift_right(labels, head)
        # teacher forcing needs no cache
        if use_cache is None and labels is not None:
            use_cache = False  # whole answers are given
        if length is not None and remaining is None:
            start = int(past_key_values.get_seq_length()) if past_key_values is not None else 0
            at = torch.arange(start, start + decoder_input_ids.shape[1], device=length.device)
            remaining = torch.where(length[:, None] < 0, -1, (length[:, None] - at).clamp(min=0))
        vectors = self.embed_decoder(decoder_input_ids, remaining)
        if self.flat and labels is not None:
            last = flat.stack(self.decoder, vectors, labels != IGNORED, states, attention_mask)
            decoded: Any = BaseModelOutputWithPastAndCrossAttentions(last_hidden_state=last)
        elif self.fused and labels is not None:
            last = stack(
                self.decoder, self.config, True, vectors, decoder_attention_mask, states, attention_mask, self.compiled
            )  # fmt: skip
            decoded = BaseModelOutputWithPastAndCrossAttentions(last_hidden_state=last)
        else:
            decoded = self.decoder(
                inputs_embeds=vectors, attention_mask=decoder_attention_mask, encoder_hidden_states=states,
                encoder_attention_mask=attention_mask, past_key_values=past_key_values, use_cache=use_cache,
                **{k: v for k, v in kwargs.items() if k.startswith("output_")},
            )
        hidden = decoded.last_hidden_state
        loss: Tensor | None = None
        token_loss: Tensor | None = None
        logits: Tensor | None = None
        if labels is not None:
            token_loss = self._token_loss(hidden, labels, names, label_smoothing)
            loss = token_loss.sum() / (labels != IGNORED).sum().clamp(min=1)
        if full_logits or (full_logits is None and labels is None):
            # rows of several heads have logits in different blocks of the id space
            if isinstance(names, str):
                logits = self._full(hidden, names)
            else:
                logits = torch.cat([self._full(hidden[i : i + 1], n) for i, n in enumerate(names)])
        elif labels is None:
            if not isinstance(names, str):
                raise ValueError("compact logits need one head for the whole batch")
            logits = self.head_logits(hidden, names)
        return AvatarGPTOutput(
            loss=loss, logits=logits, token_loss=token_loss, hidden=hidden, past_key_values=decoded.past_key_values,
            decoder_hidden_states=decoded.hidden_states, decoder_attentions=decoded.attentions,
            cross_attentions=decoded.cross_attentions, encoder_last_hidden_state=states,
        )

    def generate(self, inputs: Tensor | None = None, *, head: str = TEXT, **kwargs: Any) -> Any:  # type: ignore[override]
        """Hugging Face `generate` for one head: greedy, beams, sampling, caches, streamers.

        Takes the arguments of `inputs` besides the usual ones, or ready `encoder_outputs` with their
        `attention_mask`, and `length` (B,) in tokens. Answers start with the head's start id and are padded with the
        text padding id.
        """
        head = str(self.head_names(head, 1))
        ids = kwargs.pop("input_ids", None) if inputs is None else inputs
        if kwargs.get("encoder_outputs") is None:
            assert ids is not None
            inputs_ = {k: kwargs.pop(k, None) for k in ("attention_mask", "residual_codes", "extra_embeddings")}
            with torch.no_grad():
                states, kwargs["attention_mask"] = self.encode(ids, **inputs_)
            kwargs["encoder_outputs"] = BaseModelOutput(last_hidden_state=states)
        ends = {"decoder_start_token_id": self.config.start_id(head), "eos_token_id": self.config.end_id(head)}
        hugging_face: Any = super().generate  # type: ignore[misc]
        return hugging_face(head=head, **{**ends, "pad_token_id": self.config.pad_token_id, **kwargs})


class AvatarGPTTokenizer(PreTrainedTokenizer):
    """`TextTokenizer`'s ids to the letter, from ``spiece.model``: NFKC, lower case, one space between words.

    A prompt has no end id, as in training; a target (``text_target=``) has one.
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


AutoConfig.register(AvatarGPTConfig.model_type, AvatarGPTConfig, exist_ok=True)
AutoModel.register(AvatarGPTConfig, AvatarGPTModel, exist_ok=True)
AutoModelForSeq2SeqLM.register(AvatarGPTConfig, AvatarGPTModel, exist_ok=True)
AutoTokenizer.register(AvatarGPTConfig, AvatarGPTTokenizer, exist_ok=True)
