import csv
import gzip
import json
import subprocess
import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from deepfm.config import PrepareConfig, Settings
from deepfm.data.catalog import open_demo
from deepfm.data.dataset import Dataset, open_dataset, prepare
from deepfm.data.dataset.making import fingerprint_of
from deepfm.data.schema import Schema, inspect
from deepfm.data.synthetic import write_demo
from deepfm.data.vocabulary import RARE
from deepfm.errors import Cancelled, ConfigError, DataError, LimitError, SchemaError
from deepfm.events import Event, Notice, Progress

SHARED = Path(__file__).parents[3] / "shared" / "data"


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=str(tmp_path / "home"))


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def write_log(path: Path, rows: int, seed: int = 0) -> Path:
    """A click log with repeating values, empty cells, rare values, numbers, ids and times."""
    rng = np.random.default_rng(seed)
    sites = np.array(["news", "Recipes", "ärzte", "<b>games</b>", "=1+1", ""])
    cells = zip(
        (rng.random(rows) < 0.3).astype(int).tolist(),
        sites[rng.integers(len(sites), size=rows)].tolist(),
        (rng.zipf(1.5, rows) % 500).tolist(),
        np.where(rng.random(rows) < 0.1, np.nan, rng.lognormal(size=rows)).tolist(),
        rng.integers(40, size=rows).tolist(),
        strict=True,
    )
    with path.open("w", encoding="utf-8") as file:
        file.write("clicked\tsite\tad\tprice\tuser\trequest\twhen\n")
        for i, (label, site, ad, price, user) in enumerate(cells):
            cost = "" if price != price else f"{price:.2f}"
            day = f"2024-01-{1 + i * 28 // rows:02} 12:00:00"
            file.write(f"{label}\t{site}\tad{ad}\t{cost}\tu{user}\tr{i:06}\t{day}\n")
    return path


ROLES = {
    "site": "categorical",
    "ad": "categorical",
    "price": "numeric",
    "user": "categorical",
    "request": "identifier",
    "when": "time",
}


def agreed_schema(path: Path, **changes: str):
    schema = inspect(path).schema.with_label("clicked", positive=("1",), negative=("0",))
    for name, role in {**ROLES, **changes}.items():
        schema = schema.with_role(name, role)
    return schema


def read_rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file, delimiter="\t"))


def make(path: Path, settings: Settings, **options) -> Dataset:
    return prepare(path, schema=agreed_schema(path), settings=settings, **options)


def slow_vocabulary(rows: list[dict[str, str]], field: str, min_count: int) -> list[str]:
    counts = Counter(row[field] for row in rows)
    return sorted(value for value, count in counts.items() if count >= min_count)


def test_encoding_is_what_a_plain_dictionary_gives(tmp_path: Path, settings: Settings) -> None:
    train_file, test_file = write_log(tmp_path / "train.tsv", 3000), tmp_path / "test.tsv"
    write_log(test_file, 500, seed=1)
    dataset = make(train_file, settings, test=test_file, validation=0.0, min_count=3)
    train, test = read_rows(train_file), read_rows(test_file)
    assert list(dataset.parts) == ["train", "test"]
    assert [field.name for field in dataset.fields] == ["site", "ad", "price", "user"]
    for k, field in enumerate(dataset.fields):
        if field.role == "numeric":
            continue
        kept = slow_vocabulary(train, field.name, 3)
        index = {value: field.offset + i for i, value in enumerate(kept)}
        assert field.size == len(kept) + 1
        for name, rows in (("train", train), ("test", test)):
            expected = [index.get(row[field.name], field.default) for row in rows]
            assert dataset.parts[name].ids[:, k].tolist() == expected
        counts = Counter(index.get(row[field.name], field.default) for row in train)
        clicks = Counter(
            index.get(row[field.name], field.default) for row in train if row["clicked"] == "1"
        )
        for i in range(field.offset, field.offset + field.size):
            assert dataset.vocabulary.counts[i] == counts[i]
            assert dataset.vocabulary.clicks[i] == clicks[i]
    for name, rows in (("train", train), ("test", test)):
        part = dataset.parts[name]
        assert part.labels.tolist() == [float(row["clicked"]) for row in rows]
        assert part.ids.dtype == np.int32 and part.labels.dtype == np.float32
        assert part.truth is None


