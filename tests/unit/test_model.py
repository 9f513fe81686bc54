"""DeepFM against an independent, plain writing of the same equations."""

import numpy as np
import pytest
import torch
from torch import Tensor

from deepfm.config import TERM_SETS, ModelConfig, TrainConfig, parameter_count
from deepfm.model import DeepFM, pairwise_term
from deepfm.training.step import PlainStep

FIELD_DIMS = (5, 3, 8, 4)
TERMS = sorted(TERM_SETS.values())


def random_ids(rows: int, seed: int = 0) -> Tensor:
    rng = np.random.default_rng(seed)
    offsets = np.cumsum((0, *FIELD_DIMS[:-1]))
    columns = [rng.integers(0, dim, rows) + o for dim, o in zip(FIELD_DIMS, offsets, strict=True)]
    return torch.from_numpy(np.stack(columns, axis=1).astype(np.int32))


class PlainDeepFM:
    """The D2L equations written out with loops over fields and pairs, on plain leaf tensors."""

    def __init__(self, model: DeepFM) -> None:
        self.terms = model.config.terms
        self.activation = {"relu": torch.relu, "tanh": torch.tanh}[model.config.activation]
        copies = {n: t.clone().requires_grad_() for n, t in model.weights().items()}
        self.leaves = list(copies.values())
        self.w = copies.get("linear.table")
        self.a, self.b = copies.get("linear.scale"), copies.get("linear.bias")
        self.v = copies.get("factors.table")
        self.v_deep = copies.get("deep.table", self.v)
        depth = len(model.config.mlp_dims) + 1 if "deep" in self.terms else 0
        self.layers = [(copies[f"mlp.{i}.weight"], copies[f"mlp.{i}.bias"]) for i in range(depth)]

    def logit(self, row: list[int]) -> Tensor:
        total = torch.zeros(())
        if "linear" in self.terms:
            total = total + self.a[0] * sum(self.w[i] for i in row) + self.b[0]
        if "pairwise" in self.terms:
            for position, i in enumerate(row):
                for j in row[position + 1 :]:
                    total = total + (self.v[i] * self.v[j]).sum()
        if "deep" in self.terms:
            hidden = torch.cat([self.v_deep[i] for i in row])
            for weight, bias in self.layers[:-1]:
                hidden = self.activation(weight @ hidden + bias)
            weight, bias = self.layers[-1]
            total = total + (weight @ hidden + bias)[0]
        return total

    def __call__(self, ids: Tensor) -> Tensor:
        return torch.stack([self.logit(row) for row in ids.tolist()])


def settings_of(terms: tuple[str, ...], **changes: object) -> ModelConfig:
    values = {"num_factors": 4, "mlp_dims": (6, 5), "drop_rate": 0.0, "terms": terms}
    return ModelConfig(**{**values, **changes})


def variants() -> list[ModelConfig]:
    plain = [settings_of(terms) for terms in TERMS]
    separate = settings_of(TERM_SETS["DeepFM"], shared_embedding=False)
    return [*plain, separate, settings_of(TERM_SETS["DeepFM"], activation="tanh")]


@pytest.mark.parametrize("config", variants(), ids=str)
def test_logits_equal_the_plain_writing(config: ModelConfig) -> None:
    torch.manual_seed(1)
    model, ids = DeepFM(FIELD_DIMS, config), random_ids(40)
    torch.testing.assert_close(model(ids), PlainDeepFM(model)(ids), atol=1e-5, rtol=0)


@pytest.mark.parametrize("config", variants(), ids=str)
@pytest.mark.parametrize("embedding_l2", [0.0, 0.01])
def test_twenty_adam_steps_give_the_plain_losses(config: ModelConfig, embedding_l2: float) -> None:
    torch.manual_seed(2)
    model = DeepFM(FIELD_DIMS, config)
    plain = PlainDeepFM(model)
    step = PlainStep(model, TrainConfig(embedding_l2=embedding_l2))
    adam = torch.optim.Adam(plain.leaves, lr=0.01)
    labels = (random_ids(640, seed=9)[:, 0] % 2).float()
    for index in range(20):
        batch = slice(32 * index, 32 * index + 32)
        ids, wanted = random_ids(640, seed=3)[batch], labels[batch]
        ours = step(ids, wanted, 1, index).loss / 32

        logits = plain(ids)
        # Not torch's fused function: log(1 + e^-|x|) written out.
        losses = logits.clamp(min=0) - logits * wanted + torch.log1p(torch.exp(-logits.abs()))
        objective = losses.mean()
        tables = {id(t): t for t in (plain.w, plain.v, plain.v_deep) if t is not None}.values()
        for row in ids.tolist():
            for table in tables:
                objective = objective + embedding_l2 * table[row].square().sum() / 32
        adam.zero_grad()
        objective.backward()
        adam.step()
        assert ours.item() == pytest.approx(losses.mean().item(), abs=1e-4)


