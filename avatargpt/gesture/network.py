"""The gesture network: a cross-attentive Transformer-XL from speech and words to motion features and gesture tokens.

After LLAniMation (arXiv 2405.08042): the audio stream attends to the words; agent and interlocutor pass through the
same self-attentive layers, then the agent attends to the interlocutor. In addition, gesture tokens are predicted,
sampled and fed back, and frames are regressed given the token, so that motion does not shrink to its mean; without
tokens the same head regresses the mean.

Attention is windowed, with relative positions and a memory (Transformer-XL, Dai et al. 2019): every frame attends to
the W frames up to itself. Keys and values of the previous segment are kept as memory, so one long segment and many
short ones give the same result.

Causal: step s of the sequence receives frame s of the sound and predicts frame s - `ahead` of the motion. A token is
drawn when its last frame is that far in the past. Words are aligned with the sound.

Shapes: B rows, T frames in whole tokens of n frames, A audio, V word features, F motion features, R levels of K codes,
D width, n frames of a segment, W reach, H heads, E = D / H.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import numpy as np
import torch
from pydantic import model_validator
from torch import Tensor, nn
from torch.nn import functional as F

from avatargpt.gesture.features import SLOTS
from avatargpt.lm.checkpoint import fingerprint, load_part, save_part
from avatargpt.options import GESTURE_TEMPERATURE
from vqvae.errors import UserError
from vqvae.strict import Dropout, NonNegativeInt, PositiveInt, Strict

if TYPE_CHECKING:
    from vqvae.tokenizer import MotionTokenizer

# Configuration of a gesture network: its shape, and the features and tokens that it was trained on.

STYLE = 8  # size of a style vector
# `codes`: tokens are sampled and decoded; `features`: the mean motion, without tokens.
HEADS = ("codes", "features")
# An unknown code, where tokens are off.
UNKNOWN = -1
ENDLESS = 1e3  # seconds to an end of the sound that is not known
# Seconds that a word's stress, and the end of the sound, are from a frame: bumps of `SPREAD` around these.
UNTIL = tuple(round(-0.5 + 0.1 * k, 1) for k in range(17))
LEFT = tuple(round(0.2 * k, 1) for k in range(10))
SPREAD, LEFT_SPREAD = 0.08, 0.16


class RowContents(Strict):
    """What the rows of a training cache hold."""

    # audio, words: their encoders: ``prosody`` and ``sentence``, or the name of a model
    audio: str
    words: str
    # audio_width, word_width: A, V
    audio_width: PositiveInt
    word_width: PositiveInt
    features: PositiveInt  # F
    # levels, codebook_size: R, K of the tokenizer
    levels: PositiveInt
    codebook_size: PositiveInt
    downsample: PositiveInt  # n, frames of a token
    # rotations, positions: columns [start, stop) of F with rotations (6D, first two columns) and with metres
    rotations: list[list[NonNegativeInt]] = []
    positions: list[list[NonNegativeInt]] = []
    speakers: list[str] = []  # names in the table of styles
    classes: list[str] = []  # of words with a gesture, whose strokes tokens are parts of
    tokenizer: str = ""  # fingerprint of the tokenizer whose codes are predicted

    @model_validator(mode="after")
    def _check_columns(self) -> Self:
        for name, spans, unit in (("rotations", self.rotations, 6), ("positions", self.positions, 3)):
            for span in spans:
                if len(span) != 2 or not span[0] < span[1] <= self.features or (span[1] - span[0]) % unit:
                    raise UserError(f"{name}: {span}; accepted: [start, stop] within the {self.features} features, a "
                                    f"multiple of {unit} apart")  # fmt: skip
        return self


class GestureShape(Strict):
    """The section `model` of `configs/gesture/*.yaml`."""

    # width, heads, hidden: of the layers
    width: PositiveInt = 160
    heads: PositiveInt = 4
    hidden: PositiveInt = 384
    layers: PositiveInt = 2  # blocks with attention to words, shared by agent and interlocutor
    joint: PositiveInt = 2  # blocks with attention to the interlocutor
    reach: PositiveInt = 128  # W, frames that an attention looks back; also the length of a training segment
    look_ahead: NonNegativeInt = 1  # tokens of sound beyond the predicted one; 1 of 4 frames = 133 ms
    dropout: Dropout = 0.1  # in the layers

    @model_validator(mode="after")
    def _check_heads(self) -> Self:
        if self.width % (2 * self.heads):
            raise UserError(f"width: {self.width}; accepted: a multiple of twice the heads ({2 * self.heads})")
        return self


class GestureConfig(GestureShape, RowContents):
    """The complete configuration of a gesture network."""

    @property
    def ahead(self) -> int:
        """Frames of sound beyond the predicted frame."""
        return self.look_ahead * self.downsample


# A name or number in the network's table of styles, eight numbers, or None: the zero style.
Speaker = str | int | Sequence[float] | np.ndarray | None


@dataclass(frozen=True)
class GestureOptions:
    """Options of generation."""

    speaker: Speaker = None  # whose style
    head: str = "codes"  # one of `HEADS`
    # seed, temperature: of the tokens; temperature 0 = always the likeliest
    seed: int = 0
    temperature: float = GESTURE_TEMPERATURE
    smooth: bool = True  # Savitzky-Golay smoothing over nine frames


DEFAULT_OPTIONS = GestureOptions()


# Keys and, after them, values of the W - 1 frames before a segment, (B, 2 H, W - 1, E).
Memory = Tensor
# Weight and bias.
Affine = tuple[Tensor, Tensor]


def distance_encoding(width: int, reach: int) -> Tensor:
    """(W, D) sinusoids of the distances W - 1, ..., 0 in frames, as in Dai et al. 2019, B.3."""
    place = torch.arange(reach - 1, -1, -1.0)[:, None]
    angle = place / 10_000 ** (torch.arange(0, width, 2) / width)
    return torch.cat((angle.sin(), angle.cos()), -1)


class AttentionWeights(NamedTuple):
    """Tensors that one step of an attention needs, collected once: module look-ups cost as much as the products.

    `by_distance` (H, E, W) are keys of the distances W - 1, ..., 0; `content` and `place` (H, 1, E) are u and v of the
    paper.
    """

    by_distance: Tensor
    content: Tensor
    place: Tensor
    out: Tensor
    bias: Tensor

    def __call__(self, q: Tensor, new: Tensor, memory: Memory, blind: int) -> tuple[Tensor, Memory]:
        """Queries (B, n, D), keys and values (B, n, 2 D) -> the residual (B, n, D) and the next segment's memory.

        The first `blind` frames of the memory lie before the start of the talk.
        """
        heads, size, reach = self.by_distance.shape
        frames = q.shape[1]
        q = q.unflatten(-1, (heads, size)).transpose(1, 2)
        new = new.unflatten(-1, (2 * heads, size)).transpose(1, 2)
        both = torch.cat((memory.to(new), new), 2)
        k, v = both.chunk(2, 1)
        rows = (q + self.place.to(q)).transpose(0, 1)  # one product for all rows: no copies of the keys
        place = (rows.flatten(1, 2) @ self.by_distance.to(q)).unflatten(1, (-1, frames)).transpose(0, 1) * size**-0.5
        # Row i of (n, W) moves i to the right; what is out of reach, before or after, becomes minus infinity.
        visible = reach - 1 + frames
        bias = F.pad(place, (0, frames), value=float("-inf")).flatten(-2)[..., : frames * visible]
        bias = bias.unflatten(-1, (frames, visible))
        if blind > 0:
            bias = F.pad(bias[..., blind:], (blind, 0), value=float("-inf"))
        attended = F.scaled_dot_product_attention(q + self.content.to(q), k, v, attn_mask=bias)
        next_memory = both[:, :, frames:].detach()
        return F.linear(attended.transpose(1, 2).flatten(2), self.out, self.bias), next_memory


class RelativeAttention(nn.Module):
    """Parameters of an attention of one stream to another (or to itself); `AttentionWeights` does the computation."""

    positions: Tensor

    def __init__(self, width: int, heads: int, reach: int) -> None:
        super().__init__()
        self.heads, self.reach = heads, reach
        self.query = nn.Linear(width, width, bias=False)
        self.keys_values = nn.Linear(width, 2 * width, bias=False)  # no bias: silence (zeros) adds nothing
        self.relative = nn.Linear(width, width, bias=False)
        self.content = nn.Parameter(torch.zeros(heads, 1, width // heads))
        self.place = nn.Parameter(torch.zeros(heads, 1, width // heads))
        self.out = nn.Linear(width, width)
        self.register_buffer("positions", distance_encoding(width, reach), persistent=False)
        for layer in (self.query, self.keys_values, self.relative):
            nn.init.normal_(layer.weight, std=width**-0.5)
        nn.init.normal_(self.out.weight, std=0.5 * width**-0.5)
        nn.init.zeros_(self.out.bias)

    def empty_memory(self, rows: int) -> Memory:
        """The memory before the first frame."""
        return self.positions.new_zeros(rows, 2 * self.heads, self.reach - 1, self.content.shape[-1])

    def weights(self) -> AttentionWeights:
        """The current weights; gradients reach them."""
        keys = self.relative(self.positions).unflatten(-1, (self.heads, -1)).permute(1, 2, 0).contiguous()
        return AttentionWeights(keys, self.content, self.place, self.out.weight, self.out.bias)


class BlockStep(NamedTuple):
    """The weights of an `AttentionBlock`, collected once. `cross_norm` normalises the other stream; None = as it is."""

    norms: tuple[Affine, Affine, Affine]
    cross_norm: Affine | None
    self_inputs: Tensor  # queries, keys and values of the stream itself
    self_attention: AttentionWeights
    cross_query: Tensor
    cross_keys_values: Tensor
    cross_attention: AttentionWeights
    up: Affine
    down: Affine
    drop: nn.Dropout

    def __call__(self, x: Tensor, context: Tensor, memory: list[Memory], blind: int) -> tuple[Tensor, list[Memory]]:
        """Streams (B, n, D) -> the first one, updated, and the memories of both attentions."""
        shape = x.shape[-1:]
        both = F.linear(F.layer_norm(x, shape, *self.norms[0]), self.self_inputs)
        added, self_memory = self.self_attention(both[..., : shape[0]], both[..., shape[0] :], memory[0], blind)
        x = x + self.drop(added)
        keys_values = context if self.cross_norm is None else F.layer_norm(context, shape, *self.cross_norm)
        query = F.linear(F.layer_norm(x, shape, *self.norms[1]), self.cross_query)
        keys_values = F.linear(keys_values, self.cross_keys_values)
        added, cross_memory = self.cross_attention(query, keys_values, memory[1], blind)
        x = x + self.drop(added)
        h = F.gelu(F.linear(F.layer_norm(x, shape, *self.norms[2]), *self.up), approximate="tanh")
        return x + self.drop(F.linear(h, *self.down)), [self_memory, cross_memory]


class AttentionBlock(nn.Module):
    """Pre-norm block: self-attention, attention to another stream, and a feed-forward part, each with a residual.

    `BlockStep` does the computation. Attribute names are part of the weight file's format.
    """

    def __init__(
        self, width: int, heads: int, reach: int, hidden: int, dropout: float, normalise_context: bool
    ) -> None:
        super().__init__()
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(3))
        self.own = RelativeAttention(width, heads, reach)
        self.other = RelativeAttention(width, heads, reach)
        self.other_norm = nn.LayerNorm(width) if normalise_context else None
        self.up, self.down = nn.Linear(width, hidden), nn.Linear(hidden, width)
        nn.init.normal_(self.down.weight, std=0.5 * hidden**-0.5)
        self.drop = nn.Dropout(dropout)

    def step(self) -> BlockStep:
        """The current weights; gradients reach them."""
        first, second, third = ((n.weight, n.bias) for n in self.norms if isinstance(n, nn.LayerNorm))
        return BlockStep(
            norms=(first, second, third),
            cross_norm=None if self.other_norm is None else (self.other_norm.weight, self.other_norm.bias),
            self_inputs=torch.cat((self.own.query.weight, self.own.keys_values.weight)),
            self_attention=self.own.weights(),
            cross_query=self.other.query.weight,
            cross_keys_values=self.other.keys_values.weight,
            cross_attention=self.other.weights(),
            up=(self.up.weight, self.up.bias),
            down=(self.down.weight, self.down.bias),
            drop=self.drop,
        )

    def empty_memory(self, rows: int) -> list[Memory]:
        """The memories of both attentions before the first frame."""
        return [self.own.empty_memory(rows), self.other.empty_memory(rows)]


MAX_DEVIATION = 6.0  # standard deviations at which audio features are clipped
PREVIOUS_STD = 0.2  # initial size of the previous token's vectors; those of level 0, the most informative, have 1


@dataclass
class GestureInput:
    """Inputs of a stretch of T frames."""

    audio: Tensor  # (B, T, A) as extracted
    words: Tensor  # (B, T, `row_width(V)`) of `near_words`; zero where there are none or words are off
    style: Tensor  # (B, 8)
    # other_audio, other_words: the interlocutor's; None where no row has one
    other_audio: Tensor | None = None
    other_words: Tensor | None = None
    present: Tensor | None = None  # (B,) which rows have an interlocutor; None = all, where there is `other_audio`
    left: Tensor | None = None  # (B, T) seconds to the end of the sound; None = not known

    def list_conversing(self) -> Tensor:
        """(P,) numbers of the rows with an interlocutor."""
        rows = torch.arange(len(self.audio), device=self.audio.device)
        if self.other_audio is None:
            return rows[:0]
        return rows if self.present is None else rows[self.present]

    def part(self, start: int, stop: int) -> GestureInput:
        """Frames [start, stop)."""
        def cut(x: Tensor | None) -> Tensor | None:
            return None if x is None else x[:, start:stop]

        return GestureInput(self.audio[:, start:stop], self.words[:, start:stop], self.style, cut(self.other_audio),
                            cut(self.other_words), self.present, cut(self.left))  # fmt: skip


@dataclass
class StreamState:
    """The recurrent state of a talk: memories of each block's two attentions, block weights, frames so far."""

    memory: list[list[Memory]]
    steps: list[BlockStep]
    frames: int = 0


