"""`LoadedModel`: the network of a folder with its tokenizers; prompts, samples and likelihoods."""

from __future__ import annotations

import os
import warnings
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import torch

from avatargpt import resources
from avatargpt.lm.adapters import Adapter, find_adapter
from avatargpt.lm.checkpoint import load_network
from avatargpt.lm.devices import check_device, fast_bfloat16
from avatargpt.lm.encoder import encode_prompt, encoder_inputs
from avatargpt.lm.generate import Decoded, Generator
from avatargpt.lm.generate import EncodedPrompt as Encoded
from avatargpt.lm.hub import folder_of
from avatargpt.lm.network import LanguageNetwork
from avatargpt.lm.text_encoder import SentenceGrounder, TextTokenizer
from avatargpt.options import mix, plain
from instruct_data import registry
from instruct_data.registry import Prompt
from vqvae.errors import UserError
from vqvae.tokenizer import MotionTokenizer

if TYPE_CHECKING:
    from avatargpt.lm.network import Network

CHUNK = 56  # motion tokens decoded in one go (11.2 s); longer motion continues from its own tail
CONTEXT = 16  # motion tokens of context on each side
ROWS, DEVICE_ROWS = 64, 512  # answers decoded side by side: on a CPU, whose caches are small, and elsewhere
PRODUCTS = {"float32": torch.float32, "bfloat16": torch.bfloat16}  # of matrix products, by name
DETAIL_STREAM = 7_001  # number of the random stream of the residual levels
DETAIL_TEMPERATURE, DETAIL_TOP = 1.0, 50  # as a share of level 0's temperature; how many codes they choose from
ADAPTERS = 4  # models with an adapter that are kept: each has a copy of the network
SHARPNESS = 1.0  # of the residual levels where they are not drawn (`ResidualLevels.refine`)


