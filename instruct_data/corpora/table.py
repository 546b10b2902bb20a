"""Every corpus that `avatargpt data build` knows, by name."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pkgutil import resolve_name
from typing import Any

from instruct_data.clip import Clip
from instruct_data.corpora.layout import Layout


@dataclass(frozen=True)
class Corpus:
    """One corpus; its module is imported when it is asked for.

    Attributes:
        place: of its module and reader, ``module:function``.
        layout: the name of its `Layout` in that module.
        options: what the reader takes beside folder and report.
    """

    place: str
    options: tuple[str, ...] = ("split",)
    layout: str = "LAYOUT"

    def read(self) -> Callable[..., Iterator[Clip]]:
        """The reader."""
        found: Callable[..., Iterator[Clip]] = resolve_name(f"{__package__}.{self.place}")
        return found

    def about(self) -> Layout:
        """What its folder holds."""
        module = self.place.partition(":")[0]
        found: Any = resolve_name(f"{__package__}.{module}:{self.layout}")
        assert isinstance(found, Layout)
        return found


CORPORA = {
    "bandai-namco": Corpus("bandai_namco:read_bandai_namco"),
    "cmu": Corpus("cmu:read_cmu", ("split", "fps")),
    "humanml3d": Corpus("humanml3d:read_humanml3d_index", ("split", "amass")),
    "kit-ml": Corpus("kit_ml:read_kit_ml"),
    "babel": Corpus("babel:read_babel", ("split", "amass")),
    "motion-x": Corpus("motion_x:read_motion_x"),
    "100style": Corpus("style100:read_style100"),
    "lafan1": Corpus("lafan1:read_lafan1"),
    "beat2": Corpus("talks:read_beat2_release", (), "BEAT2_LAYOUT"),
    "genea2023": Corpus("talks:read_genea_release", (), "GENEA_LAYOUT"),
    "mead": Corpus("mead:read_mead", ("split", "fps")),
    "bvh": Corpus("own:read_own", ("captions", "source", "licence", "split")),
}
