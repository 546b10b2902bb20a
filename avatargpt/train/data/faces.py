"""The faces stage of `scripts/train.py`: facial instructions, speech and recordings -> a store of face clips.

Clips with words are rendered from scores: ``extra["prompts"]`` holds the instruction, the caption is the plain
description (`instruct_data.face.described`), ``extra["emotion"]`` the feeling. Speech and recordings have no words;
they are for the tokenizer and for in-betweening.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from instruct_data.clip import Clip, face_clip
from instruct_data.face import score as face_score
from instruct_data.face.described import describe_score, describe_timed_score, feelings_described
from instruct_data.face.emotions import emotion_names
from instruct_data.face.render import render
from instruct_data.face.score import Emotion, Score, action_class, expand_texts, mirror_words, read_instructions
from instruct_data.factory.face.compose import compose_scores, draw_timed_instructions, list_named
from instruct_data.store import Store
from vqvae.errors import UserError
from vqvae.face import FaceMotion

LONGEST = 7.2  # seconds; a language model's answer has at most 72 tokens
MIN_FEELING = 1.5  # seconds


def emotion_words(score: Score) -> dict[str, Any] | None:
    """Words of the feelings; name and intensity too of a single one. None: no feeling."""
    if not score.emotions:
        return None
    single = {}
    if len(score.emotions) == 1:
        single = {"name": score.emotions[0].name, "intensity": round(score.emotions[0].intensity, 2)}
    return {"text": feelings_described(score), "alone": not score.events, **single}


def make_conditioned_clip(
    name: str, score: Score, seed: int, split: str = "train", paraphrases: Sequence[str] = ()
) -> Clip:
    """One rendering of a score with its words, their paraphrases, and the score itself in words."""
    words = [*dict.fromkeys([score.text, *paraphrases] if score.text else [describe_score(score)])]
    prompts = words + [describe_timed_score(score)] * len(words)  # in half of the draws
    extra: dict[str, Any] = {"score": score.to_json(), "prompts": prompts}
    if (emotion := emotion_words(score)) is not None:
        extra["emotion"] = emotion
    return face_clip(
        name, render(score, seed), [describe_score(score)], face_score.SOURCE, face_score.LICENCE, split,
        action_class(score), extra,
    )  # fmt: skip


def draw_felt_scores(count: int, seed: int) -> Iterator[Score]:
    """Single feelings of any strength and length, equally often, without an instruction."""
    names = emotion_names()
    for i in range(count):
        rng = np.random.default_rng([seed, 5, i])
        length = round(float(rng.uniform(MIN_FEELING, LONGEST - 0.5)), 1)
        yield Score(length, (), (Emotion(names[i % len(names)], float(rng.uniform(0.15, 1)), 0.0, length),))


def make_conditioned_clips(texts: Path, count: int, variants: int = 2, seed: int = 0) -> Iterator[Clip]:
    """Instructions of the package and of `texts` (these with paraphrases), mirrored as well, and generated ones.

    Args:
        texts: folder with train.jsonl and val.jsonl.
        count: composed instructions, as many with times in their words, and as many single feelings.
        variants: renderings of each written instruction.
    """
    rewordings = {row[0].text: [s.text for s in row[1:]] for row in expand_texts()}

    def rows() -> Iterator[tuple[str, Score, str, int]]:
        for path in (face_score.OWN, face_score.SEQUENCES, texts):
            for row in read_instructions(path):
                if row.split == "val":
                    yield row.id, row.score, "val", 1
                    continue
                yield row.id, row.score, "train", variants
                if row.score.sided:
                    # An instruction without a side has no mirror image of its own.
                    yield f"{row.id}_m", row.score.mirror(), "train", variants
        generated = {"composed": compose_scores(count, seed), "timed": draw_timed_instructions(count, seed),
                "named": list_named(), "felt": draw_felt_scores(count, seed)}  # fmt: skip
        for kind, scores in generated.items():
            for i, score in enumerate(scores):
                yield f"{kind}_{i}", score, "train", 1

    for number, (name, score, split, times) in enumerate(rows()):
        if score.length > LONGEST:
            continue
        # Paraphrases are looked up by the words of the unmirrored instruction; those without a side would be doubled.
        turned = ((mirror_words(t), t) for t in rewordings.get(mirror_words(score.text), []))
        paraphrases = rewordings.get(score.text) or [m for m, t in turned if m != t]
        for k in range(times):
            clip_seed = int(np.random.SeedSequence([seed, number, k]).generate_state(1)[0])
            yield make_conditioned_clip(f"{name}_{k}", score, clip_seed, split, paraphrases if split == "train" else ())


def _stretches(motion: FaceMotion) -> Iterator[FaceMotion]:
    """Pieces of at most `LONGEST` seconds; a last one of less than a second is left out."""
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
        from instruct_data.sources.face_files import read_livelink_folder

        for take in read_livelink_folder(takes):
            motion_of_take: Any = take.load()
            for i, piece in enumerate(_stretches(motion_of_take.resampled(30.0))):
                # Stretches of a take, not takes: there are few of them.
                split = "val" if i % 10 == 9 else "train"
                name = f"{take.id}/{i}"
                yield face_clip(name, piece, [], take.source, take.licence, split)
                yield face_clip(f"{name}_m", piece.mirrored(), [], take.source, take.licence, split)


def faces_stage(args: SimpleNamespace) -> None:
    """Facial instructions, speech and recordings -> a store of face clips."""
    texts, speech, takes = Path(args.texts), *(Path(p) if p else None for p in (args.speech, args.takes))
    for folder in (texts, takes):
        if folder is not None and not folder.is_dir():
            raise UserError(f"{folder}: no such folder")
    clips = chain(make_conditioned_clips(texts, args.count), wordless_clips(speech, takes))
    store = Store.write(clips, args.output)
    print(f"{args.output}: {len(store)} clips, {store.manifest['hours']} hours")
