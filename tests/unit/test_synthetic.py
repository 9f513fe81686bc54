import hashlib
import itertools
import math
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from deepfm.data.synthetic import (
    DEMO_FIELDS,
    DEMO_LABEL,
    DEMO_ROWS,
    DEMO_VERSION,
    PINNED,
    demo_table,
    demo_values,
    true_probability,
    write_d2l_form,
    write_d2l_zip,
)
from deepfm.errors import SchemaError

WEEKEND = ("Saturday", "Sunday")
ON_THE_GO = ("phone", "tablet")


@pytest.fixture(scope="module")
def tables() -> dict[str, pa.Table]:
    return {part: demo_table(part) for part in DEMO_ROWS}


def clicks(table: pa.Table) -> np.ndarray:
    return np.array(table[DEMO_LABEL].to_pylist()) == "1"


def logit(probability: float) -> float:
    return math.log(probability / (1 - probability))


def auc(labels: np.ndarray, scores: np.ndarray) -> float:
    """The share of (clicked, not clicked) pairs that are ranked rightly."""
    negative = np.sort(scores[~labels])
    below = np.searchsorted(negative, scores[labels], "left")
    upto = np.searchsorted(negative, scores[labels], "right")
    return float(((below + upto) / 2).mean() / len(negative))


def test_parts_have_their_sizes_fields_and_the_same_rows_each_time(
    tables: dict[str, pa.Table],
) -> None:
    assert {part: len(table) for part, table in tables.items()} == {
        "train": 48_000, "validation": 6_000, "test": 6_000,
    }  # fmt: skip
    for part, table in tables.items():
        assert table.column_names == [DEMO_LABEL, *DEMO_FIELDS, "truth"]
        assert table.equals(demo_table(part))
    assert not tables["validation"].equals(tables["test"])


def test_other_rows_have_another_version(tables: dict[str, pa.Table]) -> None:
    """A demo made before is found by DEMO_VERSION: with other rows it has to go up."""
    cells = [table.drop_columns(["truth"]).to_pydict() for table in tables.values()]
    found = hashlib.sha256(repr(cells).encode()).hexdigest()[:16]
    assert (DEMO_VERSION, found) == (2, "817d0f6ee2993103")


def test_click_rate_and_best_possible_auc_are_as_designed(tables: dict[str, pa.Table]) -> None:
    for table in tables.values():
        truth = table["truth"].to_numpy()
        assert clicks(table).mean() == pytest.approx(0.225, abs=0.005)
        assert truth.mean() == pytest.approx(0.225, abs=0.006)
        assert auc(clicks(table), truth) == pytest.approx(0.822, abs=0.008)


def test_clicks_follow_the_true_probability(tables: dict[str, pa.Table]) -> None:
    labels, truth = clicks(tables["train"]), tables["train"]["truth"].to_numpy()
    for chosen in np.array_split(np.argsort(truth), 20):
        expected, spread = truth[chosen].mean(), np.sqrt((truth * (1 - truth))[chosen].sum())
        assert abs(labels[chosen].sum() - expected * len(chosen)) < 4 * spread


def test_truth_of_a_row_is_the_true_probability_of_its_values(
    tables: dict[str, pa.Table],
) -> None:
    for row in tables["test"].slice(0, 300).to_pylist():
        values = {name: row[name] for name in DEMO_FIELDS}
        assert true_probability(values) == pytest.approx(row["truth"], abs=1e-12)


def test_pinned_impressions_have_their_truth_and_differ_in_one_word() -> None:
    truths = [true_probability(pinned.values) for pinned in PINNED]
    assert truths == pytest.approx([0.77, 0.06, 0.24, 0.95], abs=0.02)
    for first, second in (PINNED[:2], PINNED[2:]):
        assert len(set(first.values.items()) ^ set(second.values.items())) == 2
    for pinned in PINNED:
        assert tuple(pinned.values) == DEMO_FIELDS
        assert all(pinned.values[name] in demo_values(name) for name in DEMO_FIELDS)


def test_segment_and_region_have_no_effect() -> None:
    values = PINNED[0].values
    for name in ("segment", "region"):
        truths = {true_probability({**values, name: value}) for value in demo_values(name)}
        assert len(truths) == 1


def test_ad_matches_its_site_and_the_hour_turns_coffee_round() -> None:
    values = {**PINNED[0].values, "ad": "umbrella", "site": "weather"}
    match = logit(true_probability(values)) - logit(true_probability({**values, "site": "news"}))
    # 2.6 of the match, less a twelfth of it: the table's columns are centred over the 12 ads.
    assert match == pytest.approx(2.6 - 2.6 / 12, abs=1e-9)
    morning, evening = (logit(true_probability(pinned.values)) for pinned in PINNED[:2])
    assert morning - evening > 3.5


def rule_of_three(form: str, device: str, weekday: str) -> float:
    """The rule's share of the logit, up to constants of single fields: read off the truth."""
    values = {**PINNED[0].values, "format": form, "device": device, "weekday": weekday}
    single = {"laptop": -0.1, "TV": -0.1, "phone": 0.15, "tablet": 0.0}[device]
    return logit(true_probability(values)) - single - (0.1 if weekday in WEEKEND else 0.0)


