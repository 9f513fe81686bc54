"""A rule for the threshold (F1, Youden, what mistakes cost) to a threshold that the page uses."""

from dataclasses import dataclass
from typing import Final

import pandas as pd
import streamlit as st

from deepfm.charts import evaluation as charts
from deepfm.charts.palette import format_count, format_probability
from deepfm.errors import ConfigError
from deepfm.evaluation import (
    Costs,
    JudgedRows,
    best_f1_of,
    best_youden_of,
    cheapest_of,
)
from deepfm.trained import TrainedModel
from deepfm.ui.evaluated import Evaluated, rows_of
from deepfm.ui.plot import plot
from deepfm.ui.text import plain, show_error
from deepfm.ui.threshold import slider, start_of, use_threshold

MISTAKES: Final = "What mistakes cost"
IMPRESSIONS: Final = "Clicks against the price of impressions"


@dataclass(frozen=True)
class Rule:
    """One way to choose a threshold, and what it chose."""

    name: str
    threshold: float
    words: str


def show_rules(run_id: str, model: TrainedModel, found: Evaluated, revision: str) -> None:
    """The rules with their thresholds, each to be used; then what every threshold costs."""
    chosen_on = _rows_to_choose_on(run_id, model, found)
    costs = _costs()
    st.markdown(plain(_chosen_words(chosen_on, found)))
    for rule in _rules(chosen_on, costs):
        _offer(rule, found, run_id)
    if costs is not None:
        _show_costs(found, costs, revision)


def _rows_to_choose_on(run_id: str, model: TrainedModel, found: Evaluated) -> JudgedRows:
    """The validation rows where there are others to judge by, else the judged rows themselves."""
    part = found.figures.part
    if part != "validation" and "validation" in model.parts:
        return rows_of(run_id, model, "validation")
    return rows_of(run_id, model, part, found.selection)


def _chosen_words(rows: JudgedRows, found: Evaluated) -> str:
    if rows.part != found.figures.part:
        return (
            f"Chosen on the {format_count(len(rows))} validation rows, so that the "
            f"{found.figures.part} rows judge it fairly."
        )
    return (
        f"Chosen on the very rows that judge it ({format_count(len(rows))} {rows.part} rows), "
        "since there are no validation rows beside them: a little optimistic."
    )


def _rules(rows: JudgedRows, costs: Costs | None) -> list[Rule]:
    counts = rows.counts_by_probability
    if not counts.positives:
        return []
    f1, youden = best_f1_of(counts), best_youden_of(counts)
    rules = [
        Rule("F1", f1.threshold, f"precision and recall together are highest, F1 {f1.value:.3f}")
    ]
    if youden is not None:
        words = (
            "clicked rows found less others taken for clicks is highest, "
            f"{format_probability(youden.value)}"
        )
        rules.append(Rule("Youden", youden.threshold, words))
    if costs is not None:
        cheapest = cheapest_of(counts, costs)
        each = 1_000 * cheapest.value / counts.rows
        rules.append(Rule("Cost", cheapest.threshold, f"cheapest: {each:,.4g} per 1,000 rows"))
        words = "where the probabilities say what happens, this is the cheapest: price over stake"
        rules.append(Rule("Cost, by the formula", costs.fair_threshold, words))
    return rules


def _offer(rule: Rule, found: Evaluated, run_id: str) -> None:
    with st.container(horizontal=True, vertical_alignment="center", gap="medium"):
        if st.button(
            f"Use {charts.threshold_text(rule.threshold)}",
            key=f"use_{rule.name}",
            help="Moves the threshold of all charts there.",
            width=150,
        ):
            use_threshold(found, run_id, rule.threshold)
            st.rerun()
        st.markdown(f"**{rule.name}**: {plain(rule.words)}", width="stretch")


def _costs() -> Costs | None:
    """What the person states; None, with a word, where that cannot be."""
    way = st.segmented_control(
        "By cost",
        [MISTAKES, IMPRESSIONS],
        default=MISTAKES,
        required=True,
        key="cost_by",
    )
    left, right, _ = st.columns([1, 1, 2], gap="medium")
    try:
        if way == IMPRESSIONS:
            return Costs.of_impressions(
                _amount(left, "Value of a click", 1.0, "click_value"),
                _amount(right, "Price of an impression", 0.2, "price"),
            )
        return Costs(
            _amount(left, "Cost of a false alarm", 1.0, "cost_false_positive"),
            _amount(right, "Cost of a missed click", 4.0, "cost_false_negative"),
        )
    except ConfigError as error:
        show_error(error)
        return None


def _amount(place: st.delta_generator.DeltaGenerator, name: str, usual: float, key: str) -> float:
    # Without a least value: one below it would only turn the box red, and be told nowhere.
    return float(
        place.number_input(
            name,
            value=usual,
            step=0.1,
            format="%.4g",
            key=key,
            bind="query-params",
            help="In any one unit of money.",
        )
        or 0.0
    )


def _show_costs(found: Evaluated, costs: Costs, revision: str) -> None:
    table, start = found.thresholds, start_of(revision)
    each = charts.costs_per_rows(table, costs)
    lowest = int(each.argmin())
    finding = (
        f"Cheapest on these rows at {charts.threshold_text(table.threshold[lowest])}, "
        f"{each[lowest]:,.4g} per 1,000 rows; at the threshold now {each[start]:,.4g}."
    )
    plot(
        charts.cost_figure(table, costs, start),
        key="costs",
        height=320,
        caption="too low a threshold pays for false alarms, too high a one for missed clicks. "
        + finding,
        alt="What each threshold costs. " + finding,
        table=lambda: pd.DataFrame({"threshold": table.threshold, "cost per 1,000 rows": each}),
        slider=slider(found, revision),
    )
