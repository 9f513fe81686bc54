"""A part of a batch's rows to terms and loss, and to the slopes of all that they looked up."""

from dataclasses import dataclass
from typing import Final

import numpy as np

from deepfm.training import cpu_folded as folding
from deepfm.training import cpu_kernels as kernels
from deepfm.training.cpu_memory import Batch, FirstLayer
from deepfm.training.cpu_narrow import NarrowPlan, rows_through
from deepfm.training.cpu_network import Network, Share
from deepfm.training.cpu_tables import Tables

NO_NETWORK: Final = np.zeros((0, 0), np.float32)


@dataclass(frozen=True)
class RowWork:
    """Forward and backward, each part for rows of its own.

    `layer` is the first layer where the batch folds it into the tables, else None.
    """

    tables: Tables
    network: Network

    def forward_and_backward(self, batch: Batch, layer: FirstLayer | None, part: int) -> None:
        """This part's rows: terms, loss, and the gradients of embeddings and network."""
        if layer is not None and self.network.narrow is not None:
            self._through_narrow(batch, layer, self.network.narrow, part)
            return
        network, buffers = self.network, batch.buffers
        share = buffers.shares[part]
        self._gather(batch, share, layer, part)
        first = 0 if layer is None else 1
        buffers.sums[part] = 0
        network.forward(share, batch.seeds, first)
        kernels.loss_and_slope(
            share.terms,
            network.linear_scale,
            network.linear_bias,
            batch.labels[share.rows],
            len(batch),
            buffers.sums[part],
        )
        network.backward(share, batch.seeds, first, part)
        if layer is not None:
            folding.spread_slopes(share.slope_arrays[1], share.terms)

    def _through_narrow(
        self, batch: Batch, layer: FirstLayer, narrow: NarrowPlan, part: int
    ) -> None:
        """The same in one compiled call, for a folded first layer and narrow ones after it."""
        network, buffers = self.network, batch.buffers
        share = buffers.shares[part]
        rows_through(
            buffers.places.folded[part],
            batch.lookups(part)[share.rows],
            batch.labels[share.rows],
            len(batch),
            share.start,
            narrow.plan,
            network.weights,
            network.gradients[part],
            batch.seeds,
            network.is_tanh,
            network.dropout[1],
            narrow.rooms[part],
            layer.totals[part],
            share.terms,
            buffers.sums[part],
        )

    def _gather(self, batch: Batch, share: Share, layer: FirstLayer | None, part: int) -> None:
        """The lookups: the FM's sums, and what the network reads or its first layer says."""
        if layer is None:
            embedded = share.input_arrays[0] if share.inputs else NO_NETWORK
            kernels.gather(self.tables, batch.ids[part][share.rows], embedded, share.terms)
            return
        folding.gather_folded(
            batch.buffers.places.folded[part],
            batch.lookups(part)[share.rows],
            self.network.layers[0].bias.numpy(),
            layer.totals[part],
            share.input_arrays[1],
            share.terms,
        )