class GestureNetwork(nn.Module):
    """See the module's docstring. Hidden states are (B, T, D), T in whole tokens."""

    # mean, std: (F,) of the motion; rest: (F,) the pose in which takes begin
    mean: Tensor
    std: Tensor
    rest: Tensor
    # heard_mean, heard_std: (A,) normaliser of the sound
    heard_mean: Tensor
    heard_std: Tensor
    read_std: Tensor  # (V,) root mean square of word features

    def __init__(self, config: GestureConfig) -> None:
        super().__init__()
        self.config = c = config
        self.register_buffer("heard_mean", torch.zeros(c.audio_width))
        self.register_buffer("heard_std", torch.ones(c.audio_width))
        self.register_buffer("read_std", torch.ones(c.word_width))
        self.register_buffer("mean", torch.zeros(c.features))
        self.register_buffer("std", torch.ones(c.features))
        self.register_buffer("rest", torch.zeros(c.features))
        self.enter = nn.Linear(c.audio_width, c.width)
        self.read = nn.Linear(c.word_width, c.width)
        self.until = nn.Linear(len(UNTIL), c.width, bias=False)
        self.words = nn.Linear(c.width, c.width, bias=False)  # no bias: silence adds nothing
        self.left = nn.Linear(len(LEFT), c.width, bias=False)
        self.speakers = nn.Embedding(max(1, len(c.speakers)), STYLE)
        self.style = nn.Linear(STYLE, c.width, bias=False)
        self.role = nn.Parameter(torch.zeros(2, 1, 1, c.width))  # agent, interlocutor
        self.absent = nn.Parameter(torch.randn(c.width) * 0.02)  # replaces a missing interlocutor
        size = c.width, c.heads, c.reach, c.hidden, c.dropout
        self.encoder = nn.ModuleList(AttentionBlock(*size, normalise_context=False) for _ in range(c.layers))
        self.joint = nn.ModuleList(AttentionBlock(*size, normalise_context=True) for _ in range(c.joint))
        self.codes = nn.Embedding(c.levels * c.codebook_size + 1, c.width)  # the last row: unknown
        nn.init.normal_(self.codes.weight, std=0.1)
        self.phase = nn.Parameter(torch.randn(c.downsample, c.width) * 0.02)  # position of a frame in its token
        self.leave = nn.LayerNorm(c.width)
        self.token = nn.Linear(c.downsample * c.width, c.width)
        # A second path for the previous token: most tokens repeat it.
        self.previous = nn.Embedding(c.levels * c.codebook_size + 1, c.width)
        nn.init.normal_(self.previous.weight, std=PREVIOUS_STD)
        nn.init.normal_(self.previous.weight[: c.codebook_size])
        self.token_norm = nn.LayerNorm(c.width)
        self.kinds = nn.Linear(c.width, len(c.classes) + 1)
        self.logits = nn.ModuleList(nn.Linear(c.width, c.codebook_size) for _ in range(c.levels))
        self.given = nn.Linear(c.width, c.hidden)
        self.frame = nn.Linear(c.width, c.hidden)
        self.out = nn.Linear(c.hidden, c.features)
        for layer in (*self.logits, self.out):
            nn.init.normal_(layer.weight, std=0.02)
            nn.init.zeros_(layer.bias)

    def initial_state(self, rows: int, ways: int = 1, conversing: int | None = None) -> StreamState:
        """The state before the first frame; `ways`: as in `states`.

        Args:
            conversing: rows with an interlocutor; None = all or none of them.
        """
        # All rows without an interlocutor share one stream of nobody.
        heard = rows if conversing is None else conversing + (conversing < rows)
        counts = [rows + heard] * len(self.encoder) + [ways * rows] * len(self.joint)
        blocks = [block for block in (*self.encoder, *self.joint) if isinstance(block, AttentionBlock)]
        memory = [block.empty_memory(count) for block, count in zip(blocks, counts, strict=True)]
        return StreamState(memory, [block.step() for block in blocks])

    def code_embedding(self, codes: Tensor) -> Tensor:
        """(..., R) codes, all -1 for an unknown token -> (..., D) sum of their vectors."""
        return self._look_up(self.codes, codes).mean(-2) * self.config.levels**0.5

    def _look_up(self, table: nn.Embedding, codes: Tensor) -> Tensor:
        # (..., R) codes -> (..., R, D) their vectors in a table.
        c = self.config
        first = torch.arange(c.levels, device=codes.device) * c.codebook_size
        is_known = codes[..., :1] != UNKNOWN
        vectors: Tensor = table(torch.where(is_known, codes + first, c.levels * c.codebook_size))
        return vectors

    def _encode_inputs(self, inputs: GestureInput, conversing: Tensor) -> tuple[Tensor, Tensor]:
        # Sound and words (B + P, T, D) of the agents, of the interlocutors of the rows that are `conversing`, and after
        # them (1, T, D) of nobody where there are others.
        rows, frames, _ = inputs.audio.shape
        parts, words = [inputs.audio], [inputs.words]
        if inputs.other_audio is not None:
            parts.append(inputs.other_audio[conversing])
            other = torch.zeros_like(inputs.words) if inputs.other_words is None else inputs.other_words
            words.append(other[conversing])
        normal = ((torch.cat(parts) - self.heard_mean) / self.heard_std).clamp(-MAX_DEVIATION, MAX_DEVIATION)
        sound = self.enter(normal)
        agent = sound[:rows] + self.style(inputs.style)[:, None]
        if inputs.left is not None:
            agent = agent + self.left(_bumps(inputs.left, LEFT, LEFT_SPREAD))
        streams = [agent + self.role[0].to(sound), sound[rows:] + self.role[1].to(sound)]
        if len(conversing) < rows:
            streams.append((self.absent + self.role[1]).to(sound).expand(1, frames, -1))
            words.append(torch.zeros_like(inputs.words[:1]))
        read = self._read_words(torch.cat(words))
        return torch.cat(streams) + read, read

    def _read_words(self, rows: Tensor) -> Tensor:
        # (B, T, `row_width(V)`) -> (B, T, D): the sum over words of what each means at its distance.
        slots = rows.unflatten(-1, (SLOTS, -1))
        states, until = slots[..., :-1], slots[..., -1]
        there = states.any(-1, keepdim=True).to(rows.dtype)
        # Hidden states of language models differ in size by orders of magnitude.
        scaled = F.layer_norm(states / self.read_std, states.shape[-1:])
        h = F.gelu(self.read(scaled) + self.until(_bumps(until, UNTIL, SPREAD)), approximate="tanh")
        read: Tensor = self.words((h * there).sum(-2))
        return read

    def states(self, inputs: GestureInput, before: Tensor, state: StreamState) -> tuple[Tensor, StreamState]:
        """A stretch of frames -> hidden states (B, T, D) and the next state.

        Args:
            before: (B, T / n, R) codes of the token preceding the one that each of these steps predicts; or several
                ways, (ways * B, ...), of which each gets its states.
        """
        rows, frames, _ = inputs.audio.shape
        conversing = inputs.list_conversing()
        x, words = self._encode_inputs(inputs, conversing)
        blind = max(0, self.config.reach - 1 - state.frames)
        memory: list[list[Memory]] = []

        def run_blocks(blocks: slice, x: Tensor, context: Tensor) -> Tensor:
            for step, old in zip(state.steps[blocks], state.memory[blocks], strict=True):
                x, new = step(x, context, old, blind)
                memory.append(new)
            return x

        # Agent and interlocutor pass through the shared blocks as rows of one batch.
        both = run_blocks(slice(self.config.layers), x, words)
        agent, heard = both[:rows], both[rows:]
        listened = torch.full((rows,), len(conversing), device=x.device)  # nobody is last
        listened[conversing] = torch.arange(len(conversing), device=x.device)
        interlocutor = heard[listened]
        ways = len(before) // rows
        if ways > 1:
            agent, interlocutor = agent.repeat(ways, 1, 1), interlocutor.repeat(ways, 1, 1)
        agent = agent + (self.code_embedding(before)[:, :, None] + self.phase).flatten(1, 2)
        agent = run_blocks(slice(self.config.layers, None), agent, interlocutor)
        return self.leave(agent), StreamState(memory, state.steps, state.frames + frames)

    def token_states(self, h: Tensor, before: Tensor) -> Tensor:
        """(B, T, D) hidden states, (B, T / n, R) codes of the preceding tokens -> (B, T / n, D) of level 0."""
        z: Tensor = self.token(h.unflatten(1, (-1, self.config.downsample)).flatten(2))
        return z + self._look_up(self.previous, before).sum(-2)

    def kind_logits(self, z: Tensor) -> Tensor:
        """(..., D) states of level 0 -> (..., C + 1): the class whose stroke a token is a part of, last: none."""
        logits: Tensor = self.kinds(F.gelu(self.token_norm(z), approximate="tanh"))
        return logits

    def level_logits(self, level: int, z: Tensor) -> Tensor:
        """(..., D) -> (..., K) logits of a level."""
        logits: Tensor = self.logits[level](F.gelu(self.token_norm(z), approximate="tanh"))
        return logits

    def level_state(self, level: int, z: Tensor, codes: Tensor) -> Tensor:
        """(..., D) state of a level and its codes (...), none unknown -> that of the next level."""
        added: Tensor = self.codes(codes + level * self.config.codebook_size)
        return z + added

    def token_logits(self, h: Tensor, before: Tensor, codes: Tensor) -> tuple[Tensor, Tensor]:
        """Logits of each level (B, T / n, R, K), given those before it in `codes` (B, T / n, R), and of classes."""
        z, out = self.token_states(h, before), []
        kinds = self.kind_logits(z)
        for level in range(self.config.levels):
            out.append(self.level_logits(level, z))
            z = self.level_state(level, z, codes[..., level].clamp(min=0))
        return torch.stack(out, 2), kinds

    def motion(self, h: Tensor, codes: Tensor) -> Tensor:
        """(B, T, F) motion features from hidden states, given each token's codes (B, T / n, R), -1 = unknown."""
        condition = self.given(self.code_embedding(codes)).repeat_interleave(self.config.downsample, 1)
        normal = self.out(F.gelu(self.frame(h) + condition, approximate="tanh"))
        return normal.float() * self.std + self.mean

    def forward(
        self, inputs: GestureInput, before: Tensor, conditions: Tensor, targets: Tensor, segment: int,
        speaker: Tensor | None = None,
    ) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
        """Consecutive segments of `segment` frames, each with the memory of the previous one (detached).

        Args:
            before: (B, T / n, R) codes of the preceding tokens. conditions: codes that the frames are regressed from.
            targets: codes that the levels are conditioned on (teacher forcing); -1 = unknown.
            speaker: (B,) numbers in the table of styles, -1 = zero style; None = the styles of `inputs`.

        Returns:
            motion (B, T, F), logits (B, T / n, R, K), logits of classes (B, T / n, C + 1).
        """
        n = self.config.downsample
        if speaker is not None:
            style = torch.where((speaker >= 0)[:, None], self.speakers(speaker.clamp(min=0)), 0.0)
            inputs = replace(inputs, style=style)
        state, parts = self.initial_state(len(inputs.audio), conversing=len(inputs.list_conversing())), []
        for start in range(0, inputs.audio.shape[1], segment):
            stop = min(start + segment, inputs.audio.shape[1])
            h, state = self.states(inputs.part(start, stop), before[:, start // n : stop // n], state)
            parts.append(h)
        h = torch.cat(parts, 1)
        return self.motion(h, conditions), *self.token_logits(h, before, targets)


def _bumps(seconds: Tensor, centres: Sequence[float], spread: float) -> Tensor:
    # (...) seconds -> (..., N) how near they are to each centre, 0 to 1.
    at = torch.tensor(centres, dtype=seconds.dtype, device=seconds.device)
    return torch.exp(-0.5 * ((seconds[..., None] - at) / spread).square())


# `GestureDriver`: a trained gesture network with its tokenizer, loaded from a folder.

NAME = "gesture"  # of the files
VERSION = 2  # of the folder's layout


class GestureDriver:
    """A trained gesture network, and the tokenizer whose codes it predicts."""

    def __init__(
        self, network: GestureNetwork, source: str = "this gesture network", tokenizer: MotionTokenizer | None = None
    ) -> None:
        # network: `avatargpt.gesture.network.GestureNetwork` in evaluation mode, float32, on the CPU
        # source: where it was loaded from, for messages
        self.network, self.source, self._tokenizer = network.eval(), source, tokenizer

    @classmethod
    def load(cls, folder: str | os.PathLike[str]) -> GestureDriver:
        """Read ``gesture.json`` and ``gesture.safetensors``, and the tokenizer in the same folder, if there is one.

        Raises UserError: missing, damaged, of another version, or the tokenizer of another network.
        """
        from vqvae.tokenizer import MotionTokenizer

        def build(shape: dict[str, Any]) -> GestureNetwork:
            return GestureNetwork(GestureConfig.read(shape, "shape"))

        driver = cls(load_part(folder, NAME, VERSION, build), str(folder))
        if (Path(folder) / "tokenizer.json").is_file():
            tokenizer = MotionTokenizer.load(folder)
            driver.check_tokenizer(tokenizer.fingerprint)
            driver._tokenizer = tokenizer
        return driver

    def save(self, folder: str | os.PathLike[str], dtype: torch.dtype | None = None) -> Path:
        """Write the folder; `dtype` bfloat16 halves all but feature statistics."""
        return save_part(self.network, folder, NAME, VERSION, dtype)

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the weights."""
        return fingerprint(self.network)

    @property
    def tokenizer(self) -> MotionTokenizer:
        """The decoder of the network's codes. Raises UserError where the folder has none."""
        if self._tokenizer is None:
            raise UserError(f"{self.source}: no tokenizer.json beside the network, so its tokens cannot be decoded; "
                            "accepted: its tokenizer in the same folder, or the head 'features'")  # fmt: skip
        return self._tokenizer

    def check_tokenizer(self, fingerprint: str) -> None:
        """Raises UserError for another tokenizer than the one whose codes this network predicts."""
        expected = self.network.config.tokenizer
        if expected != fingerprint:
            raise UserError(f"{self.source}: speaks the codes of tokenizer {expected[:12] or 'unknown'}, not of "
                            f"{fingerprint[:12]}; accepted: the tokenizer that it was trained with")  # fmt: skip

    def style(self, speaker: Speaker) -> np.ndarray:
        """(8,) float32 style of a speaker."""
        names = self.network.config.speakers
        if speaker is None:
            return np.zeros(STYLE, np.float32)
        if isinstance(speaker, str):
            if speaker not in names and not (speaker.isdecimal() and int(speaker) < len(names)):
                accepted = ", ".join(names) if names else "none, it knows no speakers"
                raise UserError(f"{self.source}: no speaker {speaker!r}; accepted: {accepted}")
            speaker = names.index(speaker) if speaker in names else int(speaker)
        if isinstance(speaker, int):
            if not 0 <= speaker < len(names):
                raise UserError(f"{self.source}: no speaker {speaker}; accepted: 0 to below {len(names)}, their number")
            return np.asarray(self.network.speakers.weight[speaker].detach().numpy(), np.float32)
        style = np.asarray(speaker, np.float32)
        if style.shape != (STYLE,) or not np.isfinite(style).all():
            raise UserError(f"a style of shape {style.shape}; accepted: {STYLE} finite numbers")
        return style