def test_rule_of_three_is_half_pairs_and_nearly_half_beyond_pairs() -> None:
    """Its analysis of variance, by means over the product of the marginals."""
    forms = dict(zip(demo_values("format"), (0.25, 0.25, 0.30, 0.20), strict=True))
    devices = dict(zip(demo_values("device"), (0.40, 0.10, 0.35, 0.15), strict=True))
    days = dict.fromkeys(demo_values("weekday"), 1 / 7)
    shares = [np.array([*each.values()]) for each in (forms, devices, days)]
    weight = np.einsum("a,b,c->abc", *shares)
    cells = [rule_of_three(*cell) for cell in itertools.product(forms, devices, days)]
    rule = np.reshape(cells, weight.shape)

    def mean_given(*kept: int) -> np.ndarray:
        others = tuple(axis for axis in range(3) if axis not in kept)
        total = (rule * weight).sum(axis=others, keepdims=True)
        return total / weight.sum(axis=others, keepdims=True)

    def variance(effect: np.ndarray) -> float:
        return float((effect**2 * weight).sum())

    grand = mean_given()
    single = [mean_given(axis) - grand for axis in range(3)]
    pairs = [
        mean_given(a, b) - single[a] - single[b] - grand
        for a, b in itertools.combinations(range(3), 2)
    ]
    rest = rule - sum(single) - sum(pairs) - grand
    parts = np.array([sum(map(variance, single)), sum(map(variance, pairs)), variance(rest)])
    assert parts.sum() == pytest.approx(variance(rule - grand))
    assert parts / parts.sum() == pytest.approx([0.05, 0.50, 0.45], abs=0.006)


def test_rule_of_three_leaves_pictures_and_short_clips_alone() -> None:
    for device, weekday in itertools.product(demo_values("device"), demo_values("weekday")):
        still = rule_of_three("picture", device, weekday)
        assert rule_of_three("short clip", device, weekday) == pytest.approx(still)
        welcome = rule_of_three("long video", device, weekday) - still
        on_the_go, weekend = device in ON_THE_GO, weekday in WEEKEND
        expected = -1.4 if on_the_go != weekend else 2.4 if weekend else 1.2
        assert welcome == pytest.approx(expected)


def test_fields_are_drawn_independently(tables: dict[str, pa.Table]) -> None:
    train = tables["train"]
    codes = {name: train[name].combine_chunks().dictionary_encode() for name in DEMO_FIELDS[:-1]}
    for first, second in itertools.combinations(codes, 2):
        a, b = (codes[name].indices.to_numpy() for name in (first, second))
        table = np.zeros((a.max() + 1, b.max() + 1))
        np.add.at(table, (a, b), 1)
        expected = np.outer(table.sum(1), table.sum(0)) / len(train)
        freedom = (table.shape[0] - 1) * (table.shape[1] - 1)
        chi2 = ((table - expected) ** 2 / expected).sum()
        assert abs(chi2 - freedom) < 5 * math.sqrt(2 * freedom), (first, second)


def test_some_ad_ids_are_seen_under_four_times(tables: dict[str, pa.Table]) -> None:
    counts = {row["values"]: row["counts"] for row in
              tables["train"]["ad_id"].value_counts().to_pylist()}  # fmt: skip
    rare = {name for name, count in counts.items() if count < 4}
    assert len(counts) == 68 and len(rare) == 8
    for part in ("validation", "test"):
        assert rare & set(tables[part]["ad_id"].to_pylist())


def test_unknown_value_is_named_but_a_new_ad_id_is_not_refused() -> None:
    values = PINNED[0].values
    with pytest.raises(SchemaError, match="field 'site' cannot be 'newz'; choose one of news"):
        true_probability({**values, "site": "newz"})
    with pytest.raises(SchemaError, match="field 'hour' cannot be None"):
        true_probability({name: values[name] for name in DEMO_FIELDS[1:]})
    assert 0 < true_probability({**values, "ad_id": "ad-99"}) < 1
    with pytest.raises(SchemaError, match="no field 'x'"):
        demo_values("x")


def test_set_of_the_d2l_form_has_its_form_and_size(tmp_path: Path) -> None:
    paths = write_d2l_form(tmp_path)
    for part, rows in (("train", 15_000), ("test", 3_000)):
        lines = paths[part].read_text().splitlines()
        assert len(lines) == rows
        cells = [line.split("\t") for line in lines]
        assert {len(row) for row in cells} == {35}
        assert {row[0] for row in cells} == {"0", "1"}
        assert all(len(cell) == 8 for row in cells[:50] for cell in row[1:])


def test_zip_of_the_d2l_form_is_the_same_for_the_same_seed(tmp_path: Path) -> None:
    def content(seed: int) -> str:
        folder = tmp_path / str(seed)
        folder.mkdir(exist_ok=True)
        files = write_d2l_form(folder, seed=seed, rows={"train": 200, "test": 50}).values()
        return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()

    assert content(0) == content(0) != content(1)
    write_d2l_zip(tmp_path / "ctr.zip")
    assert (tmp_path / "ctr.zip").read_bytes().startswith(b"PK")
