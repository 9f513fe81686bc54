"""The network of one run to its Shapley values by Captum's and by shap's sampler, timed.

Runs in an environment of its own: python explain_peers.py NUMBERS.npz, which benchmarks/explain.py
writes. Prints one line of JSON. Both see the fields as the players, an absent field being that of
a reference row, and may call the network as often as 200 of our draws do.
"""

import json
import sys
import time
from collections.abc import Callable
from statistics import median
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

TIMES = 3


class Network(torch.nn.Module):
    """Feature indices int[N, F] to the network's output float32[N]."""

    def __init__(self, numbers: Any) -> None:
        super().__init__()
        self.table = torch.from_numpy(numbers["table"])
        layers = [
            (torch.from_numpy(numbers[f"weight_{i}"]), torch.from_numpy(numbers[f"bias_{i}"]))
            for i in range(int(numbers["layers"]))
        ]
        self.layers = layers

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        hidden = self.table[ids.long()].flatten(1)
        for weight, bias in self.layers[:-1]:
            hidden = torch.relu(torch.nn.functional.linear(hidden, weight, bias))
        weight, bias = self.layers[-1]
        return torch.nn.functional.linear(hidden, weight, bias)[:, 0]


def main() -> None:
    """Time both samplers."""
    numbers = np.load(sys.argv[1])
    torch.set_num_threads(int(numbers["threads"]))
    network = Network(numbers)
    ids, reference, draws = numbers["ids"], numbers["reference"], int(numbers["draws"])
    figures = {}
    for name, sampler in (("captum", captum_sampler), ("shap", shap_sampler)):
        values, seconds = timed(lambda sampler=sampler: sampler(network, ids, reference, draws))
        figures[name] = {"seconds": seconds, "values": values.tolist()}
    print(json.dumps(figures))


def timed(work: Callable[[], NDArray[Any]]) -> tuple[NDArray[Any], float]:
    """What it gives, and the median of its seconds."""
    values, seconds = work(), []
    for _ in range(TIMES):
        start = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - start)
    return values, median(seconds)


def captum_sampler(
    network: Network, ids: NDArray[Any], reference: NDArray[Any], draws: int
) -> NDArray[Any]:
    """ShapleyValueSampling, two orders for each of as many reference rows, all rows in one batch.

    Captum shares the orders between the rows of a batch; that is its quickest way.
    """
    from captum.attr import ShapleyValueSampling

    rows = torch.from_numpy(reference[np.arange(draws) % len(reference)])
    with torch.inference_mode():
        values = ShapleyValueSampling(network).attribute(
            torch.from_numpy(ids).expand(draws, -1).contiguous(), baselines=rows, n_samples=2
        )
    return values.float().mean(dim=0).numpy()


def shap_sampler(
    network: Network, ids: NDArray[Any], reference: NDArray[Any], draws: int
) -> NDArray[Any]:
    """SamplingExplainer with as many evaluations of the network."""
    import shap

    @torch.inference_mode()
    def outputs(rows: NDArray[Any]) -> NDArray[Any]:
        return network(torch.from_numpy(rows.astype(np.int64))).numpy()

    explainer = shap.SamplingExplainer(outputs, reference)
    values = explainer.shap_values(ids[None], nsamples=2 * draws * len(ids), silent=True)
    return np.asarray(values)[0]


if __name__ == "__main__":
    main()
