"""Everything about one part of a run to the tiles, charts and tables of the Evaluate page.

One slider, the threshold, moves the ROC curve's point, the confusion matrix, the precision-recall
curve's point and the line in the histogram together, in the browser, while it is dragged.
"""

from typing import Final

import pandas as pd
import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from deepfm.charts import evaluation as charts
from deepfm.charts.palette import (
    NO_VALUE,
    format_auc,
    format_loss,
    format_probability,
)
from deepfm.trained import TrainedModel
from deepfm.ui import state
from deepfm.ui.evaluated import HALF, Evaluated, numbers_table
from deepfm.ui.evaluation_baselines import show_baselines
from deepfm.ui.evaluation_calibration import show_calibration
from deepfm.ui.evaluation_rules import show_rules
from deepfm.ui.evaluation_runs import show_other_runs
from deepfm.ui.evaluation_slices import show_by_value, show_worst
from deepfm.ui.plot import csv_text, plot
from deepfm.ui.selecting import selection_words
from deepfm.ui.text import mistakes_in_words, plain, show_notice
from deepfm.ui.threshold import keep_threshold, slider, start_of, use_threshold

PART_WORDS: Final = {
    "test": "Test rows",
    "validation": "Validation rows: no test file",
    "train": "Training rows, seen in training",
}


def say_which_rows(model: TrainedModel, found: Evaluated) -> None:
    """Which rows these figures are of, how many, and how many of them were clicked."""
    words = rows_words(found.figures.part, has_test="test" in model.parts)
    st.markdown(
        f"**{words}** · {state.rows_of_all(model, found.figures.part, found.figures.rows)} rows, "
        f"{format_probability(found.figures.base_rate)} clicked"
    )
    if found.selection is not None:
        st.markdown(f":material/filter_alt: {selection_words(found)}")


def rows_words(part: str, *, has_test: bool) -> str:
    """Which rows they are, and why those of the validation part flatter the model."""
    words = f"{part.capitalize()} rows" if has_test else PART_WORDS[part]
    if part == "validation":
        words += "; they also chose the epoch, so the figures are a little optimistic"
    return words


def say_verdict(found: Evaluated) -> None:
    """Whether it ranks, and whether its probabilities can be trusted: two lines."""
    if found.verdict is None:
        st.markdown(plain(charts.auc_sentence(found.figures.auc)))
        return
    ranks, right = charts.verdict_lines(found.verdict)
    st.markdown(f"- {ranks}\n- {right}")


def tiles(found: Evaluated) -> None:
    """The four figures; where clicks are rare, log loss against guessing replaces accuracy."""
    figures = found.figures
    first, second, third, fourth = st.columns(4, gap="medium")
    interval = (
        f"95 %: {figures.auc_low:.4f} to {figures.auc_high:.4f}"
        if figures.auc_low is not None and figures.auc_high is not None
        else "too few of one class"
    )
    auc_help = charts.auc_sentence(figures.auc) + " The interval is DeLong's (1988)."
    tile(first, "AUC", format_auc(figures.auc), interval, auc_help)
    guess = f"always guessing the base rate: {format_loss(figures.log_loss_base)}"
    calibrated = (
        " Calibrated, after Platt scaling fitted on the validation rows: "
        f"{format_loss(figures.log_loss_calibrated)}."
        if figures.log_loss_calibrated is not None
        else ""
    )
    loss_help = (
        "Mean cross entropy in nats, lower is better: small when high probabilities meet clicks."
        + calibrated
    )
    tile(second, "Log loss", format_loss(figures.log_loss), guess, loss_help)
    if found.rare:
        help_text = (
            "Clicks are so rare that accuracy says nothing: never predicting a click is right "
            f"for {format_probability(figures.majority_accuracy)} of the rows. Compared instead: "
            "the log loss of always guessing the base rate; less is better."
        )
        tile(third, "Log loss against guessing", against_guessing(found), "", help_text)
    else:
        majority = f"majority: {format_probability(figures.majority_accuracy)}"
        help_text = (
            "Share of rows predicted rightly at a threshold of 50 %. Majority: what always saying "
            "the commoner label would reach."
        )
        accuracy = format_probability(figures.accuracy)
        tile(third, "Accuracy", accuracy, majority, help_text)
    help_text = (
        "Mean distance between predicted probability and seen click rate, over 15 groups of "
        "about equal size. 0 is perfect."
    )
    error = format_probability(figures.calibration_error, 2)
    tile(fourth, "Calibration error", error, "predicted against seen", help_text)


