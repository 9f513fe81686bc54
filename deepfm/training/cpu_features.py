"""A part of the fields to the places of their features in a batch, their gradients, and Adam."""

from dataclasses import dataclass
from itertools import pairwise
from typing import Final, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from deepfm.config import TrainConfig
from deepfm.model import DeepFM
from deepfm.training import cpu_folded as folding
from deepfm.training import cpu_kernels as kernels
from deepfm.training.cpu_adam import (
    AdamConstants,
    Schedule,
    adam,
    adam_rows,
    catch_up,
    decay_moments,
)
from deepfm.training.cpu_memory import Batch, FirstLayer
from deepfm.training.cpu_network import Network
from deepfm.training.cpu_rows import NO_NETWORK
from deepfm.training.cpu_tables import Fields, Tables

DENSE_NUMBERS: Final = 1_000_000
"""From this size of the tables on, exact Adam catches rows up instead of visiting all of them."""
FEATURE_LOOKUPS: Final = {"dense": 9.0, "catch-up": 2.0, "lazy": 2.0}
"""The work that a feature makes beside its lookups, in lookups, to share fields out evenly: folding
and Adam for every feature, or for the part of them that a batch touches (measured)."""

Update = Literal["dense", "catch-up", "lazy"]
UPDATES: Final[tuple[Update, ...]] = get_args(Update)


@dataclass(frozen=True)
class FeatureWork:
    """What a step does to the tables, each part for fields of its own.

    update         how Adam visits the tables
    embedding_l2   λ of the penalty on occurrences
    fields         of each part
    """

    tables: Tables
    network: Network
    update: Update
    embedding_l2: float
    schedule: Schedule
    fields: list[Fields]

    def find_touched(self, batch: Batch, step: int, part: int) -> None:
        """The features of this part's fields in the batch, brought up to the step before."""
        places, fields = batch.buffers.places, self.fields[part]
        batch.gather_ids(part)
        assert places.lookups is not None, "only where places are not features"
        kernels.find_places(
            batch.ids[part], fields, self.tables.marks, step, places.order, places.lookups
        )
        if self.update == "catch-up":
            features = places.order.features[places.order.of_fields(fields)]
            self.catch_up(features, step - 1)
            decay_moments(features, step - 1, self.tables)

    def catch_up(self, rows: NDArray[np.int64], until: int) -> None:
        """Give rows the steps that they missed, up to this one."""
        catch_up(rows, until, self.tables, self.schedule.rates, self.schedule.roots)

    def fold(self, batch: Batch, layer: FirstLayer, part: int) -> None:
        """What each feature adds to a row: of this part's fields, or of all for this part alone."""
        places = batch.buffers.places
        fields = Fields(0, self.fields[-1].end) if places.folds_apart else self.fields[part]
        folding.fold(self.tables, places.order, fields, layer.weight, places.folded[part])

    def move(
        self,
        batch: Batch,
        layer: FirstLayer | None,
        constants: AdamConstants,
        step: int,
        part: int,
    ) -> None:
        """This part's fields: the gradients of their features, then Adam."""
        if layer is not None and self.update == "dense":
            self._move_fields(batch, layer, constants, part)
            return
        if layer is None:
            self._scatter(batch, part)
        else:
            self._scatter_folded(batch, layer, part)
        self._adam(batch, constants, step, part)

    def _move_fields(
        self, batch: Batch, layer: FirstLayer, constants: AdamConstants, part: int
    ) -> None:
        """All of it in one compiled call, where every feature is visited."""
        places = batch.buffers.places
        folding.move_fields(
            self.tables,
            places.order,
            batch.ids[part],
            self.fields[part],
            layer.weight,
            self.network.linear_scale,
            self._l2(batch),
            batch.buffers.terms.spread,
            places.collected,
            places.gradient,
            layer.gradient,
            constants,
        )

    def _l2(self, batch: Batch) -> np.float32:
        """2 λ / B of the penalty on occurrences."""
        return np.float32(2 * self.embedding_l2 / len(batch))

    def _scatter(self, batch: Batch, part: int) -> None:
        """The gradients of the features."""
        buffers = batch.buffers
        kernels.scatter(
            buffers.places.gradient,
            self.tables,
            batch.ids[part],
            batch.lookups(part),
            self.fields[part],
            buffers.terms.slopes,
            self.network.linear_scale,
            buffers.terms.factor_sums,
            buffers.input_slopes[0].numpy() if buffers.inputs else NO_NETWORK,
            self._l2(batch),
        )

    def _scatter_folded(self, batch: Batch, layer: FirstLayer, part: int) -> None:
        """The gradients of the features, and of the first layer."""
        places, fields = batch.buffers.places, self.fields[part]
        spread = batch.buffers.terms.spread
        folding.scatter_folded(batch.lookups(part), fields, spread, places.collected)
        folding.unfold(
            self.tables,
            places.order,
            fields,
            layer.weight,
            self.network.linear_scale,
            self._l2(batch),
            places.collected,
            places.gradient,
            layer.gradient,
        )

    def _adam(self, batch: Batch, constants: AdamConstants, step: int, part: int) -> None:
        """One step of Adam for every feature, or those that the batch looks up."""
        places, fields = batch.buffers.places, self.fields[part]
        here = places.order.of_fields(fields)
        if self.update == "dense":
            weights, mean, square = self.tables.flat(fields)
            adam(weights, places.gradient[here].reshape(-1), mean, square, constants)
            return
        touched = places.order.features[here]
        is_lazy = self.update == "lazy"
        adam_rows(touched, self.tables, places.gradient[here], constants, is_lazy)
        self.tables.last[touched] = step


def choose_update(config: TrainConfig, tables: Tables) -> Update:
    """Weight decay moves every row at every step, so nothing can be put off under it."""
    if config.optimizer == "lazy-adam":
        return "lazy"
    return "dense" if config.weight_decay or tables.weights.size < DENSE_NUMBERS else "catch-up"


def shares_of_fields(
    model: DeepFM, config: TrainConfig, parts: int, update: Update
) -> list[Fields]:
    """The fields of each part, in one piece, as even in work as can be."""
    features = np.asarray(model.field_dims)
    if update != "dense":
        features = np.minimum(features, config.batch_size)
    work = features * FEATURE_LOOKUPS[update] + config.batch_size
    before = np.concatenate(([0], np.cumsum(work)))
    borders = [int(np.abs(before - before[-1] * part / parts).argmin()) for part in range(parts)]
    return [Fields(begin, end) for begin, end in pairwise((*borders, len(work)))]
