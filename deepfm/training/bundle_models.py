"""The demo to the four models of fewer terms: python -m deepfm.training.bundle_models FOLDER.

They stand beside the bundled run, trained on the same rows with the same settings and seed. A
folder has only what is a model's own; the run beside it has the rest (`open_beside`).
"""

import shutil
import sys
import tempfile
from pathlib import Path
from typing import Final

from deepfm.config import TERM_SETS
from deepfm.data.catalog import open_demo
from deepfm.training.bundle import train_demo

OWN_FILES: Final = ("config.json", "model.safetensors", "environment.json", "result.json")
"""What a model has of its own beside a run on the same dataset."""


def main(folder: Path) -> None:
    """Train LR, FM, DNN and Wide & Deep on the demo, one folder each; replaces the folder."""
    with tempfile.TemporaryDirectory() as scratch:
        dataset = open_demo(Path(scratch))
        shutil.rmtree(folder, ignore_errors=True)
        for name in TERM_SETS:
            if name == "DeepFM":
                continue
            run = train_demo(dataset, name, Path(scratch) / name)
            (folder / name).mkdir(parents=True)
            for file in OWN_FILES:
                shutil.copyfile(run.folder / file, folder / name / file)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