def test_numeric_column_becomes_quantile_buckets_of_the_train_part(
    tmp_path: Path, settings: Settings
) -> None:
    path = write_log(tmp_path / "log.tsv", 4000)
    dataset = make(path, settings, numeric_buckets=8)
    field = dataset.vocabulary.field("price")
    edges = dataset.vocabulary.edges("price")
    assert field.size == 8 + 2 and len(edges) == 7
    counts = dataset.vocabulary.counts[field.indices]
    assert counts[-1] == 0 and counts[-2] > 0
    assert counts[:8].max() - counts[:8].min() < 0.02 * counts[:8].sum()
    validation = dataset.parts["validation"]
    for text, index in zip(
        validation.rows()["price"].to_pylist(), validation.ids[:, 2].tolist(), strict=True
    ):
        expected = 8 if text is None else sum(float(text) > edge for edge in edges)
        assert index - field.offset == expected


def test_rows_keep_the_text_of_every_column_and_their_place_in_the_file(
    tmp_path: Path, settings: Settings
) -> None:
    path = write_log(tmp_path / "log.tsv", 40_000)
    dataset = make(path, settings, validation=0.5)
    rows = read_rows(path)
    table = dataset.parts["validation"].rows()
    assert table.column_names == [*rows[0], "__row__"]
    assert len(table) == len(dataset.parts["validation"])
    assert abs(len(table) - 20_000) <= 1
    for found in table.to_pylist():
        place = found.pop("__row__")
        assert {k: v or "" for k, v in found.items()} == rows[place]
    places = table["__row__"].to_pylist()
    assert places == sorted(places)


@pytest.mark.parametrize(("start", "count"), [(0, 1), (19_999, 1), (16_000, 900), (5, 0)])
def test_a_few_rows_are_the_same_as_in_the_whole_table(
    tmp_path: Path, settings: Settings, start: int, count: int
) -> None:
    path = write_log(tmp_path / "log.tsv", 40_000)
    part = make(path, settings, validation=0.5).parts["validation"]
    assert part.rows(start, count).equals(part.rows().slice(start, count))
    assert len(part.rows(start, count)) == count
    assert len(part.rows(19_000, 5_000)) == len(part) - 19_000


def test_raw_rows_of_the_train_part_are_not_kept(tmp_path: Path, settings: Settings) -> None:
    part = make(write_log(tmp_path / "log.tsv", 500), settings).parts["train"]
    assert not part.has_rows
    with pytest.raises(DataError, match="raw rows of the train part are not kept"):
        part.rows()


def test_random_split_keeps_the_share_of_clicks_and_follows_the_seed(
    tmp_path: Path, settings: Settings
) -> None:
    path = write_log(tmp_path / "log.tsv", 3000)
    rows = read_rows(path)
    clicks = sum(row["clicked"] == "1" for row in rows)
    places = {}
    for seed in (0, 1):
        dataset = make(path, settings, validation=0.2, seed=seed)
        validation = dataset.parts["validation"]
        assert validation.labels.sum() == round(0.2 * clicks)
        assert len(validation) == round(0.2 * clicks) + round(0.2 * (3000 - clicks))
        assert len(dataset.parts["train"]) + len(validation) == 3000
        places[seed] = set(validation.rows()["__row__"].to_pylist())
    assert 0.1 < len(places[0] & places[1]) / len(places[0]) < 0.35


def test_time_split_holds_out_the_latest_rows_and_no_time_is_on_both_sides(
    tmp_path: Path, settings: Settings
) -> None:
    path = write_log(tmp_path / "log.tsv", 2000)
    dataset = make(path, settings, split="time:when", validation=0.25)
    held = set(dataset.parts["validation"].rows()["__row__"].to_pylist())
    rows = read_rows(path)
    latest = {row["when"] for i, row in enumerate(rows) if i in held}
    earlier = {row["when"] for i, row in enumerate(rows) if i not in held}
    assert max(earlier) < min(latest)
    assert len(held) == pytest.approx(500, abs=2000 / 28)
    assert f"The {len(held)} latest rows by 'when'" in dataset.notices[0]


