"""`python -m deepfm VERB …`: one function a verb, one JSON object as the last line of stdout."""

import json
import sys
from collections.abc import Sequence

from deepfm.cli.flags import follow_like
from deepfm.cli.training import Stopped
from deepfm.cli.verbs import make_parser
from deepfm.errors import DeepFMError

MISTAKE = 2
"""Exit code of a mistake that one line on stderr explains."""
STOPPED = 130
"""Exit code after Ctrl-C."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one verb; returns the exit code."""
    try:
        parsed = make_parser().parse_args(arguments)
        follow_like(parsed)
        answer = parsed.verb(parsed)
    except DeepFMError as error:
        print(f"deepfm: {error}", file=sys.stderr)
        return MISTAKE
    except Stopped as stopped:
        _print(stopped.answer)
        return STOPPED
    except KeyboardInterrupt:
        print("deepfm: stopped.", file=sys.stderr)
        return STOPPED
    if answer is not None:
        _print(answer)
    return 0


def _print(answer: object) -> None:
    print(json.dumps(answer, ensure_ascii=False, allow_nan=False), flush=True)
