"""What the store keeps of a sweep beside its runs: the group's `spec`, as typed data.

A sweep's whole state is this and its runs. What trials come next is worked out from both anew
each time, so that no process has to remember anything.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from deepfm.config import PrepareConfig
from deepfm.errors import ConfigError
from deepfm.sweeps.axes import swept_setting
from deepfm.sweeps.description import Point, Sweep

if TYPE_CHECKING:
    from deepfm.runs.store import RunRow

KIND = "sweep"
"""Of the group that a sweep is in the store."""


@dataclass(frozen=True)
class Place:
    """One dataset of a sweep: what it was prepared with, where it is, how large it is."""

    prepare: PrepareConfig
    folder: str
    name: str
    fingerprint: str
    features: int
    fields: int

    def to_dict(self) -> dict[str, Any]:
        """To JSON's types."""
        return {**vars(self), "prepare": self.prepare.to_dict()}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "Place":
        """From JSON's types."""
        return cls(**{**values, "prepare": PrepareConfig.from_dict(values["prepare"])})


@dataclass(frozen=True)
class Record:
    """A sweep as it is kept.

    places    its datasets: one, or one for each value of a setting of prepare
    pinned    impressions whose terms ride on its runs' events
    joined    runs that were there already and count as its own
    open      whether more trials are to come
    message   why it was ended early, in words
    """

    sweep: Sweep
    places: tuple[Place, ...]
    pinned: tuple[Mapping[str, str | None], ...] = ()
    joined: tuple[str, ...] = ()
    open: bool = False
    message: str = ""

    def to_dict(self) -> dict[str, Any]:
        """To JSON's types."""
        return {
            "sweep": self.sweep.to_dict(),
            "places": [place.to_dict() for place in self.places],
            "pinned": [dict(impression) for impression in self.pinned],
            "joined": list(self.joined),
            "open": self.open,
            "message": self.message,
        }

    @classmethod
    def from_dict(cls, spec: Mapping[str, Any]) -> "Record":
        """From a group's spec; ConfigError where it is not that of a sweep."""
        try:
            return cls(
                Sweep.from_dict(spec["sweep"]),
                tuple(Place.from_dict(place) for place in spec["places"]),
                tuple(spec.get("pinned", ())),
                tuple(spec.get("joined", ())),
                bool(spec.get("open", False)),
                str(spec.get("message", "")),
            )
        except (KeyError, TypeError, AttributeError) as error:
            raise ConfigError(f"This group is not a sweep, or damaged ({error!r}).") from error

    def place_of(self, point: Point) -> Place:
        """The dataset that a point is trained on."""
        prepare = self.sweep.prepare_of(point)
        for place in self.places:
            if place.prepare == prepare:
                return place
        raise ConfigError("A dataset of this sweep is missing. Start the sweep again.")

    def point_of(self, run: "RunRow") -> Point | None:
        """The point that a run stands for; None for a run on another dataset."""
        place = next((each for each in self.places if each.fingerprint == run.fingerprint), None)
        if place is None:
            return None
        return tuple(
            _value_of(axis.setting, place.prepare, run.model, run.train) for axis in self.sweep.axes
        )


def _value_of(
    name: str, prepare: PrepareConfig, model: Mapping[str, Any], train: Mapping[str, Any]
) -> Any:
    setting = swept_setting(name)
    for given in (model, train, prepare.to_dict()):
        if name in given:
            return setting.check(given[name])
    return setting.default
