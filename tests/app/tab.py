"""A browser tab's side of Streamlit's protocol, without a browser: what really goes over the wire.

It asks for a page, answers the timers of its fragments, keeps large messages and says which it
has, as the real page does; and it counts every byte that comes.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.BidiComponent_pb2 import BidiComponent
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from websockets.sync.client import ClientConnection, connect


@dataclass
class Answer:
    """All that one run of the script, or of one fragment, sent: messages and their bytes."""

    messages: list[ForwardMsg] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)

    @property
    def size(self) -> int:
        """Bytes of all messages."""
        return sum(self.sizes)

    @property
    def begun(self) -> bool:
        """Whether the script has begun to run; what is left of the run before may come first."""
        return any(message.HasField("new_session") for message in self.messages)

    @property
    def elements(self) -> int:
        """Elements sent whole."""
        return sum(message.delta.HasField("new_element") for message in self.messages)

    @property
    def references(self) -> int:
        """Elements sent as the name of one that the tab has already."""
        return sum(message.WhichOneof("type") == "ref_hash" for message in self.messages)

    @property
    def navigated(self) -> bool:
        """Whether the whole page was drawn."""
        return any(message.HasField("navigation") for message in self.messages)

    def components(self, name: str) -> list[str]:
        """The data of all components of this name that were sent whole, as JSON."""
        return [each.json or each.mixed.json for each in self._components(name)]

    def codes(self, name: str) -> list[str]:
        """The script that came with each component of this name."""
        return [each.js_content for each in self._components(name)]

    def _components(self, name: str) -> list[BidiComponent]:
        elements = [message.delta.new_element for message in self.messages]
        found = [each.bidi_component for each in elements if each.HasField("bidi_component")]
        return [each for each in found if each.component_name == name]

    def largest(self) -> str:
        """What the largest message is, for a test that fails."""
        place = max(range(len(self.sizes)), key=self.sizes.__getitem__)
        return f"{self.sizes[place]} bytes: {str(self.messages[place])[:400]}"


@dataclass
class Tab:
    """One open page."""

    connection: ClientConnection
    page: str
    query: str
    timers: dict[str, float] = field(default_factory=dict)
    """Fragment to seconds between its runs, as far as it asked for a timer."""
    _page_hash: str = ""
    _cached: set[str] = field(default_factory=set)

    def load(self) -> Answer:
        """The whole page."""
        self.timers.clear()
        return self._run(fragment="")

    def tick(self, fragment: str) -> Answer:
        """What a fragment's timer asks for, again and again until there is something new.

        The page is loaded again if the script says so.
        """
        answer, deadline = Answer(), time.monotonic() + 60
        while not answer.begun and time.monotonic() < deadline:
            self.ask(fragment)
            with suppress(TimeoutError):
                while not answer.begun:
                    self._receive(answer, timeout=0.25)
        return self._rest(answer)

    def click(self, fragment: str) -> Answer:
        """What a button in a fragment asks for, without anything that it does."""
        return self._run(fragment)

    def _run(self, fragment: str) -> Answer:
        self.ask(fragment, timer=False)
        return self._rest(Answer())

    def ask(self, fragment: str, *, timer: bool = True) -> None:
        """Ask for a fragment, or for the whole page without the name of one."""
        message = BackMsg()
        state = message.rerun_script
        state.query_string = self.query
        state.page_name = self.page
        state.page_script_hash = self._page_hash
        state.fragment_id = fragment
        state.is_auto_rerun = timer
        state.cached_message_hashes.extend(sorted(self._cached))
        self.connection.send(message.SerializeToString())

    def _rest(self, answer: Answer) -> Answer:
        while not self._receive(answer):
            pass
        return answer

    def _receive(self, answer: Answer, timeout: float = 60) -> bool:
        """Take one message; whether a run has come to its end with it."""
        data = self.connection.recv(timeout=timeout)
        assert isinstance(data, bytes)
        message = ForwardMsg.FromString(data)
        answer.messages.append(message)
        answer.sizes.append(len(data))
        if message.metadata.cacheable:
            self._cached.add(message.hash)
        match message.WhichOneof("type"):
            case "auto_rerun":
                self.timers[message.auto_rerun.fragment_id] = message.auto_rerun.interval
            case "new_session" if not message.metadata.run.fragment_ids:
                self.timers.clear()
            case "navigation":
                self._page_hash = message.navigation.page_script_hash
            case "ref_hash":
                assert message.ref_hash in self._cached, "a name the tab has never heard"
            case "script_finished":
                # A run that asked for another one is followed by that.
                return message.script_finished != ForwardMsg.FINISHED_EARLY_FOR_RERUN
        return False

    def silent(self, seconds: float) -> bool:
        """Whether nothing at all comes for so long."""
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            try:
                data = self.connection.recv(timeout=left)
            except TimeoutError:
                return True
            kind = ForwardMsg.FromString(bytes(data)).WhichOneof("type")  # type: ignore[arg-type]
            if kind not in ("session_status_changed", "session_event"):
                return False
        return True


@contextmanager
def open_tab(url: str, page: str, query: str = "") -> Iterator[Tab]:
    """A tab at a page of the app at `url`, "http://127.0.0.1:port"."""
    address = url.replace("http", "ws", 1) + "/_stcore/stream"
    with connect(address, subprotocols=None, max_size=None, origin=url) as connection:  # type: ignore[arg-type]
        yield Tab(connection, page, query)
