"""Things made once for all: what is kept, what is dropped, and who waits for whom."""

import threading
import time

import pytest

from deepfm.ui.shared import Shelf


def test_many_who_ask_at_once_get_one_thing_that_was_made_once():
    shelf, made, found = Shelf(), [], []

    def make() -> object:
        made.append(1)
        time.sleep(0.05)
        return object()

    threads = [
        threading.Thread(target=lambda: found.append(shelf.get("key", make))) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 1 and len(set(map(id, found))) == 1


def test_what_nobody_asked_for_the_longest_is_dropped():
    shelf = Shelf(most=2)
    assert shelf.get("a", lambda: 1) == 1
    assert shelf.get("b", lambda: 2) == 2
    assert shelf.get("a", lambda: 0) == 1, "asked for again"
    assert shelf.get("c", lambda: 3) == 3
    assert shelf.get("a", lambda: 0) == 1
    assert shelf.get("b", lambda: 4) == 4, "was dropped and is made anew"


def test_what_could_not_be_made_is_tried_again():
    shelf = Shelf()
    with pytest.raises(ZeroDivisionError):
        shelf.get("key", lambda: 1 // 0)
    assert shelf.get("key", lambda: 5) == 5


def test_making_one_thing_may_ask_for_another():
    shelf = Shelf()
    assert shelf.get("outer", lambda: shelf.get("inner", lambda: 2) + 1) == 3
