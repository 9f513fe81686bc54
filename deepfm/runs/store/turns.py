"""Who is next: runs that wait to the order in which they train, fair between people.

Next is the person with the fewest trainings running; of those, who had a turn longest ago; of
those, who came first. Of one person the run that was queued first. So somebody with forty runs
in the queue makes the next person wait for the run in progress, not for forty.
"""

import sqlite3
from collections import Counter, deque
from dataclasses import dataclass

from deepfm.runs.store import people


@dataclass(frozen=True)
class Waiting:
    """What the order is made of.

    queued   each person's waiting runs, numbers growing
    running  whose the runs in training are, the one begun first in front
    served   when each person with waiting runs had the last turn
    """

    queued: dict[str, tuple[int, ...]]
    running: tuple[str, ...]
    served: dict[str, float]


def waiting(connection: sqlite3.Connection) -> Waiting:
    """What waits and trains now."""
    queued: dict[str, list[int]] = {}
    for row in connection.execute(
        "SELECT owner, number FROM runs WHERE state = 'queued' ORDER BY owner, number"
    ):
        queued.setdefault(row["owner"], []).append(row["number"])
    running = connection.execute(
        "SELECT owner FROM runs WHERE state = 'training' ORDER BY started, number"
    ).fetchall()
    return Waiting(
        {person: tuple(numbers) for person, numbers in queued.items()},
        tuple(row["owner"] for row in running),
        people.served(connection, tuple(queued)),
    )


def next_number(now: Waiting) -> int | None:
    """The number of the run whose turn it is; None if none waits."""
    if not now.queued:
        return None
    heads = {person: numbers[0] for person, numbers in now.queued.items()}
    return heads[_next_person(heads, Counter(now.running), now.served)]


def order(now: Waiting) -> list[int]:
    """Numbers of all runs that wait, as they will train if nobody comes and each training in
    progress ends in the order it began.
    """
    queued = {person: deque(numbers) for person, numbers in now.queued.items()}
    running, served = deque(now.running), dict(now.served)
    places, turn = max(1, len(running)), max(now.served.values(), default=0.0)
    found = []
    while queued:
        if len(running) >= places:
            running.popleft()
        heads = {person: numbers[0] for person, numbers in queued.items()}
        person = _next_person(heads, Counter(running), served)
        found.append(queued[person].popleft())
        running.append(person)
        turn += 1.0
        served[person] = turn
        if not queued[person]:
            del queued[person]
    return found


def _next_person(heads: dict[str, int], running: Counter[str], served: dict[str, float]) -> str:
    """heads: each person's next run; the smallest by trainings, last turn and number."""
    return min(heads, key=lambda person: (running[person], served[person], heads[person]))
