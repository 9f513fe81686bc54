"""The Train page's form to queued runs: a preset, settings, what they cost, and two buttons."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import streamlit as st

from deepfm.charts.palette import NO_VALUE, format_bytes, format_count, format_duration
from deepfm.config import (
    PRESETS,
    TERM_SETS,
    ModelConfig,
    PrepareConfig,
    Preset,
    Setting,
    TrainConfig,
    value_in_words,
)
from deepfm.errors import ConfigError, DeepFMError
from deepfm.sweeps import payload_of
from deepfm.ui import state
from deepfm.ui.expected import (
    Expected,
    Figure,
    check_fits,
    cost_html,
    expected,
    measured_rates,
    size_of,
    too_long_in_words,
)
from deepfm.ui.forms import SettingsForm, mistake
from deepfm.ui.person import show_person
from deepfm.ui.queueing import queue_all_five, queue_one
from deepfm.ui.shared import once
from deepfm.ui.sweep_form import sweep_form
from deepfm.ui.text import mistakes_in_words, plain, show_error
from deepfm.ui.waiting import show_job_end, wait_for_job

if TYPE_CHECKING:
    from deepfm.data.dataset import Dataset
    from deepfm.runs.store import JobRow, RunRow

PRESET_KEY: Final = "train_preset"
PRESET_DRAFT: Final = "train_preset_draft"
MORE_OPEN: Final = "train_more_open"
ONE: Final = "train_one"
FIVE: Final = "train_five"
PREPARE_JOB: Final = "train_prepare_job"
FEW_STEPS: Final = 200
"""Below, weights that begin around zero have hardly moved yet."""
MOST_CHANGES: Final = 60
"""Signs of the settings that are told to differ from the preset; more stand in their fields."""
TAKE_OVER: Final = (
    "“Train again with changes”, beside the name of a run that has ended, brings its settings here."
)
LONGEST_NAME: Final = 58
"""Signs of a run's own name, so that a number after it still fits a line."""
SHORT: Final[Mapping[str, str]] = {
    "num_factors": "K",
    "mlp_dims": "MLP",
    "drop_rate": "drop",
    "embedding_drop_rate": "embedding drop",
    "learning_rate": "lr",
    "batch_size": "batch",
}
"""What settings are called in a run's name, where that is shorter than their label."""
MAIN: Final = ("num_factors", "mlp_dims", "learning_rate", "epochs")
PRESET_TITLES: Final[Mapping[str, str]] = {
    "d2l": "Book",
    "real-data": "Real data",
    "your-data": "Your data",
    "quick": "Quick",
}


def all_settings() -> dict[str, Setting]:
    """Every setting of the model and of its training by name, in the order of declaration."""
    return {setting.name: setting for setting in (*ModelConfig.settings(), *TrainConfig.settings())}


@st.fragment
@mistakes_in_words()
def train_form(dataset: "Dataset", dataset_id: str) -> None:
    """The form; only it is drawn again while it is filled in."""
    settings = all_settings()
    form = SettingsForm("train")
    form.enter(settings)
    chosen = _preset_name(dataset)
    preset = PRESETS[chosen]
    form.defaults = {**preset.model, **preset.train}
    for setting in settings.values():
        form.read(setting)
    model, train = _configurations(form, dataset)
    # Before anything is drawn: what was asked for is begun, and the whole page drawn anew.
    refused = _go_ahead(dataset, preset, model, train)
    # It has its place also while it says nothing: the fields below stay what they are.
    with st.container():
        _say_of_shown_run(form)
    _show_presets(form, chosen, dataset, settings)
    _offer_preparing(dataset, dataset_id, preset)
    _show_pairs(form, [settings[name] for name in MAIN])
    more = [setting for name, setting in settings.items() if name not in MAIN]
    mistaken = any(setting.name in form.mistakes for setting in more)
    st.session_state.setdefault(MORE_OPEN, mistaken)
    if mistaken and (_is_pressed(ONE) or _is_pressed(FIVE)):
        st.session_state[MORE_OPEN] = True
    _buttons(form)
    _say_cost(dataset, model, train)
    if refused:
        show_error(refused)
    _more(form, more)
    sweep_form(dataset, model, train)
    show_person()


