"""Settings to form fields: label, help and bounds from the setting, its value in the address.

What was typed is kept as text until it can be used: a mistake stands at its field in one
sentence, and nothing typed is lost, neither by the mistake nor by visiting another page.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import streamlit as st

from deepfm.charts.palette import TERM_LETTERS
from deepfm.config import TERM_SETS, Setting, model_name
from deepfm.errors import ConfigError
from deepfm.ui.text import plain

WIDE_IS_LINEAR: Final = (
    "The wide part of Wide & Deep is only linear here, since the data have no crossed fields."
)


@dataclass
class SettingsForm:
    """The fields of one form.

    name       names its session keys
    defaults   the values that stand in fields nobody touched, and are left out of the address
    values     what the fields hold, as far as it is free of mistakes
    mistakes   setting to the sentence about what was typed
    """

    name: str
    defaults: Mapping[str, Any] = field(default_factory=dict)
    values: dict[str, Any] = field(default_factory=dict)
    mistakes: dict[str, str] = field(default_factory=dict)

    def key(self, setting: str) -> str:
        """The session key of a setting's widget; another one once it was filled from outside.

        A new widget starts with its value in every drawing. A value put into an old one by the
        session is told to the browser once, and lost where that drawing is overtaken by the next.
        """
        return self._keys(setting)[-1]

    def _keys(self, setting: str) -> list[str]:
        """Those of all widgets that the setting has had, the newest last."""
        filled = st.session_state.get(f"{self.name}_filled", {}).get(setting, 0)
        first = f"{self.name}_{setting}"
        return [first, *(f"{first}_{number}" for number in range(1, filled + 1))]

    @property
    def drafts(self) -> dict[str, str]:
        """Setting to typed text, where it was touched; unlike a widget it outlives the page."""
        drafts: dict[str, str] = st.session_state.setdefault(f"{self.name}_drafts", {})
        return drafts

    def enter(self, names: Iterable[str]) -> None:
        """When the page is entered by an address that names settings, it names all of them.

        Only then: the address that comes with a later run may be older than what was typed, or
        than what the form was filled with from outside.
        """
        known = list(names)
        if any(key in st.session_state for name in known for key in self._keys(name)):
            return
        addressed = {name: st.query_params[name] for name in known if name in st.query_params}
        if addressed:
            self.drafts.clear()
            self.drafts.update(addressed)

    def show(self, setting: Setting) -> None:
        """The field of a setting that was read, and under it the sentence about its mistake."""
        _SHOW[setting.kind](self, setting, _widget_value(setting, self.text(setting)))
        if setting.name in self.mistakes:
            mistake(self.mistakes[setting.name])

    def read(self, setting: Setting) -> None:
        """A setting's value or mistake from what was typed, and its place in the address."""
        text = self.text(setting)
        self._to_address(setting, text)
        try:
            self.values[setting.name] = setting.parse(text)
        except ConfigError as error:
            self.mistakes[setting.name] = str(error)

    def text(self, setting: Setting) -> str:
        """What was typed, else the default."""
        return self.drafts.get(setting.name, self._default(setting))

    def in_words(self, setting: Setting) -> str:
        """What stands in a field; a switch as on or off."""
        return _in_words(setting, self.text(setting))

    def is_changed(self, setting: Setting) -> bool:
        """Whether something else stands in a field than it starts with."""
        return self.text(setting) != self._default(setting)

    def help(self, setting: Setting) -> str:
        """The help of its field."""
        return help_of(setting, self._default(setting))

    def put(self, setting: Setting, value: Any) -> None:
        """Fill a field from outside with another run's value, before the form is drawn again."""
        self.drafts[setting.name] = _as_text(setting, value)
        self._renew(setting.name)

    def reset(self, setting: Setting) -> None:
        """Back to the default, in a callback."""
        self.drafts.pop(setting.name, None)
        self._renew(setting.name)

    def taken(self, setting: Setting) -> None:
        """A widget's new value into the drafts: its on_change."""
        value = st.session_state.get(self.key(setting.name))
        if value is not None:  # the widget may be gone before its last word arrives
            text = value if isinstance(value, str) else _as_text(setting, value)
            self.drafts[setting.name] = text

    def _renew(self, setting: str) -> None:
        """Let the next drawing begin with a new widget."""
        filled: dict[str, int] = st.session_state.setdefault(f"{self.name}_filled", {})
        filled[setting] = filled.get(setting, 0) + 1

    def _default(self, setting: Setting) -> str:
        return _as_text(setting, self.defaults.get(setting.name, setting.default))

    def _to_address(self, setting: Setting, text: str) -> None:
        """The address holds what differs from the default."""
        if text != self._default(setting):
            if st.query_params.get(setting.name) != text:
                st.query_params[setting.name] = text
        elif setting.name in st.query_params:
            del st.query_params[setting.name]


