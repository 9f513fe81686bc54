"""Messages to the server's loop: all of them, in their order, and few wakes."""

import asyncio
import threading

from deepfm.ui.wakes import Inbox


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