def _preset_name(dataset: "Dataset") -> str:
    """The preset that was clicked, else that of the address, the one before, what fits the data."""
    if chosen := st.session_state.get(PRESET_KEY):
        return str(chosen)
    wanted = st.query_params.get("preset") or st.session_state.get(PRESET_DRAFT, "")
    return wanted if wanted in PRESETS else preset_for(dataset)


def _say_of_shown_run(form: SettingsForm) -> None:
    """Whether these are the settings of the run beside the form; a line where there is one."""
    run_id = st.query_params.get("run", "")
    if not run_id or run_id == state.DEMO or "group" in st.query_params:
        return
    try:
        shown = once(("settings of", run_id, state.home()), lambda: _settings_of(run_id))
    except DeepFMError:
        return  # it is told where the run would stand
    if shown == {name: _as_json(value) for name, value in form.values.items()}:
        st.caption("With the settings of the run shown.")
    else:
        st.caption("Next run; the one shown has other settings.", help=TAKE_OVER)


def _settings_of(run_id: str) -> dict[str, Any]:
    """Every setting of a run, as JSON."""
    row = state.store().run(run_id)
    given = {**row.model, **row.train}
    return {
        name: _as_json(given.get(name, setting.default)) for name, setting in all_settings().items()
    }


def _show_presets(
    form: SettingsForm, name: str, dataset: "Dataset", settings: Mapping[str, Setting]
) -> None:
    st.segmented_control(
        "Preset",
        list(PRESETS),
        default=name,
        key=PRESET_KEY,
        format_func=lambda name: PRESET_TITLES.get(name, name),
        required=True,
        on_change=_preset_chosen,
        args=(settings,),
        width="stretch",
    )
    if name == preset_for(dataset):
        st.query_params.pop("preset", None)
    elif st.query_params.get("preset") != name:
        st.query_params["preset"] = name
    with st.container(key="preset_words"):
        st.caption(plain(PRESETS[name].help))
        # In the place of those words, which are no longer true.
        if changes := _changes_in_words(form, settings):
            st.caption(plain(f"{PRESET_TITLES[name]}, changed: {changes}"))


def _changes_in_words(form: SettingsForm, settings: Mapping[str, Setting]) -> str:
    """ "epochs 60, patience 300": what differs from the preset, in as many words as have room."""
    words = ""
    for setting in settings.values():
        if not form.is_changed(setting):
            continue
        label = "model" if setting.name == "terms" else _inside_a_sentence(setting.label)
        more = f"{label} {form.in_words(setting)}".strip()
        if words and len(words) + len(more) > MOST_CHANGES:
            return f"{words} …"
        words += f", {more}" if words else more
    return f"{words}." if words else ""


def _preset_chosen(settings: Mapping[str, Setting]) -> None:
    """Fields that any preset speaks of take the new one's values; the others keep theirs."""
    chosen = st.session_state.get(PRESET_KEY)
    if chosen is None:  # the control may be gone before its last word arrives
        return
    st.session_state[PRESET_DRAFT] = chosen
    form = SettingsForm("train")
    for name in {name for preset in PRESETS.values() for name in (*preset.model, *preset.train)}:
        form.reset(settings[name])


def preset_for(dataset: "Dataset") -> str:
    """The preset whose prepare settings a dataset has: what needs no preparing again."""
    if not dataset.prepare.validation and "validation" not in dataset.parts:
        return "d2l"
    if dataset.prepare.min_count == 1:
        return "real-data"
    return "quick" if dataset.name == state.DEMO else "your-data"


def _more(form: SettingsForm, settings: Sequence[Setting]) -> None:
    """The other settings; they stand on the page only while they are looked at."""
    with st.expander("More settings", key=MORE_OPEN, on_change="rerun") as expander:
        if not expander.open:
            return
        fields = [setting for setting in settings if setting.kind != "bool"]
        _show_pairs(form, sorted(fields, key=lambda setting: setting.kind != "terms"))
        for setting in settings:
            if setting.kind == "bool":
                with st.container(key=f"one_{setting.name}"):
                    form.show(setting)