@pytest.mark.parametrize("role", ["group", "categorical", "identifier"])
def test_group_split_holds_out_whole_groups(tmp_path: Path, settings: Settings, role: str) -> None:
    path = write_log(tmp_path / "log.tsv", 2000)
    schema = agreed_schema(path, user=role)
    dataset = prepare(path, schema=schema, settings=settings, split="group:user")
    table = dataset.parts["validation"].rows()
    held = set(table["__row__"].to_pylist())
    users = [row["user"] for row in read_rows(path)]
    assert {users[i] for i in held}.isdisjoint({users[i] for i in range(2000) if i not in held})
    assert 0.05 < len(held) / 2000 < 0.15
    assert table["user"].to_pylist() == [users[i] for i in sorted(held)]
    assert ("user" in [field.name for field in dataset.fields]) == (role == "categorical")


def test_split_by_one_time_or_one_group_is_refused(tmp_path: Path, settings: Settings) -> None:
    path = tmp_path / "log.csv"
    path.write_text("click,a,day,who\n" + "1,x,2024-01-01,me\n0,y,2024-01-01,me\n" * 50)
    for split, what in (("time:day", "same time"), ("group:who", "one group")):
        with pytest.raises(SchemaError, match=what):
            prepare(path, settings=settings, split=split)
    with pytest.raises(SchemaError, match="no column 'nothing'"):
        prepare(path, settings=settings, split="group:nothing")
    with pytest.raises(SchemaError, match="label 'click' cannot split"):
        prepare(path, settings=settings, split="group:click")


def test_validation_file_is_the_validation_part(tmp_path: Path, settings: Settings) -> None:
    train, held = write_log(tmp_path / "a.tsv", 800), write_log(tmp_path / "b.tsv", 200, seed=5)
    dataset = make(train, settings, validation_file=held)
    assert len(dataset.parts["train"]) == 800 and len(dataset.parts["validation"]) == 200
    assert dataset.sources == {"train": "a.tsv", "validation": "b.tsv"}
    assert dataset.source == "a.tsv" and dataset.figures_part == "validation"


def test_nothing_is_held_out_with_validation_zero(tmp_path: Path, settings: Settings) -> None:
    dataset = make(write_log(tmp_path / "log.tsv", 300), settings, validation=0.0)
    assert list(dataset.parts) == ["train"] and dataset.figures_part == "train"
    assert not list(dataset.folder.glob("validation*"))


def test_demo_is_what_prepare_makes_of_its_files(tmp_path: Path, settings: Settings) -> None:
    start = time.monotonic()
    demo = open_demo(tmp_path / "home")
    assert time.monotonic() - start < 2
    files = write_demo(tmp_path)
    made = prepare(
        files["train"], files["test"], validation_file=files["validation"], settings=settings
    )
    assert made.schema.positive == demo.schema.positive
    assert made.prepare == demo.prepare == PrepareConfig()
    assert [(c.name, c.role) for c in made.schema.columns] == [
        (c.name, c.role) for c in demo.schema.columns
    ]
    assert made.fields == demo.fields
    assert made.vocabulary.counts.tolist() == demo.vocabulary.counts.tolist()
    assert made.vocabulary.clicks.tolist() == demo.vocabulary.clicks.tolist()
    for name, part in made.parts.items():
        assert np.array_equal(part.ids, demo.parts[name].ids)
        assert np.array_equal(part.labels, demo.parts[name].labels)
        assert demo.parts[name].truth is not None
        for field in made.fields:
            assert made.vocabulary.values(field.name).value == (
                demo.vocabulary.values(field.name).value
            )
        if part.has_rows:
            assert part.rows().equals(demo.parts[name].rows())


