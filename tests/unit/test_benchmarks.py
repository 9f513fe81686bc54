"""The benchmarks' data and tables; nothing here is timed."""

import argparse
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch

from benchmarks import (
    criteo,
    evaluate,
    floors,
    frappe,
    ingest,
    memory,
    plain,
    report,
    scale,
    shapes,
    training,
)
from benchmarks.peers import __main__ as peers
from benchmarks.peers import environments
from benchmarks.peers.environments import Toolkit
from benchmarks.peers.exchange import Job
from deepfm import evaluation
from deepfm.config import TrainConfig
from deepfm.data.dataset import Dataset, prepare
from deepfm.data.reader import open_rows
from deepfm.model import DeepFM
from deepfm.training.step import PlainStep

ROWS, TEST_ROWS, LOG_ROWS = 3_000, 500, 200_000


@pytest.fixture(scope="module")
def encoded(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    folder = tmp_path_factory.mktemp("criteo") / "dataset"
    return criteo.write_encoded(
        folder, ROWS, test_rows=TEST_ROWS, validation_rows=TEST_ROWS, log_rows=LOG_ROWS
    )


def test_generator_has_criteos_columns(encoded: Dataset) -> None:
    roles = [field.role for field in encoded.fields]
    assert roles == ["numeric"] * 13 + ["categorical"] * 26
    assert 0.2 < float(encoded.parts["train"].labels.mean()) < 0.35


def test_full_size_keeps_about_a_million_features() -> None:
    kept = [field.kept(criteo.FULL_ROWS) for field in criteo.FIELDS if not field.numeric]
    assert 0.9e6 < sum(kept) < 1.2e6
    assert all(1 <= k <= f.values for k, f in zip(kept, criteo.FIELDS[13:], strict=True))


def test_kept_values_are_those_expected_often_enough() -> None:
    """The formula of `kept` against the exact shares of the law, for every column of hashes."""
    for field in criteo.FIELDS[13:]:
        if field.values > 200_000:
            continue
        v = np.arange(1, field.values + 2, dtype=np.float64) ** (-1 / 6)
        shares = (v[:-1] - v[1:]) / (1 - v[-1]) * (1 - field.missing)
        often = int((shares * LOG_ROWS >= criteo.MIN_COUNT).sum())
        assert field.kept(LOG_ROWS) == pytest.approx(max(often, 1), abs=2)


def test_same_rows_for_any_number_of_rows() -> None:
    few = next(criteo.blocks(100))
    many = next(criteo.blocks(criteo.BLOCK_ROWS + 1))
    assert (few.ranks == many.ranks[:, :100]).all()
    assert (few.labels == many.labels[:100]).all()
    other = next(criteo.blocks(100, seed=1))
    assert (few.ranks != other.ranks).any()


def test_blocks_add_up_to_the_rows_asked_for() -> None:
    sizes = [len(block) for block in criteo.blocks(criteo.BLOCK_ROWS + 7)]
    assert sizes == [criteo.BLOCK_ROWS, 7]


@pytest.mark.parametrize("threads", [1, 3])
def test_encoded_form_is_the_same_on_any_number_of_threads(
    encoded: Dataset, tmp_path: Path, threads: int
) -> None:
    again = criteo.write_encoded(tmp_path / "again", ROWS, log_rows=LOG_ROWS, threads=threads)
    assert (again.parts["train"].ids == encoded.parts["train"].ids).all()
    assert (again.vocabulary.counts == encoded.vocabulary.counts).all()


def test_hashes_are_different_within_a_field() -> None:
    field = criteo.FIELDS[-1]
    ranks = np.arange(1, field.values + 1, dtype=np.int32)
    assert len(np.unique(field.codes(ranks))) == field.values
    assert field.texts(ranks[:3]).to_pylist() == [f"{c:08x}" for c in field.codes(ranks[:3])]


def test_raw_rows_encode_to_the_ids_written(encoded: Dataset) -> None:
    part = encoded.parts["test"]
    raw = part.rows()
    for i, field in enumerate(encoded.fields):
        ids = encoded.vocabulary.encode_column(field.name, raw[field.name])
        assert (ids == part.ids[:, i]).all(), field.name


def test_counts_are_those_of_the_train_rows(encoded: Dataset) -> None:
    train = encoded.parts["train"]
    counts = np.zeros(encoded.vocabulary.num_features, np.int64)
    np.add.at(counts, train.ids, 1)
    assert (counts == encoded.vocabulary.counts).all()
    assert encoded.vocabulary.clicks[encoded.fields[0].indices].sum() == train.labels.sum()


def test_text_and_encoded_form_hold_the_same_impressions(encoded: Dataset, tmp_path: Path) -> None:
    path = tmp_path / "train.txt"
    criteo.write_text(path, ROWS)
    with open_rows(path, criteo.SCHEMA) as reader:
        batches = list(reader.batches())
    assert sum(batch.num_rows for batch in batches) == ROWS
    assert reader.skipped.count == 0
    for i, field in enumerate(encoded.fields):
        texts = [text for batch in batches for text in batch.column(1 + i).to_pylist()]
        ids = encoded.vocabulary.encode_column(field.name, texts)
        assert (ids == encoded.parts["train"].ids[:, i]).all(), field.name


def test_text_is_prepared_without_help(tmp_path: Path) -> None:
    path = tmp_path / "train.txt"
    criteo.write_text(path, ROWS)
    dataset = prepare(path, out=tmp_path / "dataset", validation=0.0)
    assert len(dataset.fields) == 39
    assert len(dataset.parts["train"]) == ROWS


def test_clicks_can_be_learned(encoded: Dataset) -> None:
    test = encoded.parts["test"]
    assert test.truth is not None
    auc = evaluation.auc(test.labels, test.truth)
    assert auc is not None and auc > 0.7


def test_seed_shape_is_made_once(tmp_path: Path) -> None:
    dataset = shapes.seed_shape(tmp_path, 300, test_rows=50)
    assert (len(dataset.fields), len(dataset.parts["train"])) == (34, 300)
    assert len(dataset.parts["test"]) == 50
    again = shapes.seed_shape(tmp_path, 300, test_rows=50)
    assert again.fingerprint == dataset.fingerprint


def _scenario(dataset: Dataset, batch_size: int = 700) -> training.Scenario:
    return training.Scenario("Criteo's shape", dataset, batch_size, torch.device("cpu"))


@pytest.mark.parametrize("key", [k for k in training.VARIANTS if not k.startswith("ours_train")])
def test_every_variant_yields_the_rows_of_its_steps(encoded: Dataset, key: str) -> None:
    measured = training.VARIANTS[key].set_up(_scenario(encoded))
    assert measured.rate(0.0001) > 0


def test_a_whole_training_counts_the_rows_of_its_epochs(encoded: Dataset) -> None:
    assert training.WholeTraining(_scenario(encoded), "adam").rate(0.0001) > 0


@pytest.mark.parametrize("loop", [plain.pipeline, plain.tight_loop])
def test_plain_loops_use_every_row_once_an_epoch(
    encoded: Dataset, loop: training.PlainWork
) -> None:
    seen: list[torch.Tensor] = []

    class Seeing(plain.PlainTraining):
        def step(self, ids: torch.Tensor, labels: torch.Tensor) -> None:
            seen.append(ids)

    part = encoded.parts["train"]
    steps = loop(Seeing(_scenario(encoded).model()), part, 700, torch.device("cpu"))
    assert [next(steps) for _ in range(5)] == [700, 700, 700, 700, 200]
    rows = torch.cat(seen).numpy()
    assert (np.sort(rows, axis=0) == np.sort(part.ids, axis=0)).all()


@pytest.mark.parametrize("optimizer", ["adam", "lazy-adam"])
def test_plain_training_is_the_plain_step(encoded: Dataset, optimizer: str) -> None:
    scenario, sparse = _scenario(encoded), optimizer == "lazy-adam"
    model = training.MODEL.with_values(drop_rate=0.0)
    dims = encoded.vocabulary.field_dims
    torch.manual_seed(0)
    ours = DeepFM(dims, model, sparse=sparse)
    theirs = DeepFM(dims, model, sparse=sparse)
    theirs.load_state_dict(ours.state_dict())
    config = TrainConfig(learning_rate=plain.LEARNING_RATE, optimizer=optimizer)
    plain_training, step = plain.PlainTraining(theirs, sparse=sparse), PlainStep(ours, config)
    part = scenario.dataset.parts["train"]
    for index in range(3):
        ids = torch.from_numpy(np.array(part.ids[index * 100 :][:100]))
        labels = torch.from_numpy(np.array(part.labels[index * 100 :][:100]))
        step(ids, labels, 1, index)
        plain_training.step(ids.long(), labels)
    for name, weight in ours.weights().items():
        torch.testing.assert_close(weight, theirs.weights()[name], rtol=1e-4, atol=1e-5)


def test_traffic_is_that_of_the_arrays_named() -> None:
    """Against the arrays themselves, made and counted."""
    batch, fields, touched, features = 8, 3, 5, 50
    model = training.MODEL.with_values(num_factors=4, mlp_dims=(6, 2))
    ids = np.zeros((batch, fields), np.int32)
    embeddings = np.zeros((batch, fields * 4), np.float32)
    hidden = [np.zeros((batch, width), np.float32) for width in (6, 2)]
    rows, table = np.zeros((touched, 5), np.float32), np.zeros((features, 5), np.float32)
    moved = floors.traffic(batch, fields, touched, features, model)
    assert moved.indices == 2 * ids.nbytes
    assert moved.embeddings == 5 * embeddings.nbytes
    assert moved.hidden == 5 * sum(layer.nbytes for layer in hidden)
    assert moved.tables == 3 * rows.nbytes
    assert moved.adam == 6 * table.nbytes
    assert moved.total == sum(
        (moved.indices, moved.embeddings, moved.hidden, moved.tables, moved.adam)
    )


def test_network_widths_are_those_of_the_model(encoded: Dataset) -> None:
    model = DeepFM(encoded.vocabulary.field_dims, training.MODEL)
    assert model.deep is not None
    layers = model.deep.linears()
    widths = (layers[0].in_features, *(layer.out_features for layer in layers))
    assert floors.network_widths(39, training.MODEL) == widths


def test_ratios_need_both_figures() -> None:
    found = training.ratios({"ours": 600_000.0, "plain_pipeline": 30_000.0})
    assert found["end to end ÷ plain pipeline, adam"] == 20
    assert found["step ÷ plain step, adam"] is None
    known = set(training.VARIANTS)
    assert all({above, below} <= known for _, above, below in training.RATIOS)


def test_table_leaves_out_what_was_not_measured() -> None:
    text = training.table({"seed": {"ours": 712_345.0}, "criteo": {"ours": 45_678.0}})
    lines = text.splitlines()
    assert lines[0] == "| thousand examples/s | seed | criteo |"
    assert lines[2:] == ["| ours end to end, adam | 712 | 45.7 |"]


def test_table_has_a_cell_for_every_column() -> None:
    text = report.markdown(["a", "b"], [["x", report.thousands(None)], ["y", report.times(2.04)]])
    assert text == "| a | b |\n| --- | ---: |\n| x | – |\n| y | 2.0 × |"


def test_anonymous_peak_sees_memory_that_is_gone() -> None:
    before = memory.status("RssAnon")
    with memory.AnonymousPeak(0.001) as peak:
        block = np.ones(64 * memory.MIB, np.uint8)
        peak.look()
        del block
    assert peak.bytes - before > 60 * memory.MIB


def test_plain_loader_encodes_as_prepare_does(tmp_path: Path) -> None:
    path = ingest.text_file(tmp_path, 1_000)
    loader = ingest.PlainLoader(path, 39, min_threshold=3)
    dataset = prepare(
        path,
        out=tmp_path / "out",
        schema=ingest.all_categorical(),
        min_count=3,
        validation=0.0,
    )
    train = dataset.parts["train"]
    assert (loader.encoded() == train.ids).all()
    assert (np.array(loader.labels) == train.labels).all()
    assert sum(loader.field_dims) == dataset.vocabulary.num_features


def test_readings_tell_rows_features_and_memory(tmp_path: Path) -> None:
    files = dict.fromkeys(("all", "quarter", "plain"), ingest.text_file(tmp_path, 200))
    found = ingest.measure(files, 1, ["plain", "ours_categorical"])
    plain_reading, ours = (readings[0] for readings in found.values())
    assert plain_reading.rows == ours.rows == 200
    assert plain_reading.features == ours.features
    assert all(reading.anonymous >= reading.before > 0 for reading in (plain_reading, ours))
    assert list(ingest.ratios(found)) == ["ours, every column categorical ÷ plain loader"]
    assert len(ingest.table(found).splitlines()) == 4


def test_scale_tells_memory_and_rates_of_one_training(encoded: Dataset) -> None:
    config = TrainConfig(epochs=1, batch_size=500, optimizer="lazy-adam", device="cpu")
    outcome = scale.run(encoded, config, imported=memory.status("RssAnon"))
    assert (outcome.rows, outcome.test_rows) == (ROWS, TEST_ROWS)
    assert outcome.training > 0 and outcome.rows_scored_per_second > 0
    assert "own memory, peak of the run, MiB" in scale.table(outcome)


def test_toolkits_get_the_rows_by_field_and_by_column(encoded: Dataset, tmp_path: Path) -> None:
    peers.write_data(encoded, tmp_path / "data")
    job = _job(tmp_path / "data")
    ids, labels = job.load("test")
    assert job.field_sizes == list(encoded.vocabulary.field_dims)
    offsets = [field.offset for field in encoded.fields]
    assert (ids + offsets == encoded.parts["test"].ids).all()
    assert (labels == encoded.parts["test"].labels).all()
    assert ids.min() >= 0 and (ids.max(axis=0) < job.field_sizes).all()
    by_column = np.load(tmp_path / "data" / "test.npz")
    assert list(by_column) == [*job.field_names, "label"]
    for i, (name, column) in enumerate(job.columns("test").items()):
        assert (column == ids[:, i]).all() and (by_column[name] == column).all()


def _job(data: Path) -> Job:
    return Job(str(data), "", "", 0.0, 1, 1, 100, 10, (4,), 0.0, 0.01, "adam", 0)


def test_ours_is_compared_in_a_process_of_its_own(encoded: Dataset, tmp_path: Path) -> None:
    given = argparse.Namespace(
        cache=tmp_path, rounds=1, threads=1, batch_size=500, installed_only=True
    )
    broken = Toolkit("broken", "no such script", None)
    toolkits = {"ours": peers.TOOLKITS["ours"], "fuxictr": peers.TOOLKITS["fuxictr"]}
    found = peers.compare(peers.Shape("small", encoded, 2), {**toolkits, "x": broken}, given)
    (result,) = found["ours"].results
    assert result.examples_per_second > 0 and result.step
    assert 0 < result.first_step_seconds < 600
    assert 0 <= found["ours"].aucs[0] <= 1
    assert found["fuxictr"].problem == ("could not be installed: --installed-only was given")
    assert found["x"].problem.startswith("did not run: ")


def test_a_toolkit_without_results_has_its_reason_in_the_table() -> None:
    text = peers.table({"small": {"rechub": peers.Outcome(problem="could not be installed: x")}})
    assert "| Torch-RecHub 0.9.0, small | could not be installed: x | – | – | – |" in text
    assert peers.ratios({"rechub": peers.Outcome(), "ours": peers.Outcome()}) == {
        "ours, adam ÷ the fastest toolkit": None
    }


@pytest.mark.parametrize("program", [ingest, peers, training])
def test_a_key_that_is_not_known_is_told_in_one_line(
    program: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = ["program", "--only", "ours,mine", "--quick", "--cache", str(tmp_path)]
    monkeypatch.setattr(sys, "argv", given)
    with pytest.raises(SystemExit, match=r"--only: 'mine' is none of .*ours"):
        program.main()


def test_readers_by_hand_find_the_features_that_prepare_finds(tmp_path: Path) -> None:
    path = ingest.text_file(tmp_path, 1_000)
    ours = ingest.read_ours(path, ingest.all_categorical())
    variants = [ingest.VARIANTS["pyarrow"], ingest.VARIANTS["polars"]]
    for variant in filter(ingest.is_there, variants):
        found = variant.read(path)
        assert (found.rows, found.features) == (ours.rows, ours.features), variant.label


def test_validation_rows_are_no_test_rows(encoded: Dataset) -> None:
    parts = encoded.parts
    assert len(parts["validation"]) == len(parts["test"]) == TEST_ROWS
    assert (parts["validation"].ids != parts["test"].ids).any()
    first = parts["validation"].rows(0, 1)
    ids = [encoded.vocabulary.encode_column(f.name, first[f.name])[0] for f in encoded.fields]
    assert (np.array(ids) == parts["validation"].ids[0]).all()


def test_steps_are_compared_by_name_and_seed(
    encoded: Dataset, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = frappe.measure_steps(encoded, tmp_path, 2, 1)
    assert [len(outcomes) for outcomes in found.values()] == [2, 2]
    first, second = found
    assert first.startswith("compiled CPU step") and second == "plain PyTorch step, adam"
    frappe.print_steps(found)
    lines = capsys.readouterr().out.splitlines()
    assert lines[4].startswith("| compiled CPU step") and lines[4].count("±") == 3
    assert sum("the spread of" in line for line in lines) == 3


def test_pip_that_fails_gives_its_last_line() -> None:
    failing = "import sys; sys.exit('first\\nlast line')"
    with pytest.raises(environments.NotInstalledError, match=r"^last line$"):
        environments.call([sys.executable, "-c", failing])


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_the_gpu_benchmark_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["training", "--device", "cuda"])
    with pytest.raises(SystemExit, match="no usable GPU"):
        training.main()


def test_a_run_of_many_rows_is_one_that_evaluate_reads(tmp_path: Path) -> None:
    run_id, folder = evaluate.make_run(tmp_path / "home", 3_000)
    taken = evaluate.figures_alone(folder)
    assert run_id and set(taken) >= {"read the scores", "all figures", "worst slices by AUC"}
