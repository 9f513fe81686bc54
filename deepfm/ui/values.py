"""A text typed into one field of a run to the values that hold it: the route that the card asks.

A field may have 100,000 values. None of them goes to the browser before it is asked for, and then
the commonest few that hold what was typed.
"""

import json
from dataclasses import dataclass
from typing import Any, Final

from anyio import to_thread
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from deepfm.config import Settings
from deepfm.data.vocabulary import RARE
from deepfm.errors import DataError, DeepFMError
from deepfm.explanation import find_values
from deepfm.ui import state
from deepfm.ui.upload import check_origin

VALUES_PATH: Final = "/values"
MOST_FOUND: Final = 60
"""How many values are given at once; a longer text narrows them down."""
_LONGEST_BODY: Final = 10_000


@dataclass(frozen=True)
class Question:
    """Which values of a run's field hold a text; "" means all of them."""

    run: str
    field: str
    text: str

    @classmethod
    def from_json(cls, body: bytes) -> "Question":
        """DataError unless it is an object with these three texts."""
        try:
            known = json.loads(body)
            texts = {name: known[name] for name in ("run", "field", "text")}
        except (ValueError, TypeError, KeyError):
            texts = {"": None}
        if not all(isinstance(text, str) for text in texts.values()):
            raise DataError("The question is not understood. Load the page again.")
        return cls(**texts)


def found(question: Question) -> dict[str, Any]:
    """{values: [[text, training rows]…], of, unseen}: the commonest first, “unseen” apart.

    of      how many values the field has in the vocabulary
    unseen  how many training rows have a value that is none of them
    """
    vocabulary = state.trained(question.run).vocabulary
    field = vocabulary.field(question.field)
    hits = find_values(vocabulary, question.field, question.text, MOST_FOUND + 1)
    pairs = zip(hits.value, hits.index.tolist(), hits.count.tolist(), strict=True)
    return {
        "values": [[text, count] for text, index, count in pairs if index != field.default],
        "of": field.size - 1,
        "unseen": int(vocabulary.counts[field.default]),
        "unseenText": RARE,
    }


async def answer(request: Request) -> JSONResponse:
    """POST /values with {run, field, text} from one of our own pages."""
    try:
        check_origin(request, Settings.from_environment())
        body = await request.body()
        question = Question.from_json(body[:_LONGEST_BODY])
        return JSONResponse(await to_thread.run_sync(found, question))
    except DeepFMError as error:
        return JSONResponse({"error": str(error)}, status_code=400)


def values_routes() -> list[Route]:
    """What app.py adds to the server."""
    return [Route(VALUES_PATH, answer, methods=["POST"])]
