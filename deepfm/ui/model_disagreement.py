"""Where the branches disagree: a scatter to click in, and what is special about a region of it."""

from typing import Final

import numpy as np
import pandas as pd
import streamlit as st

from deepfm.charts.contributions import bar_height
from deepfm.charts.overall import (
    FAR,
    Box,
    Disagreement,
    disagreement_figure,
    disagreement_of,
    region_figure,
)
from deepfm.charts.overall.region import MOST_VALUES
from deepfm.charts.palette import format_count, format_probability
from deepfm.errors import DeepFMError
from deepfm.evaluation.regions import Region, ValueShare, over_represented
from deepfm.trained import Scores, TrainedModel
from deepfm.ui import choosing, links
from deepfm.ui.model_kept import kept
from deepfm.ui.plot import PlotResult, plot
from deepfm.ui.text import mistakes_in_words, plain, show_error

BOX: Final = "box"
"""In the address: left, right, low and high ends of the region that was drawn."""
_DRAWN: Final = "Drawn by hand"

_REGIONS: Final[dict[str, Box]] = {
    "{} raises, deep lowers": Box(FAR, np.inf, -np.inf, -FAR),
    "{} lowers, deep raises": Box(-np.inf, -FAR, FAR, np.inf),
    "Both raise": Box(FAR, np.inf, FAR, np.inf),
    "Both lower": Box(-np.inf, -FAR, -np.inf, -FAR),
}
"""What is asked about without drawing; {} is the branch beside the network."""


@st.fragment
@mistakes_in_words()
def show_disagreement(run_id: str, model: TrainedModel, scores: Scores) -> None:
    """Every impression by its two branches; what is over-represented in a part of them."""
    if model.model.terms in (("linear",), ("linear", "pairwise")):
        st.caption("This model has no network, so there are no two branches that could disagree.")
        return
    if model.model.terms == ("deep",):
        st.caption("This model is the network alone, so nothing could disagree with it.")
        return
    openable = min(len(model.impression_ids(scores.part)), len(scores))
    found = kept(
        model,
        ("disagreement", scores.part),
        lambda: disagreement_of(scores.terms, model.reference.mean, scores.labels, openable),
    )
    box = _box_in_address()
    with st.container(key="stack_disagreement"):
        left, right = st.columns([11, 9], gap="large")
    with left:
        result = scatter(model, scores, found, box)
        links.link(
            "impression",
            choosing.LISTS["apart"],
            run=run_id,
            part=scores.part,
            list="apart",
        )
    _follow(result, run_id, scores, found)
    with right:
        show_region(model, scores, found, box)


def scatter(
    model: TrainedModel, scores: Scores, found: Disagreement, box: Box | None
) -> PlotResult:
    """The chart with its words."""
    first = _first_branch(model)
    apart = float(
        np.mean((found.fm * found.deep < 0) & (np.minimum(abs(found.fm), abs(found.deep)) > FAR))
    )
    shown = (
        "one dot an impression"
        if found.density is None
        else (
            f"the blue ground shows how many of all {format_count(len(found.fm))} impressions lie "
            f"where, on a logarithmic scale; {format_count(len(found.dots))} of them are dots"
        )
    )
    return plot(
        disagreement_figure(found, box, first),
        key="model_dots",
        height=470,
        clicks=True,
        boxes=True,
        modebar=True,
        caption=(
            f"{shown}; filled where it was clicked, hollow where not. In the shaded corners one "
            f"branch raises the score and the other lowers it, each by more than {FAR} (dotted "
            "lines). Neither is right by itself; only the sum was trained. Click a dot to open "
            "that impression; drag a box to ask what is special about those in it."
        ),
        alt=(
            f"In {100 * apart:.0f} % of the {format_count(len(found.fm))} impressions the {first} "
            f"branch and the network pull apart, each by more than {FAR} from its mean."
        ),
        table=lambda: dots_table(scores, found),
    )


def _first_branch(model: TrainedModel) -> str:
    """What the branch beside the network is called at the start of a sentence."""
    return "FM" if "pairwise" in model.model.terms else "Linear"


def dots_table(scores: Scores, found: Disagreement) -> pd.DataFrame:
    """The dots with their branches, centred."""
    return pd.DataFrame(
        {
            "row": scores.rows[found.dots],
            "FM branch": found.fm[found.dots],
            "deep branch": found.deep[found.dots],
            "clicked": found.clicked[found.dots],
        }
    )


def _follow(result: PlotResult, run_id: str, scores: Scores, found: Disagreement) -> None:
    """Open the impression that was clicked, or keep the box that was drawn."""
    if result.click is not None:
        row = _clicked_row(result, found)
        if row is not None:
            links.go_to("impression", run=run_id, part=scores.part, row=str(row))
    if result.box is not None:
        ends = (result.box.left, result.box.right, result.box.low, result.box.high)
        st.query_params[BOX] = ",".join(f"{end:.4g}" for end in ends)
        st.session_state["model_region"] = _DRAWN
        st.rerun(scope="fragment")


def _clicked_row(result: PlotResult, found: Disagreement) -> int | None:
    """The row of a dot, or one impression of a cell of the density."""
    assert result.click is not None
    if found.density is not None and result.click.trace == 0:
        row = int(found.density.row[result.click.point])
        return row if row >= 0 else None
    return int(result.click.customdata)


