"""The configurations to the README's tables of settings; `python -m tests.readme` writes them."""

import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from deepfm.config import Config, ModelConfig, PrepareConfig, Setting, Settings, TrainConfig

README = Path(__file__).resolve().parent.parent / "README.md"
OWN_FLAGS = {(PrepareConfig, "seed"): "--split-seed", (ModelConfig, "shared_embedding"): None}
"""Settings whose flag is not their name; None where a switch of its own stands for it."""


def settings_tables() -> str:
    """Every setting of preparing and training, with flag, default, range and help."""
    parts = (
        ("What `prepare` does", PrepareConfig),
        ("What is learned", ModelConfig),
        ("How it is learned", TrainConfig),
    )
    return "\n\n".join(
        f"{title}:\n\n" + table(("setting", "flag", "default", "what it does"), _rows(config))
        for title, config in parts
    )


def limits_table() -> str:
    """Every setting of an installation, with its variable, default and help."""
    rows = (
        (f"`DEEPFM_{setting.name.upper()}`", _default(setting), help_of(setting))
        for setting in Settings.settings()
    )
    return table(("variable", "default", "what it does"), rows)


def _rows(config: type[Config]) -> Iterator[tuple[str, ...]]:
    for setting in config.settings():
        flag = OWN_FLAGS.get((config, setting.name), setting.flag)
        shown = "`--separate-embedding`" if flag is None else f"`{flag}`"
        yield f"`{setting.name}`", shown, _default(setting), help_of(setting)


def _default(setting: Setting) -> str:
    return f"`{setting.format(setting.default)}`" if setting.format(setting.default) else ""


def help_of(setting: Setting) -> str:
    """What a setting does, and its choices or range."""
    choices = f"One of {', '.join(setting.choices)}." if setting.choices else ""
    return " ".join(filter(None, (setting.help, choices, setting.bounds))).replace("|", "\\|")


def table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    """A table in Markdown."""
    lines = [head, tuple("---" for _ in head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def with_tables(text: str) -> str:
    """The README's text with its tables as they must be."""
    for name, content in (("settings", settings_tables()), ("limits", limits_table())):
        pattern = rf"(<!-- {name}: [^\n]*-->\n).*?(<!-- end of {name} -->)"
        text, count = re.subn(
            pattern, lambda match, c=content: f"{match[1]}\n{c}\n\n{match[2]}", text, flags=re.S
        )
        assert count == 1, f"the README has no place for {name}"
    return text


if __name__ == "__main__":
    README.write_text(with_tables(README.read_text("utf-8")), "utf-8")