class LoadedModel:
    """A network with its text tokenizer and the motion tokenizers of its modalities; `source` is its folder, if any.

    `generator` decodes and scores answers in `dtype`; `grounder` is the frozen sentence encoder, None without
    grounding. A tokenizer that the network was not trained with is a `UserError`.
    """

    def __init__(
        self, model: Network, text: TextTokenizer, tokenizers: dict[str, MotionTokenizer],
        dtype: torch.dtype = torch.float32, source: str = "",
    ) -> None:  # fmt: skip
        for name, tokenizer in tokenizers.items():
            model.check_fingerprint(name, tokenizer.fingerprint)
        self.model, self.text, self.tokenizers, self.source = model, text, tokenizers, source
        self.generator = Generator(model, dtype)
        self.device = model.shared.weight.device
        self.grounder = SentenceGrounder(device=self.device) if model.config.grounding_dim else None
        self._base: LoadedModel = self  # of which this has an adapter
        self._adapted: OrderedDict[Path, LoadedModel] = OrderedDict()

    @classmethod
    def from_pretrained(
        cls, path: str | os.PathLike[str] | None = None, device: str | None = None,
        dtype: str | torch.dtype | None = None, threads: int | None = None, revision: str | None = None,
    ) -> Self:  # fmt: skip
        """Load a model folder; the packaged weights by default.

        Args:
            path: folder with config.json, model*.safetensors, spiece.model and one folder per modality's tokenizer, or
                the name of one on the Hugging Face Hub (``org/name``), at `revision` (branch, tag or commit).
            device: ``cpu``, ``cuda``, ...; default: a GPU when there is one. threads: of the CPU.
            dtype: ``float32`` (default) or ``bfloat16`` (a warning where the processor is slower at it).

        Raises:
            UserError: no such device or dtype, missing or damaged files, or a tokenizer of another model.
        """
        if threads:
            torch.set_num_threads(threads)
        folder = folder_of(path, revision) or resources.weights()
        where = check_device(device)
        if isinstance(dtype, str) and dtype not in PRODUCTS:
            raise UserError(f"dtype {dtype}: accepted {', '.join(PRODUCTS)}")
        kind = PRODUCTS[dtype] if isinstance(dtype, str) else dtype or torch.float32
        if kind == torch.bfloat16 and not fast_bfloat16(where):
            warnings.warn(f"this {where} computes bfloat16 slower than float32", stacklevel=3)
        model = load_network(folder, where)
        if (folder / registry.MODEL_TASKS).is_dir():
            registry.add_folder(folder / registry.MODEL_TASKS)
        tokenizers = {name: MotionTokenizer.load(folder / name, where) for name in model.config.modalities or {}}
        return cls(model, TextTokenizer.load(folder), tokenizers, kind, str(folder))

    def with_adapter(self, name: str | os.PathLike[str]) -> LoadedModel:
        """This model with a LoRA adapter, in place of one it has: of its folder ``adapters`` by name, or a folder.

        It shares text tokenizer, sentence encoder and motion tokenizers, and has a copy of the network; the last
        `ADAPTERS` are kept.

        Raises:
            UserError: no such adapter, damaged files, or one of another network or of other tokenizers.
        """
        if self._base is not self:
            return self._base.with_adapter(name)
        folder = find_adapter(self.source, name).resolve()
        if folder not in self._adapted:
            if not isinstance(self.model, LanguageNetwork):
                raise UserError(f"--adapter {folder}: accepted: with a model that was loaded from a folder")
            adapter = Adapter.load(folder)
            network = adapter.on(self.model)
            tokenizers = {m: MotionTokenizer.load(folder / m, str(self.device)) for m in adapter.modalities}
            model = LoadedModel(network, self.text, {**self.tokenizers, **tokenizers}, self.generator.engine.dtype)
            model.source, model.grounder, model._base = self.source, self.grounder, self
            self._adapted[folder] = model
            while len(self._adapted) > ADAPTERS:
                self._adapted.popitem(last=False)
        self._adapted.move_to_end(folder)
        return self._adapted[folder]

    def to(self, device: str | torch.device) -> Self:
        """Move network, motion tokenizers and sentence encoder; itself. Answers keep their seeds, rounding may differ.
        """
        where = check_device(str(device))
        torch.nn.Module.to(self.model, where)
        for tokenizer in self.tokenizers.values():
            tokenizer.to(where)
        if self.grounder is not None:
            self.grounder.to(where)
        self.generator = Generator(self.model, self.generator.engine.dtype)  # it keeps copies of the weights
        self.device = self.model.shared.weight.device
        for model in self._adapted.values():
            model.to(where)
        return self

    @property
    def on_cpu(self) -> bool:
        """Whether the network computes on a CPU."""
        return self.device.type == "cpu"

    @property
    def rows(self) -> int:
        """Answers decoded side by side."""
        return ROWS if self.on_cpu else DEVICE_ROWS

    def tokenizer(self, modality: str) -> MotionTokenizer:
        """The tokenizer of a modality."""
        if modality not in self.tokenizers:
            raise UserError(f"modality {modality!r}: this model has {', '.join(self.tokenizers) or 'none'}")
        return self.tokenizers[modality]

    def prompt(self, task: str, slots: dict[str, Any]) -> Prompt:
        """The prompt of a task with its slots filled in."""
        return registry.get_task(task).render(slots)

    def encode(self, prompts: Sequence[Prompt], words: bool = True, ground: bool = True) -> Encoded:
        """Prompts through the encoder, with the request's `words` and with their sentence embeddings (`ground`)."""
        rows = [encode_prompt(p, self.text, self.model.config, words, ground) for p in prompts]
        pad = self.model.config.pad_token_id or 0
        inputs = encoder_inputs(rows, self.grounder if ground else None, pad, self.device)
        return self.generator.encode(
            inputs["input_ids"], inputs["attention_mask"], inputs.get("residual_codes"), inputs.get("extra_embeddings")
        )

    def read_sentences(self, decoded: Decoded) -> list[str]:
        """The words of answers of the text head."""
        return [self.text.decode([t for t in row if t >= 0]) for row in decoded.codes.tolist()]

    def sample(
        self, prompts: Sequence[Prompt], lengths: Sequence[int], seeds: Sequence[int], samples: int, guidance: float,
        temperature: float, top_k: int = 50, settled: bool = False,
    ) -> list[list[np.ndarray]]:  # fmt: skip
        """Codes (N, R) of `samples` answers per prompt; `lengths` in tokens, -1 = the model decides.

        `settled`: residual levels as expected instead of drawn, for motion that must stay close to given motion.
        """
        head = prompts[0].head
        out: list[list[np.ndarray]] = []
        # memory is bounded by the rows that are decoded together
        per = max(1, self.rows // samples)
        for i in range(0, len(prompts), per):
            batch = prompts[i : i + per]
            # every sample has a seed of its own, so that a candidate does not depend on their number
            seeds_here = [mix(s, j) for s in seeds[i : i + per] for j in range(samples)]
            decoded = self.generator.decode(
                self.encode(batch), head, max_tokens=CHUNK + CONTEXT, length=list(lengths[i : i + per]),
                samples=samples,
                uncond=self.encode(batch, words=False, ground=False) if guidance != 1.0 else None,
                guidance=guidance, temperature=temperature, top_k=top_k, seed=seeds_here, min_tokens=2,
            )  # fmt: skip
            # another stream than level 0's: the same seed must not repeat its numbers
            detail_seeds = [mix(s, DETAIL_STREAM) for s in seeds_here]
            codes = self.model.refine(
                decoded.hidden, decoded.codes.clamp(min=0), decoded.mask, head, detail_seeds,
                0.0 if settled else DETAIL_TEMPERATURE * temperature, DETAIL_TOP, SHARPNESS,
            ).cpu().numpy()  # fmt: skip
            counts = decoded.lengths.tolist()
            rows = [codes[r, : counts[r]] for r in range(len(counts))]
            out += [rows[k * samples : (k + 1) * samples] for k in range(len(batch))]
        return out

    def likelihood(self, codes: Sequence[np.ndarray], texts: Sequence[str]) -> np.ndarray:
        """Mean log-probability per word piece (nats) of each text as the description of its body motion, (B,)."""
        prompts = [self.prompt("motion_to_text", {"motion": c[:CHUNK + CONTEXT]}) for c in codes]
        return self.score(prompts, [self.text.encode(plain(t)) for t in texts])

    def score(self, prompts: Sequence[Prompt], answers: Sequence[Sequence[int]]) -> np.ndarray:
        """Mean log-probability per token (nats) of an answer to each prompt of one head, ids of the single id space,
        (B,)."""
        means = []
        for i in range(0, len(prompts), self.rows):
            batch = prompts[i : i + self.rows]
            means.append(self.generator.score(self.encode(batch), answers[i : i + self.rows], batch[0].head).mean)
        return torch.cat(means).cpu().numpy()
