"""What the CPU step's arrays keep of each number, to tensors by parameter and back."""

from typing import NamedTuple

import torch
from torch import Tensor

from deepfm.model import DeepFM
from deepfm.training.cpu_network import Network
from deepfm.training.cpu_tables import Floats, Tables


class Kept(NamedTuple):
    """Views of Adam's moments of one parameter, of its shape."""

    mean: Tensor
    square: Tensor


def kept_by_name(model: DeepFM, tables: Tables, network: Network) -> dict[str, Kept]:
    """Adam's moments of every parameter, by its name in the model's state dict: views.

    Each parameter is a view of `tables.weights` or `network.weights`; its moments stand at the
    same place of the arrays of the same form beside them.
    """
    in_tables = {id(table.weight) for table in model.tables()}
    kept = {}
    for name, parameter in model.named_parameters():
        arrays = tables if id(parameter) in in_tables else network
        kept[name] = Kept(
            _beside(parameter, arrays.weights, arrays.mean),
            _beside(parameter, arrays.weights, arrays.square),
        )
    return kept


def _beside(parameter: Tensor, weights: Floats, other: Floats) -> Tensor:
    """The view of `other` that stands where the parameter stands in `weights`."""
    assert weights.shape == other.shape and weights.strides == other.strides
    offset = (parameter.data_ptr() - _address(weights)) // weights.itemsize
    flat = torch.from_numpy(other)
    assert 0 <= offset < flat.numel()
    return flat.as_strided(parameter.shape, parameter.stride(), offset)


def _address(array: Floats) -> int:
    address: int = array.__array_interface__["data"][0]
    return address
