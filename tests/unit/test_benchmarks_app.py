"""What the app's benchmark makes of moments, messages and processes; nothing here is timed."""

import os
import subprocess
import sys

from streamlit.proto.ForwardMsg_pb2 import ForwardMsg

from benchmarks.app import clients, first_point, pages, store
from benchmarks.app.client import Client, Heard
from benchmarks.app.clients import Span, Watched
from benchmarks.app.figures import Figure, table
from benchmarks.app.first_point import STEPS, Click
from benchmarks.app.processor import busy_seconds, descendants, own_seconds
from benchmarks.app.store import Opened

LIVE, CHIP = "live", "chip"


def test_the_steps_of_a_click_add_up_to_the_whole():
    moments = {name: 10.0 + 0.1 * place for place, name in enumerate(STEPS, start=1)}
    click = Click(10.0, moments)
    assert sum(click.shares().values()) == click.seconds
    rows = first_point.figures([click])
    assert rows[0].met is False, "0.7 s are more than half a second"
    assert len(rows) == 2 + len(STEPS)


def test_the_table_says_what_was_wanted_and_whether_it_was_met():
    text = table([Figure("a", "1 ms", "< 2 ms", True), Figure("b", "3", "< 2", False)])
    assert "| a | 1 ms | < 2 ms: met |" in text and "| b | 3 | < 2: missed |" in text


def test_a_run_in_training_is_compared_over_all_pages():
    found = {
        "idle": {"Data": [0.1, 0.2], "Runs": [0.3]},
        "training": {"Data": [0.4], "Runs": [0.6]},
    }
    assert pages.figures(found)[-1].value == "300 ms"
    assert pages.figures(found)[-1].met is False


def test_the_slowest_client_decides():
    heard = tuple(Heard(at, 500, True, True) for at in range(20))
    fast = Span(10.0, (heard, heard), 20, 3.0, 2.0)
    slow = Span(10.0, (heard, heard[:12]), 20, 3.0, 2.0)
    quiet = Span(10.0, (heard, heard[:12]), 20, 3.0, 1.2)
    assert clients.figures(Watched(fast, fast, ()))[0].met
    assert clients.figures(Watched(slow, fast, ()))[0].met is False
    assert clients.figures(Watched(quiet, fast, ()))[0].met, "there was no more to tell"
    assert clients.figures(Watched(fast, fast, ("oh",)))[3].met is False


def test_a_large_store_is_compared_with_a_small_one():
    few, many = Opened(10, (0.2,), (0.02,)), Opened(5_000, (0.4,), (0.03,))
    rows = store.figures([few, many])
    assert rows[1].met and not rows[3].met


def delta(fragment: str, place: int, text: str, *, hash_: str = "") -> ForwardMsg:
    message = ForwardMsg()
    message.delta.fragment_id = fragment
    message.delta.new_element.markdown.body = text
    message.metadata.delta_path.extend([0, place])
    message.hash, message.metadata.cacheable = hash_, bool(hash_)
    return message


def client() -> Client:
    """A tab whose live fragment is drawn twice a second, and a chip once."""
    tab = Client(None, "train", "", ticks=False)  # type: ignore[arg-type]
    for fragment, seconds in ((CHIP, 1.0), (LIVE, 0.5)):
        timer = ForwardMsg()
        timer.auto_rerun.fragment_id, timer.auto_rerun.interval = fragment, seconds
        tab._take(timer)
    return tab


def end() -> ForwardMsg:
    message = ForwardMsg()
    message.script_finished = ForwardMsg.FINISHED_FRAGMENT_RUN_SUCCESSFULLY
    return message


def test_a_look_that_brings_the_same_again_is_no_update():
    tab = client()
    assert [tab._take(each) for each in (delta(LIVE, 0, "a", hash_="h"), end())] == [False, True]
    again = ForwardMsg()
    again.ref_hash = "h"
    again.metadata.delta_path.extend([0, 0])
    assert [tab._take(each) for each in (again, end())] == [False, False]
    assert [tab._take(each) for each in (delta(CHIP, 1, "b"), end())] == [False, False]
    assert [tab._take(each) for each in (delta(LIVE, 0, "c"), end())] == [False, True]
    assert not tab.errors


def test_a_name_that_was_never_sent_and_an_exception_are_errors():
    tab = client()
    unknown = ForwardMsg()
    unknown.ref_hash = "never"
    tab._take(unknown)
    broken = delta(LIVE, 0, "")
    broken.delta.new_element.exception.message = "it broke"
    tab._take(broken)
    assert tab.errors == ["a name for something that was never sent", "it broke"]


def test_what_a_process_and_its_children_compute_is_counted():
    loop = "import time; end = time.process_time() + 0.2\nwhile time.process_time() < end: pass"
    program = [sys.executable, "-c", loop + "\nprint(flush=True); input()"]
    with subprocess.Popen(program, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        child.stdout.readline()
        assert own_seconds(child.pid) >= 0.15
        assert child.pid in descendants(os.getpid())
        assert busy_seconds(os.getpid()) >= own_seconds(child.pid)
        child.kill()
