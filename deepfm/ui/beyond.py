"""What the network adds beyond pairs: asked for with one click, shown when it is there.

`show_beyond` is the Model page's section, `show_beyond_of_one` the Impression page's.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pandas as pd
import streamlit as st

from deepfm.charts.beyond import (
    KINDS,
    beyond_figure,
    beyond_of_one_figure,
    network_pairs_figure,
    share_rows,
)
from deepfm.charts.contributions import bar_height
from deepfm.charts.palette import (
    format_count,
    format_duration,
    format_logit,
    format_probability,
)
from deepfm.data.catalog import DEMO_NAME
from deepfm.data.synthetic import PlantedShares, planted_logit, planted_rule
from deepfm.explanation.beyond import (
    FIGURES,
    Beyond,
    BeyondOfOne,
    Share,
    beyond_of_one,
    expected_seconds,
    find_beyond,
)
from deepfm.trained import TrainedModel
from deepfm.trained.weights import Ids
from deepfm.ui import state
from deepfm.ui.person import person
from deepfm.ui.plot import plot
from deepfm.ui.text import mistakes_in_words, plain, show_error, show_notice, told
from deepfm.ui.waiting import wait_for_job

if TYPE_CHECKING:
    from deepfm.explanation import Explanation
    from deepfm.runs.store import JobRow

KIND: Final = "beyond"
QUESTION: Final = "What does the network add beyond pairs?"
_RECENT_JOBS: Final = 200
_IDLE: Final = (
    "The network gives every impression the same here, so there is nothing to divide. Try another "
    "seed, more epochs or a lower drop rate."
)


@mistakes_in_words()
def show_beyond(model: TrainedModel) -> None:
    """The Model page's section: one click, then the bars, the sentence and the pairs."""
    if "deep" not in model.model.terms:
        st.caption(_without_network(model))
        return
    found = found_beyond(model)
    if found is None:
        _ask(model, key="beyond_model")
    elif found.is_idle:
        show_notice(_IDLE)
    else:
        _bars(model, found)
        _pairs(found)


@mistakes_in_words()
def show_beyond_of_one(model: TrainedModel, explanation: "Explanation") -> None:
    """The Impression page's section: the deep branch of one impression."""
    if "deep" not in model.model.terms:
        st.caption(_without_network(model))
        return
    found = found_beyond(model)
    if found is None:
        _ask(model, key="beyond_impression")
    elif found.is_idle:
        show_notice(_IDLE)
    else:
        _of_one(model, beyond_of_one(model, found, explanation.ids), explanation.ids)


def found_beyond(model: TrainedModel) -> Beyond | None:
    """What was measured of this run, read once; None where nothing was."""
    try:
        changed = (model.folder / FIGURES).stat().st_mtime
    except OSError:
        return None
    return _found(model.folder, state.run_time(model.folder), changed, model)


@st.cache_resource(show_spinner=False, max_entries=16)
def _found(folder: Path, run: float, changed: float, _model: TrainedModel) -> Beyond | None:
    return find_beyond(_model)


def _without_network(model: TrainedModel) -> str:
    return plain(
        f"This run is {model.model.name}: it has no network, so nothing in it is beyond pairs."
    )


# --- asking ---------------------------------------------------------------------------------


def _ask(model: TrainedModel, key: str) -> None:
    """The button; while the job works, how far it is; why it failed, if it did."""
    job = _newest_job(model.folder)
    if job is not None and not job.ended:
        wait_for_job(job.id, "Dividing the network", key=key, on_end=lambda job: None)
        return
    if job is not None and job.state == "failed":
        show_error(f"This could not be worked out. {job.error}")
    st.button(
        QUESTION,
        key=f"{key}_ask",
        icon=":material/function:",
        on_click=told(_queue),
        args=(model.folder,),
    )
    seconds = format_duration(max(1.0, round(expected_seconds(model))))
    st.caption(
        "A network also learns single values and pairs, which the other terms could have said. "
        "This divides what it learned into single fields, pairs, and what needs three or more. "
        f"It takes about {plain(seconds)}, beside this page."
    )


def _newest_job(folder: Path) -> "JobRow | None":
    """The last one that was asked for this run, by anybody."""
    for job in state.store().jobs(limit=_RECENT_JOBS):
        if job.kind == KIND and job.payload.get("run") == str(folder):
            return job
    return None


def _queue(folder: Path) -> None:
    """Queue the job, unless somebody else has just done so."""
    job = _newest_job(folder)
    if job is None or job.ended:
        state.store().queue_job(KIND, {"run": str(folder)}, person())


# --- the model ------------------------------------------------------------------------------


def _bars(model: TrainedModel, found: Beyond) -> None:
    st.markdown(words_of(found))
    planted = _planted(model)
    rows = share_rows(found, planted)
    plot(
        beyond_figure(found, planted),
        key="model_beyond",
        height=bar_height(len(rows), least=180, each=52, around=70),
        caption=_caption(planted),
        alt=_alt(found),
        table=lambda: _shares_table(found, planted),
    )
    st.caption(plain(_how_measured(found)))


def words_of(found: Beyond) -> str:
    """The finding in words, as Markdown."""
    deep = found.deep
    own = (
        f"Of what the network does, single fields explain {_percent(deep.singles)}, pairs "
        f"{_percent(deep.pairs)}; **{_percent(deep.beyond)} "
        f"(± {200 * deep.beyond.standard_error:.1f}) needs three fields or more**, which no list "
        "of pairs could say."
    )
    if len(found.terms) == 1:
        return _plain_but_bold(own)
    raw = format_probability(max(0.0, found.terms["deep"]), 0)
    return _plain_but_bold(
        f"By term, {raw} of the score's variance is the network's (over values drawn field by "
        "field, so that it divides; the share above is over the rows). That alone misleads: a "
        f"network also learns what linear and pairwise could have said. {own} That is "
        f"{_percent(found.score.beyond)} of the score's variance."
    )


