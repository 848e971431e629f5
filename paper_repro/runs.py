"""A run: its folder (`results/NAME/ARM/foldK/`), opening it again, and its completion record."""

import json
import os
import platform
import subprocess
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from importlib.metadata import version
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from ruamel.yaml import YAML
from torch import Tensor, nn

from paper_repro import evaluate
from paper_repro.arms import build_model
from paper_repro.augment import to_input
from paper_repro.config import Config, load_profile
from paper_repro.data import Photograph, read_photograph
from paper_repro.files import ReproError, as_path, atomic_write, brief, cache_dir, csv_bytes, project_root, sha256_file
from paper_repro.keys import MEASURES, vouch
from paper_repro.weights import read_state

FILES = ("config.yaml", "history.csv", "predictions.csv", "metrics.json", "environment.json")  # beside the weights
PACKAGED = Path(__file__).resolve().parents[1] / "results" / "reference" / "networks"
PACKAGE = "package:"  # begins the name of a network that comes with the project


@dataclass(frozen=True)
class Run:
    """A finished training: predict and explain with `model`; `preprocess` makes its input of one's own photographs.

    history has a row per epoch, predictions one per test photograph, with its sticker in an arm with stickers; metrics
    are `evaluate.metrics` of these; environment holds seed, key, versions and machine. `preprocess` adds no sticker.
    A network that comes with the project may have learnt from all photographs: fold is then -1, and the predictions are
    those of networks trained on the folds by the same recipe.
    """

    folder: Path
    config: Config
    arm: str
    fold: int
    classes: tuple[str, ...]
    model: nn.Module
    history: pd.DataFrame
    predictions: pd.DataFrame
    metrics: dict
    environment: dict

    @property
    def measures(self) -> pd.DataFrame:
        """The measures of the run's heat maps, made by `measures.measure_run`; else a ReproError."""
        path = self.folder / "measures.csv.gz"
        if not path.exists():
            raise ReproError(f"{self.folder} has no measures of its heat maps: run notebook 02 or 03 for it once more")
        return pd.read_csv(path, keep_default_na=False, na_values=[""])

    def preprocess(self, photographs: Photograph | Iterable[Photograph]) -> Tensor:
        """Photographs, whole and normalised, as the network takes them: (N, 3, S, S).

        Args:
            photographs: one photograph as `read_photograph` takes it, or any number of them: a list, what `Path.glob`
                gives, a column of a table, an array (N, H, W, 3).

        Raises:
            ReproError: names a photograph that cannot be read.
        """
        size = self.config.prepared_size
        squares = [read_photograph(photograph, size) for photograph in _one_by_one(photographs)]
        return to_input(np.array(squares, np.uint8).reshape(-1, size, size, 3), self.config.image_size)

    def predict(self, photographs: Photograph | Iterable[Photograph]) -> pd.DataFrame:
        """Class probabilities of what `preprocess` takes, one row per photograph and one column per class."""
        inputs = self.preprocess(photographs)
        if not len(inputs):
            return pd.DataFrame(columns=list(self.classes), dtype="float32")
        with torch.inference_mode():
            probabilities = self.model(inputs).softmax(dim=1)  # (N, 3, S, S) -> (N, K)
        return pd.DataFrame(probabilities.numpy(), columns=list(self.classes))


def _one_by_one(photographs: Any) -> Iterable:
    """One photograph, or something that is none, as a list; else as it is."""
    if isinstance(photographs, np.ndarray):
        return photographs if photographs.ndim in (1, 4) else [photographs]
    single = (str, bytes, bytearray, memoryview, Mapping, pd.DataFrame, Tensor)
    if isinstance(photographs, single) or hasattr(photographs, "read") or not isinstance(photographs, Iterable):
        return [photographs]
    return photographs


def load_run(folder: str | Path, finished: bool = True) -> Run:
    """Opens a run: `load_run("results/cpu/stage/fold0")`, seen from the project's folder or the working directory.

    Args:
        folder: the run's folder, or the name of a network that comes with the project: "package:trashnet/stage".
        finished: insist on the `done` record; the notebook that makes the run reads it before that is written.

    Raises:
        ReproError: no such run, an unfinished one, or weights that are missing or damaged.
    """
    folder = as_path(folder, "load_run")
    if str(folder).startswith(PACKAGE):
        folder = _packaged(str(folder).removeprefix(PACKAGE))
    if not folder.is_absolute() and not os.path.exists(folder):
        folder = project_root() / folder
    for name in (*FILES, *(["done"] if finished else [])):
        if not os.path.exists(folder / name):  # False for a name that no file can have, too
            remedy = "make it with `make reproduce`, or run notebook 02 (arm none, plain CNNs) or 03 from top to bottom"
            raise ReproError(f"{brief(folder)} is no finished run ({name} is missing): {remedy}")
    config = load_profile(folder / "config.yaml")
    metrics = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
    details = json.loads((folder / "environment.json").read_text(encoding="utf-8"))
    classes = tuple(metrics["per_class"])
    model = build_model(details["arm"], config.backbone, len(classes), config.reduction)
    model.load_state_dict(read_state(_weights(folder, details["weights"])))
    model = model.eval().to(memory_format=torch.channels_last)
    history, predictions = pd.read_csv(folder / "history.csv"), evaluate.read_predictions(folder / "predictions.csv")
    return Run(folder, config, details["arm"], details["fold"], classes, model, history, predictions, metrics, details)