def _show_pairs(form: SettingsForm, settings: Sequence[Setting]) -> None:
    """Fields, two beside each other."""
    with st.container(key=f"two_{settings[0].name}"):
        for start in range(0, len(settings), 2):
            for column, setting in zip(st.columns(2), settings[start : start + 2], strict=False):
                with column:
                    form.show(setting)


# --- what the preset wants of the data ------------------------------------------------------


def _offer_preparing(dataset: "Dataset", dataset_id: str, preset: Preset) -> None:
    """In words, where the preset's recipe begins with other data; preparing is one click."""
    if job_id := st.session_state.get(PREPARE_JOB):
        wait_for_job(job_id, "Preparing again", key="train_prepare", on_end=_prepared)
        return
    if ended := st.session_state.pop(f"{PREPARE_JOB}_ended", None):
        show_job_end(ended, "Preparing again")
    wanted = {
        name: value
        for name, value in preset.prepare.items()
        if getattr(dataset.prepare, name) != value
    }
    if not wanted or dataset_id == state.DEMO:
        return
    words = " and ".join(
        f"{PrepareConfig.setting(name).label.lower()} {value:g} "
        f"(this dataset has {getattr(dataset.prepare, name):g})"
        for name, value in wanted.items()
    )
    st.caption(plain(f"This preset's recipe prepares the data with {words}."))
    payload = payload_of(dataset, state.store().jobs())
    if payload is None:
        st.caption("To follow it, prepare the file again on the Data page with that setting.")
        return
    if st.button(
        "Prepare again with this preset's settings", icon=":material/refresh:", key="train_again"
    ):
        config = {**dataset.prepare.to_dict(), **wanted}
        st.session_state[PREPARE_JOB] = state.store().queue_job(
            "prepare", {**payload, "config": config}
        )
        st.rerun()


def _prepared(job: "JobRow") -> None:
    """Show the dataset that came of it; the preset that wanted it stays chosen."""
    st.session_state.pop(PREPARE_JOB, None)
    if job.state == "finished" and job.result:
        state.show_dataset(str(job.result["fingerprint"]))
    else:
        st.session_state[f"{PREPARE_JOB}_ended"] = job


# --- what was typed, what it costs, and going ahead ------------------------------------------


def _configurations(
    form: SettingsForm, dataset: "Dataset"
) -> tuple[ModelConfig | None, TrainConfig | None]:
    """The two configurations; None where there is a mistake, whose sentence is then known."""
    if form.mistakes:
        return None, None
    names = {setting.name for setting in ModelConfig.settings()}
    try:
        model = ModelConfig(**{k: v for k, v in form.values.items() if k in names})
        train = TrainConfig(**{k: v for k, v in form.values.items() if k not in names})
        check_fits(size_of(dataset), model, state.settings())
    except ConfigError as error:
        form.mistakes[_setting_of(str(error))] = str(error)
        return None, None
    return model, train


def _setting_of(sentence: str) -> str:
    """The setting whose label a sentence begins with; the first one where none does."""
    settings = all_settings()
    found = (name for name, each in settings.items() if sentence.startswith(each.label))
    return next(found, next(iter(settings)))


def _is_pressed(button: str) -> bool:
    return bool(st.session_state.get(button))


def _go_ahead(
    dataset: "Dataset", preset: Preset, model: ModelConfig | None, train: TrainConfig | None
) -> str:
    """Queue what a button asks for, and watch it; why that cannot be, "" where nothing is asked."""
    if model is None or train is None:
        return ""
    try:
        if _is_pressed(ONE):
            _watch(run=queue_one(dataset, run_name(preset, model, train), model, train))
        elif _is_pressed(FIVE):
            _watch(group=queue_all_five(dataset, model, train))
    except DeepFMError as error:
        return str(error)
    return ""


def _buttons(form: SettingsForm) -> None:
    """Mistakes if there are any, and the two buttons."""
    if form.mistakes:
        labels = [all_settings()[name].label for name in form.mistakes]
        mistake(f"Mend first: {', '.join(labels)}.")
    st.button("Train", type="primary", icon=":material/play_arrow:", key=ONE, width="stretch")
    st.button(
        "Compare all five",
        icon=":material/stacked_line_chart:",
        key=FIVE,
        width="stretch",
        help="Trains LR, FM, DNN, Wide & Deep and DeepFM on the same data with the same seed.",
    )


