"""A job to FuxiCTR's DeepFM, trained: python run_fuxictr.py JOB.json.

The package has the layers; its DeepFM lies in model_zoo, which is not installed, and is put
together here from the same layers in the same way.
"""

from pathlib import Path
from typing import Any

import torch
from exchange import Job, StepClock, write_result  # type: ignore[import-not-found]
from fuxictr.features import FeatureMap  # type: ignore[import-not-found]
from fuxictr.pytorch.dataloaders import RankDataLoader  # type: ignore[import-not-found]
from fuxictr.pytorch.layers import (  # type: ignore[import-not-found]
    FactorizationMachine,
    FeatureEmbedding,
    MLP_Block,
)
from fuxictr.pytorch.models import BaseModel  # type: ignore[import-not-found]
from fuxictr.pytorch.torch_utils import seed_everything  # type: ignore[import-not-found]


class DeepFM(BaseModel):
    """Embedding layer, factorization machine with linear weights, MLP; BaseModel trains it."""

    def __init__(self, feature_map: Any, job: Any) -> None:
        super().__init__(
            feature_map,
            model_id="DeepFM",
            monitor="AUC",
            # Its own habits, to stop after two epochs without gain and to lower the learning rate,
            # are left out: all train the same epochs at the same rate.
            early_stop_patience=job.epochs + 1,
            reduce_lr_on_plateau=False,
            verbose=0,
            model_root=job.out,
            metrics=["AUC"],
        )
        Path(self.model_dir).mkdir(parents=True, exist_ok=True)
        self.embedding_layer = FeatureEmbedding(feature_map, job.num_factors)
        self.fm = FactorizationMachine(feature_map)
        self.mlp = MLP_Block(
            input_dim=feature_map.sum_emb_out_dim(),
            output_dim=1,
            hidden_units=list(job.mlp_dims),
            hidden_activations="ReLU",
            output_activation=None,
            dropout_rates=job.drop_rate,
            batch_norm=False,
        )
        self.compile("adam", "binary_crossentropy", job.learning_rate)
        self.reset_parameters()
        self.model_to_device()

    def forward(self, inputs: Any) -> dict[str, Any]:
        """Batch by column to {"y_pred": float32[B, 1]}, past the sigmoid as its loss expects."""
        columns = self.get_inputs(inputs)
        embeddings = self.embedding_layer(columns)
        logit = self.fm(columns, embeddings) + self.mlp(embeddings.flatten(start_dim=1))
        return {"y_pred": self.output_activation(logit)}


def feature_map_of(job: Any) -> Any:
    """Every field a categorical column."""
    feature_map = FeatureMap("data", job.data)
    for name, size in zip(job.field_names, job.field_sizes, strict=True):
        feature_map.features[name] = {"source": "", "type": "categorical", "vocab_size": size}
    feature_map.labels = ["label"]
    feature_map.num_fields = feature_map.get_num_fields()
    feature_map.default_emb_dim = job.num_factors
    feature_map.set_column_index()
    return feature_map


def main() -> None:
    """Train, predict the test rows, write the result."""
    job = Job.read()
    torch.set_num_threads(job.threads)
    seed_everything(job.seed)
    clock = StepClock(job)
    feature_map = feature_map_of(job)
    train, validation, test = RankDataLoader(
        feature_map,
        train_data=str(Path(job.data) / "train.npz"),
        valid_data=str(Path(job.data) / "validation.npz"),
        test_data=str(Path(job.data) / "test.npz"),
        batch_size=job.batch_size,
        shuffle=True,
        num_workers=0,
    )
    model = DeepFM(feature_map, job)
    clock.begin()
    model.fit(train, epochs=job.epochs, validation_data=validation)
    result = clock.result()
    write_result(job, result, model.predict(test))


if __name__ == "__main__":
    main()
