"""kill -9 at random moments of a run's life, and what must hold after each.

python -m benchmarks.kills                       (two hundred; about a quarter of an hour)
python -m benchmarks.kills --kills 20 --seed 7

A real worker trains real runs of one small dataset. At a moment that is drawn by chance the
worker, its child or both are killed. Then a worker is there again, and:

- the run has not been lost and does not stand in "training": it goes on, is interrupted, or has
  failed with the cause in words;
- its checkpoint loads, and so does every run folder of a finished run;
- its events can be read, and their numbers have no gap;
- gone on with (or, where it cannot be, trained once more) it ends with the very weights of a run
  that nobody disturbed.

Prints a table by moment and one JSON line; ends with 1 where any of this was violated.
"""

import argparse
import contextlib
import os
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final, Literal

from benchmarks import report
from benchmarks.lab import TRAINING, Lab, lab, seconds_of, small_dataset, until
from deepfm.errors import DeepFMError
from deepfm.events import Notice
from deepfm.runs.store import RunRow, Store
from deepfm.trained import open_run
from deepfm.training.checkpoint import has_checkpoint, read_checkpoint

Moment = Literal["queued", "starting", "training", "checkpoint", "scoring", "writing", "ending"]
Victim = Literal["worker", "child", "both"]

MOMENTS: Final[tuple[Moment, ...]] = (
    "queued",
    "starting",
    "training",
    "checkpoint",
    "scoring",
    "writing",
    "ending",
)
VICTIMS: Final[tuple[Victim, ...]] = ("worker", "child", "both")
SPREAD: Final[Mapping[Moment, float]] = {
    "queued": 0.05,
    "starting": 0.2,
    "checkpoint": 0.01,
    "scoring": 0.02,
    "writing": 0.01,
    "ending": 0.005,
}
"""Seconds after a moment was seen within which the kill falls; while it trains, any time."""

LOOK_SECONDS: Final = 0.0005


# --- one kill ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class Kill:
    """One kill and what came of it.

    seen         the run's state in the instant before
    left         its state once a worker was there again
    resumed      whether it went on from a checkpoint afterwards
    violations   what did not hold, in words
    """

    moment: Moment
    victim: Victim
    seen: str
    left: str
    resumed: bool
    violations: tuple[str, ...]


@dataclass(frozen=True)
class Reference:
    """A run that nobody disturbed: its weights, its epochs, and how long it took in seconds."""

    weights: bytes
    epochs: int
    seconds: float


def undisturbed(lab: Lab) -> Reference:
    """Train one run in peace."""
    row = lab.ended(lab.queue("In peace"))
    if row.state != "finished":
        raise RuntimeError(f"even in peace the run {row.state}: {row.message}")
    return Reference(_weights(row.folder), TRAINING["epochs"], seconds_of(row))


def kill_once(
    lab: Lab, reference: Reference, moment: Moment, victim: Victim, draw: random.Random
) -> Kill:
    """Queue a run, kill at the moment, look, go on with it, look again."""
    run_id = lab.queue(f"{victim} dies: {moment}")
    violations: list[str] = []
    seen, left, resumed = "", "", False
    try:
        _reach(lab, run_id, moment)
        time.sleep(draw.uniform(0.0, SPREAD.get(moment, 0.7 * reference.seconds)))
        seen = lab.store.run(run_id).state
        killed = _kill(lab, victim)
        lab.revive()
        row = _settled(lab, run_id, killed)
        left = row.state
        violations += _wrong(lab, row, victim)
        follower, resumed = _go_on(lab, row)
        violations += _wrong_at_the_end(lab.ended(follower), reference)
        violations += _wrong_events(lab.store, follower)
    except (TimeoutError, DeepFMError) as error:
        violations.append(f"{type(error).__name__}: {error}")
    return Kill(moment, victim, seen, left, resumed, tuple(violations))


