"""A store with thousands of runs in a second: as the worker would have left them, in one stroke."""

import json
import random
from pathlib import Path
from typing import Any

from deepfm.config import ModelConfig, TrainConfig
from deepfm.events import Epoch, Finished, Metrics, Point, to_json
from deepfm.runs.store import Store
from deepfm.runs.store.people import mark_served
from deepfm.runs.store.rows import NewRun, new_id
from deepfm.runs.store.standing import CURVE_POINTS

DATASETS = ("demo", "Werbeklicks", "ctr", "Criteo sample")
PEOPLE = ("browser:ann", "browser:ben", "shell:cat")
NAMES = ("DeepFM", "FM", "LR", "Wide & Deep", "Ökonomie", "quick")


def fill(home: Path, count: int = 5_000, *, events: int = 3, seed: int = 0) -> list[str]:
    """Put so many runs into a home's store, nine of ten finished; their ids, oldest first.

    events   how many each run has reported
    The newest five wait and the one before them trains, as on any day.
    """
    chance = random.Random(seed)
    body = to_json(Point(0.5, 1.0, 1e5, Metrics(0.5, 0.8, 0.7, 100), None, None, ()))
    with Store.open(home) as store, store._database.writing() as connection:
        rows = [_row(chance, place, count) for place in range(count)]
        columns = ", ".join(rows[0])
        marks = ", ".join("?" * len(rows[0]))
        connection.executemany(
            f"INSERT INTO runs ({columns}) VALUES ({marks})", [tuple(row.values()) for row in rows]
        )
        connection.executemany(
            "INSERT INTO events (run_id, seq, body) VALUES (?, ?, ?)",
            [(row["id"], seq, body) for row in rows for seq in range(1, events + 1)],
        )
        for person in PEOPLE:
            mark_served(connection, person, 1.0)
    return [row["id"] for row in rows]


def _row(chance: random.Random, place: int, count: int) -> dict[str, Any]:
    model = ModelConfig(num_factors=chance.choice((4, 10, 20))).to_dict()
    train = TrainConfig(seed=place, epochs=chance.choice((5, 20))).to_dict()
    dataset = chance.choice(DATASETS)
    key = NewRun("", Path(), dataset, model, train, fingerprint=dataset).config_key
    auc = round(chance.uniform(0.6, 0.9), 6)
    state = "finished" if chance.random() < 0.9 else chance.choice(("stopped", "failed"))
    if place >= count - 6:
        state = "training" if place == count - 6 else "queued"
    result = Finished(
        5, 4, 8.0, 2e5, 3e5, "test", 1_000, auc, 0.4, 0.39, 0.8, 0.2
    )  # fmt: skip
    ended = state not in ("training", "queued")
    return {
        "id": new_id(),
        "name": f"{chance.choice(NAMES)}, factor size {model['num_factors']} {place}",
        "state": state,
        "dataset_name": dataset,
        "dataset_folder": f"/data/{dataset}",
        "fingerprint": dataset,
        "config_key": key,
        "model": json.dumps(model),
        "train": json.dumps(train),
        "pinned": json.dumps([{"site": "news", "device": "phone", "hour": "12"}] * 3),
        "owner": chance.choice(PEOPLE),
        "created": 1e9 + place,
        "started": None if state == "queued" else 1e9 + place + 1,
        "finished": 1e9 + place + 10 if ended else None,
        "result": json.dumps(vars(result)) if state == "finished" else None,
        "epoch": 5.0 if ended else 0.0,
        "auc": auc if ended else None,
        "last_event": 3,
        "notes": "a note about it" if chance.random() < 0.1 else "",
        "tags": json.dumps(["best"]) if chance.random() < 0.05 else "[]",
        "seconds": chance.uniform(1, 100) if ended else None,
        "examples_per_second": 2e5 if ended else None,
        "curve": json.dumps([[k + 1, auc - 0.001 * k] for k in range(CURVE_POINTS)]),
    }


def events_of(epochs: int) -> list[Epoch]:
    """What a run of so many epochs reports at the end of each."""
    return [
        Epoch(
            number, 1.0, 1e5, 2e5, Metrics(0.5, 0.8, 0.7, 100),
            Metrics(0.5, 0.8, 0.5 + 0.001 * number, 100), None, True, None, (),
        )
        for number in range(1, epochs + 1)
    ]  # fmt: skip
