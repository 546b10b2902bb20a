"""Which clips each stream of the mixture draws from."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from avatargpt.lm.shape import TEXT
from avatargpt.train.data.corpus import clip_steps
from instruct_data.registry import get_task
from instruct_data.store import ClipCodes

LEAST = {"continuation": 2, "in_between": 3}  # motion tokens that a clip needs to be cut so


class Pools:
    """Tokenised clips by modality and source.

    Args:
        items: training clips of all modalities.
        own: sources that only streams of their own draw from (``TASK/SOURCE``).

    Attributes:
        single: clips of bodies that were not joined of others.
        steps: id of a joined clip -> its steps.
    """

    def __init__(self, items: Sequence[ClipCodes], own: Collection[str]) -> None:
        self.single = [i for i in items if i.source != "composed" and i.modality == "body"]
        self.steps = clip_steps(items)
        self._stepped = [i for i in items if i.id in self.steps]
        self._parts: dict[tuple[str, str], list[ClipCodes]] = {}
        for item in items:
            part = item.source if item.source in own else ""
            self._parts.setdefault((item.modality, part), []).append(item)
        self._pools: dict[str, list[ClipCodes]] = {}

    def __call__(self, name: str) -> list[ClipCodes]:
        """The clips of one stream of a motion task, in an order that stays."""
        if name not in self._pools:
            self._pools[name] = self._drawn(name)
        return self._pools[name]

    def _drawn(self, name: str) -> list[ClipCodes]:
        task, _, part = name.partition("/")
        spec = get_task(task)
        if spec.words == "steps":
            return [i for i in self._stepped if i.modality == spec.modality and (not part or i.source == part)]
        items = self._parts.get((spec.modality, part), [])
        if spec.words == "emotion":  # a face that acts as well shows what is felt, but is not all that is asked for
            felt = [(i, i.extra.get("emotion")) for i in items]
            return [i for i, f in felt if f and (spec.output == TEXT or f["alone"])]
        if spec.words == "speech":
            return [i for i in items if i.extra.get("speech")]
        if spec.examples == "text_to_motion":  # an action can be asked for without a caption
            return [i for i in items if i.captions or i.extra.get("prompts")]
        if spec.examples in LEAST:
            items = [i for i in items if len(i.codes) >= LEAST[spec.examples]]
        needed = any(s.required for s in spec.of_kind("text")[:1])
        return [i for i in items if i.captions] if needed or spec.output == TEXT else items
