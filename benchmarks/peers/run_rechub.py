"""A job to Torch-RecHub's DeepFM, trained: python run_rechub.py JOB.json."""

import torch
from exchange import Job, StepClock, write_result  # type: ignore[import-not-found]
from torch_rechub.basic.features import SparseFeature  # type: ignore[import-not-found]
from torch_rechub.models.ranking import DeepFM  # type: ignore[import-not-found]
from torch_rechub.trainers import CTRTrainer  # type: ignore[import-not-found]
from torch_rechub.utils.data import DataGenerator  # type: ignore[import-not-found]


def main() -> None:
    """Train, predict the test rows, write the result."""
    job = Job.read()
    torch.set_num_threads(job.threads)
    torch.manual_seed(job.seed)
    clock = StepClock(job)
    features = [
        SparseFeature(name, vocab_size=size, embed_dim=job.num_factors)
        for name, size in zip(job.field_names, job.field_sizes, strict=True)
    ]
    mlp = {"dims": list(job.mlp_dims), "dropout": job.drop_rate, "activation": "relu"}
    model = DeepFM(deep_features=features, fm_features=features, mlp_params=mlp)
    generator = DataGenerator(job.columns("train"), job.load("train")[1])
    train_loader, validation_loader, test_loader = generator.generate_dataloader(
        x_val=job.columns("validation"),
        y_val=job.load("validation")[1],
        x_test=job.columns("test"),
        y_test=job.load("test")[1],
        batch_size=job.batch_size,
        num_workers=0,
    )
    trainer = CTRTrainer(
        model,
        optimizer_params={"lr": job.learning_rate, "weight_decay": 0.0},
        n_epoch=job.epochs,
        earlystop_patience=job.epochs + 1,
        device="cpu",
        model_path=job.out,
    )
    clock.begin()
    trainer.fit(train_loader, validation_loader)
    result = clock.result()
    model.load_state_dict(trainer.early_stopper.best_weights)
    write_result(job, result, trainer.predict(model, test_loader))


if __name__ == "__main__":
    main()