def test_demo_has_its_parts_truth_and_rare_ids(tmp_path: Path) -> None:
    demo = open_demo(tmp_path)
    assert {name: len(part) for name, part in demo.parts.items()} == {
        "train": 48_000, "validation": 6_000, "test": 6_000,
    }  # fmt: skip
    assert open_demo(tmp_path).folder == demo.folder
    assert RARE in demo.vocabulary.decode_column("ad_id", demo.parts["test"].ids[:, 9]).to_pylist()
    truth = demo.parts["test"].truth
    assert truth is not None and truth.dtype == np.float32
    assert demo.summary().parts["train"].base_rate == pytest.approx(0.225, abs=0.005)


def test_third_label_value_is_refused_with_its_line(tmp_path: Path, settings: Settings) -> None:
    path = tmp_path / "log.csv"
    path.write_text("click,a\n" + "1,x\n0,y\n" * 20 + "maybe,x\n")
    schema = inspect(path).schema.with_label("click", positive=("1",), negative=("0",))
    with pytest.raises(
        SchemaError,
        match=r"log\.csv: column 'click' holds 'maybe' on line 42; a label is '1' or '0'",
    ):
        prepare(path, schema=schema, settings=settings)


def test_rows_with_a_label_said_to_be_left_out_are_skipped_and_counted(
    tmp_path: Path, settings: Settings
) -> None:
    path = tmp_path / "log.csv"
    path.write_text("click,a\n" + "1,x\n0,y\n" * 20 + "maybe,x\n")
    schema = inspect(path).schema.with_label(
        "click", positive=("1",), negative=("0",), left_out=("maybe",)
    )
    agreed = Schema.from_dict(json.loads(json.dumps(schema.to_dict())))
    dataset = prepare(path, schema=agreed, settings=settings)
    reason = "label 'maybe' in column 'click' is left out"
    assert dataset.skipped.reasons == {reason: 1}
    assert [(row.line, row.reason) for row in dataset.skipped.examples] == [(42, reason)]
    assert dataset.summary().rows == 40
    assert open_dataset(dataset.folder).schema.left_out == ("maybe",)


def test_rows_without_a_label_are_skipped_and_named(tmp_path: Path, settings: Settings) -> None:
    path, test = tmp_path / "log.csv", tmp_path / "test.csv"
    path.write_text("click,a,b\n" + "1,x,p\n0,y,q\n" * 20 + ",x,p\n1,x\n")
    test.write_text("click,a,b\n,x,p\n1,x,p\n")
    schema = inspect(path).schema.with_label("click", positive=("1",), negative=("0",))
    dataset = prepare(path, test, schema=schema, settings=settings)
    assert dataset.skipped.count == 3 == dataset.summary().skipped_rows
    found = {(row.line, row.reason) for row in dataset.skipped.examples}
    assert (42, "no label in column 'click'") in found
    assert (2, "test.csv: no label in column 'click'") in found
    assert {row.line for row in dataset.skipped.examples} == {2, 42, 43}
    assert dataset.summary().rows == 41
    test.write_text("click,a,b\n,x,p\n,x,p\n")
    with pytest.raises(SchemaError, match=r"test\.csv holds no row with a label"):
        prepare(path, test, schema=schema, settings=settings)


def test_any_two_label_values_can_be_mapped(tmp_path: Path, settings: Settings) -> None:
    path = tmp_path / "log.csv"
    path.write_text("outcome,a\n" + "bought,x\nleft,y\nleft,x\n" * 30)
    dataset = prepare(path, label="outcome", positive="bought", settings=settings, validation=0.0)
    assert dataset.parts["train"].labels[:3].tolist() == [1.0, 0.0, 0.0]
    turned = prepare(path, label="outcome", positive="left", settings=settings, validation=0.0)
    assert turned.parts["train"].labels[:3].tolist() == [0.0, 1.0, 1.0]
    assert turned.fingerprint != dataset.fingerprint


def test_training_rows_of_one_class_are_refused(tmp_path: Path, settings: Settings) -> None:
    path = tmp_path / "log.csv"
    path.write_text("click,a\n" + "0,x\n" * 40)
    with pytest.raises(SchemaError, match="All 36 training rows have the label '0'"):
        prepare(path, label="click", settings=settings, validation=0.1)
    path.write_text("click,a,day\n" + "0,x,1\n" * 40 + "1,x,2\n" * 20)
    with pytest.raises(SchemaError, match=r"training rows have the label '0'.*another split"):
        prepare(path, settings=settings, split="time:day", validation=0.3)