def test_pairwise_equals_a_double_loop_over_pairs() -> None:
    factors = torch.randn(7, 6, 5, dtype=torch.float64)
    for row, value in zip(factors, pairwise_term(factors), strict=True):
        pairs = [row[i] @ row[j] for i in range(6) for j in range(i + 1, 6)]
        assert float(value) == pytest.approx(float(sum(pairs)), abs=1e-10)


@pytest.mark.parametrize("config", variants(), ids=str)
def test_terms_sum_to_the_logit_and_absent_terms_are_zero(config: ModelConfig) -> None:
    model, ids = DeepFM(FIELD_DIMS, config), random_ids(30)
    terms = model.terms(ids)
    torch.testing.assert_close(sum(terms), model(ids))
    for name, value in zip(("linear", "pairwise", "deep"), terms, strict=True):
        assert bool(value.any()) == (name in config.terms)


@pytest.mark.parametrize("config", variants(), ids=str)
def test_parameter_count_counts_the_weights(config: ModelConfig) -> None:
    model = DeepFM(FIELD_DIMS, config)
    counted = sum(weight.numel() for weight in model.parameters())
    assert parameter_count(sum(FIELD_DIMS), len(FIELD_DIMS), config) == counted
    assert sum(weight.numel() for weight in model.weights().values()) == counted


def test_tables_and_layers_start_xavier_uniform() -> None:
    torch.manual_seed(0)
    model = DeepFM((4_000, 4_000), ModelConfig(num_factors=16, mlp_dims=(64,)))
    weights = model.weights()
    assert float(weights["factors.table"].abs().max()) == pytest.approx(
        (6 / (8_000 + 16)) ** 0.5, rel=0.01
    )
    assert float(weights["linear.table"].abs().max()) == pytest.approx((6 / 8_001) ** 0.5, rel=0.01)
    assert float(weights["mlp.0.weight"].abs().max()) == pytest.approx(
        (6 / (32 + 64)) ** 0.5, rel=0.01
    )


def test_embedding_dropout_reaches_the_network_alone() -> None:
    torch.manual_seed(0)
    config = settings_of(TERM_SETS["DeepFM"], embedding_drop_rate=0.5)
    model, ids = DeepFM(FIELD_DIMS, config), random_ids(50)
    still, moved = model.eval().terms(ids), model.train().terms(ids)
    torch.testing.assert_close(still.linear, moved.linear)
    torch.testing.assert_close(still.pairwise, moved.pairwise)
    assert not torch.allclose(still.deep, moved.deep)


def test_dropout_is_a_function_of_seed_epoch_and_step() -> None:
    def losses(order: list[int]) -> dict[int, float]:
        found = {}
        for index in order:
            torch.manual_seed(0)
            model = DeepFM(FIELD_DIMS, settings_of(TERM_SETS["DeepFM"], drop_rate=0.5))
            step = PlainStep(model, TrainConfig(seed=4))
            found[index] = float(step(random_ids(64), torch.ones(64), 2, index).loss)
        return found

    forward, backward = losses([0, 1, 2]), losses([2, 1, 0])
    assert forward == backward
    assert len(set(forward.values())) == 3


def test_lazy_adam_leaves_untouched_rows_alone_and_adam_does_not() -> None:
    for optimizer, untouched_moves in (("adam", True), ("lazy-adam", False)):
        torch.manual_seed(0)
        model = DeepFM(
            FIELD_DIMS, settings_of(TERM_SETS["DeepFM"]), sparse=optimizer == "lazy-adam"
        )
        step = PlainStep(model, TrainConfig(optimizer=optimizer))
        first, second = random_ids(64)[:, :].clone(), random_ids(64).clone()
        first[:, 0], second[:, 0] = 0, 1  # feature 0 is in the first batch only
        labels = torch.ones(64)
        step(first, labels, 1, 0)
        before = model.factors.weight[0].clone()
        step(second, labels, 1, 1)
        assert bool((model.factors.weight[0] != before).any()) == untouched_moves
