"""Who queues runs: an id for everyone, with a name for others to read.

An id says how somebody is known: "user:…" is signed in, "browser:…" is a browser that was here
before, "shell:…" a user of the command line; "" is nobody known. One that never took a name has
one made of the id, always the same.
"""

import getpass
import hashlib
import sqlite3
from collections.abc import Sequence
from typing import Final

from deepfm.errors import StoreError
from deepfm.runs.store.database import Database

LONGEST_NAME: Final = 40

_FIRST: Final = (
    "Amber", "Bright", "Calm", "Clever", "Copper", "Curious", "Eager", "Gentle",
    "Golden", "Happy", "Jolly", "Keen", "Kind", "Lively", "Lucky", "Mellow",
    "Merry", "Misty", "Nimble", "Patient", "Proud", "Quick", "Quiet", "Rosy",
    "Silver", "Snowy", "Steady", "Sunny", "Swift", "Tidy", "Violet", "Wise",
)  # fmt: skip
_SECOND: Final = (
    "Badger", "Beaver", "Cedar", "Comet", "Crane", "Dolphin", "Falcon", "Fern",
    "Finch", "Fox", "Hare", "Heron", "Ibex", "Iris", "Kite", "Lark",
    "Lynx", "Magpie", "Maple", "Marten", "Newt", "Otter", "Owl", "Panda",
    "Puffin", "Robin", "Seal", "Sparrow", "Stork", "Tern", "Walnut", "Wren",
)  # fmt: skip


def shell_owner() -> str:
    """Who queues from the command line: the user of this machine, where they have a name."""
    try:
        return f"shell:{getpass.getuser()}"
    except (KeyError, OSError):
        return "shell:"


def shown_name(person: str, chosen: str | None = "") -> str:
    """The name that somebody chose, else the user's own, else one made of the id; "" of nobody."""
    kind, _, rest = person.partition(":")
    if chosen or not person:
        return chosen or ""
    if kind != "browser" and rest:
        return rest
    digest = hashlib.sha256(person.encode()).digest()
    return f"{_FIRST[digest[0] % len(_FIRST)]} {_SECOND[digest[1] % len(_SECOND)]}"


class PeopleTable:
    """The part of the store that holds people; `Store` is what others open."""

    _database: Database

    def person_name(self, person: str) -> str:
        """What somebody is called."""
        with self._database.reading() as connection:
            row = connection.execute("SELECT name FROM people WHERE id = ?", (person,)).fetchone()
        return shown_name(person, row["name"] if row else "")

    def name_person(self, person: str, name: str) -> None:
        """Call somebody by another name, in all their runs; an empty one is the first name again.

        StoreError for nobody, and for a name longer than 40 signs.
        """
        name = " ".join(name.split())
        if not person:
            raise StoreError("Nobody is known here, so nobody can be named.")
        if len(name) > LONGEST_NAME:
            raise StoreError(f"A name has at most {LONGEST_NAME} signs; this one has {len(name)}.")
        with self._database.writing() as connection:
            connection.execute(
                "INSERT INTO people (id, name) VALUES (?, ?) "
                "ON CONFLICT (id) DO UPDATE SET name = excluded.name",
                (person, name),
            )


def mark_served(connection: sqlite3.Connection, person: str, when: float) -> None:
    """Remember when somebody's turn was."""
    connection.execute(
        "INSERT INTO people (id, served) VALUES (?, ?) "
        "ON CONFLICT (id) DO UPDATE SET served = excluded.served",
        (person, when),
    )


def served(connection: sqlite3.Connection, people: Sequence[str]) -> dict[str, float]:
    """When each of these had their last turn; 0 for one who had none."""
    times = dict.fromkeys(people, 0.0)
    marks = ",".join("?" * len(times))
    rows = connection.execute(
        f"SELECT id, served FROM people WHERE id IN ({marks})", tuple(times)
    ).fetchall()
    return times | {row["id"]: row["served"] for row in rows}
