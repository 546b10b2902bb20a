"""``avatargpt SUB ...`` and ``python -m avatargpt SUB ...``."""

import gc
import sys
from collections.abc import Sequence

from vqvae.streams import open_streams

COLLECTION_THRESHOLD = 100_000  # new objects between two collections
EXIT_INTERRUPTED = 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        argv: arguments without the program's name; the process's own when left out.

    Returns:
        The exit status: 0, 2 after one line ``error: ...`` on stderr, or 130 after Ctrl-C, SIGTERM or SIGHUP.
    """
    if argv is None:
        open_streams()
    try:
        from avatargpt.cli.app import run

        if argv is not None:
            return run(list(argv))
        # Imports make a million objects that stay. Scanning them again and again, and once more at the end, takes a
        # tenth of a short command.
        gc.set_threshold(COLLECTION_THRESHOLD)
        status = run(sys.argv[1:])
        gc.freeze()
        return status
    except KeyboardInterrupt:  # while the command line itself is imported
        print("error: interrupted", file=sys.stderr)
        return EXIT_INTERRUPTED


if __name__ == "__main__":
    sys.exit(main())
