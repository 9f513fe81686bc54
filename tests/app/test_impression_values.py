"""The route that the card asks for values: what it finds, and whom it answers."""

import asyncio
import json

import pytest
from starlette.requests import Request

from deepfm.data.vocabulary import RARE
from deepfm.errors import DeepFMError
from deepfm.ui import state
from deepfm.ui.upload import ticket
from deepfm.ui.values import MOST_FOUND, Question, answer, found


def ask(body, **headers):
    """What the route answers a page of ours: its status and the answer itself."""
    known = {"x-deepfm-ticket": ticket(state.settings()), "sec-fetch-site": "same-origin"}
    known |= {name.replace("_", "-"): value for name, value in headers.items()}
    pairs = [(name.encode(), value.encode()) for name, value in known.items()]

    async def receive():
        return {"type": "http.request", "body": json.dumps(body).encode(), "more_body": False}

    request = Request({"type": "http", "method": "POST", "headers": pairs}, receive)
    answered = asyncio.run(answer(request))
    return answered.status_code, json.loads(answered.body)


def test_the_commonest_values_come_first_and_unseen_apart(home):
    answer = found(Question(state.DEMO, "device", ""))
    counts = [count for _, count in answer["values"]]
    assert {text for text, _ in answer["values"]} == {"phone", "tablet", "laptop", "TV"}
    assert counts == sorted(counts, reverse=True)
    assert answer["of"] == 4 and answer["unseenText"] == RARE


def test_a_part_of_a_value_finds_it_whatever_its_case(home):
    assert found(Question(state.DEMO, "ad", "COF"))["values"][0][0] == "coffee"
    assert found(Question(state.DEMO, "ad", "no such thing"))["values"] == []


def test_no_more_values_are_sent_than_can_be_read(home):
    assert len(found(Question(state.DEMO, "ad_id", ""))["values"]) <= MOST_FOUND + 1


def test_our_own_page_is_answered(home):
    status, known = ask({"run": state.DEMO, "field": "ad", "text": "pizz"})
    assert status == 200 and known["values"][0][0] == "pizza"


@pytest.mark.parametrize(
    "headers", [{"x_deepfm_ticket": "guessed"}, {"sec_fetch_site": "cross-site"}]
)
def test_another_page_is_refused(home, headers):
    status, known = ask({"run": state.DEMO, "field": "ad", "text": ""}, **headers)
    assert status == 400 and "Reload it" in known["error"]


@pytest.mark.parametrize(
    "body", [{}, [], "text", {"run": 1, "field": "ad", "text": ""}, {"run": "demo", "field": "ad"}]
)
def test_what_is_no_question_is_said_in_words(home, body):
    status, known = ask(body)
    assert status == 400 and "not understood" in known["error"]


@pytest.mark.parametrize(("run", "field"), [(state.DEMO, "nothing"), ("nothing", "ad")])
def test_an_unknown_field_or_run_is_said_in_words(home, run, field):
    status, known = ask({"run": run, "field": field, "text": ""})
    assert status == 400 and known["error"]
    with pytest.raises(DeepFMError):
        found(Question(run, field, ""))