def _say_cost(dataset: "Dataset", model: ModelConfig | None, train: TrainConfig | None) -> None:
    """What it would cost; its place stays there while a mistake stands in the form."""
    if model is None or train is None:
        st.html(cost_html((name, NO_VALUE, "") for name in ("Parameters", "Memory", "Time")))
        return
    size = size_of(dataset)
    cost = expected(size, model, train, measured_rates(size, model, train))
    if words := too_long_in_words(cost, train, state.settings()):
        st.caption(plain(words))
    st.html(cost_html(_figures(cost, train)))
    if (steps := _steps(dataset, train)) < FEW_STEPS:
        st.caption(
            f"That is only {steps:,} steps, too few to learn much: lower the batch size "
            "or raise the epochs."
        )


def _watch(**address: str) -> None:
    """Put what was queued into the address, and draw the whole page."""
    for name in ("run", "group"):
        st.query_params.pop(name, None)
    for name, value in address.items():
        st.query_params[name] = value
    st.rerun(scope="app")


def _figures(cost: Expected, train: TrainConfig) -> tuple[Figure, ...]:
    """Parameters, memory and time."""
    most = "at most about" if train.patience else "about"
    basis = "as runs here went" if cost.measured else "a rough guess"
    return (
        ("Parameters", format_count(cost.parameters), ""),
        ("Memory", format_bytes(cost.memory_bytes), "to train"),
        ("Time", f"{most} {format_duration(cost.seconds)}", basis),
    )


def _steps(dataset: "Dataset", train: TrainConfig) -> int:
    """Batches in all epochs together."""
    return train.epochs * -(-size_of(dataset).train_rows // train.batch_size)


def run_name(preset: Preset, model: ModelConfig, train: TrainConfig) -> str:
    """The model and what differs from its preset: "DeepFM, K 16, MLP 400-400-400, lr 0.002".

    Where that is too long, what takes the least room is told: it tells most runs apart.
    """
    usual = {**preset.model, **preset.train}
    changed = [
        _in_a_name(setting, value)
        for config in (model, train)
        for setting in config.settings()
        if setting.name != "terms"
        and (value := config.to_dict()[setting.name])
        != _as_json(usual.get(setting.name, setting.default))
    ]
    kept = list(changed)
    while len(name := ", ".join((model.name, *(kept or [preset.name])))) > LONGEST_NAME:
        kept.remove(max(kept, key=len))
    return name + (" …" if len(kept) < len(changed) else "")


def _in_a_name(setting: Setting, value: Any) -> str:
    """ "lr 0.002", "MLP 400-400-400", "shared embedding off"."""
    words = value_in_words(setting, value).replace(",", "-")
    return f"{SHORT.get(setting.name, _inside_a_sentence(setting.label))} {words}"


def _inside_a_sentence(label: str) -> str:
    """ "Factor size" is "factor size"; "MLP dims" stays."""
    return label if label[:2].isupper() else label[0].lower() + label[1:]


def _as_json(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def fill_from(row: "RunRow") -> None:
    """The form takes the settings of a run, to train again with changes; it is drawn after that."""
    form = SettingsForm("train")
    for name, setting in all_settings().items():
        value = {**row.model, **row.train}.get(name, setting.default)
        form.put(setting, tuple(value) if isinstance(value, list) else value)


def compare_models_of(row: "RunRow") -> None:
    """Queue all five models with a run's settings on its dataset, and watch them."""
    try:
        dataset = state.dataset(state.DEMO if row.dataset_name == state.DEMO else row.fingerprint)
        model, train = ModelConfig.from_dict(row.model), TrainConfig.from_dict(row.train)
        _watch(group=queue_all_five(dataset, model, train))
    except DeepFMError as error:
        show_error(error)


def model_of(row: "RunRow") -> str:
    """LR, FM, DNN, Wide & Deep or DeepFM."""
    terms = tuple(row.model.get("terms", ()))
    return next((name for name, members in TERM_SETS.items() if members == terms), "DeepFM")
