"""The registry of metrics."""

import subprocess
import sys

import pytest

from avatargpt import metrics
from vqvae.errors import UserError


def test_every_name_resolves_to_a_documented_function() -> None:
    assert len(metrics.names()) >= 28
    for name in metrics.names():
        function = metrics.get(name).resolve()
        assert callable(function), name
        assert function.__doc__, name


def test_unknown_and_taken_names() -> None:
    with pytest.raises(UserError, match="unknown metric 'nope'"):
        metrics.get("nope")
    with pytest.raises(ValueError, match="already"):
        metrics.register("fid", "x:y", False)


def test_listing_imports_nothing_heavy() -> None:
    heavy = "{'torch', 'scipy', 'sacrebleu', 'numpy'}"
    code = f"import sys, avatargpt.metrics as m; m.names(); print({heavy} & set(sys.modules))"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "set()"
