"""The faces stage of `scripts/train.py`: facial instructions, speech and recordings -> a store of face clips.

Clips with words are rendered from scores: ``extra["prompts"]`` holds the instruction, the caption is the plain
description (`instruct_data.face.described`), ``extra["emotion"]`` what is felt. Speech and recordings come without
words; they teach the tokenizer, and stretches of them what lies between two faces.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from instruct_data.clip import Clip, face_clip
from instruct_data.face.score import Emotion, Score
from vqvae.errors import UserError
from vqvae.face import FaceMotion

LONGEST = 7.2  # seconds; a language model's answer has at most 72 tokens
FELT = 1.5  # seconds that a feeling lasts at least


def emotion_said(score: Score) -> dict[str, Any] | None:
    """Words of the feelings; name and intensity too where there is one feeling alone. None: nothing is felt."""
    from instruct_data.face.described import feelings_described

    if not score.emotions:
        return None
    one = score.emotions[0] if len(score.emotions) == 1 else None
    about = {"name": one.name, "intensity": round(one.intensity, 2)} if one is not None else {}
    return {"text": feelings_described(score), "alone": not score.events, **about}


def conditioned_clip(name: str, score: Score, seed: int, split: str = "train", also: Sequence[str] = ()) -> Clip:
    """One rendering of a score with its words, and with other words for it (`also`)."""
    from instruct_data.face.described import described
    from instruct_data.face.render import render
    from instruct_data.face.score import LICENCE, SOURCE, action_class

    said = dict.fromkeys([score.text, *also] if score.text else [])
    extra: dict[str, Any] = {"score": score.to_json(), "prompts": [*said]}
    felt = emotion_said(score)
    if felt is not None:
        extra["emotion"] = felt
    return face_clip(name, render(score, seed), [described(score)], SOURCE, LICENCE, split, action_class(score), extra)


def felt_scores(count: int, seed: int) -> Iterator[Score]:
    """Single feelings of any strength and length, all alike often, without an instruction."""
    from instruct_data.face.emotions import emotion_names

    names = emotion_names()
    for i in range(count):
        rng = np.random.default_rng([seed, 5, i])
        length = round(float(rng.uniform(FELT, LONGEST - 0.5)), 1)
        yield Score(length, (), (Emotion(names[i % len(names)], float(rng.uniform(0.15, 1)), 0.0, length),))


def conditioned_clips(texts: Path, count: int, variants: int = 2, seed: int = 0) -> Iterator[Clip]:
    """Instructions of the package and of `texts` (these in other people's words, too), mirrored as well, and made-up
    ones.

    Args:
        texts: folder with train.jsonl and val.jsonl.
        count: composed instructions, as many with times in their words, and as many single feelings.
        variants: renderings of each written instruction.
    """
    from instruct_data.face.compose import composed, named, timed_instructions
    from instruct_data.face.score import OWN, SEQUENCES, mirror_words, read_instructions, reworded

    others = {row[0].text: [s.text for s in row[1:]] for row in reworded()}

    def rows() -> Iterator[tuple[str, Score, str, int]]:
        for path in (OWN, SEQUENCES, texts):
            for one in read_instructions(path):
                if one.split == "val":
                    yield one.id, one.score, "val", 1
                    continue
                yield one.id, one.score, "train", variants
                if one.score.sided:
                    yield f"{one.id}_m", one.score.mirrored(), "train", variants
        made = {"composed": composed(count, seed), "timed": timed_instructions(count, seed), "named": named(),
                "felt": felt_scores(count, seed)}  # fmt: skip
        for kind, scores in made.items():
            for i, score in enumerate(scores):
                yield f"{kind}_{i}", score, "train", 1

    for number, (name, score, split, times) in enumerate(rows()):
        if score.length > LONGEST:
            continue
        turned = ((mirror_words(t), t) for t in others.get(mirror_words(score.text), []))
        also = others.get(score.text) or [m for m, t in turned if m != t]
        for k in range(times):
            one = int(np.random.SeedSequence([seed, number, k]).generate_state(1)[0])
            yield conditioned_clip(f"{name}_{k}", score, one, split, also if split == "train" else ())


def _stretches(motion: FaceMotion) -> Iterator[FaceMotion]:
    """Pieces of at most `LONGEST` seconds; a rest of less than a second is left out."""
    step = int(LONGEST * motion.fps)
    for start in range(0, len(motion), step):
        piece = motion.slice(start, start + step)
        if len(piece) >= motion.fps:
            yield piece


def wordless_clips(speech: Path | None, takes: Path | None) -> Iterator[Clip]:
    """Faces of the speech stage's clips and of Live Link takes, takes mirrored too."""
    if speech is not None:
        from avatargpt.train.speech_data.corpus import load

        for clip in load(speech):
            if clip.kind != "taught":
                continue
            motion = FaceMotion.from_curves(clip.curves)
            for i, piece in enumerate(_stretches(motion)):
                yield face_clip(f"{clip.name}/{i}", piece, [], "speech", "MIT", clip.split)
    if takes is not None:
        from instruct_data.sources.livelink import read_livelink_folder

        for take in read_livelink_folder(takes):
            whole: Any = take.load()
            for i, piece in enumerate(_stretches(whole.resampled(30.0))):
                split = "val" if i % 10 == 9 else "train"
                one = replace(take, id=f"{take.id}/{i}", split=split)
                yield face_clip(one.id, piece, [], one.source, one.licence, split)
                yield face_clip(f"{one.id}_m", piece.mirrored(), [], one.source, one.licence, split)


def faces_stage(args: SimpleNamespace) -> None:
    """Facial instructions, speech and recordings -> a store of face clips."""
    from itertools import chain

    from instruct_data.store import Store

    texts, speech, takes = Path(args.texts), *(Path(p) if p else None for p in (args.speech, args.takes))
    for folder in (texts, takes):
        if folder is not None and not folder.is_dir():
            raise UserError(f"{folder}: no such folder")
    clips = chain(conditioned_clips(texts, args.count), wordless_clips(speech, takes))
    store = Store.write(clips, args.output)
    print(f"{args.output}: {len(store)} clips, {store.manifest['hours']} hours")