def test_other_columns_in_the_test_file_are_named(tmp_path: Path, settings: Settings) -> None:
    train, test = write_log(tmp_path / "train.tsv", 100), tmp_path / "test.tsv"
    test.write_text(train.read_text().replace("\tsite\t", "\tsitee\t"))
    with pytest.raises(SchemaError, match=r"test\.tsv.*'site'.*'sitee'"):
        make(train, settings, test=test)


def test_columns_in_another_order_are_known_by_name(tmp_path: Path, settings: Settings) -> None:
    train = write_log(tmp_path / "train.tsv", 400)
    rows = read_rows(train)
    turned = tmp_path / "test.tsv"
    with turned.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, [*rows[0]][::-1], delimiter="\t", lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    dataset = make(train, settings, test=turned, validation=0.0)
    assert np.array_equal(dataset.parts["train"].ids, dataset.parts["test"].ids)


def test_texts_in_a_numeric_column_are_missing_and_told(tmp_path: Path, settings: Settings) -> None:
    path = tmp_path / "log.csv"
    lines = [f"{i % 2},{i * 0.5},x" for i in range(200)]
    lines[7] = "1,cheap,x"
    lines[9] = "1,NA,x"
    path.write_text("click,price,a\n" + "\n".join(lines) + "\n")
    schema = inspect(path).schema.with_role("price", "numeric")
    dataset = prepare(path, schema=schema, settings=settings, validation=0.0)
    assert dataset.notices == (
        "log.csv: in the numeric column 'price' 1 cell is not a number and counted as missing; "
        "the first is 'cheap' on line 9.",
    )
    field = dataset.vocabulary.field("price")
    assert dataset.vocabulary.counts[field.default - 1] == 2


def test_no_field_and_no_known_label_are_refused(tmp_path: Path, settings: Settings) -> None:
    path = tmp_path / "log.csv"
    path.write_text("click,a\n" + "1,x\n0,y\n" * 20)
    schema = inspect(path).schema
    with pytest.raises(SchemaError, match="no column is left as a field"):
        prepare(path, schema=schema.with_role("a", "ignored"), settings=settings)
    with pytest.raises(SchemaError, match="'a' mean a click"):
        prepare(path, schema=schema.with_label("a"), settings=settings)


def test_unknown_setting_is_refused(tmp_path: Path, settings: Settings) -> None:
    path = write_log(tmp_path / "log.tsv", 100)
    with pytest.raises(ConfigError, match="no setting 'min_cuont'"):
        prepare(path, settings=settings, min_cuont=1)
    with pytest.raises(DataError, match="no-such-file"):
        prepare(tmp_path / "no-such-file", settings=settings)


def test_same_content_and_settings_are_made_once(tmp_path: Path, settings: Settings) -> None:
    path = write_log(tmp_path / "log.tsv", 300)
    first = make(path, settings)
    assert first.folder == settings.home_folder / "datasets" / first.fingerprint
    before = (first.folder / "train_ids.npy").stat()
    copy = tmp_path / "copy.tsv"
    copy.write_bytes(path.read_bytes())
    again = make(copy, settings)
    assert again.fingerprint == first.fingerprint
    assert (again.folder / "train_ids.npy").stat().st_mtime_ns == before.st_mtime_ns
    others = [
        make(path, settings, min_count=2),
        make(path, settings, seed=1),
        prepare(path, schema=agreed_schema(path, user="ignored"), settings=settings),
        make(path, settings, test=write_log(tmp_path / "test.tsv", 50)),
    ]
    assert len({first.fingerprint, *(other.fingerprint for other in others)}) == 5


def test_damaged_dataset_is_made_again(tmp_path: Path, settings: Settings) -> None:
    path = write_log(tmp_path / "log.tsv", 300)
    first = make(path, settings)
    ids = np.array(first.parts["train"].ids)
    (first.folder / "train_labels.npy").unlink()
    again = make(path, settings)
    assert again.folder == first.folder and np.array_equal(again.parts["train"].ids, ids)
    assert names(settings.home_folder / "datasets") == [first.fingerprint]


