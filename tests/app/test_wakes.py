"""Messages to the server's loop: all of them, in their order, and few wakes."""

import asyncio
import threading

import pytest

from deepfm.ui.wakes import NAMES, Inbox, send_now, together, wake_once_for_many


def test_all_that_was_put_is_called_in_its_order_by_few_wakes():
    called: list[int] = []
    wakes: list[int] = []

    async def serve() -> None:
        loop, inbox = asyncio.get_running_loop(), Inbox()

        def wake() -> None:
            wakes.append(1)
            loop.call_soon_threadsafe(inbox.open)

        def write() -> None:
            for number in range(1_000):
                inbox.put(lambda number=number: called.append(number), wake)

        thread = threading.Thread(target=write)
        thread.start()
        thread.join()  # the loop is held up meanwhile
        while len(called) < 1_000:
            await asyncio.sleep(0)
        inbox.put(lambda: called.append(1_000), wake)
        while len(called) < 1_001:
            await asyncio.sleep(0)

    asyncio.run(serve())
    assert called == list(range(1_001))
    assert len(wakes) == 2


def test_one_that_fails_stops_none_of_the_others():
    called: list[str] = []

    async def serve() -> None:
        loop, inbox = asyncio.get_running_loop(), Inbox()
        loop.set_exception_handler(lambda _, context: called.append(context["message"][:18]))
        inbox.put(lambda: 1 // 0, lambda: None)
        inbox.put(lambda: called.append("second"), lambda: None)
        inbox.open()
        await asyncio.sleep(0.01)

    asyncio.run(serve())
    assert called == ["Exception in callb", "second"]


@pytest.mark.parametrize(("owner", "name"), NAMES)
def test_a_streamlit_without_one_of_the_names_is_left_as_it_is(
    owner: type, name: str, monkeypatch: pytest.MonkeyPatch
):
    before = {pair: getattr(*pair) for pair in NAMES if pair != (owner, name)}
    monkeypatch.delattr(owner, name)
    assert not wake_once_for_many()
    assert {pair: getattr(*pair) for pair in before} == before


def test_with_the_names_the_ways_are_changed(monkeypatch: pytest.MonkeyPatch):
    for owner, name in NAMES:
        monkeypatch.setattr(owner, name, getattr(owner, name))
    before = [getattr(*pair) for pair in NAMES[:2]]
    assert wake_once_for_many()
    assert [getattr(*pair) for pair in NAMES[:2]] != before


def nothing() -> None:
    """What a page would have called on the loop."""


def test_what_is_shown_together_wakes_the_loop_once_it_is_whole():
    woken: list[str] = []
    with together():
        Inbox().put(nothing, lambda: woken.append("first"))
        with together():
            Inbox().put(nothing, lambda: woken.append("second"))
        assert woken == []
    assert woken == ["first", "second"]
    Inbox().put(nothing, lambda: woken.append("later"))
    assert woken[-1] == "later"


def test_what_takes_long_lets_the_rest_go_before_it():
    woken: list[str] = []
    with together():
        Inbox().put(nothing, lambda: woken.append("seen"))
        send_now()
        assert woken == ["seen"]
        Inbox().put(nothing, lambda: woken.append("then"))
        assert woken == ["seen"]
    assert woken == ["seen", "then"]


def test_a_page_that_fails_half_way_shows_what_it_has():
    woken: list[str] = []
    with pytest.raises(ValueError, match="half"), together():
        Inbox().put(nothing, lambda: woken.append("seen"))
        raise ValueError("half way")
    assert woken == ["seen"]
    Inbox().put(nothing, lambda: woken.append("as before"))
    assert woken[-1] == "as before"
