"""The suite `gesture_words`: sentences with a word that asks for a gesture; is it seen on the word's stress?"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from avatargpt.evaluation.gesture.guessed import WORDS, guesses
from avatargpt.evaluation.gesture.shown import Shown
from avatargpt.evaluation.parts import UNKEPT, Parts
from avatargpt.evaluation.report import figure
from avatargpt.evaluation.suites import Suite, folder
from avatargpt.gesture.pipeline import GesturePipeline
from avatargpt.gesture.semantics import Manner, stress_time
from avatargpt.speech.audio import RATE
from instruct_data.gesture.classes import MARKS, word_classes
from vqvae.errors import UserError
from vqvae.io.data_files import json_rows

SENTENCES = "gesture_words.jsonl"
LEAD, TAIL = 1.5, 1.0  # s of silence before and after: hands set out before a word
ROWS = {"words on": None, "network alone": 0.0, "words off": None}
"""Row -> share of words that get a gesture of the bank."""


def score(suite: Suite, model: str | Path, parts: Parts = UNKEPT) -> dict[str, Any]:
    """Share of the sentences whose gesture is seen, word by word, with words and without; and what guesses are worth.

    espeak-ng says them, so that times are known exactly. A gesture is of all classes of the table that ask for it.

    Raises:
        UserError: espeak-ng is not installed, no network or no bank.
    """
    from avatargpt.train.gesture.voices import Voices

    performer = GesturePipeline.load(model)
    if performer.bank is None:
        raise UserError(f"{model}: no bank of gestures; accepted: a model folder with one")
    shown, classes = Shown(performer.bank), word_classes().classes
    perform = parts.remembering("perform", performer.perform)
    voices, rows = Voices(0.0), list(json_rows(folder() / SENTENCES))
    seen: dict[str, list[bool]] = {name: [] for name in ROWS}
    chance = []
    for number, (_, row) in enumerate(rows):
        rng = np.random.default_rng([suite.seeds[0], 75, number])
        said = voices.voice(rng).say(row["text"], rng)
        words = said.words.words
        at = next(k for k, w in enumerate(words) if w.text.strip(MARKS).lower() == row["word"].lower())
        audio = np.concatenate([np.zeros(round(LEAD * RATE), np.float32), said.audio,
                                np.zeros(round(TAIL * RATE), np.float32)])  # fmt: skip
        late = [_later(w, LEAD) for w in words]
        wanted = set(classes[row["class"]].gestures)
        for name, share in ROWS.items():
            manner = Manner(semantic=share)
            told = None if name == "words off" else late
            motion = perform(audio, RATE, told, semantics=manner, seed=suite.seeds[0])
            seen[name].append(shown.nearest(motion, stress_time(late[at])) in wanted)
        others = [classes[r["class"]].gestures for _, r in rows]
        chance.append(float(np.mean([bool(wanted & set(o)) for o in others])))
    results: dict[str, Any] = {f"shown/{name}": figure(np.array(v, float)) for name, v in seen.items()}
    results["shown/chance"] = figure(chance)
    return {"sentences": len(rows), "results": results | guesses(folder() / WORDS), "misses": json.loads(json.dumps(
        [rows[k][1]["text"] for k, hit in enumerate(seen["words on"]) if not hit]))}  # fmt: skip


def _later(word: Any, seconds: float) -> Any:
    """A word, so much later."""
    from dataclasses import replace

    phones = tuple(replace(p, start=p.start + seconds, end=p.end + seconds) for p in word.phones)
    return replace(word, start=word.start + seconds, end=word.end + seconds, phones=phones)