def test_out_is_never_written_over(tmp_path: Path, settings: Settings) -> None:
    path, out = write_log(tmp_path / "log.tsv", 300), tmp_path / "out"
    first = make(path, settings, out=out)
    assert first.folder == out and make(path, settings, out=out).fingerprint == first.fingerprint
    with pytest.raises(DataError, match=r"holds another dataset, 'log\.tsv'"):
        make(path, settings, out=out, min_count=1)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("mine")
    with pytest.raises(DataError, match="not empty and holds no sound dataset"):
        make(path, settings, out=tmp_path / "mine")
    assert (tmp_path / "mine" / "thesis.txt").read_text() == "mine"
    (tmp_path / "empty").mkdir()
    assert make(path, settings, out=tmp_path / "empty").folder == tmp_path / "empty"


def test_two_who_make_the_same_at_once_get_the_same(tmp_path: Path, settings: Settings) -> None:
    path = write_log(tmp_path / "log.tsv", 3000)
    with ThreadPoolExecutor(4) as pool:
        datasets = [*pool.map(lambda _: make(path, settings), range(4))]
    assert len({dataset.fingerprint for dataset in datasets}) == 1
    assert names(settings.home_folder / "datasets") == [datasets[0].fingerprint]
    assert all(len(dataset.parts["train"]) == 2700 for dataset in datasets)


def test_place_that_cannot_be_written_is_named(tmp_path: Path, settings: Settings) -> None:
    path = write_log(tmp_path / "log.tsv", 100)
    with pytest.raises(DataError, match=r"could not be written to .*log\.tsv/out"):
        make(path, settings, out=path / "out")


def test_input_is_left_untouched(tmp_path: Path, settings: Settings) -> None:
    path = write_log(tmp_path / "log.tsv", 200)
    before = path.read_bytes()
    make(path, settings)
    assert path.read_bytes() == before and names(tmp_path) == ["home", "log.tsv"]


def test_progress_is_told_at_most_ten_times_a_second(tmp_path: Path, settings: Settings) -> None:
    path = write_log(tmp_path / "log.tsv", 60_000)
    events: list[tuple[float, Event]] = []
    make(path, settings, on_event=lambda event: events.append((time.monotonic(), event)))
    progress = [(at, event) for at, event in events if isinstance(event, Progress)]
    stages = list(dict.fromkeys(event.stage for _, event in progress))
    assert stages == ["Checking log.tsv", "Reading log.tsv", "Counting values", "Writing"]
    for stage in stages:
        last = [event for _, event in progress if event.stage == stage][-1]
        assert last.done == last.total
    assert [next(e.number for _, e in progress if e.stage == each) for each in stages] == [
        *(1, 2, 3, 4)
    ]
    assert {event.stages for _, event in progress} == {4}
    shares = [event.share for _, event in progress]
    assert shares == sorted(shares) and shares[-1] == 1.0, "one bar that only grows"
    steps = [at for at, event in progress if event.done != event.total]
    assert all(later - earlier >= 0.09 for earlier, later in pairwise(steps))


@pytest.mark.parametrize("stage", ["Checking", "Reading", "Counting", "Writing"])
def test_cancelled_leaves_nothing_half_made(tmp_path: Path, settings: Settings, stage: str) -> None:
    path = write_log(tmp_path / "log.tsv", 2000)
    steps_before = ["Checking", "Reading", "Reading on", "Counting", "Writing"].index(stage)
    answers = iter([False] * steps_before + [True])
    with pytest.raises(Cancelled, match=f"Cancelled while {stage.lower()}"):
        make(path, settings, cancelled=lambda: next(answers))
    folder = settings.home_folder / "datasets"
    assert not folder.exists() or not names(folder)


