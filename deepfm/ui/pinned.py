"""The impressions watched in training to cards: a name, what each term makes of it, the way on."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import pandas as pd
import streamlit as st

from deepfm.charts.history import History
from deepfm.charts.palette import shortened
from deepfm.charts.training.pinned import (
    PINNED_CAPTION,
    pinned_bars,
    pinned_figure,
    pinned_finding,
    pinned_range,
)
from deepfm.charts.training.replay import replay_of, with_pinned_frames
from deepfm.terms import TERM_NAMES
from deepfm.ui import links, state
from deepfm.ui.plot import Shown, Slider, data_button, plot, shown
from deepfm.ui.shared import once
from deepfm.ui.text import plain

MOST_VALUES: Final = 7
"""Values of an impression that stand on its card."""


@dataclass(frozen=True)
class Pinned:
    """The impressions of a run, and how far it has learned.

    impressions   field to raw value each
    explained     whether the Impression page can show them
    """

    impressions: Sequence[Mapping[str, str | None]]
    dataset_name: str
    terms: tuple[str, ...]
    run_id: str
    cursor: int = 0
    ended: bool = False
    explained: bool = False

    @property
    def key(self) -> tuple[str, int, bool]:
        """What all that is drawn of them depends on."""
        return self.run_id, self.cursor, self.ended


def show_pinned(pinned: Pinned, history: History, slider: Slider | None = None) -> None:
    """A card for each impression that is watched: its name, its bars, the way to its page."""
    count = len(pinned.impressions)
    if not count:
        return
    kept = history.kept
    st.markdown(
        "**Pinned impressions: what each term makes of them as it learns**"
        + (f" · at rest: epoch {kept.epoch:g}, kept" if kept else "")
    )
    half_width = once(("pinned range", *pinned.key), lambda: pinned_range(history, count))
    beside = 2 if count in (2, 4) else min(count, 3)
    with st.container(key="two_pinned"):
        for start in range(0, count, beside):
            columns = st.columns(beside, gap="small")
            for place in range(start, min(start + beside, count)):
                with columns[place - start].container(border=True, height="stretch", gap="xsmall"):
                    _pinned_card(pinned, history, place, half_width, slider)
    st.caption(f"How to read this: {PINNED_CAPTION}")
    if history.latest:
        names = [
            pinned_words(pinned.dataset_name, each, place)[0]
            for place, each in enumerate(pinned.impressions)
        ]
        data_button(
            lambda: _pinned_table(pinned, history),
            key="pinned_data",
            name="pinned impressions",
            charts={f"train_pinned_{place}": name for place, name in enumerate(names)},
        )


def _pinned_card(
    pinned: Pinned, history: History, place: int, half_width: float, slider: Slider | None
) -> None:
    title, truth = pinned_words(pinned.dataset_name, pinned.impressions[place], place)
    if pinned.explained:
        links.link("impression", title, run=pinned.run_id, pinned=str(place))
    else:
        st.markdown(f"**{plain(title)}**")
    st.caption(plain(values_in_words(pinned.impressions, place)))
    plot(
        _pinned_figure(pinned, place, half_width, truth, history),
        key=f"train_pinned_{place}",
        height=128,
        alt=pinned_finding(title, pinned_bars(history.resting, place), truth),
        slider=slider,
        menu=False,
    )


def _pinned_figure(
    pinned: Pinned, place: int, half_width: float, truth: float | None, history: History
) -> Shown:
    """One figure for all who watch."""

    def make() -> Shown:
        bars = pinned_bars(history.resting, place)
        figure = pinned_figure(bars, half_width, pinned.terms, truth)
        if pinned.ended:
            with_pinned_frames(figure, replay_of(history), place, pinned.terms, truth)
        return shown(figure)

    return once(("pinned", *pinned.key, place), make)


def pinned_words(
    dataset_name: str, values: Mapping[str, str | None], place: int
) -> tuple[str, float | None]:
    """A pinned impression's name, and its true probability where it is known (the demo)."""
    if dataset_name != state.DEMO:
        return f"Impression {place + 1}", None
    key = "pinned words", tuple(values.items()), place
    return once(key, lambda: _demo_words(values, place))


def _demo_words(values: Mapping[str, str | None], place: int) -> tuple[str, float]:
    from deepfm.data.catalog import PINNED, true_probability

    named = next((each.name for each in PINNED if dict(each.values) == dict(values)), None)
    known = {name: value or "" for name, value in values.items()}
    return named or f"Impression {place + 1}", true_probability(known)


def values_in_words(impressions: Sequence[Mapping[str, str | None]], place: int) -> str:
    """The raw values of an impression, "coffee · news · phone"; of many those that tell it apart.

    A value tells apart where not all of the impressions have it.
    """
    values = {name: value for name, value in impressions[place].items() if value}
    telling = [
        name for name in values if any(other.get(name) != values[name] for other in impressions)
    ]
    names = list(values) if len(values) <= MOST_VALUES or not telling else telling
    words = " · ".join(_value_in_words(name, values[name]) for name in names[:MOST_VALUES])
    more = len(values) - len(names[:MOST_VALUES])
    return words + (f" · and {more} more" if more else "")


def _value_in_words(name: str, value: str) -> str:
    return shortened(f"{name} {value}" if value.isdigit() else value, 22)


def _pinned_table(pinned: Pinned, history: History) -> pd.DataFrame:
    """One row a pinned impression: its centred terms, probability, truth, values."""
    rows = []
    for place, values in enumerate(pinned.impressions):
        title, truth = pinned_words(pinned.dataset_name, values, place)
        bars = pinned_bars(history.resting, place)
        rows.append(
            {
                "impression": title,
                **dict(zip(TERM_NAMES, bars.centred, strict=True)),
                "probability": bars.probability,
                "truth": truth,
                **{f"value of {name}": value for name, value in values.items()},
            }
        )
    return pd.DataFrame(rows)