def _reach(lab: Lab, run_id: str, moment: Moment) -> None:
    """Wait until a run's life has come to a moment; one that it has run past will do as well."""
    store, folder = lab.store, lab.store.run_folder(run_id)
    epochs = TRAINING["epochs"]
    reached: Mapping[Moment, Callable[[RunRow], bool]] = {
        "queued": lambda row: True,
        "starting": lambda row: row.state == "training",
        "training": lambda row: row.epoch > 0,
        "checkpoint": lambda row: _changed(folder),
        "scoring": lambda row: row.epoch >= epochs,
        "writing": lambda row: folder.with_name(folder.name + ".writing").exists(),
        "ending": lambda row: (folder / "result.json").exists(),
    }
    holds = reached[moment]

    def come() -> bool:
        row = store.run(run_id)
        return row.ended or holds(row)

    until(come, f"the moment {moment!r} of run {run_id}", LOOK_SECONDS)


def _changed(folder: Path) -> bool:
    """Whether a checkpoint is being written aside, or was written just now."""
    file = folder / "checkpoint.json"
    with contextlib.suppress(OSError):
        return time.time() - file.stat().st_mtime < 0.01
    return False


def _kill(lab: Lab, victim: Victim) -> list[int]:
    """SIGKILL; where no child works, the spare dies. Who was killed."""
    pids = [lab.worker.pid] if victim in ("worker", "both") else []
    if victim in ("child", "both"):
        busy = lab.busy_child()
        pids += [busy] if busy is not None else lab.children()[:1]
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    if victim != "child":
        lab.worker.wait()
    return pids


def _settled(lab: Lab, run_id: str, killed: Sequence[int]) -> RunRow:
    """The run once nobody takes it for one that the killed train."""

    def settled() -> bool:
        row = lab.store.run(run_id)
        if row.state != "training":
            return True
        mine = row.worker.startswith(f"{lab.worker.pid}-")
        return mine and lab.busy_child() not in (None, *killed)

    until(settled, f"run {run_id} to leave “training” after a death")
    return lab.store.run(run_id)


def _go_on(lab: Lab, row: RunRow) -> tuple[str, bool]:
    """The run that must end well now, and whether it is the old one that goes on."""
    if row.state in ("queued", "training", "finished"):
        return row.id, False
    if row.state == "interrupted" and has_checkpoint(row.folder):
        lab.store.resume_run(row.id)
        return row.id, True
    return lab.queue(f"{row.name}, again"), False


# --- what must hold ---------------------------------------------------------------------------


def _wrong(lab: Lab, row: RunRow, victim: Victim) -> list[str]:
    """What does not hold of a run after the kill."""
    wrong = _wrong_events(lab.store, row.id)
    cause = "The worker stopped" if victim == "worker" else "signal 9"
    if row.state == "stopped" or (
        row.state in ("failed", "interrupted") and victim != "both" and cause not in row.message
    ):
        wrong.append(f"{row.state} with: {row.message}")
    if row.state == "interrupted" and not row.message:
        wrong.append("interrupted without a cause")
    if row.state == "failed" and (victim == "worker" or has_checkpoint(row.folder)):
        wrong.append("failed, though it could be resumed")
    if row.state == "finished":
        open_run(row.folder).scores()
    if row.state != "training" and has_checkpoint(row.folder):
        read_checkpoint(row.folder)
    return wrong


def _wrong_at_the_end(row: RunRow, reference: Reference) -> list[str]:
    """What does not hold of a run that was left in peace after the kill."""
    if row.state != "finished":
        return [f"{row.state} in the end: {row.message}"]
    model = open_run(row.folder)
    wrong = [] if model.result.epochs == reference.epochs else ["not all epochs"]
    if _weights(row.folder) != reference.weights:
        wrong.append("other weights than those of the undisturbed run")
    if len(model.scores()) != model.result.rows or not len(model.impressions()):
        wrong.append("scores or impressions are lacking")
    return wrong