def packages() -> list[str]:
    """The names of the networks that come with the project, such as "package:trashnet/stage"."""
    return sorted(PACKAGE + done.parent.relative_to(PACKAGED).as_posix() for done in PACKAGED.glob("*/*/done"))


def _packaged(name: str) -> Path:
    if PACKAGE + name not in (known := packages()):
        there = f"there are {', '.join(known)}" if known else "this copy has none: give the folder of a run"
        raise ReproError(f"{brief(PACKAGE + name)} is no network that comes with the project: {there}")
    return PACKAGED / name


def _weights(folder: Path, recorded: str) -> Path:
    """The run's weights, checked against the sha256 `recorded`; runs of the first edition kept theirs in the cache
    folder, from where they move into the run's, under a name `recorded` that ends in the sha256's first digits."""
    path = folder / "weights.safetensors"
    if not path.exists() and recorded.endswith(".safetensors") and (cache_dir("weights") / recorded).is_file():
        earlier = cache_dir("weights") / recorded
        write_files(folder, {path.name: earlier.read_bytes()})
        earlier.unlink()
    return checked_file(path, Path(recorded).stem.rpartition("-")[2])


def checked_file(path: Path, sha256: str) -> Path:
    """The path of a file of a run's folder, if the file has a sha256 that begins like this; else a ReproError."""
    if not path.exists() or not sha256_file(path).startswith(sha256):
        remedy = (
            "copy it again from where the run was made, or delete its folder and train it again with `make reproduce`"
        )
        if PACKAGED in path.parents:
            remedy = "restore it with git checkout"
        raise ReproError(f"{path} is {'damaged' if path.exists() else 'missing'}: {remedy}")
    return path


def write_run(
    folder: Path,
    config: Config,
    history: pd.DataFrame,
    predictions: pd.DataFrame,
    metrics: dict,
    details: dict,
    weights: bytes,
) -> None:
    """Writes a run's files; where one cannot be written, an older run stays as it was. `details` is the content of
    environment.json, with the run's key and the weights' sha256, `weights` that of weights.safetensors."""
    text = StringIO()
    YAML().dump(config.model_dump(), text)
    files = {
        "weights.safetensors": weights,  # first: after a kill they never fit an older environment.json
        "config.yaml": text.getvalue().encode(),
        "history.csv": csv_bytes(history),
        "predictions.csv": csv_bytes(predictions),
        "metrics.json": json.dumps(metrics, indent=1).encode(),
        "environment.json": json.dumps(details, indent=1).encode(),  # last: its key stands for the others
    }
    write_files(folder, files, outdated=("done", *MEASURES))


def write_files(folder: Path, contents: dict[str, bytes], outdated: Iterable[str] = ()) -> None:
    """Writes files into a run's folder, in this order; none replaces an older one until there was room for all.
    Those that the new ones make wrong, `outdated`, are removed first."""
    with ExitStack() as files:
        for name, content in reversed(contents.items()):  # the stack moves what it was given last into place first
            files.enter_context(atomic_write(folder / name)).write_bytes(content)
        for name in outdated:
            (folder / name).unlink(missing_ok=True)


def record_completion(folder: str | Path) -> None:
    """The completion record, the last code cell of every notebook.

    Under `paper_repro.workflow.execute` it goes to `$PAPER_REPRO_RECORD`, and the executor writes `done` once it has
    seen every cell run; in JupyterLab a run's folder gets its `done` here.
    """
    folder, record = Path(folder), os.environ.get("PAPER_REPRO_RECORD")
    if record:
        Path(record).write_text(json.dumps({"folder": str(folder.resolve())}), encoding="utf-8")
    elif (folder / "metrics.json").exists():
        write_files(folder, {"done": vouch(folder).encode()})


def environment(config: Config) -> dict:
    """Versions, machine and thread count: what must agree for numbers to agree bit for bit."""
    packages = ("torch", "torchvision", "lightning-fabric", "numpy", "pandas", "pillow", "scikit-learn")
    try:
        command = ["git", "rev-parse", "HEAD"]
        commit = subprocess.run(command, cwd=Path(__file__).parent, capture_output=True, text=True).stdout.strip()
    except OSError:  # git is not installed
        commit = ""
    return {
        "python": platform.python_version(),
        "packages": {name: version(name) for name in packages},
        "machine": platform.machine(),
        "processor": _processor(),
        "threads": config.threads,
        "git_commit": commit or None,
    }


def _processor() -> str:
    """The processor's model and the vector instructions torch uses, as another model may round differently."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        name = next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        name = platform.processor()
    return f"{name}, {torch.backends.cpu.get_cpu_capability()}"
