"""The face through the language model: words or a feeling to a face, a face to words, what lies between two faces."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from avatargpt.face.order import told
from avatargpt.lm.loaded import CHUNK, CONTEXT, ROWS, LoadedModel
from avatargpt.options import UnheededText, check_count, check_text, frames_of, mix, plain, then, tokens_of
from avatargpt.requests.english import unreadable
from instruct_data import registry
from instruct_data.face.described import described, plain_feeling, plainly
from vqvae.errors import UserError
from vqvae.face import FaceMotion
from vqvae.face import concatenate as joined

if TYPE_CHECKING:
    from avatargpt.face.performer import FacePerformer
    from vqvae.motion import Motion

LONGEST = CHUNK + CONTEXT  # tokens of one answer
APART = "face_language"  # folder of the face's own model in a folder of weights
BEST_OF = 4  # candidates for an instruction
WORDED = (1.5, 0.7)  # guidance and temperature of middles with a text, which calmer candidates leave undone
HARDLY = -2.0  # nats a word piece: of what middles show -1.2 and more, without a text -2.2 and less
FADE = 6  # frames over which a seam's jump is taken out


class FaceTokens:
    """Faces as tokens of the language model.

    Shapes: a `FaceMotion` has T frames at 30 per second; codes are (N, R), N = ceil(T / 3) tokens of R residual levels.
    The streaming driver (`avatargpt.face.audio_model`) is another network: it follows speech, and instructions more
    closely.

    Args:
        whole: the model of the folder.
    """

    def __init__(self, whole: LoadedModel) -> None:
        self.whole = whole

    @cached_property
    def loaded(self) -> LoadedModel:
        """The model with the face's tokens: the whole one, or the small one in its folder ``face_language``.

        Raises:
            UserError: neither has them.
        """
        whole = self.whole
        folder = Path(whole.source) / APART
        if "face" in whole.tokenizers or not whole.source or not folder.is_dir():
            whole.tokenizer("face")
            return whole
        apart = LoadedModel.from_pretrained(folder, str(whole.device))
        apart.grounder = whole.grounder or apart.grounder
        return apart

    def told_source(self) -> str:
        """Which model has the face's tokens, in words; nothing is loaded for it."""
        if "face" in self.whole.tokenizers:
            return "this model"
        source = self.whole.source
        return f"a model of its own ({APART})" if source and (Path(source) / APART).is_dir() else "none"

    def face(
        self, texts: str | Sequence[str], seconds: float | Sequence[float | None] | None, seed: int,
        guidance: float | None, temperature: float | None, num: int, best_of: int,
    ) -> list[FaceMotion]:  # fmt: skip
        """Instructions to faces (task `text_to_face`).

        Of several candidates that one is taken whose description (`face_to_text`) most likely says what the
        instruction asks for, as the instruction parser (`face.instructions.parser`) understands it; a model folder
        without a parser takes the instruction's own words.

        Args:
            texts: one or more, "blink twice, then smile"; feelings too, "look very sad".
            seconds: length of each, kept to the frame, at most 7.2; None = the model decides.
            seed: the same seed gives the same face, whatever else is asked for in the same call.
            guidance, temperature: of sampling; None = as the task says.
            num: results per text.
            best_of: candidates per result.

        Returns:
            len(texts) * num faces, in order.

        Raises:
            UserError: empty text, seconds out of range, a model without the face's tokens.
        """
        given = [texts] if isinstance(texts, str) else list(texts)
        for text in given:
            check_text(text)
        self.loaded.tokenizer("face")  # a model without one is refused first
        slots: list[dict[str, Any]] = [{"caption": t} for t in given]
        check_count("best_of", best_of)
        wanted = self._plainly(given) if given and best_of > 1 else []
        return self._faces("text_to_face", slots, given, seconds, seed, guidance, temperature, num, best_of, wanted)

    def emotion_face(
        self, emotions: str | Sequence[str], intensity: float | None,
        seconds: float | Sequence[float | None] | None, seed: int, guidance: float | None,
        temperature: float | None, num: int,
    ) -> list[FaceMotion]:  # fmt: skip
        """Feelings to faces (task `emotion_to_face`).

        Args:
            emotions: "happy", "very sad", "slightly angry"; one or more, each a single feeling.
            intensity: 0 (neutral) to 1, of all of them, told as the word of its degree; None = as the words say.
            seconds, seed, guidance, temperature, num: as for `face`.

        Raises:
            UserError: an unknown feeling (with the nearest name), intensity or seconds out of range.
        """
        given = [emotions] if isinstance(emotions, str) else list(emotions)
        if intensity is not None and not 0 <= intensity <= 1:
            raise UserError(f"intensity: {intensity}; accepted 0 to 1")
        for text in given:
            check_text(text)
        # Of the number alone the model knows little: 0 would be the full feeling, 1 less than 0.85.
        slots: list[dict[str, Any]] = [{"emotion": plain_feeling(e, intensity)} for e in given]
        return self._faces("emotion_to_face", slots, given, seconds, seed, guidance, temperature, num, 1, [])

    def describe_face(self, faces: FaceMotion | Sequence[FaceMotion]) -> list[str]:
        """What faces do, with which feeling, how strongly (task `face_to_text`): one sentence each.

        The form is that of `instruct_data.face.described`: ``blink twice, then smile slightly; very happy``. The
        network names actions and feelings; the order of actions is read from the face (`avatargpt.face.order`). Faces
        beyond 7.2 s are described in windows, joined by "then".
        """
        return [plainly(told(windows)) for windows in self._read("face_to_text", faces)]

    def feeling(self, faces: FaceMotion | Sequence[FaceMotion]) -> list[str]:
        """Which feeling faces show (task `face_to_emotion`): "very happy", "calm, then angry", one answer each."""
        return [then([said for said, _ in windows]) for windows in self._read("face_to_emotion", faces)]

    def face_in_between(
        self, start: FaceMotion, end: FaceMotion, seconds: float, text: str, seed: int, best_of: int | None
    ) -> FaceMotion:
        """The missing middle between two faces (task `face_in_between`).

        Of several candidates the one that is nearest to all others: what only one of them does, nobody asked for. With
        a text the one whose description most likely says what the text asks for, as for `face`.

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
        guidance, temperature = WORDED if text else (decoding.guidance, decoding.temperature)
        found = self.loaded.sample(
            [self.loaded.prompt("face_in_between", slots)], [tokens], [seed], best_of or decoding.best_of, guidance,
            temperature, decoding.top_k, settled=True,
        )[0]  # fmt: skip
        if text:
            fits = self._fits(found, self._plainly([text])[0])
            found = [found[int(fits.argmax())]]
            if not (said := unreadable(text)) and fits.max() < HARDLY:
                said = f"hardly shows; between the faces: {self.describe_face(self._decoded(found[0]))[0]}"
            if said:
                warnings.warn(f"{text[:60]!r} {said}", UnheededText, stacklevel=3)
        stream = _usual([self._decoded(np.concatenate([a, codes, b])) for codes in found])
        begin = len(a) * tokenizer.downsample
        middle = stream.slice(begin, begin + frames_of(seconds, fps))
        before, after = start.curves[-1] - middle.curves[0], end.curves[0] - middle.curves[-1]
        return joined([start, _faded(middle, before, after), end]).with_caption(text)

    def _faces(
        self, task: str, slots: list[dict[str, Any]], captions: Sequence[str],
        seconds: float | Sequence[float | None] | None, seed: int, guidance: float | None,
        temperature: float | None, num: int, best_of: int, wanted: Sequence[str],
    ) -> list[FaceMotion]:
        check_count("num", num)
        durations = list(seconds) if isinstance(seconds, Sequence | np.ndarray) else [seconds] * len(slots)
        if len(durations) != len(slots):
            raise UserError(f"{len(slots)} texts need as many seconds")
        if not slots:
            return []
        tokenizer, decoding = self.loaded.tokenizer("face"), registry.get_task(task).decoding
        tokens = [-1 if s is None else self._face_tokens(s) for s in durations]
        told = [
            s if n < 0 else {**s, "seconds": n / tokenizer.tokens_per_second}
            for s, n in zip(slots, tokens, strict=True)
        ]
        found = self.loaded.sample(
            [self.loaded.prompt(task, s) for s in told for _ in range(num)], [n for n in tokens for _ in range(num)],
            [mix(seed, k) if k else seed for _ in told for k in range(num)], best_of,
            decoding.guidance if guidance is None else guidance,
            decoding.temperature if temperature is None else temperature, decoding.top_k, settled=True,
        )  # fmt: skip
        fits = [self._fits(codes, wanted[i // num]) for i, codes in enumerate(found)] if best_of > 1 else []
        out = []
        for i, codes in enumerate(found):
            best = codes[int(fits[i].argmax())] if fits else codes[0]
            face, length = self._decoded(best).with_caption(captions[i // num]), durations[i // num]
            out.append(face if length is None else face.slice(0, frames_of(length, face.fps)))
        return out

    @cached_property
    def _performer(self) -> FacePerformer | None:
        """Reads instructions; None: the model's folder has no instruction parser."""
        from avatargpt.face.performer import FacePerformer  # slow to import, and of no use to bodies

        source = self.loaded.source
        folders = [Path(source) / "driver", Path(source).parent / "driver"] if source else []
        known = [f for f in folders if (f / "reader.json").is_file()]
        return FacePerformer.load(known[0]) if known else None

    def _plainly(self, texts: Sequence[str]) -> list[str]:
        """What instructions ask for, as `face_to_text` would say it."""
        if self._performer is None:
            return [plain(t) for t in texts]
        return [described(s) for s in self._performer.read(texts)]

    def _fits(self, candidates: Sequence[np.ndarray], text: str) -> np.ndarray:
        """Mean log-probability per word piece (nats) of a description for each candidate, (K,)."""
        slot = registry.get_task("face_to_text").inputs[0].name
        prompts = [self.loaded.prompt("face_to_text", {slot: c}) for c in candidates]
        targets = [self.loaded.text.encode(text)] * len(candidates)
        fits: np.ndarray = self.loaded.generator.score(self.loaded.encode(prompts), targets, "text").mean.cpu().numpy()
        return fits

    def _read(self, task: str, faces: FaceMotion | Sequence[FaceMotion]) -> list[list[tuple[str, FaceMotion]]]:
        """For each face what is said of each of its windows, and the window."""
        given = [faces] if isinstance(faces, FaceMotion) else list(faces)
        tokenizer, slot = self.loaded.tokenizer("face"), registry.get_task(task).inputs[0].name
        pieces: list[np.ndarray] = []
        windows: list[tuple[int, FaceMotion]] = []
        for i, face in enumerate(given):
            codes, shown = self._codes(face), face.resampled(tokenizer.spec.fps)
            for part in np.array_split(np.arange(len(codes)), -(-len(codes) // LONGEST)):
                pieces.append(codes[part])
                windows.append((i, shown.slice(part[0] * tokenizer.downsample, (part[-1] + 1) * tokenizer.downsample)))
        said: list[str] = []
        for i in range(0, len(pieces), ROWS // 4):
            prompt = self.loaded.encode([self.loaded.prompt(task, {slot: p}) for p in pieces[i : i + ROWS // 4]])
            decoded = self.loaded.generator.decode(prompt, "text", max_tokens=64, no_repeat=6, min_tokens=1)
            said += [self.loaded.text.decode([t for t in row if t >= 0]) for row in decoded.codes.tolist()]
        both = list(zip(said, windows, strict=True))
        return [[(text, window) for text, (owner, window) in both if owner == i] for i in range(len(given))]

    def _face_tokens(self, seconds: float) -> int:
        """Tokens of so many seconds.

        Raises:
            UserError: more than one answer holds.
        """
        rate = self.loaded.tokenizer("face").tokens_per_second
        if not 0 < seconds <= LONGEST / rate:
            raise UserError(f"seconds: {seconds}; accepted for a face above 0, at most {LONGEST / rate:g}")
        return tokens_of(seconds, rate)

    def _codes(self, face: FaceMotion) -> np.ndarray:
        if face.modality != "face":
            raise UserError(f"a {face.modality} motion where a face is needed")
        motion: Any = face  # tokenizers use only what bodies and faces both offer
        return self.loaded.tokenizer("face").encode(motion)

    def _decoded(self, codes: np.ndarray) -> FaceMotion:
        made: Motion | FaceMotion = self.loaded.tokenizer("face").decode(codes)
        assert isinstance(made, FaceMotion)
        return made


def _usual(faces: Sequence[FaceMotion]) -> FaceMotion:
    """The one of K faces of one length with the least mean distance of its weights to the others'."""
    rows = np.stack([f.weights for f in faces])
    apart = [float(np.abs(rows - own).mean()) for own in rows]
    return faces[int(np.argmin(apart))]


def _faded(middle: FaceMotion, before: np.ndarray, after: np.ndarray) -> FaceMotion:
    """The middle without jumps at its ends: an offset (55,) at each fades out over a few frames."""
    rows, t, fade = middle.curves, np.arange(len(middle)), min(FADE, len(middle) // 2)
    rows = rows + np.clip(1 - (t + 1) / (fade + 1), 0, 1)[:, None] * before
    rows = rows + np.clip(1 - (len(middle) - t) / (fade + 1), 0, 1)[:, None] * after
    return FaceMotion.from_curves(rows, middle.fps)
