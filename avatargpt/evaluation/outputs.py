"""Suites on the outputs of other systems: a folder of motion files, judged as answers of a model are."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from avatargpt.evaluation import corpus, output_files, prompts
from avatargpt.evaluation.output_files import ExpectedFile, OutputFiles, match_files
from avatargpt.evaluation.suites import Suite
from avatargpt.kinematics.joints import Signals
from avatargpt.metrics.evaluator import MotionEvaluator
from avatargpt.metrics.geometry import predicates
from avatargpt.metrics.gesture_features import GestureFeatureEncoder
from avatargpt.speech.audio import RATE
from instruct_data.clip import Clip
from vqvae.errors import UserError
from vqvae.face import FaceMotion
from vqvae.motion import Motion

HEAD_UNKNOWN = "its checks look at where the head looks, which positions alone do not show"
NO_HEAD = "its events turn the head, which Audio2Face's JSON does not hold"
# Kind of a suite -> how its files are read.
READERS: dict[str, Callable[..., Any]] = {
    "prompts": output_files.read_body, "prompt_list": output_files.read_both, "retrieval": output_files.read_body,
    "face_instructions": output_files.read_face, "gesture": output_files.read_motion,
}  # fmt: skip


@dataclass(frozen=True)
class Outputs:
    """A folder of another system."""

    folder: Path  # of motion files
    names: Path | None = None  # the list of names and prompts, or None
    fps: float | None = None  # rate of files that state none


def items(suite: Suite, data: Path | None = None) -> list[ExpectedFile]:
    """What a suite expects, by the names of files.

    Prompt suites number their prompts from 1, the neutral ones of style checks behind the others; a suite of faces
    calls its instructions by source and number, one of gestures its talks by their names.
    """
    if suite.kind == "prompts":
        texts = [e.prompt for e in suite.entries]
        texts += [t for t in dict.fromkeys(e.neutral for e in suite.entries if e.neutral) if t not in texts]
        return [ExpectedFile(f"{n:03d}", text) for n, text in enumerate(texts, 1)]
    if suite.kind == "prompt_list":
        return [ExpectedFile(f"{n:03d}", str(row["prompt"])) for n, row in enumerate(suite.options["prompts"], 1)]
    if suite.kind == "retrieval" and not suite.measure:
        return [ExpectedFile(f"{n:03d}", c.captions[0]) for n, c in enumerate(_load_captioned(suite, data), 1)]
    if suite.kind == "face_instructions" and not suite.measure:
        from avatargpt.evaluation.face_instructions import instruction_sources

        sources = instruction_sources(suite, data)
        return [
            ExpectedFile(f"{name}_{n:03d}", s.text) for name, scores in sources.items() for n, s in enumerate(scores, 1)
        ]
    if suite.kind == "gesture":
        from avatargpt.evaluation.gesture import read_talks

        if data is None:
            raise UserError(f"{suite.name}: measured on recorded talks; name their folder with --data")
        return [ExpectedFile(t.name, f"{len(t.audio) / 16000:.1f} s of talk") for t in read_talks(data)]
    raise UserError(f"{suite.name}: takes no outputs of others; accepted suites of kind " f"{', '.join(READERS)}")


def score(suite: Suite, outputs: Outputs, data: Path | None = None, store: Path | None = None, model: Any = None
          ) -> dict[str, Any]:  # fmt: skip
    """The figures of the available clips; ``failed`` lists missing and damaged ones, ``warnings`` those of
    `output_files.frame_warnings`.
    """
    expected = items(suite, data)
    matches = match_files(outputs.folder, expected, outputs.names)
    bodies: list[output_files.ClipSigns] = []
    read = READERS[suite.kind]
    if read is not output_files.read_face:
        read = partial(read, on_joints=lambda joints: bodies.append(output_files.clip_signs(joints)))
    # Item -> its clips; files that cannot be read are named with the reason.
    clips: dict[str, list[Any]] = {}
    damaged: list[dict[str, str]] = []
    for name, paths in matches.files.items():
        for path in paths:
            try:
                clip = read(path, outputs.fps)
            except UserError as e:
                damaged.append({"item": path.name, "reason": str(e).removeprefix(f"{path}: ")})
            else:
                clips.setdefault(name, []).append(clip)
    if suite.kind == "prompts":
        result = _prompts(suite, clips, {i.id: i.text for i in expected})
    elif suite.kind == "prompt_list":
        numbered = {int(name) - 1: clips_of for name, clips_of in clips.items()}
        result = prompts.judge_list(suite, {n: [m for m, _ in clips_of] for n, clips_of in numbered.items()}, model)
        # Positions as they are: rotations of our own skeleton put other bones only nearly there.
        joints = {n: [s.joints for _, s in clips_of] for n, clips_of in numbered.items()}
        result["results"] |= prompts.measure_fit(suite, joints)
    elif suite.kind == "retrieval":
        result = _retrieval(suite, clips, data, store)
    elif suite.kind == "face_instructions":
        result = _faces(suite, clips, matches, data)
    else:
        result = _gestures(suite, {name: clips_of[0] for name, clips_of in clips.items()}, data, store)
    failed = [*damaged, *result.pop("failed", []), *matches.failed]  # what is damaged, before what is not there
    counted = {"asked": len(expected), "answered": len(matches.files)}
    extra = {"warnings": output_files.frame_warnings(bodies), "failed": failed}
    return {"outputs": matches.digest, **counted, **result, **{k: v for k, v in extra.items() if v}}


def _prompts(suite: Suite, clips: Mapping[str, Sequence[Signals]], texts: Mapping[str, str]) -> dict[str, Any]:
    motions = {texts[name]: dict(enumerate(clips_of)) for name, clips_of in clips.items()}

    def lacks_face(*texts: str) -> bool:
        return any(s.motion is None and s.nose is None for text in texts for s in motions.get(text, {}).values())

    looking = [e for e in suite.entries if any(predicates.needs_head(c) for c in e.checks)]
    # Not judged, rather than failed: the format cannot show it.
    unjudged = [{"item": e.prompt, "reason": HEAD_UNKNOWN} for e in looking if lacks_face(e.prompt, e.neutral)]
    lost = [{"item": e.prompt, "reason": f"no clip for its neutral prompt: {e.neutral}"}
            for e in suite.entries if e.neutral and e.prompt in motions and e.neutral not in motions]  # fmt: skip
    judgeable = replace(prompts.JudgeablePrompts.of(suite), counters={})  # of the harness, not of what it measures
    return prompts.judge_motions(suite, judgeable, motions, lost, unjudged)


def _load_captioned(suite: Suite, data: Path | None) -> list[Clip]:
    if data is None:
        raise UserError(f"{suite.name}: asks captions of the body corpus; name its folder with --data")
    return [c for c in corpus.load_clips(data, str(suite.options.get("split", "val"))) if c.captions]


def _retrieval(
    suite: Suite, clips: Mapping[str, Sequence[Signals]], data: Path | None, store: Path | None
) -> dict[str, Any]:
    from avatargpt.evaluation import retrieval

    rows = [(c, clips[f"{n:03d}"]) for n, c in enumerate(_load_captioned(suite, data), 1) if f"{n:03d}" in clips]
    evaluator = MotionEvaluator.load(store)
    if len(rows) < retrieval.pool(suite):
        reason = f"{len(rows)} captions answered; at least {retrieval.pool(suite)} are needed"
        return {"results": {}, "failed": [{"item": suite.name, "reason": reason}]}
    real = evaluator.motions([c.load() for c, _ in rows])
    motions = evaluator.joints([clips_of[0].joints for _, clips_of in rows])
    vectors = {**retrieval.make_recorded_rows(suite, real), retrieval.MODEL: motions}
    captions = [c.captions[0] for c, _ in rows]
    return retrieval.result(suite, captions, evaluator, vectors)


def _faces(
    suite: Suite, clips: Mapping[str, Sequence[FaceMotion]], matches: OutputFiles, data: Path | None
) -> dict[str, Any]:
    from avatargpt.evaluation import face_instructions

    turned = face_instructions.head_instructions(suite, data)
    headless = [name for name in clips if name in turned and output_files.lacks_head(matches.files[name][0])]
    faces = {name: clips_of[0] for name, clips_of in clips.items() if name not in headless}
    result = face_instructions.score_outputs(suite, faces, data)
    unjudged = [{"item": name, "reason": NO_HEAD} for name in headless]
    return {**result, **({"unjudged": unjudged} if unjudged else {})}


def _gestures(suite: Suite, clips: Mapping[str, Motion], data: Path | None, store: Path | None) -> dict[str, Any]:
    from avatargpt.evaluation import gesture

    assert data is not None  # required by `items`
    failed: list[dict[str, str]] = []
    talks = []
    for talk in gesture.read_talks(data):
        if talk.name not in clips:
            continue
        needed = talk.motion.seconds if talk.motion is not None else len(talk.audio) / RATE
        if clips[talk.name].seconds < needed - 0.5:
            reason = f"{clips[talk.name].seconds:.1f} s of motion for a talk of {needed:.1f} s; accepted as long"
            failed.append({"item": talk.name, "reason": reason})
            continue
        talks.append(talk)
    if not talks:
        return {"results": {}, "failed": failed}
    features = GestureFeatureEncoder.load(store)
    network = {"outputs": lambda talk: clips[talk.name]}
    return {**gesture.score(suite, talks, network, (), features, reduced=False), "failed": failed}


def failure_lines(failed: Sequence[Mapping[str, str]]) -> list[str]:
    """One line for each failed item, at most twenty."""
    lines = [f"{f['item']}: {f['reason']}" for f in failed]
    return lines if len(lines) <= 20 else [*lines[:20], f"... and {len(lines) - 20} more; the result names them all"]