def _wrong_events(store: Store, run_id: str) -> list[str]:
    """Whether a run's events have gaps or cannot be read, or its epochs stand twice."""
    row, found = store.run(run_id), store.events(run_id)
    wrong = []
    if [cursor for cursor, _ in found] != list(range(1, row.last_event + 1)):
        wrong.append("the numbers of its events have gaps")
    if any(isinstance(event, Notice) and event.kind == "damaged" for _, event in found):
        wrong.append("an event is damaged")
    return wrong


def _weights(folder: Path) -> bytes:
    return (folder / "model.safetensors").read_bytes()


# --- many kills -------------------------------------------------------------------------------


def draw_kills(number: int, draw: random.Random) -> list[tuple[Moment, Victim]]:
    """So many pairs: of every seven each moment once, of every three each victim, at random."""
    moments = [moment for _ in range(number) for moment in draw.sample(MOMENTS, len(MOMENTS))]
    victims = [victim for _ in range(number) for victim in draw.sample(VICTIMS, len(VICTIMS))]
    return list(zip(moments[:number], victims[:number], strict=True))


def kill_many(
    lab: Lab, number: int, seed: int, on_kill: Callable[[Kill], None] = lambda kill: None
) -> list[Kill]:
    """Kill so many times; each is told to on_kill as soon as it is over."""
    draw = random.Random(seed)
    reference = undisturbed(lab)
    kills = []
    for moment, victim in draw_kills(number, draw):
        kills.append(kill_once(lab, reference, moment, victim, draw))
        on_kill(kills[-1])
    return kills


def left_behind(lab: Lab) -> list[str]:
    """What does not hold of the home once all is over."""
    wrong = [
        f"run {row.id} is still {row.state}"
        for row in lab.store.runs(states=("queued", "training"))
    ]
    wrong += [f"{path.name} was left behind" for path in (lab.home / "runs").glob("*.writing*")]
    return wrong


def table(kills: Sequence[Kill]) -> str:
    """By moment: how many kills, what was left of the run, how often it went on, violations."""
    states = ("queued", "training", "interrupted", "failed", "finished")
    rows = []
    for moment in (*MOMENTS, "all"):
        of_moment = [kill for kill in kills if moment in (kill.moment, "all")]
        left = Counter(kill.left for kill in of_moment)
        counts = [len(of_moment), *(left[state] for state in states)]
        counts += [sum(k.resumed for k in of_moment), sum(bool(k.violations) for k in of_moment)]
        rows.append([moment, *(f"{count:,}" for count in counts)])
    header = ["killed while", "kills", *(f"then {state}" for state in states)]
    return report.markdown([*header, "resumed", "violations"], rows)


def _told(kill: Kill) -> None:
    words = "; ".join(kill.violations) or "well"
    resumed = ", resumed" if kill.resumed else ""
    line = f"{kill.victim} while {kill.moment} ({kill.seen} → {kill.left}{resumed}): {words}"
    print(line, file=sys.stderr, flush=True)


def main() -> int:
    """Kill, print the table; 1 where anything was violated."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="kills-", ignore_cleanup_errors=True) as name:
        dataset = small_dataset(Path(name) / "data")
        with lab(Path(name) / "home", dataset) as opened:
            kills = kill_many(opened, given.kills, given.seed, _told)
            wrong = left_behind(opened)
    violations = [*(words for kill in kills for words in kill.violations), *wrong]
    print(report.title(f"{len(kills)} kill -9, seed {given.seed}", report.machine()))
    print(f"\n{table(kills)}\n")
    report.print_json(
        "kills",
        report.machine(),
        {
            "kills": len(kills),
            "seed": given.seed,
            "seconds": round(time.monotonic() - began, 1),
            "violations": violations,
            "each": [asdict(kill) for kill in kills],
        },
    )
    return 1 if violations else 0


if __name__ == "__main__":
    sys.exit(main())
