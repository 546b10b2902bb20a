"""Faces as tokens of the language model: from instructions and feelings, to words, and between two faces.

The network names the actions of a description; their order is read from the face.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from avatargpt.kinematics.face import LOOKS
from avatargpt.kinematics.speech import find_speech, without_speech, without_sway
from avatargpt.lm.adapters import adapter_names
from avatargpt.lm.loaded import CHUNK, CONTEXT, LoadedModel
from avatargpt.metrics.face import emotions_shown
from avatargpt.metrics.face_events import check_score
from avatargpt.options import UnheededText, check_count, check_text, frames_of, mix, plain, then, tokens_of
from avatargpt.requests.english import unreadable
from instruct_data import registry
from instruct_data.face import described
from vqvae.errors import UserError
from vqvae.face import FaceMotion
from vqvae.face import concatenate as joined
from vqvae.smoothing import runs_of

if TYPE_CHECKING:
    from avatargpt.face.pipeline import FacePipeline
    from instruct_data.face.score import Score
    from vqvae.motion import Motion

MAX_TOKENS = CHUNK + CONTEXT  # of one answer
MODEL_FOLDER = "face_language"  # of the face's own model in a folder of weights
ADAPTER = "face"  # of the language model, that brings the face's tokens
BEST_OF = 48  # candidates for an instruction: 0.84 of the events are done, by 16 0.76, by 4 0.70
TEXT_SAMPLING = (1.5, 0.7)  # guidance and temperature of middles with a text, which calmer candidates leave undone
MIN_TEXT_FIT = -2.0  # nats a word piece: of visible actions of middles -1.2 and more, without a text -2.2 and less
FADE = 6  # frames over which a seam's jump is removed
THEN, AND = ", then ", " and "  # between the actions of a description
MIN_SIGNAL = 0.15  # lowest peak of a signal whose second is reliable
STATES = ("shut", "rest")  # forms of actions without a visible movement
FrameSpan = tuple[int, int]  # first and last frame in which an action is at half its height or more


class FaceTokens:
    """Faces as tokens of the language model.

    Shapes: a `FaceMotion` has T frames at 30 per second; codes are (N, R), N = ceil(T / 3) tokens of R residual levels.
    """

    def __init__(self, model: LoadedModel) -> None:
        self.model = model

    @cached_property
    def loaded(self) -> LoadedModel:
        """The model with the face's tokens: `model`, that with its adapter ``face``, or the one of its own."""
        place = self._place()
        if place == ADAPTER:
            return self.model.with_adapter(ADAPTER)
        if place != MODEL_FOLDER:
            self.model.tokenizer("face")
            return self.model
        separate = LoadedModel.from_pretrained(Path(self.model.source) / MODEL_FOLDER, str(self.model.device))
        separate.grounder = self.model.grounder or separate.grounder
        return separate

    def _place(self) -> str:
        """``this model``, `ADAPTER`, `MODEL_FOLDER` or ``none``."""
        source = self.model.source
        if "face" in self.model.tokenizers:
            return "this model"
        if ADAPTER in adapter_names(source):
            return ADAPTER
        return MODEL_FOLDER if source and (Path(source) / MODEL_FOLDER).is_dir() else "none"

    def source_name(self) -> str:
        """The model with the face's tokens, in words; nothing is loaded."""
        place = self._place()
        names = {ADAPTER: f"the adapter {ADAPTER}", MODEL_FOLDER: f"a model of its own ({MODEL_FOLDER})"}
        return names.get(place, place)

    def face(
        self, texts: str | Sequence[str], seconds: float | Sequence[float | None] | None = None, seed: int = 0,
        guidance: float | None = None, temperature: float | None = None, num: int = 1, best_of: int = BEST_OF,
    ) -> list[FaceMotion]:  # fmt: skip
        """Instructions to faces (task `text_to_face`).

        The parser (`face.instructions.parser`) reads each as a score, which the model gets in words
        (`instruct_data.face.described.describe_timed_score`); a model folder without a parser gets the instruction
        itself. Of the candidates that show most of the score's actions and feelings (`metrics.face_events.check_score`)
        that one is taken for which the score's description is the likeliest (`face_to_text`).

        Args:
            texts: one or more, "blink twice, then smile"; feelings too, "look very sad".
            seconds: length of each, kept to the frame, at most 7.2; None = that of the score, at most as much.
            seed: the same seed gives the same face, whatever else is asked for in the same call.
            guidance, temperature: of sampling; None = as the task says.
            num: results per text.
            best_of: candidates per result.

        Returns:
            len(texts) * num faces, in order.

        Raises:
            UserError: empty text, seconds out of range, a model without the face's tokens.

        Warns (`UnheededText`) of a text that may ask a face for nothing.
        """
        items = [texts] if isinstance(texts, str) else list(texts)
        for text in items:
            check_text(text)
        self.loaded.tokenizer("face")  # a model without one is refused first
        check_count("best_of", best_of)
        durations = _durations(seconds, len(items))
        captions, descriptions = items, [plain(t) for t in items]
        scores = self.scores(items, durations)
        if scores and self._pipeline is not None:
            for text, score in zip(items, scores, strict=True):
                self._pipeline.warn(text, score, stacklevel=2)
            captions = [described.describe_timed_score(s) for s in scores]
            descriptions = [described.describe_score(s) for s in scores]
            durations = [s.length for s in scores]
        slots: list[dict[str, Any]] = [{"caption": t} for t in captions]
        return self._faces(
            "text_to_face", slots, items, durations, seed, guidance, temperature, num, best_of, descriptions,
            scores,
        )

    def emotion_face(
        self, emotions: str | Sequence[str], intensity: float | None = None,
        seconds: float | Sequence[float | None] | None = None, seed: int = 0, guidance: float | None = None,
        temperature: float | None = None, num: int = 1,
    ) -> list[FaceMotion]:  # fmt: skip
        """Feelings to faces (task `emotion_to_face`).

        Args:
            emotions: "happy", "very sad", "slightly angry"; one or more, each a single feeling.
            intensity: 0 (neutral) to 1, of all of them, as the word of its degree; None = as the words say.
            seconds, seed, guidance, temperature, num: as for `face`.
        """
        items = [emotions] if isinstance(emotions, str) else list(emotions)
        if intensity is not None and not 0 <= intensity <= 1:
            raise UserError(f"intensity: {intensity}; accepted 0 to 1")
        for text in items:
            check_text(text)
        # The model knows words of degree better than numbers: 0 would be the full feeling, 1 less than 0.85.
        slots: list[dict[str, Any]] = [{"emotion": described.plain_feeling(e, intensity)} for e in items]
        durations = _durations(seconds, len(items))
        return self._faces("emotion_to_face", slots, items, durations, seed, guidance, temperature, num, 1)

    def describe_face(self, faces: FaceMotion | Sequence[FaceMotion]) -> list[str]:
        """Descriptions of actions, feelings and their strengths (task `face_to_text`): one sentence each.

        Of a face that speaks (`kinematics.speech.find_speech`) the mouth and the sway of the head are not read: it is
        said that it speaks, what it does besides, and the feeling (task `face_to_emotion`).

        The form is that of `instruct_data.face.described`: ``blink twice, then smile slightly; very happy``, the order
        of actions that of `order_actions`. Faces beyond 7.2 s are described in windows, joined by "then".
        """
        items = [faces] if isinstance(faces, FaceMotion) else list(faces)
        spoken = [find_speech(face) for face in items]
        still = [without_sway(without_speech(f, s), s) for f, s in zip(items, spoken, strict=True)]
        read = self._read("face_to_text", still)
        answers = [described.plainly(describe_windows(windows)) for windows in read]
        talking = [k for k, s in enumerate(spoken) if s.any()]
        for k, feeling in zip(talking, self.feeling([items[k] for k in talking]), strict=True):
            answers[k] = described.describe_speaking(answers[k], feeling)
        return answers

    def feeling(self, faces: FaceMotion | Sequence[FaceMotion]) -> list[str]:
        """Feelings of faces (task `face_to_emotion`): "very happy", "calm, then angry", one answer each."""
        items = [faces] if isinstance(faces, FaceMotion) else list(faces)
        still = [without_speech(face, find_speech(face)) for face in items]
        return [then([answer for answer, _ in windows]) for windows in self._read("face_to_emotion", still)]

    def face_in_between(
        self, start: FaceMotion, end: FaceMotion, seconds: float, text: str = "", seed: int = 0,
        best_of: int | None = None,
    ) -> FaceMotion:
        """The missing middle between two faces (task `face_in_between`).

        Without a text the candidate nearest to all others is taken; with one it is chosen as for `face`.

        Args:
            seconds: of the middle, at most 7.2; kept to the frame.
            text: what happens in between, may be empty; `UnheededText` is warned of where it hardly shows.
            best_of: candidates; None = as the task says, 8.

        Returns:
            START, the middle, END in one clip at 30 fps; START and END as they are.
        """
        if best_of is not None:
            check_count("best_of", best_of)
        tokenizer = self.loaded.tokenizer("face")
        fps = tokenizer.spec.fps
        start, end = start.resampled(fps), end.resampled(fps)
        tokens, keep = self._face_tokens(seconds), CONTEXT * tokenizer.downsample
        a = self._codes(start.slice(max(0, len(start) - keep), len(start)))
        b = self._codes(end.slice(0, keep))
        slots: dict[str, Any] = {"start": a, "end": b, "seconds": tokens / tokenizer.tokens_per_second}
        if text:
            check_text(text)
            slots["caption"] = text
        decoding = registry.get_task("face_in_between").decoding
        guidance, temperature = TEXT_SAMPLING if text else (decoding.guidance, decoding.temperature)
        candidates = self.loaded.sample(
            [self.loaded.prompt("face_in_between", slots)], [tokens], [seed], best_of or decoding.best_of, guidance,
            temperature, decoding.top_k, settled=True,
        )[0]  # fmt: skip
        if text:
            read = self._pipeline.read([text]) if self._pipeline is not None else []
            fits = self._fits(candidates, described.describe_score(read[0]) if read else plain(text))
            candidates = [candidates[int(fits.argmax())]]
            if not (doubt := unreadable(text)) and fits.max() < MIN_TEXT_FIT:
                doubt = f"hardly shows; between the faces: {self.describe_face(self._decode_codes(candidates[0]))[0]}"
            if doubt:
                warnings.warn(f"{text[:60]!r} {doubt}", UnheededText, stacklevel=3)
        stream = _medoid([self._decode_codes(np.concatenate([a, codes, b])) for codes in candidates])
        begin = len(a) * tokenizer.downsample
        middle = stream.slice(begin, begin + frames_of(seconds, fps))
        before, after = start.curves[-1] - middle.curves[0], end.curves[0] - middle.curves[-1]
        return joined([start, _fade_ends(middle, before, after), end]).with_caption(text)

    def _faces(
        self, task: str, slots: list[dict[str, Any]], captions: Sequence[str], durations: Sequence[float | None],
        seed: int, guidance: float | None, temperature: float | None, num: int, best_of: int,
        descriptions: Sequence[str] = (), scores: Sequence[Score] = (),
    ) -> list[FaceMotion]:
        check_count("num", num)
        if not slots:
            return []
        tokenizer, decoding = self.loaded.tokenizer("face"), registry.get_task(task).decoding
        tokens = [-1 if s is None else self._face_tokens(s) for s in durations]
        timed = [
            s if n < 0 else {**s, "seconds": n / tokenizer.tokens_per_second}
            for s, n in zip(slots, tokens, strict=True)
        ]
        candidates = self.loaded.sample(
            [self.loaded.prompt(task, s) for s in timed for _ in range(num)], [n for n in tokens for _ in range(num)],
            [mix(seed, k) if k else seed for _ in timed for k in range(num)], best_of,
            decoding.guidance if guidance is None else guidance,
            decoding.temperature if temperature is None else temperature, decoding.top_k, settled=True,
        )  # fmt: skip
        out = []
        for i, codes in enumerate(candidates):
            n = i // num
            note = ""
            if descriptions:
                face, missing = self._best(codes, descriptions[n], scores[n] if scores else None)
                if missing:
                    note = f"{captions[n][:60]!r} hardly shows: {missing}"
                    warnings.warn(note, UnheededText, stacklevel=4)
            else:
                face = self._decode_codes(codes[0])
            length = durations[n]
            face = face if length is None else face.slice(0, frames_of(length, face.fps))
            out.append(replace(face.with_caption(captions[n]), notes=(note,) if note else ()))
        return out

    def _best(self, candidates: Sequence[np.ndarray], text: str, score: Score | None) -> tuple[FaceMotion, str]:
        """Of those that show most of the score's actions and feelings the one that the description fits best, and the
        actions that it lacks.
        """
        faces = [self._decode_codes(c) for c in candidates]
        results = [[] if score is None else check_score(face, score) for face in faces]
        counts = [sum(r.passed for r in row) + (0 if score is None else sum(emotions_shown(face, score)))
                  for face, row in zip(faces, results, strict=True)]  # fmt: skip
        fits = self._fits(candidates, text) if len(faces) > 1 else np.zeros(1)
        best = max(range(len(faces)), key=lambda k: (counts[k], fits[k]))
        return faces[best], ", ".join(r.event.action.replace("_", " ") for r in results[best] if not r.passed)

    @cached_property
    def _pipeline(self) -> FacePipeline | None:
        """Reads instructions; None: the model's folder has no instruction parser."""
        from avatargpt.face.pipeline import FacePipeline  # slow to import, and of no use to bodies

        source = self.loaded.source
        folders = [Path(source) / "driver", Path(source).parent / "driver"] if source else []
        with_parser = [f for f in folders if (f / "reader.json").is_file()]
        return FacePipeline.load(with_parser[0]) if with_parser else None

    def scores(self, texts: Sequence[str], seconds: Sequence[float | None]) -> list[Score]:
        """What instructions ask for, in clips of so many seconds; empty without a parser."""
        from avatargpt.face.instructions.scores import place_score

        pipeline = self._pipeline
        scores: list[Score] = []
        if pipeline is None:
            return scores
        longest = MAX_TOKENS / self.loaded.tokenizer("face").tokens_per_second
        for text, length in zip(texts, seconds, strict=True):
            score = pipeline.read([text], [length])[0]
            placed = min(score.length, longest) if length is None else length
            scores.append(place_score(score, placed, spreads=length is not None or placed < score.length))
        return scores

    def _fits(self, candidates: Sequence[np.ndarray], text: str) -> np.ndarray:
        """Mean log-probability per word piece (nats) of a description for each candidate, (K,)."""
        slot = registry.get_task("face_to_text").inputs[0].name
        prompts = [self.loaded.prompt("face_to_text", {slot: c}) for c in candidates]
        targets = [self.loaded.text.encode(text)] * len(candidates)
        fits: np.ndarray = self.loaded.generator.score(self.loaded.encode(prompts), targets, "text").mean.cpu().numpy()
        return fits

    def _read(self, task: str, faces: FaceMotion | Sequence[FaceMotion]) -> list[list[tuple[str, FaceMotion]]]:
        """For each face the answers to its windows, and the windows."""
        items = [faces] if isinstance(faces, FaceMotion) else list(faces)
        tokenizer, slot = self.loaded.tokenizer("face"), registry.get_task(task).inputs[0].name
        pieces: list[np.ndarray] = []
        windows: list[tuple[int, FaceMotion]] = []
        for i, face in enumerate(items):
            codes, resampled = self._codes(face), face.resampled(tokenizer.spec.fps)
            for part in np.array_split(np.arange(len(codes)), -(-len(codes) // MAX_TOKENS)):
                pieces.append(codes[part])
                first, stop = part[0] * tokenizer.downsample, (part[-1] + 1) * tokenizer.downsample
                windows.append((i, resampled.slice(first, stop)))
        answers: list[str] = []
        step = self.loaded.rows // 4
        for i in range(0, len(pieces), step):
            prompt = self.loaded.encode([self.loaded.prompt(task, {slot: p}) for p in pieces[i : i + step]])
            decoded = self.loaded.generator.decode(prompt, "text", max_tokens=64, no_repeat=6, min_tokens=1)
            answers += self.loaded.read_sentences(decoded)
        pairs = list(zip(answers, windows, strict=True))
        return [[(text, window) for text, (owner, window) in pairs if owner == i] for i in range(len(items))]

    def _face_tokens(self, seconds: float) -> int:
        """Tokens of so many seconds."""
        rate = self.loaded.tokenizer("face").tokens_per_second
        if not 0 < seconds <= MAX_TOKENS / rate:
            raise UserError(f"seconds: {seconds}; accepted for a face above 0, at most {MAX_TOKENS / rate:g}")
        return tokens_of(seconds, rate)

    def _codes(self, face: FaceMotion) -> np.ndarray:
        if face.modality != "face":
            raise UserError(f"a {face.modality} motion where a face is needed")
        motion: Any = face  # tokenizers use only what bodies and faces both offer
        return self.loaded.tokenizer("face").encode(motion)

    def _decode_codes(self, codes: np.ndarray) -> FaceMotion:
        decoded: Motion | FaceMotion = self.loaded.tokenizer("face").decode(codes)
        assert isinstance(decoded, FaceMotion)
        return decoded


def _durations(seconds: float | Sequence[float | None] | None, count: int) -> list[float | None]:
    """The length of each of so many results."""
    durations = list(seconds) if isinstance(seconds, Sequence | np.ndarray) else [seconds] * count
    if len(durations) != count:
        raise UserError(f"{count} texts need as many seconds")
    return durations


# Middles between two faces
def _medoid(faces: Sequence[FaceMotion]) -> FaceMotion:
    """The one of K faces of one length with the least mean distance of its weights to the others'."""
    rows = np.stack([f.weights for f in faces])
    distances = [float(np.abs(rows - row).mean()) for row in rows]
    return faces[int(np.argmin(distances))]


def _fade_ends(middle: FaceMotion, before: np.ndarray, after: np.ndarray) -> FaceMotion:
    """The middle without jumps at its ends: an offset (55,) at each fades out over a few frames."""
    rows, t, fade = middle.curves, np.arange(len(middle)), min(FADE, len(middle) // 2)
    rows = rows + np.clip(1 - (t + 1) / (fade + 1), 0, 1)[:, None] * before
    rows = rows + np.clip(1 - (len(middle) - t) / (fade + 1), 0, 1)[:, None] * after
    return FaceMotion.from_curves(rows, middle.fps)


# Descriptions
def order_actions(text: str, face: FaceMotion) -> str:
    """A description in the form of `instruct_data.face.described`, its actions in the order of their movements.

    An action comes before another where its signal (`avatargpt.kinematics.face`) is over before the other's begins.
    Overlapping actions and those without a visible movement (a face at rest, a closed mouth) keep the network's order.
    An action that is named several times is matched to as many rises of its signal; with a single rise it is named
    once.
    """
    acts, semicolon, feelings = text.partition("; ")
    parts = _split_actions(acts)
    joints, parts = parts[1::2], parts[::2]
    spans, order = _spans(parts, face), list(range(len(parts)))
    places = [i for i in order if spans[i] is not None]
    left = places.copy()
    for place in places:
        order[place] = next(i for i in left if not any(_before(spans[k], spans[i]) for k in left))
        left.remove(order[place])
    out, last = parts[order[0]], order[0]
    for i in order[1:]:
        if parts[i] == parts[last] and spans[i] == spans[last] is not None:
            continue
        stays = i == last + 1 and not _before(spans[last], spans[i])
        out, last = out + (joints[last] if stays else _joint(spans[last], spans[i])) + parts[i], i
    return out + semicolon + feelings


def describe_windows(windows: Sequence[tuple[str, FaceMotion]]) -> str:
    """One description of the windows of a face: all actions, then all feelings, equal neighbours once.

    "neutral" is left out where there are actions and no other feeling. Repeated actions are named again, except one
    that is in progress where two windows meet. Parts that cannot be parsed are left out
    (`described.repair_description`).
    """
    windows = [(described.repair_description(text), face) for text, face in windows]
    if len(windows) == 1:
        return described.repair_description(order_actions(*windows[0]))
    acts, feelings = "", []
    last: tuple[str, FaceMotion] | None = None
    for text, face in windows:
        first, _, second = order_actions(text, face).partition("; ")
        if described.parse_description(first).feelings and not described.parse_description(first).actions:
            first, second = "", first
        parts = _split_actions(first) if first else []
        final = parts[-1] if parts else ""
        if parts and last and parts[0] == last[0]:
            # An action that is at half its height or more on both sides of where two windows meet goes on.
            a, b = (_rises(_action_of(parts[0]), f) for f in (last[1], face))
            parts = parts[2:] if a and b and a[-1][1] == len(last[1]) - 1 and b[0][0] == 0 else parts
        acts += (THEN if acts and parts else "") + "".join(parts)
        feelings += second.split(THEN) if second else []
        last = final, face
    changes = [f for i, f in enumerate(feelings) if not i or f != feelings[i - 1]]
    feelings = [] if acts and set(feelings) == {described.NOTHING} else changes
    return described.repair_description("; ".join(t for t in (acts, THEN.join(feelings)) if t))


def _split_actions(acts: str) -> list[str]:
    """The actions of a description, and between two of them what joins these."""
    return re.split(f"({THEN}|{AND})", acts)


def _spans(parts: Sequence[str], face: FaceMotion) -> list[FrameSpan | None]:
    """The frames of each action; None = not certain."""
    names = [_action_of(p) for p in parts]
    spans: list[FrameSpan | None] = []
    for i, name in enumerate(names):
        rises, count = _rises(name, face), names.count(name)
        same = {p for p, n in zip(parts, names, strict=True) if n == name}
        if len(rises) == count:
            spans.append(rises[names[:i].count(name)])
        elif count == 1 and rises:
            spans.append((rises[0][0], rises[-1][1]))
        else:
            spans.append(rises[0] if len(rises) == len(same) == 1 else None)
    return spans


def _action_of(part: str) -> str:
    """The action that a part of a description names, "" = none."""
    actions = described.parse_description(part).actions
    return actions[0][0] if actions else ""


def _rises(action: str, face: FaceMotion) -> list[FrameSpan]:
    """Where an action's signal is above half its height; empty without a visible movement."""
    if not action or LOOKS[action].form in STATES:
        return []
    signal = LOOKS[action].signal(face)
    if signal.max() < MIN_SIGNAL:
        return []
    return [(start, stop - 1) for start, stop in runs_of(signal > 0.5 * signal.max())]


def _before(a: FrameSpan | None, b: FrameSpan | None) -> bool:
    """Whether the first is over before the second begins."""
    return a is not None and b is not None and a[1] < b[0]


def _joint(a: FrameSpan | None, b: FrameSpan | None) -> str:
    """The conjunction of two actions: ``and`` where one falls within the other."""
    if a is None or b is None:
        return THEN
    overlap = min(a[1], b[1]) - max(a[0], b[0]) + 1
    return AND if overlap > described.MIN_OVERLAP * (min(a[1] - a[0], b[1] - b[0]) + 1) else THEN