def against_guessing(found: Evaluated) -> str:
    """The log loss beside that of guessing the base rate: "12.3 % less", or "22 times"."""
    base, loss = found.figures.log_loss_base, found.figures.log_loss
    if not base or loss is None:
        return NO_VALUE
    if loss > 2 * base:
        return f"{loss / base:.0f} times"
    less = 1 - loss / base
    return f"{format_probability(abs(less))} {'less' if less >= 0 else 'more'}"


def tile(place: DeltaGenerator, name: str, value: str, beside: str, help_text: str) -> None:
    """One number with what it is to be compared with."""
    place.metric(name, value, beside, delta_color="off", delta_arrow="off", help=help_text)


def show_roc(found: Evaluated, revision: str) -> None:
    """The ROC curve under its threshold."""
    auc = charts.auc_sentence(found.figures.auc)
    plot(
        charts.roc_figure(found.curves, found.thresholds, start_of(revision)),
        key="roc",
        height=350,
        caption="drag the threshold: each step moves the point equally far along the curve, so the "
        "slider's percents are uneven. Further up and left is better; the long dashes are "
        "guessing.",
        alt=f"ROC curve. {auc}",
        table=lambda: roc_data(found),
        slider=slider(found, revision, hidden=False),
        on_frame=lambda place: keep_threshold(found, revision, place),
    )


def show_confusion(found: Evaluated, revision: str, height: int = 290) -> None:
    """The confusion matrix, following the threshold."""
    start = start_of(revision)
    plot(
        charts.confusion_figure(found.thresholds, start),
        key="confusion",
        height=height,
        caption="each row of the table adds up to 100 %; the threshold moves rows between "
        "left and right.",
        alt="Confusion matrix. " + charts.threshold_readouts(found.thresholds)[start],
        table=lambda: threshold_data(found),
        slider=slider(found, revision),
    )


def show_precision_recall(found: Evaluated, revision: str) -> None:
    """Precision against recall, following the threshold."""
    curve = found.precision_recall
    if curve is None:
        show_notice("None of these rows was clicked, so there is nothing to be found.")
        return
    average = found.figures.average_precision
    plot(
        charts.precision_recall_figure(curve, found.thresholds, start_of(revision)),
        key="precision_recall",
        height=350,
        caption="of the rows taken for clicks, how many are; further up and right is better. "
        f"Average precision {format_auc(average)}; guessing has {format_auc(curve.base_rate)}, "
        "the base rate.",
        alt=f"Precision-recall curve. Average precision {format_auc(average)}, guessing has "
        f"{format_auc(curve.base_rate)}.",
        table=lambda: pd.DataFrame(
            {
                "threshold": curve.thresholds,
                "recall": curve.recall,
                "precision": curve.precision,
            }
        ),
        slider=slider(found, revision),
    )


def show_gain(found: Evaluated) -> None:
    """Cumulative gain and lift side by side."""
    curve = found.gain
    if curve is None:
        show_notice("None of these rows was clicked, so no clicks can be caught.")
        return
    caught = charts.share_caught(curve, 0.1)
    left, right = st.columns(2, gap="large")
    with left:
        plot(
            charts.gain_figure(curve, found.figures.base_rate or 0.0),
            key="gain",
            height=360,
            caption=f"the best 10 % of the rows hold {format_probability(caught)} of all clicks.",
            alt=f"The best 10 % of the rows hold {format_probability(caught)} of all clicks.",
            table=lambda: gain_data(found),
        )
    with right:
        plot(
            charts.lift_figure(curve),
            key="lift",
            height=360,
            caption=f"among the best 10 % there are {caught / 0.1:.1f} times as many clicks as "
            "among as many rows by chance.",
            alt=f"Lift curve. Lift at 10 % of the rows: {caught / 0.1:.1f}.",
            table=lambda: gain_data(found),
        )


def show_histogram(found: Evaluated, revision: str) -> None:
    """Scores by label, with the threshold as a line."""
    shape = found.histogram
    plot(
        charts.histogram_figure(shape, found.thresholds, start_of(revision)),
        key="histogram",
        height=380,
        caption="the less the filled and the hollow bars overlap, the better the model tells "
        "clicks from the rest. Each label's bars add up to 100 %.",
        alt=charts.histogram_finding(shape),
        table=lambda: pd.DataFrame(
            {
                "from": shape.edges[:-1],
                "to": shape.edges[1:],
                "clicked": shape.clicked,
                "not clicked": shape.not_clicked,
            }
        ),
        slider=slider(found, revision),
    )


