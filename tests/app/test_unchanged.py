"""Which of a page's questions go no further than the middleware; those by a timer, as told."""

import asyncio
import time

from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ClientState_pb2 import ClientState
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg

from deepfm.errors import StoreError
from deepfm.ui.person import Message
from deepfm.ui.unchanged import HEADER, LONGEST, PATIENCE, AnswerUnchanged, Drawn, Tab

LIVE = "live"


def question(fragment: str = LIVE, *, timer: bool = True) -> ClientState:
    return ClientState(fragment_id=fragment, is_auto_rerun=timer)


def answers(tab: Tab, asked: ClientState) -> bool:
    """Whether the question goes no further."""
    return asyncio.run(tab.answers_itself(asked))


def drawn(*, moved: bool = False, pace: float = 0.0, ago: float = 0.0) -> Drawn:
    return Drawn(lambda: moved, pace, time.monotonic() - ago)


def test_a_fragment_that_says_nothing_is_always_drawn():
    tab = Tab()
    for _ in range(2):
        assert not answers(tab, question())
        tab.arrived()


def test_a_timer_is_answered_by_nothing_until_something_moves():
    tab, moves = Tab(), []
    tab.put(LIVE, Drawn(lambda: bool(moves), 0.0, time.monotonic()))
    assert answers(tab, question()) and answers(tab, question())
    moves.append(1)
    assert not answers(tab, question())
    tab.put(LIVE, drawn(moved=True))
    assert answers(tab, question()), "the last drawing is still on its way to the browser"
    tab.arrived()
    assert not answers(tab, question())
    tab.arrived()
    tab.put(LIVE, drawn())
    assert answers(tab, question())


def test_what_a_person_asks_for_is_drawn_whatever_stands_there():
    tab = Tab()
    tab.put(LIVE, drawn())
    for asked in (question("", timer=False), question(timer=False), question("chip", timer=False)):
        assert not answers(tab, asked)


def test_a_drawing_that_never_came_is_asked_for_again():
    tab = Tab()
    tab.put(LIVE, drawn(moved=True))
    assert not answers(tab, question("", timer=False))
    assert answers(tab, question())
    tab._drawing = time.monotonic() - PATIENCE
    assert not answers(tab, question())


def test_one_fragment_waits_for_the_drawing_of_another():
    tab = Tab()
    tab.put(LIVE, drawn(moved=True))
    assert not answers(tab, question("chip"))
    assert answers(tab, question())
    tab.arrived()
    assert not answers(tab, question())


def test_what_goes_by_the_clock_is_drawn_now_and_then():
    tab = Tab()
    tab.put(LIVE, drawn(ago=LONGEST))
    assert not answers(tab, question())


def test_a_store_that_cannot_be_read_is_for_the_page_to_tell():
    def fail() -> bool:
        raise StoreError("It is locked.")

    tab = Tab()
    tab.put(LIVE, Drawn(fail, 0.0, time.monotonic()))
    assert not answers(tab, question())


def test_drawings_keep_their_pace_on_the_average(monkeypatch):
    now = [0.0]
    monkeypatch.setattr("deepfm.ui.unchanged.time.monotonic", lambda: now[0])
    tab, count = Tab(), 0
    for place in range(400):
        now[0] = 0.25 * place + 0.01 * (place * 7 % 5)  # a clock that is never quite right
        tab.put(LIVE, Drawn(lambda: True, 0.5, now[0]))
        count += not answers(tab, question())
        tab.arrived()
    assert abs(count - 200) <= 2


def test_the_end_of_a_drawing_is_heard_as_it_is_sent():
    asked, end = BackMsg(), ForwardMsg()
    asked.rerun_script.CopyFrom(question())
    end.script_finished = ForwardMsg.FINISHED_FRAGMENT_RUN_SUCCESSFULLY
    question_again = {"type": "websocket.receive", "bytes": asked.SerializeToString()}
    last = {"type": "websocket.disconnect"}
    left, got, sent = [question_again, question_again, question_again, last], [], []

    async def server(scope: Message, receive, send) -> None:
        got.append(await receive())
        await send({"type": "websocket.send", "bytes": ForwardMsg().SerializeToString()})
        await send({"type": "websocket.send", "bytes": end.SerializeToString()})
        got.extend([await receive(), await receive()])

    async def receive() -> Message:
        return left.pop(0)

    async def send(message: Message) -> None:
        sent.append(message)

    asyncio.run(AnswerUnchanged(server)({"type": "websocket", "headers": []}, receive, send))
    assert got == [question_again, question_again, last], "the third came before the second's end"
    assert len(sent) == 2


def test_the_server_gets_each_message_but_those_and_a_word_for_its_tab():
    def message(**fields) -> Message:
        return {"type": "websocket.receive", **fields}

    asked = BackMsg()
    asked.rerun_script.query_string = "run=1"
    sent = [
        message(bytes=asked.SerializeToString()),
        message(bytes=b"\xff\xff no message"),
        message(text="neither"),
    ]
    left, got, words = list(sent), [], []

    async def server(scope: Message, receive, send) -> None:
        words.append([value for name, value in scope["headers"] if name == HEADER.encode()])
        got.extend([await receive() for _ in sent])

    async def receive() -> Message:
        return left.pop(0)

    async def send(message: Message) -> None: ...

    scope = {"type": "websocket", "headers": [(HEADER.encode(), b"forged")]}
    asyncio.run(AnswerUnchanged(server)(scope, receive, send))
    assert got == sent
    assert len(words[0]) == 1 and words[0] != [b"forged"]