def help_of(setting: Setting, here: str = "") -> str:
    """What a setting does, what it may be, and its default, as they were declared.

    here   what the field starts with, where a preset has a default of its own
    """
    usual = _in_words(setting, _as_text(setting, setting.default))
    started = _in_words(setting, here) if here else usual
    default = f"Default: {usual}" if usual else ""
    preset = f"{', ' if default else ''}in this preset {started}" if started != usual else ""
    rest = f"{default}{preset}." if default or preset else ""
    return plain(" ".join(filter(None, (setting.help, setting.bounds, rest))))


def _in_words(setting: Setting, text: str) -> str:
    return {"True": "on", "False": "off"}.get(text, text) if setting.kind == "bool" else text


def mistake(sentence: str) -> None:
    """One sentence about a mistake, at the field it was made in."""
    st.caption(f":red[:material/error: {plain(sentence)}]")


def _as_text(setting: Setting, value: Any) -> str:
    """A value as the address and the field show it; terms by their model's name."""
    return model_name(tuple(value)) if setting.kind == "terms" else setting.format(value)


def _widget_value(setting: Setting, text: str) -> str | bool:
    """What a setting's widget starts with; a text that is no choice becomes the first choice."""
    if setting.kind == "bool":
        return text.strip().lower() in ("1", "true", "yes", "on")
    choices = tuple(TERM_SETS)[::-1] if setting.kind == "terms" else setting.choices
    return text if not choices or text in choices else choices[0]


def _typed(form: SettingsForm, setting: Setting, start: str | bool) -> None:
    st.text_input(
        setting.label,
        value=str(start),
        key=form.key(setting.name),
        help=form.help(setting),
        on_change=form.taken,
        args=(setting,),
        autocomplete="off",
    )


def _chosen(form: SettingsForm, setting: Setting, start: str | bool) -> None:
    st.selectbox(
        setting.label,
        setting.choices,
        index=setting.choices.index(str(start)),
        key=form.key(setting.name),
        help=form.help(setting),
        on_change=form.taken,
        args=(setting,),
    )


def _switched(form: SettingsForm, setting: Setting, start: str | bool) -> None:
    st.toggle(
        setting.label,
        value=bool(start),
        key=form.key(setting.name),
        help=form.help(setting),
        on_change=form.taken,
        args=(setting,),
    )


def lamps(terms: Sequence[str]) -> str:
    """The letters of the terms a model has, and a dot for each it lacks: FM is "L P ·"."""
    return " ".join(letter if term in terms else "·" for term, letter in TERM_LETTERS.items())


def _modelled(form: SettingsForm, setting: Setting, start: str | bool) -> None:
    st.selectbox(
        "Model",
        tuple(TERM_SETS),
        index=tuple(TERM_SETS).index(str(start)),
        key=form.key(setting.name),
        format_func=lambda name: f"{lamps(TERM_SETS[name])}   {name}",
        help=f"{form.help(setting)} {plain(WIDE_IS_LINEAR)}",
        on_change=form.taken,
        args=(setting,),
    )


_SHOW: Final[Mapping[str, Callable[[SettingsForm, Setting, str | bool], None]]] = {
    "int": _typed,
    "float": _typed,
    "ints": _typed,
    "text": _typed,
    "choice": _chosen,
    "bool": _switched,
    "terms": _modelled,
}
