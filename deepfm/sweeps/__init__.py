"""Several values for some settings to runs that are queued as one, and to what they showed.

    axes.py          one swept setting: values or a range, as typed, as JSON and in words
    description.py   the sweep: what is asked for, its JSON, its checks in words
    studies.py       ready-made ones, as in section 3.3 of the DeepFM paper
    sources.py       where a dataset came from, and the same rows prepared otherwise
    sampling.py      trials so far to the next one, by optuna's samplers
    record.py        what the store keeps of a sweep beside its runs
    starting.py      begin, advance, stop
    results.py       runs to configurations, best first, with their spread over seeds
    command.py       what is typed on the command line, and following a sweep there

Importing this loads neither torch nor streamlit nor optuna.
"""

from deepfm.sweeps.axes import (
    Axis,
    axis_label,
    format_axis,
    parse_axis,
    swept_setting,
    swept_settings,
)
from deepfm.sweeps.command import axes_of, follow, sweep_name, sweep_of
from deepfm.sweeps.description import MOST_RUNS, OBJECTIVES, SAMPLERS, Point, Sweep
from deepfm.sweeps.record import KIND, Place, Record
from deepfm.sweeps.results import (
    Configuration,
    Results,
    SeedRun,
    Spread,
    Verdict,
    final_figures,
    read_results,
    results_of,
    to_json,
)
from deepfm.sweeps.sources import DataSource, payload_of, source_of
from deepfm.sweeps.starting import (
    advance,
    begin,
    check_data,
    complete,
    missing,
    needs_preparing,
    payload_for,
    stop,
)
from deepfm.sweeps.studies import STUDIES, Study

__all__ = [
    "KIND",
    "MOST_RUNS",
    "OBJECTIVES",
    "SAMPLERS",
    "STUDIES",
    "Axis",
    "Configuration",
    "DataSource",
    "Place",
    "Point",
    "Record",
    "Results",
    "SeedRun",
    "Spread",
    "Study",
    "Sweep",
    "Verdict",
    "advance",
    "axes_of",
    "axis_label",
    "begin",
    "check_data",
    "complete",
    "final_figures",
    "follow",
    "format_axis",
    "missing",
    "needs_preparing",
    "parse_axis",
    "payload_for",
    "payload_of",
    "read_results",
    "results_of",
    "source_of",
    "stop",
    "sweep_name",
    "sweep_of",
    "swept_setting",
    "swept_settings",
    "to_json",
]
