"""A dataset to where it came from, and to the same rows prepared with other settings."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

from deepfm.config import PrepareConfig, Settings
from deepfm.errors import ConfigError

if TYPE_CHECKING:
    from deepfm.data.dataset import Dataset
    from deepfm.data.reporting import OnEvent, ShouldStop
    from deepfm.runs.store import JobRow

Kind = Literal["files", "demo", "d2l", ""]
_KINDS: Final[tuple[Kind, ...]] = ("files", "demo", "d2l", "")


@dataclass(frozen=True)
class DataSource:
    """A dataset, and how it can be had again with other settings of prepare.

    folder, name, fingerprint   of the dataset as it is
    kind      what it was made from: kept files, the bundled demo, D2L's zip; empty if not known
    payload   of files what the job "prepare" takes, of D2L's set {archive}
    """

    folder: str
    name: str
    fingerprint: str
    kind: Kind = ""
    payload: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.kind not in _KINDS:
            raise ConfigError(f"Data cannot come from {self.kind!r}.")

    @property
    def again(self) -> bool:
        """Whether it can be prepared again."""
        return bool(self.kind)

    def to_dict(self) -> dict[str, Any]:
        """To JSON's types."""
        return {
            "folder": self.folder,
            "name": self.name,
            "fingerprint": self.fingerprint,
            "kind": self.kind,
            "payload": dict(self.payload),
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "DataSource":
        """From JSON's types; TypeError for unknown or missing entries."""
        return cls(**values)


def source_of(dataset: "Dataset", jobs: Iterable["JobRow"], home: Path) -> DataSource:
    """Where a dataset came from: found among the jobs that made it, if its files are kept."""
    kind, payload = _origin(dataset, jobs, home)
    return DataSource(str(dataset.folder), dataset.name, dataset.fingerprint, kind, payload)


def _origin(
    dataset: "Dataset", jobs: Iterable["JobRow"], home: Path
) -> tuple[Kind, Mapping[str, Any]]:
    from deepfm.data.catalog import D2L_URL, DEMO_NAME

    if dataset.name == DEMO_NAME:
        return "demo", {}
    for job in jobs:
        if (job.result or {}).get("fingerprint") != dataset.fingerprint:
            continue
        if job.kind == "prepare" and _files_are_kept(job.payload):
            return "files", {k: v for k, v in job.payload.items() if k != "config"}
        if job.kind == "fetch_d2l":
            fetched = home / "downloads" / Path(D2L_URL).name
            archive = Path(job.payload.get("archive") or fetched)
            if archive.is_file():
                return "d2l", {"archive": str(archive)}
    return "", {}


def payload_of(dataset: "Dataset", jobs: Iterable["JobRow"]) -> dict[str, Any] | None:
    """What the job that prepared a dataset was given; None if that or its files are gone."""
    for job in jobs:
        made = (job.result or {}).get("fingerprint") == dataset.fingerprint
        if job.kind == "prepare" and made and _files_are_kept(job.payload):
            return job.payload
    return None


def _files_are_kept(payload: Mapping[str, Any]) -> bool:
    files = [payload.get(name) for name in ("train", "test")]
    return all(Path(file).is_file() for file in files if file)


def prepare_again(
    source: DataSource,
    config: PrepareConfig,
    settings: Settings,
    *,
    on_event: "OnEvent | None" = None,
    cancelled: "ShouldStop | None" = None,
) -> "Dataset":
    """The same rows prepared with other settings, opened where that was done before.

    Its name says what was changed. Raises what `prepare` raises.
    """
    from deepfm.data.catalog import open_demo, prepare_d2l
    from deepfm.data.dataset import prepare
    from deepfm.data.schema import Schema

    home = settings.home_folder
    name = f"{source.name} ({_changes_in_words(config)})"
    listen: dict[str, Any] = {"on_event": on_event, "cancelled": cancelled}
    if source.kind == "demo":
        return open_demo(home, config=config, name=name, **listen)
    if source.kind == "d2l":
        return prepare_d2l(Path(source.payload["archive"]), home, config=config, **listen)
    if source.kind == "files":
        payload = source.payload
        schema, test = payload.get("schema"), payload.get("test")
        return prepare(
            Path(payload["train"]),
            None if test is None else Path(test),
            config=config,
            schema=None if schema is None else Schema.from_dict(schema),
            name=name,
            settings=settings,
            **listen,
        )
    raise ConfigError(f"The file that {source.name} came from is not kept here.")


def _changes_in_words(config: PrepareConfig) -> str:
    usual = PrepareConfig()
    changed = [
        f"{setting.label.lower()} {setting.format(value)}"
        for setting in PrepareConfig.settings()
        if (value := getattr(config, setting.name)) != getattr(usual, setting.name)
    ]
    return ", ".join(changed) or "as by default"
