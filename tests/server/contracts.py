"""`scripts/contract.py` as a module, and what checks a message of the socket against the contract."""

import importlib.util
import sys
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

ROOT = Path(__file__).resolve().parents[2]
spec = importlib.util.spec_from_file_location("contract", ROOT / "scripts" / "contract.py")
assert spec and spec.loader
contract = importlib.util.module_from_spec(spec)
sys.modules["contract"] = contract  # where its annotations are looked up
spec.loader.exec_module(contract)
MESSAGE: TypeAdapter[Any] = TypeAdapter(contract.Message)


def checked(row: dict[str, Any]) -> dict[str, Any]:
    """A message of `/v1/stream`, which has just the fields that the contract names."""
    assert MESSAGE.validate_python(row, strict=True) == row, row
    return row
