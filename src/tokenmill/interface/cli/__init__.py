"""The command line: verbs over the same answers as the Python API.

Nothing heavy is imported until a verb runs, so that `--help` is quick.
"""

from __future__ import annotations

import gc
import sys

__all__ = ["main"]


def main() -> None:
    """Run the command line; refusals are one line on standard error and exit with 2."""
    # starting makes many objects that last: searching them for cycles again and again is time lost
    gc.set_threshold(100_000, 50, 50)
    from tokenmill.errors import TokenmillError
    from tokenmill.interface.cli.app import app

    try:
        app(prog_name="tokenmill")
    except TokenmillError as refusal:
        print(f"tokenmill: {refusal}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("tokenmill: interrupted; nothing was left half-written", file=sys.stderr)
        sys.exit(130)
    except BrokenPipeError:
        # the reader of our output (head, a pager) has gone: that is no error of ours
        sys.stderr.close()
        sys.exit(0)
