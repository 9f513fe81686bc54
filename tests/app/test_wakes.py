"""Messages to the server's loop: all of them, in their order, and few wakes."""

import asyncio
import threading

import pytest

from deepfm.ui.wakes import NAMES, Inbox, wake_once_for_many


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
