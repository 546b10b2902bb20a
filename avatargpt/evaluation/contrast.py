"""The suite `contrast`: whether one exchanged attribute makes a prompt fit a clip less, and changes what is generated.

Held-out keyframed clips. Of each, one attribute is exchanged (`avatargpt.train.data.exchange.Exchange`), in symbols
and, where that can be done, in words. ``network``: share of clips that are likelier under the prompt that fits;
``words``: the same of prompts in words alone; ``scorer``, ``scorer_words``: of those that the text-motion scorer finds
to fit better, by words and attributes or (and always by a scorer that reads no attributes) by words alone;
``generation``: of what is generated for the exchanged prompt, those that measurably show the exchanged value.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from avatargpt.body.constraints import VERIFIED
from avatargpt.evaluation import corpus
from avatargpt.evaluation.report import figure
from avatargpt.evaluation.suites import Run
from avatargpt.train.data.clip_tables import LONGEST, ClipTable
from avatargpt.train.data.exchange import find_changed
from avatargpt.train.data.prompts import Wording
from avatargpt.train.tokenizer import tokenise_clip
from instruct_data.attributes import Measures, describe_figures
from instruct_data.clip import Clip
from instruct_data.factory.cleaning import CleaningReport, clean_clips
from instruct_data.factory.synth.families import families
from instruct_data.registry import Prompt

MIN_ROWS = 20  # of a figure for one action


def evaluate(run: Run) -> dict[str, Any]:
    """The suite on a run's model."""
    options = run.suite.options
    count = int(options["full" if run.full else "per_family"])
    clips = list(clean_clips(corpus.make_keyframed_clips(count, corpus.HELD_OUT, list(families())), CleaningReport()))
    return {"results": score(run.model.body.model, clips, int(options["generated"]), run.suite.seeds[0])}


def score(model: Any, clips: Sequence[Clip], generated: int, seed: int = 0) -> dict[str, Any]:
    """Figures by attribute, and by attribute and action where there are `MIN_ROWS` clips.

    Args:
        model: an `avatargpt.body.model.BodyModel`. generated: motions for the exchanged prompts.
    """
    loaded, rng = model.loaded, np.random.default_rng(seed)
    items = [replace(tokenise_clip(c, model.tokenizer), split="train") for c in clips]
    wording = Wording(loaded.text, loaded.model.config, {"body": model.tokenizer.tokens_per_second})
    table = ClipTable(items, wording, loaded.model.config, False)
    numbers = np.arange(len(items))
    text = table.text(numbers, "caption", rng)
    symbols, words, possible = table.exchange(numbers, table.attributes, text, rng)
    rows: dict[str, list[tuple[str, str, float]]] = defaultdict(list)
    chosen = numbers[possible]
    fields = [find_changed(table.attributes[n], symbols[n]) for n in chosen]
    actions = [table.typed[n]["action"] for n in chosen]

    def add(name: str, which: Sequence[int], right: Sequence[bool] | np.ndarray) -> None:
        rows[name] += [(fields[i], actions[i], float(r)) for i, r in zip(which, right, strict=True)]

    pairs = [(_list_types(wording, table.attributes[n]), _list_types(wording, symbols[n])) for n in chosen]
    codes = [items[n].codes[:LONGEST] for n in chosen]
    fits, other = (_likelihoods(loaded, codes, [p[k] for p in pairs], None) for k in (0, 1))
    every = list(range(len(chosen)))
    add("network", every, fits > other)
    reworded = [i for i, n in enumerate(chosen) if words[n] >= 0 and words[n] != text[n]]
    sentences = [[wording.texts[t[chosen[i]]] for i in reworded] for t in (text, words)]
    if reworded:
        first = [codes[i] for i in reworded]
        fits, other = (_likelihoods(loaded, first, None, texts) for texts in sentences)
        add("words", reworded, fits > other)
    scorer = model.motion_scorer
    if scorer is not None and model.grounder is not None:
        motions = scorer.motions([clips[n].load().joints for n in chosen], clips[0].load().fps)
        whole = [[wording.texts[text[n] if k == 0 or words[n] < 0 else words[n]] for n in chosen] for k in (0, 1)]
        for name, typed in (("scorer", scorer.network.attributes > 0), ("scorer_words", False)):
            true, false = (
                (motions * scorer.texts(texts, model.grounder, [p[k] for p in pairs] if typed else ())).sum(1)
                for k, texts in enumerate(whole)
            )  # fmt: skip
            which = every if typed else reworded
            add(name, which, (true > false)[which])
    drawn = rng.permutation([i for i in every if fields[i] in VERIFIED])[:generated].tolist()
    prompts = [_prompt(loaded, pairs[i][1], None) for i in drawn]
    lengths, seeds = [len(codes[i]) for i in drawn], [seed + i for i in drawn]
    answers = loaded.sample(prompts, lengths, seeds, 1, 1.0, 0.8) if drawn else []
    figures = [describe_figures(Measures.of(model.tokenizer.decode(a[0])).figures()) for a in answers]
    wanted = [pairs[i][1].get(fields[i]) for i in drawn]
    add("generation", drawn, [s.get(fields[i]) == w for s, i, w in zip(figures, drawn, wanted, strict=True)])
    out: dict[str, Any] = {}
    for name, values in rows.items():
        groups: dict[str, list[float]] = defaultdict(list)
        for field, action, right in values:
            for key in (name, f"{name}/{field}", f"{name}/{field}/{action}"):
                groups[key].append(right)
        out |= {k: figure(v) for k, v in groups.items() if k.count("/") < 2 or len(v) >= MIN_ROWS}
    return out


def _list_types(wording: Wording, symbols: np.ndarray) -> dict[str, str]:
    pairs = (wording.texts[s].partition("=") for s in symbols.tolist() if s >= 0)
    return {name: value for name, _, value in pairs}


def _prompt(loaded: Any, attributes: Mapping[str, str] | None, text: str | None) -> Prompt:
    """A prompt of the first template; without a text, its place is empty."""
    slots: dict[str, Any] = {"caption": text or "a person moves", **({"attributes": attributes} if attributes else {})}
    prompt: Prompt = loaded.prompt("text_to_motion", slots)
    if text is None:
        segments = tuple(s for s in prompt.segments if not getattr(s, "ground", False))
        prompt = replace(prompt, segments=segments)
    return prompt


def _likelihoods(
    loaded: Any, codes: Sequence[np.ndarray], attributes: Sequence[Mapping[str, str]] | None,
    texts: Sequence[str] | None,
) -> np.ndarray:  # fmt: skip
    """(n,) mean log-likelihood of level 0 under each prompt, nats a token."""
    first = loaded.model.config.first_id("body")
    prompts = [
        _prompt(loaded, attributes[n] if attributes else None, texts[n] if texts else None) for n in range(len(codes))
    ]
    scores: np.ndarray = loaded.score(prompts, [(c[:, 0] + first).tolist() for c in codes])
    return scores