def show_numbers(found: Evaluated) -> None:
    """Every figure as a table and as CSV."""
    table = numbers_table(found.figures)
    st.dataframe(
        table,
        hide_index=True,
        width=520,
        height=38 + 35 * len(table),
        column_config={"Value": st.column_config.NumberColumn(format="%.6g")},
    )
    st.download_button(
        "Download CSV",
        data=lambda: csv_text(table).encode("utf-8"),
        file_name="evaluation.csv",
        mime="text/csv",
        icon=":material/download:",
        on_click="ignore",
    )


def roc_data(found: Evaluated) -> pd.DataFrame:
    """The curves as one long table."""
    return pd.concat(
        pd.DataFrame(
            {
                "curve": named.name,
                "false positive rate": named.curve.fpr,
                "true positive rate": named.curve.tpr,
            }
        )
        for named in found.curves
    )


def threshold_data(found: Evaluated) -> pd.DataFrame:
    """The confusion matrix at every position of the slider."""
    table = found.thresholds
    return pd.DataFrame(
        {
            "threshold": table.threshold,
            "clicked, found": table.tp,
            "clicked, missed": table.fn,
            "not clicked, false alarm": table.fp,
            "not clicked, rightly left": table.tn,
            "precision": table.precision,
            "accuracy": table.accuracy,
        }
    )


def gain_data(found: Evaluated) -> pd.DataFrame:
    """Gain and lift as one table."""
    curve = found.gain
    assert curve is not None
    return pd.DataFrame(
        {
            "share of rows": curve.share_of_rows,
            "share of clicks": curve.share_of_clicks,
            "lift": curve.lift,
        }
    )


@st.fragment
def show_curves(run_id: str, found: Evaluated, revision: str) -> None:
    """ROC beside what the threshold does; beside it precision-recall where clicks are rare."""
    if not found.curves:
        show_notice(charts.auc_sentence(None))
        show_confusion(found, revision)
        return
    left, right = st.columns(2 if found.rare else [3, 2], gap="large")
    with left:
        show_roc(found, revision)
    with right:
        if found.rare:
            show_precision_recall(found, revision)
        else:
            show_confusion(found, revision)
            offer_thresholds(run_id, found)
    if found.rare:
        show_confusion(found, revision, height=210)
        offer_thresholds(run_id, found)


def offer_thresholds(run_id: str, found: Evaluated) -> None:
    """Where the threshold starts and why, and 50 % one click away."""
    usual = float(found.thresholds.threshold[found.start])
    st.caption(
        f"The threshold starts at the base rate, {charts.threshold_text(usual)}: rows likelier to "
        "be clicked than usual are taken for clicks. Accuracy above is at 50 %."
    )
    with st.container(horizontal=True):
        for name, threshold in (("Base rate", usual), ("Half", HALF)):
            if st.button(
                f"{name}: {charts.threshold_text(threshold)}",
                key=f"threshold_{name}",
                help="Moves the threshold of all charts there.",
            ):
                use_threshold(found, run_id, threshold)
                st.rerun()


def show_wrong(run_id: str, model: TrainedModel, found: Evaluated) -> None:
    """The slices where it is worst, then one field value by value."""
    show_worst(run_id, model, found)
    st.divider()
    show_by_value(run_id, model, found)


@st.fragment
def show_tabs(run_id: str, model: TrainedModel, found: Evaluated, revision: str) -> None:
    """The further views, in the order in which they are asked for; the one that is open is made."""
    part = found.figures.part
    shown = {
        "Calibration": lambda: show_calibration(run_id, model, found),
        "Where it is wrong": lambda: show_wrong(run_id, model, found),
        "Other models": lambda: show_baselines(run_id, model, found),
        "Other runs": lambda: show_other_runs(run_id, model, part),
        "Precision-recall": lambda: show_precision_recall(found, revision),
        "Threshold": lambda: show_rules(run_id, model, found, revision),
        "Lift and gain": lambda: show_gain(found),
        "Scores by label": lambda: show_histogram(found, revision),
        "Numbers": lambda: show_numbers(found),
    }
    if found.rare and found.curves:
        del shown["Precision-recall"]
    tabs = st.tabs(list(shown), key="view", on_change="rerun", bind="query-params")
    for tab, show in zip(tabs, shown.values(), strict=True):
        if tab.open:
            with tab:
                mistakes_in_words()(show)()
