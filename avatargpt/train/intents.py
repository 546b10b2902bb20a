"""Trains the classifier of `avatargpt.chat.classifier` on recorded and made-up turns."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from avatargpt.chat.classifier import FILE, TurnIntent, nearness
from avatargpt.language.chat.features import grams, masked, rows
from avatargpt.language.chat.filenames import named_files
from avatargpt.language.chat.heard import Heard
from avatargpt.retrieval.phrases import PhraseIndex
from instruct_data.dialogue.dialogues import Turn, made_up, read_dialogues, replayed

if TYPE_CHECKING:
    from avatargpt.model.text_encoder import SentenceGrounder

MADE_UP = 4000
RECORDED = 4.0  # weight of a recorded turn against a made-up one
SEEN = 6  # turns that a word must stand in to get a column
EPOCHS, BATCH, RATE, FADE, DECAY, SMOOTH = 12, 256, 0.02, 0.8, 0.1, 0.05


def heard(turn: Turn) -> Heard:
    """A recorded turn as a conversation hears it, with the true acts of all turns before it."""
    request = " ".join(turn.user.lower().split())
    takes = len(turn.timeline.partition("| takes ")[2].split(" |")[0].split())
    return Heard(
        request, turn.timeline, turn.captions, takes, turn.history, tuple(n.lower() for n in named_files(request)),
        turn.timeline.endswith("| plan"),
    )  # fmt: skip


def build_intents(
    folder_texts: Path, out: Path, grounder: SentenceGrounder, phrase_index: PhraseIndex | None = None, seed: int = 0
) -> Path:
    """Train the classifier and write it.

    Args:
        folder_texts: of the dialogues, with ``train.jsonl``.
        out: a model folder, or a file.
        wording: the book of movements; default: that of `out`.

    Returns:
        The file.
    """
    folder = Path(out)
    if phrase_index is None and folder.is_dir():
        phrase_index = PhraseIndex.load(folder)
    rng = np.random.default_rng([seed, 33])
    recorded = replayed(read_dialogues(Path(folder_texts) / "train.jsonl"), rng)
    made = made_up(Path(folder_texts), recorded, MADE_UP, rng)
    weighed = [*((t, RECORDED) for t in recorded), *((t, 1.0) for t in made)]
    turns = [t for t, _ in weighed if len(t.acts) == 1]
    weights = np.array([w for t, w in weighed if len(t.acts) == 1])
    intent = train(turns, weights, grounder, phrase_index, seed)
    return intent.save(folder / FILE if folder.is_dir() else folder)


def train(
    turns: Sequence[Turn], weights: np.ndarray, grounder: SentenceGrounder, phrase_index: PhraseIndex | None,
    seed: int = 0,
) -> TurnIntent:
    """A softmax classifier of turns of one act each.

    Args:
        weights: (n,) of the turns.
    """
    import torch
    from torch.nn.functional import cross_entropy

    from avatargpt.train.loop import fit

    said = [heard(t) for t in turns]
    texts = [masked(h.request, h.files) for h in said]
    counts = Counter(g for t in texts for g in set(grams(t)))
    columns = sorted(g for g, n in counts.items() if n >= SEEN)
    kinds = sorted({t.acts[0].do for t in turns})
    vectors = grounder.sentence(texts)
    x = torch.from_numpy(rows(said, vectors, nearness(vectors, phrase_index), {g: i for i, g in enumerate(columns)}))
    y = torch.tensor([kinds.index(t.acts[0].do) for t in turns])
    w = torch.tensor(weights, dtype=torch.float32)
    draw = torch.Generator().manual_seed(seed)
    layer = torch.nn.Linear(x.shape[1], len(kinds))
    torch.nn.init.zeros_(layer.weight)
    torch.nn.init.zeros_(layer.bias)
    optimiser = torch.optim.AdamW(layer.parameters(), lr=RATE, weight_decay=DECAY)

    def losses() -> Iterator[torch.Tensor]:
        for _ in range(EPOCHS):
            for some in torch.randperm(len(x), generator=draw).split(BATCH):
                loss = cross_entropy(layer(x[some]), y[some], reduction="none", label_smoothing=SMOOTH)
                yield (loss * w[some]).mean()
            for group in optimiser.param_groups:
                group["lr"] *= FADE

    fit(losses(), optimiser)
    weight, bias = layer.weight.detach().numpy(), layer.bias.detach().numpy()
    return TurnIntent(kinds, columns, weight, bias, grounder, phrase_index)
