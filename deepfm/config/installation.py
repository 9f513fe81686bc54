"""Environment variables to the limits and places of one installation."""

import os
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from deepfm.config.setting import Config, declare
from deepfm.errors import ConfigError


@dataclass(frozen=True)
class Settings(Config):
    """Limits and places of one installation, each from an environment variable DEEPFM_NAME."""

    home: str = declare("", "Folder of all state; by default .deepfm beside app.py.")
    max_upload_mb: int = declare(
        2_000, "Largest file that may be uploaded, in MB.", low=1, high=1_000_000
    )
    max_unpacked_mb: int = declare(
        20_000, "Largest size of a compressed file once unpacked, in MB.", low=1, high=10_000_000
    )
    max_rows: int = declare(50_000_000, "Most rows of a dataset.", low=1, high=2_000_000_000)
    max_parameters: int = declare(
        500_000_000, "Most parameters of a model.", low=1, high=100_000_000_000
    )
    max_train_minutes: int = declare(240, "Longest training time, in minutes.", low=1, high=100_000)
    max_job_minutes: int = declare(
        60, "Longest time to inspect or prepare a file, in minutes.", low=1, high=100_000
    )
    max_job_memory_mb: int = declare(
        8_000, "Most memory to inspect or prepare a file, in MB.", low=500, high=1_000_000
    )
    max_queued: int = declare(500, "Most runs that may wait in the queue.", low=1, high=100_000)
    max_queued_per_person: int = declare(
        100, "Most runs of one person that may wait in the queue.", low=1, high=100_000
    )
    max_disk_mb: int = declare(
        100_000,
        "Most disk that the folder of all state may take, in MB; nothing new is begun beyond.",
        low=1,
        high=1_000_000_000,
    )
    keep_days: int = declare(
        0,
        "How many days runs that have ended, without a note or tag, and uploaded files that "
        "nothing uses are kept; 0 keeps them for ever.",
        low=0,
        high=100_000,
    )
    beyond_seconds: int = declare(
        0,
        "After a training, work out what the network adds beyond pairs where that takes no more "
        "than about so many seconds; 0 leaves it to who asks.",
        low=0,
        high=100_000,
    )
    data_folder: str = declare(
        "", "Folder on the server whose files anyone may open; empty for none."
    )

    @classmethod
    def from_environment(cls) -> "Settings":
        """DEEPFM_HOME, DEEPFM_MAX_UPLOAD_MB and so on; ConfigError names the variable."""
        return _settings_of(tuple(map(os.environ.get, _variables())))

    @property
    def home_folder(self) -> Path:
        """The folder of all state, absolute; not made here."""
        return _home_folder(self.home)


@lru_cache(maxsize=1)
def _variables() -> tuple[str, ...]:
    """The environment's name of each setting, in order."""
    return tuple(f"DEEPFM_{setting.name.upper()}" for setting in Settings.settings())


@lru_cache(maxsize=64)
def _settings_of(texts: tuple[str | None, ...]) -> Settings:
    """Settings of what the environment says of each; kept, for a page asks at every look."""
    values = {}
    for setting, variable, text in zip(Settings.settings(), _variables(), texts, strict=True):
        if text is not None:
            try:
                values[setting.name] = setting.parse(text)
            except ConfigError as error:
                raise ConfigError(f"{variable}: {error}") from error
    return Settings.from_dict(values)


@lru_cache(maxsize=64)
def _home_folder(text: str) -> Path:
    """Kept: a page asks at every look, and each folder on the way costs a system call."""
    if text:
        return Path(text).expanduser().resolve()
    return Path(__file__).resolve().parents[2] / ".deepfm"


def machine_memory() -> int:
    """Bytes of memory of this machine; without limit where the system does not say."""
    if not hasattr(os, "sysconf"):
        return 2**63
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
