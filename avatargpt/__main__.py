"""``avatargpt SUB ...`` and ``python -m avatargpt SUB ...``."""

from __future__ import annotations

import sys
from collections.abc import Sequence


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        argv: arguments without the program's name; the process's own when left out.

    Returns:
        The exit status: 0, or 2 after one line ``error: ...`` on stderr.
    """
    from avatargpt.cli.app import run

    return run(list(sys.argv[1:] if argv is None else argv))


if __name__ == "__main__":
    sys.exit(main())
