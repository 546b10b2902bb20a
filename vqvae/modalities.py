"""The modality registry: every kind of motion the system knows.

Stores, tokenizers, tasks and the language model read what they need of a modality from its entry; docs/modality.md
lists what else a new one needs.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vqvae.errors import UserError
from vqvae.rates import BODY_FPS, FACE_FPS, GESTURE_FPS

if TYPE_CHECKING:
    from vqvae.features import FeatureSpec


@dataclass(frozen=True)
class Modality:
    """A kind of motion, seen by networks at `fps`; `features` makes its FeatureSpec (imported only when called).

    `description` is one line for ``avatargpt info``.
    """

    name: str
    fps: float
    features: Callable[[], FeatureSpec]
    description: str


_REGISTRY: dict[str, Modality] = {}


def register(modality: Modality) -> Modality:
    if modality.name in _REGISTRY:
        raise ValueError(f"modality {modality.name!r} is registered already")
    _REGISTRY[modality.name] = modality
    return modality


def get(name: str) -> Modality:
    """Look a modality up."""
    if name not in _REGISTRY:
        raise UserError(f"unknown modality {name!r}; available: {', '.join(sorted(_REGISTRY))}")
    return _REGISTRY[name]


def names() -> list[str]:
    return list(_REGISTRY)


def _layout(name: str) -> Callable[[], FeatureSpec]:
    """Makes a class of `vqvae.features`, which is imported only then."""

    def make() -> FeatureSpec:
        from vqvae import features

        layout: FeatureSpec = getattr(features, name)()
        return layout

    return make


register(Modality(
    "body", BODY_FPS, _layout("BodyFeatures"), "whole body, 22 SMPL joints, local rotations and root path"
))
register(Modality("face", FACE_FPS, _layout("FaceFeatures"), "face, 52 ARKit blendshape weights and head rotation"))
register(Modality(
    "gesture", GESTURE_FPS, _layout("GestureFeatures"),
    "upper body and fingers while talking, 13 joints and 30 of the hands",
))
