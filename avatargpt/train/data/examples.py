"""Training examples of the language model: one draw of the mixture -> a prompt, an answer and its count-down."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Self

import numpy as np
from pydantic import model_validator

from avatargpt.lm.encoder import EncodedPrompt, encode_prompt
from avatargpt.lm.shape import TEXT, Shape
from avatargpt.lm.text_encoder import TextTokenizer
from avatargpt.train.data.corpus import clip_steps
from avatargpt.train.data.judged_answers import usual
from avatargpt.train.data.prepare import CYCLIC
from instruct_data.mixture import Draw, Stream, clip_class
from instruct_data.planning import Pair
from instruct_data.registry import Prompt, Task, TextSegment, get_task
from instruct_data.store import ClipCodes
from instruct_data.text.captions import vary
from instruct_data.text.english import side_of
from instruct_data.text.everyday import everyday, everyday_requests
from vqvae.errors import UserError
from vqvae.strict import Share, Strict, Weights

LONGEST, CONTEXT = 72, 16  # motion tokens of an example, where longer clips are cropped; of context on each side


@dataclass(frozen=True, eq=False)
class Example:
    """One row of a batch.

    Attributes:
        prompt: of the encoder.
        head: of the answer.
        labels: (L,) ids of the answer, end id included.
        codes: (N, R) of a motion answer (for the refiner), else None.
        length: motion tokens to announce to the decoder, -1 = unknown.
        task: its name.
    """

    prompt: EncodedPrompt
    head: str
    labels: np.ndarray
    codes: np.ndarray | None = None
    length: int = -1
    task: str = ""

    @property
    def source(self) -> int:
        """Approximate number of encoder states."""
        return len(self.prompt.ids) + len((self.prompt.grounded or "").split())


class ExampleOptions(Strict):
    """Variation of the examples; shares between 0 and 1.

    Attributes:
        weights: stream name -> share of the mixture. ``NAME/SOURCE`` draws clips of one source (composed, layered,
            styled, ...) for task NAME; plain ``NAME`` those of all sources without such a stream, joined clips never.
        alpha: class balance per stream.
        unconditional: motion prompts without the user's words (classifier-free guidance needs them).
        only_ground, only_words: motion prompts that keep only the sentence encoder's view of the words, or only the
            word pieces.
        announce: motion answers whose length the decoder gets.
        say_seconds: of those, prompts that also state the duration.
        everyday: text-to-motion requests in everyday words of the lexicon instead of the clip's prompt pool.
        asked: text-to-motion requests as users phrase them (`instruct_data.text.everyday`), where the action has some.
        crop: long clips of cyclic actions that are cut to a stretch.
    """

    weights: Weights = {}
    alpha: Weights = {}
    unconditional: Share = 0.1
    only_ground: Share = 0.3
    only_words: Share = 0.15
    announce: Share = 0.75
    say_seconds: Share = 0.5
    everyday: Share = 0.15
    asked: Share = 0.08
    crop: Share = 0.4

    @model_validator(mode="after")
    def _together(self) -> Self:
        parts = self.only_ground + self.only_words + self.unconditional
        if parts > 1 + 1e-9:
            raise UserError(f"only_ground, only_words, unconditional: together {parts:g}; accepted: at most 1")
        return self


class Examples:
    """Examples of draws, each a function of its draw alone.

    Args:
        items: tokenised training clips.
        lines: plain sentences for denoising.
        pairs: text task -> (slots, answer) pairs.
        rates: modality -> tokens per second.
    """

    def __init__(
        self, items: Sequence[ClipCodes], lines: Sequence[str], pairs: dict[str, list[Pair]],
        text: TextTokenizer, config: Shape, options: ExampleOptions, rates: dict[str, float] | None = None,
    ) -> None:
        self.pools = Pools(items, {"composed", *(name.partition("/")[2] for name in options.weights)})
        self.lines, self.pairs = list(lines), pairs
        self.text, self.config, self.options, self.rates = text, config, options, rates or {"body": 5.0}

    @cached_property
    def _requests(self) -> dict[tuple[str, str | None], list[str]]:
        """(class, side) -> requests."""
        # Only the classes that the clips show: all requests of the package are tens of thousands.
        requests = everyday_requests()
        keys = {(clip_class(i), i.extra.get("side")) for i in self.pools.single} if self.options.asked else set()
        classes = set(requests.classes())
        return {(name, side): requests.requests(name, side) for name, side in keys if name in classes}

    def streams(self) -> list[Stream]:
        """The mixture's streams with their weights."""
        out = []
        for name, weight in self.options.weights.items():
            if weight <= 0:
                continue
            task, _, source = name.partition("/")
            if task == "denoise":
                classes = ["line"] * len(self.lines)
            elif task in self.pairs:
                classes = ["pair"] * len(self.pairs[task])
            elif get_task(task).words == "steps":
                classes = ["composed"] * len(self.pools(name))
            else:
                # actions of several names ("walk+wave") are of one kind: no balance among them
                classes = [i.source if "+" in i.action else clip_class(i) for i in self.pools(name)]
                if source in ("practised", "shown"):  # balanced over classes in their making: here over styles, too
                    classes = [f"{c} {i.style}" for c, i in zip(classes, self.pools(name), strict=True)]
            if classes:
                out.append(Stream(name, weight, classes, self.options.alpha.get(name, 0.5)))
        return out

    def make(self, draw: Draw) -> Example:
        """The example of a draw."""
        task = draw.task.partition("/")[0]
        return replace(self._make(draw, task, draw.rng()), task=task)

    def _make(self, draw: Draw, task: str, rng: np.random.Generator) -> Example:
        if task == "denoise":
            return self._denoise(self.lines[draw.index], rng)
        if task in self.pairs:
            return self._pair(task, *self.pairs[task][draw.index], rng)
        maker = {
            "text_to_motion": self._text_to_motion, "motion_to_text": self._motion_to_text,
            "in_between": self._in_between, "continuation": self._continuation,
        }[get_task(task).examples]  # fmt: skip
        return maker(get_task(task), self.pools(draw.task)[draw.index], rng)

    def _answer(self, text: str) -> np.ndarray:
        return np.array([*self.text.encode(text), self.config.end_id(TEXT)], np.int64)

    def _denoise(self, line: str, rng: np.random.Generator) -> Example:
        """Spans of words replaced by ``_``; the answer is the full line (BART's text infilling)."""
        words, out = line.split(), []
        i = 0
        while i < len(words):
            if rng.random() < 0.15:
                out.append("_")
                i += 1 + int(rng.poisson(1.0))
            else:
                out.append(words[i])
                i += 1
        prompt = Prompt((TextSegment("[Instruction] Restore the sentence. [Input]"), TextSegment(" ".join(out)),
                         TextSegment("[Response]")), TEXT, "denoise")  # fmt: skip
        return Example(self._encode(prompt, rng, motion=False), TEXT, self._answer(line))

    def _pair(self, task: str, slots: dict[str, str], target: str, rng: np.random.Generator) -> Example:
        prompt = get_task(task).render(dict(slots), rng=rng)
        return Example(self._encode(prompt, rng, motion=False), TEXT, self._answer(target))

    def _encode(self, prompt: Prompt, rng: np.random.Generator, motion: bool) -> EncodedPrompt:
        """Drop the word pieces, the grounding, or (motion only) both, so that the model can do with either."""
        o, u = self.options, rng.random()
        words = ground = True
        if u < o.only_ground:
            words = False
        elif u < o.only_ground + o.only_words:
            ground = False
        elif motion and u < o.only_ground + o.only_words + o.unconditional:
            words = ground = False
        return encode_prompt(prompt, self.text, self.config, words, ground)

    def _motion(self, prompt: Prompt, codes: np.ndarray, announced: bool, rng: np.random.Generator) -> Example:
        labels = np.append(codes[:, 0] + self.config.first_id(prompt.head), self.config.end_id(prompt.head))
        encoded = self._encode(prompt, rng, True)
        return Example(encoded, prompt.head, labels, codes, len(codes) if announced else -1)

    def _length_slots(self, task: Task, tokens: int, rng: np.random.Generator) -> tuple[bool, dict[str, float]]:
        # Without an announced length the decoder learns to end by itself.
        announced = bool(rng.random() < self.options.announce)
        stated = announced and rng.random() < self.options.say_seconds
        seconds = [s for s in task.of_kind("seconds")[:1] if stated or s.required]
        slots = {s.name: tokens / self.rates[task.modality] for s in seconds}
        return announced or bool(slots), slots

    def _codes(self, item: ClipCodes, rng: np.random.Generator) -> np.ndarray:
        codes = item.codes
        counted = item.source in ("synthetic", "looped")  # their captions state counts or durations
        if len(codes) > 14 and not counted and clip_class(item) in CYCLIC and rng.random() < self.options.crop:
            length = int(rng.integers(8, len(codes)))
            start = int(rng.integers(len(codes) - length + 1))
            codes = codes[start : start + length]
        return codes[:LONGEST]

    def _text_to_motion(self, task: Task, item: ClipCodes, rng: np.random.Generator) -> Example:
        codes = self._codes(item, rng)
        announced, slots = self._length_slots(task, len(codes), rng)
        if task.words != "caption":
            words = self._words_and_strength(task, item, rng)
            return self._motion(task.render(words | slots, rng=rng), codes, announced, rng)
        pool = item.extra.get("prompts") or item.captions
        caption = str(pool[int(rng.integers(len(pool)))])
        # "go upstairs" asks for climb_stairs, but not for the clips that go down
        plain = item.modality == "body" and item.source != "composed" and usual(item)
        if item.action and plain and rng.random() < self.options.everyday:
            caption = everyday(item.action, item.style, rng, side_of(item.action.replace("-", " "))) or caption
            caption = vary(caption, rng) if rng.random() < 0.5 else caption
        elif plain and rng.random() < self.options.asked:
            requests = self._requests.get((clip_class(item), item.extra.get("side")))
            caption = requests[int(rng.integers(len(requests)))] if requests and not item.style else caption
        values: dict[str, object] = {task.of_kind("text")[0].name: caption, **slots}
        return self._motion(task.render(values, rng=rng), codes, announced, rng)

    def _words_and_strength(self, task: Task, item: ClipCodes, rng: np.random.Generator) -> dict[str, object]:
        """The steps or the feeling of a clip in words, or the feeling by its name and a number for its strength."""
        # Strength in words or as a number: half of the examples each, so that either is understood.
        emotion, number = item.extra.get("emotion", {}), task.of_kind("number")
        if task.words == "emotion" and number and "name" in emotion and rng.random() < 0.5:
            return {task.of_kind("text")[0].name: emotion["name"], number[0].name: emotion["intensity"]}
        return {task.of_kind("text")[0].name: self._texts(task, item)[0]}

    def _texts(self, task: Task, item: ClipCodes) -> list[str]:
        """The texts of a clip that a task uses, see `Task.words`."""
        if task.words == "steps":
            return [self.pools.steps[item.id]]
        return item.captions if task.words == "caption" else [item.extra[task.words]["text"]]

    def _text_slot(self, task: Task, item: ClipCodes, share: float, rng: np.random.Generator) -> dict[str, object]:
        """Words for the first text slot in this share of examples, in all where the slot is required."""
        drawn, slots, texts = rng.random() < share, task.of_kind("text"), self._texts(task, item)
        filled = slots and texts and (drawn or slots[0].required)
        return {slots[0].name: str(texts[int(rng.integers(len(texts)))])} if filled else {}

    def _motion_to_text(self, task: Task, item: ClipCodes, rng: np.random.Generator) -> Example:
        prompt = task.render({task.of_kind("motion")[0].name: self._codes(item, rng)}, rng=rng)
        texts = self._texts(task, item)
        answer = self._answer(str(texts[int(rng.integers(len(texts)))]).strip().rstrip(".").lower())
        return Example(encode_prompt(prompt, self.text, self.config), TEXT, answer)

    def _in_between(self, task: Task, item: ClipCodes, rng: np.random.Generator) -> Example:
        # The middle is at most LONGEST tokens, and no more than CONTEXT is seen on either side.
        codes = item.codes[: LONGEST + 2 * CONTEXT]
        n = len(codes)
        # Too short for a middle between two contexts that say anything.
        if n < 6 and item.modality == "body":
            return self._continuation(get_task("continuation"), item, rng)
        left = int(rng.integers(1, max(2, n // 2)))
        right = int(rng.integers(left + 1, n))
        middle = codes[left:right][:LONGEST]
        right = left + len(middle)
        _, slots = self._length_slots(task, len(middle), rng)
        start, end = (s.name for s in task.of_kind("motion")[:2])
        sides = {start: codes[max(0, left - CONTEXT) : left], end: codes[right : right + CONTEXT]}
        prompt = task.render({**sides, **slots, **self._text_slot(task, item, 0.3, rng)}, rng=rng)
        return self._motion(prompt, middle, True, rng)

    def _continuation(self, task: Task, item: ClipCodes, rng: np.random.Generator) -> Example:
        codes = item.codes
        # At least one token of context, and where possible two that follow.
        cut = int(rng.integers(1, max(2, len(codes) - 2)))
        following = codes[cut : cut + LONGEST]
        announced, slots = self._length_slots(task, len(following), rng)
        before = {task.of_kind("motion")[0].name: codes[max(0, cut - CONTEXT) : cut]}
        prompt = task.render({**before, **slots, **self._text_slot(task, item, 0.4, rng)}, rng=rng)
        return self._motion(prompt, following, announced, rng)


MIN_TOKENS = {"continuation": 2, "in_between": 3}  # motion tokens that a clip needs to be cut so


class Pools:
    """Tokenised clips by modality and source.

    Args:
        items: training clips of all modalities.
        separate: sources that only their own streams draw from (``TASK/SOURCE``).

    Attributes:
        single: clips of bodies that are not composed.
        steps: id of a joined clip -> its steps.
    """

    def __init__(self, items: Sequence[ClipCodes], separate: Collection[str]) -> None:
        self.single = [i for i in items if i.source != "composed" and i.modality == "body"]
        self.steps = clip_steps(items)
        self._stepped = [i for i in items if i.id in self.steps]
        self._parts: dict[tuple[str, str], list[ClipCodes]] = {}
        for item in items:
            source = item.source if item.source in separate else ""
            self._parts.setdefault((item.modality, source), []).append(item)
        self._pools: dict[str, list[ClipCodes]] = {}

    def __call__(self, name: str) -> list[ClipCodes]:
        """The clips of one stream of a motion task, in a fixed order."""
        if name not in self._pools:
            self._pools[name] = self._clips(name)
        return self._pools[name]

    def _clips(self, name: str) -> list[ClipCodes]:
        task, _, source = name.partition("/")
        spec = get_task(task)
        if spec.words == "steps":
            return [i for i in self._stepped if i.modality == spec.modality and (not source or i.source == source)]
        items = self._parts.get((spec.modality, source), [])
        if spec.words == "emotion":  # a face that also acts shows the emotion, but more than is asked for
            emotions = [(i, i.extra.get("emotion")) for i in items]
            return [i for i, e in emotions if e and (spec.output == TEXT or e["alone"])]
        if spec.words == "speech":
            return [i for i in items if i.extra.get("speech")]
        if spec.examples == "text_to_motion":  # an action can be asked for without a caption
            return [i for i in items if i.captions or i.extra.get("prompts")]
        if spec.examples in MIN_TOKENS:
            items = [i for i in items if len(i.codes) >= MIN_TOKENS[spec.examples]]
        needed = any(s.required for s in spec.of_kind("text")[:1])
        return [i for i in items if i.captions] if needed or spec.output == TEXT else items
