"""One reader's tab without a browser: Streamlit's protocol over its websocket, timers and all.

It asks for a page and then does what the real page does: it answers the timers of its fragments,
keeps what the server marks as worth keeping and says which of it it has, and forgets the timers
of what is drawn anew. It counts what comes.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Final

from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from websockets.asyncio.client import ClientConnection, connect
from websockets.typing import Origin

PATIENCE: Final = 60.0
"""Seconds that an answer may take."""


@dataclass(frozen=True)
class Heard:
    """One message of the server.

    at       seconds of the machine's clock
    size     bytes
    look     whether it ends a look at what is live
    update   whether that look brought anything new
    """

    at: float
    size: int
    look: bool = False
    update: bool = False


@dataclass
class Client:
    """One open page.

    ticks    whether it answers its timers, as a browser does
    heard    every message so far
    errors   what went wrong, in words
    """

    connection: ClientConnection
    page: str
    query: str
    ticks: bool = True
    heard: list[Heard] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    _page_hash: str = ""
    _kept: dict[str, ForwardMsg] = field(default_factory=dict)
    _timers: dict[str, tuple[float, asyncio.Task[None] | None]] = field(default_factory=dict)
    _elements: dict[tuple[int, ...], int] = field(default_factory=dict)
    _news: bool = False
    _ended: asyncio.Event = field(default_factory=asyncio.Event)

    async def load(self) -> float:
        """Ask for the whole page; seconds until it is there."""
        return await self._answered("")

    async def look(self) -> float:
        """Have the fragment drawn that is asked for most often; seconds until it is there.

        As a button in it would: a timer gets no answer where there is nothing new.
        """
        return await self._answered(self._live())

    async def _answered(self, fragment: str) -> float:
        self._ended.clear()
        began = time.perf_counter()
        await self._ask(fragment, timer=False)
        await asyncio.wait_for(self._ended.wait(), PATIENCE)
        return time.perf_counter() - began

    async def listen(self) -> None:
        """Take what comes, until the connection ends."""
        async for data in self.connection:
            assert isinstance(data, bytes)
            message = ForwardMsg.FromString(data)
            update = self._take(message)
            look = self._live() in message.metadata.run.fragment_ids
            ended = message.WhichOneof("type") == "script_finished"
            self.heard.append(Heard(time.time(), len(data), ended and look, update))

    def _take(self, message: ForwardMsg) -> bool:
        """What the page does with a message; whether it ends a look that brought news."""
        kind = message.WhichOneof("type")
        if kind == "ref_hash":
            if message.ref_hash not in self._kept:
                self.errors.append("a name for something that was never sent")
                return False
            self._take_element(self._kept[message.ref_hash], message.metadata.delta_path)
        if message.metadata.cacheable:
            self._kept[message.hash] = message
        if kind == "delta":
            self._take_element(message, message.metadata.delta_path)
        elif kind == "auto_rerun":
            self._set_timer(message.auto_rerun.fragment_id, message.auto_rerun.interval)
        elif kind == "stop_auto_rerun":
            for fragment in message.stop_auto_rerun.fragment_ids:
                self._drop_timer(fragment)
        elif kind == "new_session":
            if not message.metadata.run.fragment_ids:
                self._drop_timers()
        elif kind == "navigation":
            self._page_hash = message.navigation.page_script_hash
        elif kind == "script_finished":
            return self._end_run(message)
        return False

    def _end_run(self, message: ForwardMsg) -> bool:
        if message.script_finished == ForwardMsg.FINISHED_WITH_COMPILE_ERROR:
            self.errors.append("a script that does not compile")
        # A run that asked for another one is followed by that.
        if message.script_finished == ForwardMsg.FINISHED_EARLY_FOR_RERUN:
            return False
        self._ended.set()
        news, self._news = self._news, False
        return news

    def _take_element(self, message: ForwardMsg, path: Sequence[int]) -> None:
        """An element in its place; it is news where it is of what is live and not as before."""
        element = message.delta.new_element
        if element.WhichOneof("type") == "exception":
            self.errors.append(element.exception.message)
        place, content = tuple(path), hash(message.delta.SerializeToString())
        if message.delta.fragment_id == self._live() and self._elements.get(place) != content:
            self._news = True
        self._elements[place] = content

    def _live(self) -> str:
        """The fragment that is drawn most often."""
        return min(self._timers, key=lambda each: self._timers[each][0], default="")

    def _set_timer(self, fragment: str, seconds: float) -> None:
        if fragment in self._timers and self._timers[fragment][0] == seconds:
            return
        self._drop_timer(fragment)
        task = asyncio.create_task(self._tick(fragment, seconds)) if self.ticks else None
        self._timers[fragment] = seconds, task

    def _drop_timer(self, fragment: str) -> None:
        _, task = self._timers.pop(fragment, (0.0, None))
        if task is not None:
            task.cancel()

    def _drop_timers(self) -> None:
        for fragment in list(self._timers):
            self._drop_timer(fragment)

    async def _tick(self, fragment: str, seconds: float) -> None:
        """As the browser's setInterval: by the clock, whatever the server is doing."""
        next_time = time.perf_counter()
        while True:
            next_time += seconds
            await asyncio.sleep(max(0.0, next_time - time.perf_counter()))
            await self._ask(fragment, timer=True)

    async def _ask(self, fragment: str, *, timer: bool) -> None:
        message = BackMsg()
        state = message.rerun_script
        state.query_string = self.query
        state.page_name = self.page
        state.page_script_hash = self._page_hash
        state.fragment_id = fragment
        state.is_auto_rerun = timer
        state.cached_message_hashes.extend(self._kept)
        await self.connection.send(message.SerializeToString())


@asynccontextmanager
async def opened(url: str, page: str, query: str, *, ticks: bool = True) -> AsyncIterator[Client]:
    """A tab at a page of the app at `url`, "http://127.0.0.1:port"; its timers end with it."""
    address = url.replace("http", "ws", 1) + "/_stcore/stream"
    async with connect(address, origin=Origin(url), max_size=None) as connection:
        client = Client(connection, page, query, ticks)
        listening = asyncio.create_task(client.listen())
        try:
            yield client
        finally:
            client._drop_timers()
            listening.cancel()
