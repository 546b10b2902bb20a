"""The gesture network: a cross-attentive Transformer-XL from speech and words to motion features and gesture tokens.

After LLAniMation (arXiv 2405.08042): audio asks, words answer; agent and interlocutor each go through the same
self-attentive layers, then the agent asks the interlocutor. Beyond it: gesture tokens are spoken, sampled and fed back,
and the frames are regressed given the token, so that motion does not shrink to its mean; without tokens the same head
regresses the mean.

Causal: step s of the sequence hears frame s of the sound and speaks for frame s - `ahead` of the motion; a token is
drawn when the last of its frames has been heard that far. Words are seen at the same time as the sound.

Shapes: B rows, T frames in whole tokens of n frames, A audio, V word features, F motion features, R levels of K codes,
D width.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from avatargpt.gesture.attention import Block, Memory, Step
from avatargpt.gesture.config import STYLE, UNKNOWN, GestureConfig

WIDEST = 6.0  # standard deviations of what is heard
AGAIN = 0.2  # of the vectors of the token before but for its first level, which tells most, at the beginning


@dataclass
class Heard:
    """What goes into a stretch of T frames.

    Attributes:
        audio: (B, T, A) as extracted. words: (B, T, V), zero where nothing is said or words are off.
        style: (B, 8).
        other_audio, other_words: the interlocutor's; None where no row has one.
        present: (B,) which rows have an interlocutor; None = all, where there is `other_audio`.
    """

    audio: Tensor
    words: Tensor
    style: Tensor
    other_audio: Tensor | None = None
    other_words: Tensor | None = None
    present: Tensor | None = None

    def part(self, start: int, stop: int) -> Heard:
        """Frames [start, stop)."""
        def cut(x: Tensor | None) -> Tensor | None:
            return None if x is None else x[:, start:stop]

        return Heard(self.audio[:, start:stop], self.words[:, start:stop], self.style, cut(self.other_audio),
                     cut(self.other_words), self.present)  # fmt: skip


@dataclass
class State:
    """What a network remembers of a talk.

    Attributes:
        memory: of each block's two attentions. steps: the blocks' weights, at hand. frames: heard so far.
    """

    memory: list[list[Memory]]
    steps: list[Step]
    frames: int = 0


class GestureNetwork(nn.Module):
    """See the module. Hidden states are (B, T, D), T in whole tokens.

    Attributes:
        heard_mean, heard_std: (A,) normaliser of the sound. read_std: (V,) size of words' features where one is spoken.
        mean, std: (F,) of the motion.
    """

    mean: Tensor
    std: Tensor
    heard_mean: Tensor
    heard_std: Tensor
    read_std: Tensor

    def __init__(self, config: GestureConfig) -> None:
        super().__init__()
        self.config = c = config
        self.register_buffer("heard_mean", torch.zeros(c.audio_width))
        self.register_buffer("heard_std", torch.ones(c.audio_width))
        self.register_buffer("read_std", torch.ones(c.word_width))
        self.register_buffer("mean", torch.zeros(c.features))
        self.register_buffer("std", torch.ones(c.features))
        self.enter = nn.Linear(c.audio_width, c.width)
        self.read = nn.Linear(c.word_width, c.width, bias=False)
        self.speakers = nn.Embedding(max(1, len(c.speakers)), STYLE)
        self.style = nn.Linear(STYLE, c.width, bias=False)
        self.role = nn.Parameter(torch.zeros(2, 1, 1, c.width))  # agent, interlocutor
        self.absent = nn.Parameter(torch.randn(c.width) * 0.02)  # stands for an interlocutor where there is none
        size = c.width, c.heads, c.reach, c.hidden, c.dropout
        self.encoder = nn.ModuleList(Block(*size, apart=False) for _ in range(c.layers))
        self.joint = nn.ModuleList(Block(*size, apart=True) for _ in range(c.joint))
        self.codes = nn.Embedding(c.levels * c.codebook_size + 1, c.width)  # the last: not told
        nn.init.normal_(self.codes.weight, std=0.1)
        self.phase = nn.Parameter(torch.randn(c.downsample, c.width) * 0.02)  # place of a frame in its token
        self.leave = nn.LayerNorm(c.width)
        self.token = nn.Linear(c.downsample * c.width, c.width)
        self.previous = nn.Embedding(c.levels * c.codebook_size + 1, c.width)  # said again: most tokens repeat the last
        nn.init.normal_(self.previous.weight, std=AGAIN)
        nn.init.normal_(self.previous.weight[: c.codebook_size])
        self.token_norm = nn.LayerNorm(c.width)
        self.logits = nn.ModuleList(nn.Linear(c.width, c.codebook_size) for _ in range(c.levels))
        self.given = nn.Linear(c.width, c.hidden)
        self.frame = nn.Linear(c.width, c.hidden)
        self.out = nn.Linear(c.hidden, c.features)
        for layer in (*self.logits, self.out):
            nn.init.normal_(layer.weight, std=0.02)
            nn.init.zeros_(layer.bias)

    def begin(self, rows: int) -> State:
        """The state before the first frame."""
        counts = [2 * rows] * len(self.encoder) + [rows] * len(self.joint)
        blocks = [block for block in (*self.encoder, *self.joint) if isinstance(block, Block)]
        memory = [block.forgetful(count) for block, count in zip(blocks, counts, strict=True)]
        return State(memory, [block.step() for block in blocks])

    def embedded(self, codes: Tensor) -> Tensor:
        """(..., R) codes, -1 where not told (then all of a token) -> (..., D) sum of their vectors."""
        return self._looked_up(self.codes, codes).mean(-2) * self.config.levels**0.5

    def _looked_up(self, table: nn.Embedding, codes: Tensor) -> Tensor:
        """(..., R) codes -> (..., R, D) their vectors in a table."""
        c = self.config
        first = torch.arange(c.levels, device=codes.device) * c.codebook_size
        told = codes[..., :1] != UNKNOWN
        found: Tensor = table(torch.where(told, codes + first, c.levels * c.codebook_size))
        return found

    def _listen(self, heard: Heard) -> tuple[Tensor, Tensor]:
        """Agent and interlocutor below one another, (2 B, T, D): what is heard of them, and what they say in words."""
        rows, frames, _ = heard.audio.shape
        parts = [heard.audio, *([] if heard.other_audio is None else [heard.other_audio])]
        normal = ((torch.cat(parts) - self.heard_mean) / self.heard_std).clamp(-WIDEST, WIDEST)
        sound = self.enter(normal)
        agent = sound[:rows] + self.style(heard.style)[:, None]
        nobody = self.absent.to(sound).expand(rows, frames, -1)
        other = nobody if heard.other_audio is None else sound[rows:]
        words = [heard.words, torch.zeros_like(heard.words) if heard.other_words is None else heard.other_words]
        if heard.present is not None and heard.other_audio is not None:
            there = heard.present[:, None, None]
            other, words[1] = torch.where(there, other, nobody), words[1] * there
        both = torch.stack((agent, other)) + self.role.to(sound)
        # Hidden states of language models differ in size by orders of magnitude, some channels stand out, and silence
        # has to stay zero: scaled, never shifted.
        said = torch.cat(words) / self.read_std
        return both.flatten(0, 1), self.read(F.layer_norm(said, said.shape[-1:]))

    def states(self, heard: Heard, before: Tensor, state: State) -> tuple[Tensor, State]:
        """A stretch of frames -> hidden states (B, T, D), and the state to go on with.

        Args:
            before: (B, T / n, R) the codes of the token before the one that each of these tokens' steps speaks for.
        """
        rows, frames, _ = heard.audio.shape
        x, words = self._listen(heard)
        blind = max(0, self.config.reach - 1 - state.frames)
        memory: list[list[Memory]] = []

        def through(steps: slice, x: Tensor, other: Tensor) -> Tensor:
            for step, remembered in zip(state.steps[steps], state.memory[steps], strict=True):
                x, kept = step(x, other, remembered, blind)
                memory.append(kept)
            return x

        agent, other = through(slice(self.config.layers), x, words).split(rows)
        agent = agent + (self.embedded(before)[:, :, None] + self.phase).flatten(1, 2)
        agent = through(slice(self.config.layers, None), agent, other)
        return self.leave(agent), State(memory, state.steps, state.frames + frames)

    def token_states(self, h: Tensor, before: Tensor) -> Tensor:
        """(B, T, D) hidden states and the codes (B, T / n, R) of the token before each -> (B, T / n, D) what tokens are
        said from, level by level."""
        said: Tensor = self.token(h.unflatten(1, (-1, self.config.downsample)).flatten(2))
        return said + self._looked_up(self.previous, before).sum(-2)

    def level_logits(self, number: int, z: Tensor) -> Tensor:
        """(..., D) -> (..., K) logits of a level."""
        said: Tensor = self.logits[number](F.gelu(self.token_norm(z), approximate="tanh"))
        return said

    def level_state(self, number: int, z: Tensor, codes: Tensor) -> Tensor:
        """(..., D) state of a level and its codes (...), none unknown -> that of the next level."""
        added: Tensor = self.codes(codes + number * self.config.codebook_size)
        return z + added

    def token_logits(self, h: Tensor, before: Tensor, codes: Tensor) -> Tensor:
        """(B, T / n, R, K) logits of each level, given the levels before it in `codes` (B, T / n, R)."""
        z, out = self.token_states(h, before), []
        for number in range(self.config.levels):
            out.append(self.level_logits(number, z))
            z = self.level_state(number, z, codes[..., number].clamp(min=0))
        return torch.stack(out, 2)

    def motion(self, h: Tensor, codes: Tensor) -> Tensor:
        """(B, T, F) motion features from hidden states, given each token's codes (B, T / n, R), -1 where not told."""
        told = self.given(self.embedded(codes)).repeat_interleave(self.config.downsample, 1)
        normal = self.out(F.gelu(self.frame(h) + told, approximate="tanh"))
        return normal.float() * self.std + self.mean

    def forward(
        self, heard: Heard, before: Tensor, shown: Tensor, said: Tensor, segment: int, speaker: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Consecutive segments of `segment` frames, each with the memory of the one before (no gradient through it).

        Args:
            before: (B, T / n, R) codes of the token before each one that is spoken for. shown: those that its frames
                follow. said: those that its levels are told of the levels before; -1 = not told.
            speaker: (B,) numbers in the table of styles, -1 = nobody's; None = the styles are in `heard`.

        Returns:
            motion (B, T, F), logits (B, T / n, R, K).
        """
        n = self.config.downsample
        if speaker is not None:
            style = torch.where((speaker >= 0)[:, None], self.speakers(speaker.clamp(min=0)), 0.0)
            heard = replace(heard, style=style)
        state, parts = self.begin(len(heard.audio)), []
        for start in range(0, heard.audio.shape[1], segment):
            stop = min(start + segment, heard.audio.shape[1])
            h, state = self.states(heard.part(start, stop), before[:, start // n : stop // n], state)
            parts.append(h)
        h = torch.cat(parts, 1)
        return self.motion(h, shown), self.token_logits(h, before, said)


def earlier(codes: Tensor) -> Tensor:
    """(B, N, R) codes -> those of the token before each, none before the first."""
    return F.pad(codes[:, :-1], (0, 0, 1, 0), value=UNKNOWN)
