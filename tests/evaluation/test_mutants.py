"""What mutants of the suites have outlived."""

from avatargpt.evaluation.suites import about
from avatargpt.evaluation.turns import SegmentRow, list_lost

STEP = SegmentRow("a person walks", ("walks",), 4.0)


def test_one_of_two_like_segments_is_missed() -> None:
    assert list_lost([STEP, STEP], [STEP, STEP], "all") == []
    assert list_lost([STEP, STEP], [STEP], "all") == ["a person walks"]


def test_a_figure_is_the_metric_of_its_longest_prefix() -> None:
    metrics = {"right": {"unit": "share"}, "right/count": {"unit": "times"}}
    units = {name: about(metrics, name).get("unit") for name in ("right/two", "right/count/x/y", "right", "wrong/x")}
    assert units == {"right/two": "share", "right/count/x/y": "times", "right": "share", "wrong/x": None}