def _box_in_address() -> Box | None:
    """?box=left,right,low,high; None where there is none or it is not four numbers."""
    try:
        ends = [float(text) for text in st.query_params.get(BOX, "").split(",")]
    except ValueError:
        return None
    ordered = len(ends) == 4 and ends[0] <= ends[1] and ends[2] <= ends[3]
    return Box(*ends) if ordered else None


def show_region(
    model: TrainedModel, scores: Scores, found: Disagreement, drawn: Box | None
) -> None:
    """Choose a region; which values are commoner in it than outside, and by how much."""
    regions = {words.format(_first_branch(model)): box for words, box in _REGIONS.items()}
    if drawn:
        regions[_DRAWN] = drawn
    names = list(regions)
    ids = model.impression_ids(scores.part)
    known = min(len(ids), len(scores))
    within = {
        name: box.holds(found.fm[:known], found.deep[:known]) for name, box in regions.items()
    }
    if st.session_state.get("model_region") not in names:
        filled = next((name for name in names if 0 < within[name].sum() < known), names[0])
        st.session_state["model_region"] = _DRAWN if drawn else filled
    name = st.selectbox(
        f"What is special about the impressions where … (each by more than {FAR})",
        names,
        key="model_region",
        format_func=lambda name: f"{name} · {format_count(int(within[name].sum()))} impressions",
        help=f"“Raises” and “lowers” mean by more than {FAR} logit from the branch's mean.",
    )
    box, inside = regions[name or names[0]], within[name or names[0]]
    try:
        region = kept(
            model,
            ("region", scores.part, box),
            lambda: over_represented(
                model.vocabulary, ids[:known], found.clicked[:known], inside, most=200
            ),
        )
    except DeepFMError as error:
        st.caption(plain(error)) if not inside.any() else show_error(error)
        return
    st.markdown(plain(region_in_words(region, known, len(scores))))
    show_values(region)


def region_in_words(region: Region, known: int, rows: int) -> str:
    """How many impressions it holds, what came of them, and which fields it is about."""
    of = f"of {format_count(known)} impressions"
    if known < rows:
        of = f"of the {format_count(known)} impressions whose values are kept"
    fields = [shift.field for shift in region.fields if shift.significant][:3]
    about = (
        f"They differ from the rest most in {', '.join(fields)}."
        if fields
        else "No field's values are spread differently here by more than chance."
    )
    return (
        f"{format_count(region.inside)} {of}: "
        f"{format_probability(region.clicks_inside / region.inside)} clicked, outside "
        f"{format_probability(region.clicks_outside / region.outside)}. {about}"
    )


def show_values(region: Region) -> None:
    """The chart of shares, or that nothing stands out."""
    sure = region.significant
    if not sure:
        st.caption(
            f"None of the {format_count(region.looked_at)} values looked at is commoner here by "
            "more than chance would explain (corrected for looking at many)."
        )
    shown = (sure or region.values)[:MOST_VALUES]
    if not shown:
        return
    plot(
        region_figure(shown),
        key="model_region_values",
        height=bar_height(len(shown), least=150, each=27, around=80),
        caption=_which_values(region, len(shown)),
        alt=value_in_words(shown[0]),
        table=lambda: values_table(region),
    )


def _which_values(region: Region, shown: int) -> str:
    """Which values the chart is of, and by which test."""
    looked_at = f"of the {format_count(region.looked_at)} values looked at"
    sure = len(region.significant)
    if not sure:
        return (
            f"those {looked_at} that come nearest to standing out; chance alone would make some "
            "differ so much. Filled: their share inside, hollow: outside."
        )
    test = (
        "by more than chance (Fisher's exact test, corrected for looking at many by Benjamini and "
        "Hochberg at 5 %)."
    )
    marks = "filled, a value's share of the impressions inside; hollow, outside."
    if sure == 1:
        return f"{marks} This one alone, {looked_at}, is commoner inside {test}"
    which = f"The surest {shown} of {sure}" if sure > shown else f"These {sure}"
    return f"{marks} {which}, {looked_at}, are commoner inside {test}"


def value_in_words(value: ValueShare) -> str:
    """ "device = phone: 71.0 % of the impressions inside, 38.2 % outside"."""
    return (
        f"{value.field} = {value.value or '(empty)'}: "
        f"{format_probability(value.share_inside)} of the impressions inside, "
        f"{format_probability(value.share_outside)} outside."
    )


def values_table(region: Region) -> pd.DataFrame:
    """Every over-represented value with its counts, shares and corrected p-value."""
    shifts = {shift.field: shift for shift in region.fields}
    return pd.DataFrame(
        [
            {
                "field": value.field,
                "value": value.value,
                "rows inside": value.inside,
                "rows outside": value.outside,
                "share inside": value.share_inside,
                "share outside": value.share_outside,
                "times as common": value.times,
                "p": value.p_value,
                "p, corrected": value.adjusted,
                "how much its field differs (Cramér's V)": shifts[value.field].strength,
                "p of that, corrected": shifts[value.field].adjusted,
            }
            for value in region.values
        ]
    )
