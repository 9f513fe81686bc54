"""A job to DeepCTR-Torch's DeepFM, trained: python run_deepctr.py JOB.json."""

import os
from pathlib import Path

import torch
from deepctr_torch.callbacks import ModelCheckpoint  # type: ignore[import-not-found]
from deepctr_torch.inputs import SparseFeat  # type: ignore[import-not-found]
from deepctr_torch.models import DeepFM  # type: ignore[import-not-found]
from exchange import Job, StepClock, write_result  # type: ignore[import-not-found]


def main() -> None:
    """Train, predict the test rows, write the result."""
    job = Job.read()
    torch.set_num_threads(job.threads)
    torch.manual_seed(job.seed)
    clock = StepClock(job)
    features = [
        SparseFeat(name, size, embedding_dim=job.num_factors)
        for name, size in zip(job.field_names, job.field_sizes, strict=True)
    ]
    model = DeepFM(
        features,
        features,
        dnn_hidden_units=job.mlp_dims,
        dnn_dropout=job.drop_rate,
        l2_reg_linear=0,
        l2_reg_embedding=0,
        l2_reg_dnn=0,
        seed=job.seed,
    )
    adam = torch.optim.Adam(model.parameters(), lr=job.learning_rate)
    model.compile(adam, "binary_crossentropy", metrics=["auc"])
    best = Path(job.out) / "best.pt"
    keep_best = ModelCheckpoint(
        str(best), monitor="val_auc", mode="max", save_best_only=True, save_weights_only=True
    )
    columns, labels = job.columns("train"), job.load("train")[1]
    held_out = job.columns("validation"), job.load("validation")[1]
    clock.begin()
    model.fit(
        columns,
        labels,
        batch_size=job.batch_size,
        epochs=job.epochs,
        verbose=0,
        validation_data=held_out,
        callbacks=[keep_best],
    )
    result = clock.result()
    model.load_state_dict(torch.load(best, weights_only=True))
    write_result(job, result, model.predict(job.columns("test"), batch_size=16_384))


if __name__ == "__main__":
    main()
    # Its import asks the network for a newer version on a thread that would hold up the end.
    os._exit(0)
