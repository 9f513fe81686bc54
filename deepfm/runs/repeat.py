"""A run to what it takes to train it again: its dataset, all of its settings, its seed."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from deepfm.config import ModelConfig, TrainConfig
from deepfm.errors import DeepFMError, RunError
from deepfm.runs.store import Store

if TYPE_CHECKING:
    from deepfm.data.dataset import Dataset


@dataclass(frozen=True)
class Recipe:
    """What a run was trained from, and how.

    run             what it was called for: an id, or a folder
    dataset_folder  where its dataset is if it is there at all
    """

    run: str
    dataset_folder: Path
    dataset_name: str
    fingerprint: str
    model: ModelConfig
    train: TrainConfig

    def dataset(self) -> "Dataset":
        """The dataset, the very one that the run was trained on; RunError where it is gone."""
        from deepfm.data.dataset import open_dataset

        again = f"train DATASET_DIR --like {self.run}"
        try:
            dataset = open_dataset(self.dataset_folder)
        except DeepFMError as error:
            raise RunError(
                f"The dataset “{self.dataset_name}” of run {self.run} is no longer at "
                f"{self.dataset_folder}. Prepare its file again with the same settings, and give "
                f"the folder as well: {again}."
            ) from error
        if self.fingerprint and dataset.fingerprint != self.fingerprint:
            raise RunError(
                f"The dataset at {self.dataset_folder} is not the one that run {self.run} was "
                f"trained on. Give the one to train on as well: {again}."
            )
        return dataset


def recipe_of(run: str, home: Path) -> Recipe:
    """The recipe of a run folder, or of a run in the store of a home folder.

    RunError or StoreError where there is no such run.
    """
    from deepfm.trained.run_folder import RunFolder

    folder = Path(run).expanduser()
    if folder.is_dir():
        config = RunFolder(folder.resolve()).config()
        return Recipe(
            run,
            home / "datasets" / Path(config.dataset_fingerprint).name,
            config.dataset_name,
            config.dataset_fingerprint,
            config.model,
            config.train,
        )
    if "/" in run or "\\" in run:
        raise RunError(f"There is no run folder {run}. Give a run folder, or the id of a run.")
    with Store.open(home) as store:
        row = store.run(run)
    return Recipe(
        run,
        row.dataset_folder,
        row.dataset_name,
        row.fingerprint,
        ModelConfig.from_dict(row.model),
        TrainConfig.from_dict(row.train),
    )