def _plain_but_bold(text: str) -> str:
    """Our own sentence, in which ** stays and every other sign of Markdown is escaped."""
    return plain(text).replace(plain("**"), "**")


def _percent(share: Share) -> str:
    """ "66.4 %"; an estimate below zero is shown as nothing."""
    return format_probability(max(0.0, share.value), 1)


def _caption(planted: Mapping[str, PlantedShares] | None) -> str:
    truth = (
        " The two lowest are what was planted in the demo, exactly: its rule of three, and its "
        "whole true score."
        if planted
        else ""
    )
    return (
        "each bar is one variance, divided. Plain could have been said by single fields, hatched "
        "by pairs; dotted needs three fields or more, and is an upper bound (whisker: two standard "
        "errors). Violet is the network's, grey the whole score's; the terms have their "
        f"own colours.{truth}"
    )


def _how_measured(found: Beyond) -> str:
    taking = sorted(found.taking_part.items(), key=lambda item: -item[1].value)[:3]
    names = ", ".join(name for name, _ in taking)
    rest = found.on_reference
    error = f"{200 * rest.standard_error:.1f}"
    return (
        f"Fields that take part beyond pairs most: {names}. Measured on "
        f"{format_count(found.draws)} draws with every field drawn alone, so that variance "
        f"divides. On the {format_count(found.reference_rows)} reference rows themselves, whose "
        f"fields belong together, {format_probability(rest.value)} (± {error}) "
        "of the network is beyond pairs."
    )


def _alt(found: Beyond) -> str:
    deep = found.deep
    return (
        f"Of the network's variance, single fields explain {_percent(deep.singles)}, pairs "
        f"{_percent(deep.pairs)}, and {_percent(deep.beyond)} needs three fields or more."
    )


def _planted(model: TrainedModel) -> dict[str, PlantedShares] | None:
    if model.dataset_name != DEMO_NAME:
        return None
    return {"Planted: the rule of three": planted_rule(), "Planted: the score": planted_logit()}


def _shares_table(found: Beyond, planted: Mapping[str, PlantedShares] | None) -> pd.DataFrame:
    errors = {"Network, by what it takes": found.deep, "Score, by what it takes": found.score}
    rows = [
        {
            "of": row.name,
            "part": KINDS.get(part, part),
            "share": share,
            "standard error": getattr(errors[row.name], part).standard_error
            if row.name in errors
            else None,
        }
        for row in share_rows(found, planted)
        for part, share in row.shares.items()
    ]
    rows.append(
        {
            "of": "Network, on the reference rows",
            "part": KINDS["beyond"],
            "share": found.on_reference.value,
            "standard error": found.on_reference.standard_error,
        }
    )
    rows += [
        {
            "of": f"Network, where {name} takes part",
            "part": KINDS["beyond"],
            "share": share.value,
            "standard error": share.standard_error,
        }
        for name, share in found.taking_part.items()
    ]
    return pd.DataFrame(rows)


def _pairs(found: Beyond) -> None:
    pairs = found.pairs()
    if not pairs:
        return
    first = pairs[0]
    plot(
        network_pairs_figure(pairs),
        key="model_beyond_pairs",
        height=bar_height(min(len(pairs), 12)),
        caption=(
            "how much two fields move the network's output by meeting, beyond what each does "
            "alone: the spread over impressions with every field drawn alone."
        ),
        alt=(
            f"The network ties {first.first} and {first.second} together most: spread "
            f"{first.spread:.2f}."
        ),
        table=lambda: pd.DataFrame(
            [
                {
                    "field": pair.first,
                    "with": pair.second,
                    "spread (logit)": pair.spread,
                    "share of the network's variance": pair.share,
                }
                for pair in pairs
            ]
        ),
    )


# --- one impression -------------------------------------------------------------------------


def _of_one(model: TrainedModel, one: BeyondOfOne, ids: Ids) -> None:
    plot(
        beyond_of_one_figure(one),
        key="impression_beyond",
        height=bar_height(4),
        caption=(
            "the first three bars add up to the fourth. Single fields and pairs are what the "
            "nearest factorization machine says; the third is what it cannot say. Usual size of "
            f"that: {one.typical:.2f}. Against the mean of impressions with every field drawn "
            f"alone, which is {format_logit(one.mean - float(model.reference.mean.deep[0]))} from "
            "the reference rows' own." + _unseen(one)
        ),
        alt=(
            f"Single fields {format_logit(one.singles_total)}, pairs "
            f"{format_logit(one.pairs_total)}, three or more {format_logit(one.beyond)}."
        ),
        table=lambda: _one_table(model, one, ids),
    )


def _unseen(one: BeyondOfOne) -> str:
    if not one.unseen:
        return ""
    return (
        f" No reference row has this value of {', '.join(one.unseen)}; its part was fitted for "
        "this impression."
    )


def _one_table(model: TrainedModel, one: BeyondOfOne, ids: Ids) -> pd.DataFrame:
    values = model.decode(ids)
    singles = [
        {"kind": KINDS["singles"], "of": f"{name} = {values[name]}", "logit": value}
        for name, value in one.singles.items()
    ]
    pairs = [
        {
            "kind": KINDS["pairs"],
            "of": f"{a} = {values[a]} × {b} = {values[b]}",
            "logit": value,
        }
        for (a, b), value in one.strongest_pairs()
    ]
    last = {"kind": KINDS["beyond"], "of": "all fields", "logit": one.beyond}
    return pd.DataFrame([*singles, *pairs, last])
