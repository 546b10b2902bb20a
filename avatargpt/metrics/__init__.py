"""The metrics by name: what each is called, where it lives, in what unit and which way is better.

Nothing is imported before `resolve` asks for it. What the figures mean: docs/metrics.md.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pkgutil import resolve_name
from typing import Any

from vqvae.errors import UserError


@dataclass(frozen=True)
class Metric:
    """One metric.

    Attributes:
        name: e.g. ``mpjpe_heading``.
        path: ``module:function``.
        higher_is_better: None where the right value is that of real motion.
        unit: of the figure; "" for pure numbers.
    """

    name: str
    path: str
    higher_is_better: bool | None
    unit: str

    def resolve(self) -> Callable[..., Any]:
        """The function itself; imports its module."""
        function: Callable[..., Any] = resolve_name(self.path)
        return function


_REGISTRY: dict[str, Metric] = {}


def register(name: str, path: str, higher_is_better: bool | None, unit: str = "") -> Metric:
    """Add a metric; `path` is ``module:function``.

    Raises:
        ValueError: the name is taken.
    """
    if name in _REGISTRY:
        raise ValueError(f"metric {name!r} is registered already")
    _REGISTRY[name] = Metric(name, path, higher_is_better, unit)
    return _REGISTRY[name]


def get(name: str) -> Metric:
    """Look a metric up.

    Raises:
        UserError: unknown name; lists what is there.
    """
    if name not in _REGISTRY:
        raise UserError(f"unknown metric {name!r}; available: {', '.join(sorted(_REGISTRY))}")
    return _REGISTRY[name]


def names() -> list[str]:
    """All names, in the order of registration."""
    return list(_REGISTRY)


_JERK = "m/frame^3 at 20 fps"
for _module, _name, _higher, _unit in (
    ("measures", "mpjpe_heading", False, "mm"),
    ("measures", "mpjpe_global", False, "mm"),
    ("measures", "drift", False, "mm"),
    ("measures", "ade", False, "m (66-d norm)"),
    ("measures", "fde", False, "m (66-d norm)"),
    ("measures", "foot_skate", False, "share of steps"),
    ("measures", "dart_skate", False, "cm/s"),
    ("measures", "contact_slide", False, "mm/frame at 20 fps"),
    ("measures", "peak_jerk", None, _JERK),
    ("measures", "seam_jerk", None, _JERK),
    ("measures", "transition_jerk", False, _JERK),
    ("measures", "peak_speed", None, "m/s"),
    ("measures", "jitter", None, "mm/frame^2 at 20 fps"),
    ("measures", "dynamic", None, "mm/frame at 20 fps"),
    ("measures", "float_share", None, "share of frames"),
    ("measures", "penetration", False, "mm"),
    ("limits", "limit_violations", False, "share of frames"),
    ("distribution", "fid", False, "squared feature units"),
    ("distribution", "diversity", None, "feature units"),
    ("distribution", "multimodality", None, "feature units"),
    ("distribution", "kinematic_fid", False, ""),
    ("matching", "r_precision", True, "share"),
    ("matching", "mm_dist", False, "embedding units"),
    ("retrieval_metrics", "retrieval_precision", True, "share of pools"),
    ("retrieval_metrics", "pair_distances", False, "feature units"),
    ("copying", "copy_rate", False, "share of tokens"),
    ("seams", "seam_figures", None, "PJ and AUJ, m/frame^3 at 20 fps"),
    ("face", "au_f1", True, "share"),
    ("face", "au_emo", True, "share"),
    ("face_distances", "lve", False, "unit of the vertices"),
    ("face_distances", "lve_squared", False, "squared unit of the vertices"),
    ("face_distances", "fdd", None, "squared unit of the vertices"),
    ("face_distances", "face_fid", False, ""),
    ("gesture.beats", "beat_alignment", True, "0..1"),
    ("gesture.beats", "wrist_beat_alignment", True, "0..1"),
    ("gesture.beats", "emphasis_alignment", True, "0..1"),
    ("gesture.dynamics", "hand_speed", None, "m/s"),
    ("gesture.dynamics", "mean_acceleration", None, "m/s^2"),
    ("gesture.dynamics", "mean_jerk", None, "m/s^3"),
    ("gesture.dynamics", "l1_diversity", None, "m"),
    ("gesture.dynamics", "hand_speed_distance", False, "0..1"),
    ("gesture.fgd", "fgd", False, "squared feature units"),
    ("gesture.turns", "still_share", None, "share of frames"),
    ("gesture.turns", "nod_timing", None, "share of nods"),
    ("text", "bleu1_raw", True, "0..100"),
    ("text", "bleu4_raw", True, "0..100"),
    ("text", "bleu1_lemma", True, "0..100"),
    ("text", "bleu4_lemma", True, "0..100"),
    ("text", "rouge_l_raw", True, "0..100"),
    ("text", "rouge_l_lemma", True, "0..100"),
    ("text", "cider_raw", True, "0..10"),
    ("text", "cider_lemma", True, "0..10"),
):
    _room = "kinematics" if _module == "measures" else "metrics"
    register(_name, f"avatargpt.{_room}.{_module}:{_name}", _higher, _unit)
