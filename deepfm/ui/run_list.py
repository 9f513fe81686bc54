"""The address to one page of the list of runs: words, filters, order, what is ticked and open."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypedDict, cast

import streamlit as st

from deepfm.errors import StoreError
from deepfm.ui import state
from deepfm.ui.address import chosen_in_address, several_in_address
from deepfm.ui.group_figures import test_aucs
from deepfm.ui.plot import revision_of
from deepfm.ui.sweep_view import from_before
from deepfm.ui.watching import STATE_WORDS

if TYPE_CHECKING:
    from deepfm.runs.store import Item, Overview, OverviewOrder, RunRow, RunState
    from deepfm.sweeps import Results

PAGE_ROWS: Final = 50
MOST_MEMBERS: Final = 300
"""Runs of an open group that the table lists."""

WORDS: Final = "filter"
STATES: Final = "state"
DATASET: Final = "data"
PERSON: Final = "by"
TAG: Final = "tag"
PAGE: Final = "page"
ORDER: Final = "order"
SELECTED: Final = "selected"
GROUP: Final = "group"

_WANTED: Final = "runs_wanted"

_FALLING: Final = frozenset({"created", "auc"})
"""Orders whose first click has the largest on top."""


@dataclass(frozen=True)
class Wanted:
    """Which runs the list is of, in which order; "" for a filter that is not set."""

    words: str = ""
    states: tuple["RunState", ...] = ()
    dataset: str = ""
    person: str = ""
    tag: str = ""
    order: "OverviewOrder" = "created"
    falling: bool = True

    @property
    def filtered(self) -> bool:
        """Whether it leaves any run out."""
        return bool(self.words or self.states or self.dataset or self.person or self.tag)


# --- filters ----------------------------------------------------------------------------------


def choose_filters() -> Wanted:
    """The boxes over the table; a box with nothing to choose between is left out."""
    store = state.store()
    with st.container(horizontal=True, vertical_alignment="bottom", key="runs_filters"):
        words = st.text_input(
            "Search",
            key=WORDS,
            bind="query-params",
            placeholder="Search names, notes, tags, settings…",
            help="Words that must all occur in the name, note, tags, dataset, person, group, state "
            "or settings of a run.",
            label_visibility="collapsed",
            icon=":material/search:",
            on_change=_first_page,
            width=330,
        )
        changed = several_in_address(STATES, STATE_WORDS)
        states = st.multiselect(
            "State",
            list(STATE_WORDS),
            key=STATES,
            format_func=STATE_WORDS.__getitem__,
            placeholder="Any state",
            label_visibility="collapsed",
            on_change=_and_first_page(changed),
            width=160,
        )
        datasets = {print_: name for print_, name, _ in store.run_datasets()}
        people = dict(store.run_people())
        tags = {tag: tag for tag, _ in store.run_tags()}
        dataset = _choice(DATASET, "Any dataset", _told_apart(datasets), least=2)
        person = _choice(PERSON, "Anyone", _told_apart(people), least=2)
        tag = _choice(TAG, "Any tag", tags, least=1)
    order, falling = order_in_address()
    chosen = tuple(cast("list[RunState]", states))
    wanted = Wanted(words, chosen, dataset, person, tag, order, falling)
    st.session_state[_WANTED] = wanted
    return wanted


def _choice(key: str, anything: str, options: Mapping[str, str], *, least: int) -> str:
    """One of some options by id, "" for all of them."""
    if len(options) < least and key not in st.query_params:
        return ""
    changed = chosen_in_address(key, options, "")
    return st.selectbox(
        anything,
        ["", *options],
        key=key,
        format_func=lambda chosen: options.get(chosen, anything),
        label_visibility="collapsed",
        on_change=_and_first_page(changed),
        width=160,
    )


def _told_apart(names: Mapping[str, str]) -> dict[str, str]:
    """Names by id; of several with the same name each says the start of its id."""
    often = Counter(names.values())
    return {id_: name if often[name] == 1 else f"{name} ({id_[:6]})" for id_, name in names.items()}


def _first_page() -> None:
    """Another filter begins at its first page."""
    st.query_params.pop(PAGE, None)


def _and_first_page(changed: Callable[[], None]) -> Callable[[], None]:
    def both() -> None:
        changed()
        _first_page()

    return both


def clear_filters() -> None:
    """A callback: every run again."""
    st.session_state[WORDS] = ""
    for key in (STATES, DATASET, PERSON, TAG):
        st.query_params.pop(key, None)
    _first_page()


# --- order and pages --------------------------------------------------------------------------


def order_in_address() -> tuple["OverviewOrder", bool]:
    """What the list is sorted by, and whether the largest is on top; "-auc" turns it round."""
    from deepfm.runs.store import OVERVIEW_ORDERS

    named = st.query_params.get(ORDER, "created")
    order = named.removeprefix("-")
    if order not in OVERVIEW_ORDERS:
        return "created", True
    return cast("OverviewOrder", order), (order in _FALLING) != named.startswith("-")


def sort_by(order: str) -> None:
    """A callback: sort by another column, or the other way round by the same one."""
    now, falling = order_in_address()
    turned = order == now and falling == (order in _FALLING)
    name = f"-{order}" if turned else order
    if name == "created":
        st.query_params.pop(ORDER, None)
    else:
        st.query_params[ORDER] = name
    _first_page()


def read_page(wanted: Wanted) -> "Overview":
    """The rows of the page that the address names; the first one where it names too high a one."""
    page = page_in_address()
    found = _read(wanted, page)
    if found.items or page == 1:
        return found
    _first_page()
    return _read(wanted, 1)


def page_in_address() -> int:
    """The page that the address names, counted from 1."""
    text = st.query_params.get(PAGE, "1")
    return max(1, int(text)) if text.isdecimal() and len(text) < 9 else 1


def _read(wanted: Wanted, page: int) -> "Overview":
    return state.store().overview(
        **_filters(wanted),
        order=wanted.order,
        test_aucs=test_aucs() if wanted.order == "auc" else {},
        descending=wanted.falling,
        limit=PAGE_ROWS,
        offset=PAGE_ROWS * (page - 1),
    )


class _Filters(TypedDict):
    states: "tuple[RunState, ...] | None"
    fingerprint: str | None
    owner: str | None
    tag: str | None
    search: str


def _filters(wanted: Wanted) -> _Filters:
    return {
        "states": wanted.states or None,
        "fingerprint": wanted.dataset or None,
        "owner": wanted.person or None,
        "tag": wanted.tag or None,
        "search": wanted.words,
    }


def choose_page(found: "Overview", wanted: Wanted) -> None:
    """How many runs there are, and which page of them is shown."""
    pages = max(1, -(-found.rows // PAGE_ROWS))
    runs = f"{found.runs:,} run{'' if found.runs == 1 else 's'}"
    st.caption(runs, width="content")
    if pages == 1:
        return
    # Another list is another control, which begins at its own first page.
    key = f"runs_page_{revision_of(wanted)}"
    st.pagination(
        pages, default=min(page_in_address(), pages), key=key, on_change=lambda: _turn_to(key)
    )


def _turn_to(key: str) -> None:
    page = int(st.session_state[key])
    if page == 1:
        _first_page()
    else:
        st.query_params[PAGE] = str(page)


def members(
    group_id: str, wanted: Wanted | None = None, limit: int | None = None
) -> list["RunRow"]:
    """The runs of a group that fit, in the order they were asked for."""
    return state.store().runs(
        group=group_id, **_filters(wanted or Wanted()), descending=False, limit=limit
    )


# --- what is ticked ---------------------------------------------------------------------------


def ticked() -> tuple[list["RunRow"], list[str]]:
    """The runs that the address ticks, in the order of ticking, and ids that name none here.

    An id may be that of a group, for all its runs.
    """
    found: dict[str, RunRow] = {}
    unknown = []
    for named in dict.fromkeys(st.query_params.get_all(SELECTED)):
        rows = _named(named)
        found.update((row.id, row) for row in rows)
        if not rows:
            unknown.append(named)
    return list(found.values()), unknown


def _named(id_: str) -> list["RunRow"]:
    try:
        return [state.store().run(id_)]
    except StoreError:
        return members(id_)


def change_ticks(changes: Mapping[str, bool]) -> None:
    """A callback: tick or untick runs and groups; of a group those runs that fit the filters."""
    wanted = st.session_state.get(_WANTED)
    rows = {row.id: row for row in ticked()[0]}
    for id_, on in changes.items():
        named = _named(id_)
        if named and named[0].id != id_:
            named = members(id_, wanted)
        for row in named:
            if on:
                rows.setdefault(row.id, row)
            else:
                rows.pop(row.id, None)
    tick_only(list(rows.values()))


def tick_only(rows: Sequence["RunRow"]) -> None:
    """Put ticked runs into the address; a group of which all are ticked goes in by its own id."""
    whole = _whole_groups(rows)
    ids = [row.group if row.group in whole else row.id for row in rows]
    if ids:
        st.query_params[SELECTED] = [str(id_) for id_ in dict.fromkeys(ids)]
    else:
        st.query_params.pop(SELECTED, None)


def _whole_groups(rows: Sequence["RunRow"]) -> set[str]:
    counts = Counter(row.group for row in rows if row.group)
    return {
        group
        for group, count in counts.items()
        if count > 1 and count == state.store().count_runs(group=group)
    }


# --- groups -----------------------------------------------------------------------------------


def open_group(group_id: str, is_open: bool) -> None:
    """A callback: open one group of the table, or close it."""
    if is_open:
        st.query_params[GROUP] = group_id
    else:
        st.query_params.pop(GROUP, None)


def group_in_words(item: "Item") -> str:
    """ "5 runs", "3 of 5 done" while some still wait or train."""
    group = item.group
    assert group is not None
    return _runs_in_words(group.ended, group.runs, group.ended == group.runs)


def sweep_in_words(results: "Results") -> str:
    """The same of a sweep, counted as its own page does: "6 runs, 1 from before"."""
    runs = _runs_in_words(results.done, results.planned, results.ended)
    return runs + from_before(results)


def best_in_words(results: "Results") -> str:
    """ "best on validation: tanh", "no winner; highest: tanh (valid.)"; "" before any is."""
    verdict = results.verdict
    if results.best is None:
        return ""
    if verdict.winner:
        return f"best on validation: {results.best.name}"
    order = "highest" if results.sweep.objective == "auc" else "lowest log loss"
    undecided = "" if verdict.explained is None else "no winner; "
    # What is cut off of a long one is where it ends.
    return f"{undecided}{order}: {results.best.name} (valid.)"


def _runs_in_words(done: int, runs: int, ended: bool) -> str:
    return f"{runs:,} run{'' if runs == 1 else 's'}" if ended else f"{done:,} of {runs:,} done"