def test_what_a_killed_process_left_is_removed(tmp_path: Path, settings: Settings) -> None:
    path = write_log(tmp_path / "log.tsv", 2000)
    script = (
        "import sys, time; from pathlib import Path\n"
        "from deepfm.config import Settings\nfrom deepfm.data.dataset import prepare\n"
        "def slow(event):\n"
        "    if event.stage.startswith('Reading'): print('reading', flush=True); time.sleep(60)\n"
        "prepare(sys.argv[1], settings=Settings(home=sys.argv[2]), on_event=slow)\n"
    )
    home = settings.home_folder
    with subprocess.Popen(
        [sys.executable, "-c", script, str(path), str(home)],
        stdout=subprocess.PIPE,
        cwd=Path(__file__).parents[2],
    ) as process:
        assert process.stdout is not None and process.stdout.readline() == b"reading\n"
        (left,) = names(home / "datasets")
        first = make(path, settings)
        assert names(home / "datasets") == sorted([left, first.fingerprint])
        process.kill()
    second = make(path, settings, min_count=1)
    assert names(home / "datasets") == sorted([first.fingerprint, second.fingerprint])


def test_more_rows_than_the_server_takes_are_refused(tmp_path: Path) -> None:
    path = write_log(tmp_path / "log.tsv", 500)
    small = Settings(home=str(tmp_path / "home"), max_rows=499)
    with pytest.raises(LimitError, match=r"more than 499 rows.*DEEPFM_MAX_ROWS"):
        make(path, small)
    assert not names(tmp_path / "home" / "datasets")


@pytest.mark.parametrize(
    "file",
    [
        "dataset.json",
        "schema.json",
        "vocabulary.parquet",
        "train_ids.npy",
        "train_labels.npy",
        "validation_ids.npy",
        "validation_rows.parquet",
    ],
)
def test_missing_and_damaged_files_are_named(tmp_path: Path, settings: Settings, file: str) -> None:
    folder = make(write_log(tmp_path / "log.tsv", 300), settings).folder
    path = folder / file
    whole = path.read_bytes()
    for content in (whole[: len(whole) // 2], b"", b"no such thing"):
        path.write_bytes(content)
        with pytest.raises(DataError, match=file):
            open_dataset(folder)
    path.unlink()
    with pytest.raises(DataError, match=file):
        open_dataset(folder)


def test_foreign_files_are_refused(tmp_path: Path, settings: Settings) -> None:
    dataset = make(write_log(tmp_path / "log.tsv", 300), settings)
    np.save(dataset.folder / "train_ids.npy", np.zeros((7, 4), np.int32))
    with pytest.raises(DataError, match=r"train_ids\.npy.*int32\[7, 4\], expected int32\[270"):
        open_dataset(dataset.folder)
    about = json.loads((dataset.folder / "dataset.json").read_text())
    (dataset.folder / "dataset.json").write_text(json.dumps({**about, "version": 99}))
    with pytest.raises(DataError, match="version 99"):
        open_dataset(dataset.folder)
    with pytest.raises(DataError, match="not a dataset folder"):
        open_dataset(tmp_path)


def test_every_format_gives_the_same_dataset(tmp_path: Path, settings: Settings) -> None:
    path = write_log(tmp_path / "log.tsv", 1500)
    rows = read_rows(path)
    columns = {name: [row[name] or None for row in rows] for name in rows[0]}
    table = pa.table(columns)
    pq.write_table(table, tmp_path / "log.parquet")
    with gzip.open(tmp_path / "log.csv.gz", "wt", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerows([[*columns], *([*row.values()] for row in rows)])
    expected = make(path, settings)
    for name in ("log.parquet", "log.csv.gz"):
        dataset = make(tmp_path / name, settings)
        assert dataset.fields == expected.fields
        for part in expected.parts:
            assert np.array_equal(dataset.parts[part].ids, expected.parts[part].ids)
            assert np.array_equal(dataset.parts[part].labels, expected.parts[part].labels)
        assert dataset.parts["validation"].rows().equals(expected.parts["validation"].rows())


def test_summary_counts_rows_and_clicks(tmp_path: Path, settings: Settings) -> None:
    dataset = make(write_log(tmp_path / "log.tsv", 1000), settings)
    summary = dataset.summary().to_dict()
    assert summary["rows"] == 1000 and summary["fields"] == 4
    assert summary["features"] == dataset.vocabulary.num_features
    for name, part in dataset.parts.items():
        figures = summary["parts"][name]
        assert figures["rows"] == len(part) and figures["clicks"] == part.labels.sum()
        assert figures["base_rate"] == pytest.approx(part.labels.mean())
    json.dumps(summary)
    assert "4 fields" in repr(dataset)


@pytest.mark.parametrize("split", ["random", "time:when", "group:user"])
def test_one_file_gives_three_parts_that_share_no_row_time_or_group(
    tmp_path: Path, settings: Settings, split: str
) -> None:
    path = write_log(tmp_path / "log.tsv", 2_000)
    dataset = make(path, settings, split=split, validation=0.1, test_share=0.2)
    sizes = {name: len(part) for name, part in dataset.parts.items()}
    assert list(sizes) == ["train", "validation", "test"] and sum(sizes.values()) == 2_000
    assert sizes["test"] == pytest.approx(400, abs=75)
    assert sizes["validation"] == pytest.approx(200, abs=75)
    validation, test = (dataset.parts[name].rows().to_pydict() for name in ("validation", "test"))
    assert set(validation["__row__"]).isdisjoint(test["__row__"])
    if split == "group:user":
        assert set(validation["user"]).isdisjoint(test["user"])
    if split == "time:when":
        assert max(validation["when"]) < min(test["when"])
        assert "latest rows by 'when' are the test part, the" in dataset.notices[0]


def test_test_rows_are_held_out_beside_a_validation_file_and_without_validation(
    tmp_path: Path, settings: Settings
) -> None:
    path, other = write_log(tmp_path / "log.tsv", 500), write_log(tmp_path / "other.tsv", 200, 1)
    both = make(path, settings, validation_file=other, test_share=0.1)
    assert {name: len(part) for name, part in both.parts.items()} == {
        "train": 450,
        "validation": 200,
        "test": 50,
    }
    assert list(make(path, settings, validation=0.0, test_share=0.1).parts) == ["train", "test"]


def test_a_test_share_beside_a_test_file_is_refused_and_so_is_holding_out_nearly_all(
    tmp_path: Path, settings: Settings
) -> None:
    path = write_log(tmp_path / "log.tsv", 500)
    with pytest.raises(ConfigError, match="There is a test file, so no rows"):
        make(path, settings, test=path, test_share=0.1)
    with pytest.raises(ConfigError, match=r"hold out at most 0\.8 together"):
        make(path, settings, validation=0.5, test_share=0.5)


def test_datasets_keep_the_fingerprint_they_had_before_there_was_a_test_share(
    tmp_path: Path,
) -> None:
    schema = agreed_schema(write_log(tmp_path / "log.tsv", 500))
    before = "bf127e209b953340bdf7"
    assert fingerprint_of({"train": "x"}, PrepareConfig(), schema) == before
    assert fingerprint_of({"train": "x"}, PrepareConfig(test_share=0.1), schema) != before


def test_notices_reach_the_listener(tmp_path: Path, settings: Settings) -> None:
    events: list[Event] = []
    path = write_log(tmp_path / "log.tsv", 500)
    dataset = make(path, settings, split="time:when", on_event=events.append)
    told = [event.text for event in events if isinstance(event, Notice)]
    assert tuple(told) == dataset.notices and told


@pytest.mark.skipif(not SHARED.is_dir(), reason="../shared/data is not there")
def test_real_files_are_encoded_whole(settings: Settings) -> None:
    frappe = SHARED / "frappe"
    dataset = prepare(
        frappe / "valid.libsvm.gz", frappe / "test.libsvm.gz", settings=settings, min_count=1
    )
    sizes = {name: len(part) for name, part in dataset.parts.items()}
    assert sizes == {"train": 51_950, "validation": 5_772, "test": 28_860}
    assert len(dataset.fields) == 10
    avazu = SHARED / "avazu-sample"
    dataset = prepare(avazu / "train.tsv.gz", avazu / "test.tsv.gz", settings=settings)
    assert len(dataset.fields) == 16 and dataset.summary().rows == 21_150
    clicks = {name: part.clicks for name, part in dataset.summary().parts.items()}
    assert clicks == {"train": 22, "validation": 2, "test": 26}
