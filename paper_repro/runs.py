"""A run: its key, its folder (`results/NAME/ARM/foldK/`), and opening it again."""

import json
import os
import platform
import subprocess
import sys
import time
from contextlib import ExitStack
from dataclasses import dataclass
from importlib.metadata import version
from io import StringIO
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from ruamel.yaml import YAML
from torch import Tensor, nn

from paper_repro import evaluate
from paper_repro.arms import build_model
from paper_repro.augment import to_input
from paper_repro.checkpoint import is_intact
from paper_repro.config import Config, load_profile
from paper_repro.files import ReproError, atomic_write, cache_dir, project_root
from paper_repro.weights import read_state


def environment(config: Config) -> dict:
    """Versions, machine and thread count: what must agree for numbers to agree bit for bit."""
    packages = ("torch", "torchvision", "lightning-fabric", "numpy", "pandas", "pillow", "scikit-learn")
    git = subprocess.run(["git", "rev-parse", "HEAD"], cwd=Path(__file__).parent, capture_output=True, text=True)
    return {
        "python": platform.python_version(),
        "packages": {name: version(name) for name in packages},
        "machine": platform.machine(),
        "processor": _processor(),
        "threads": config.threads,
        "git_commit": git.stdout.strip() or None,
    }


def _processor() -> str:
    """The processor's model and the vector instructions torch uses, as another model may round differently."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        name = next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        name = platform.processor()
    return f"{name}, {torch.backends.cpu.get_cpu_capability()}"


@dataclass(frozen=True)
class Run:
    """A finished training: predict and explain with `model`; `preprocess` makes its input of one's own photographs."""

    folder: Path
    config: Config
    arm: str
    fold: int
    classes: tuple[str, ...]
    model: nn.Module
    history: pd.DataFrame
    predictions: pd.DataFrame
    measures: pd.DataFrame
    metrics: dict
    environment: dict

    def preprocess(self, photographs) -> Tensor:
        """One photograph or a list of them (PIL image or path) -> (N, 3, S, S), the whole photograph, normalised."""
        from paper_repro.data import read_photograph

        if not isinstance(photographs, (list, tuple)):
            photographs = [photographs]
        squares = [read_photograph(photograph, self.config.prepared_size) for photograph in photographs]
        return to_input(np.stack(squares), self.config.image_size)

    def predict(self, photographs) -> pd.DataFrame:
        """Class probabilities, one row per photograph and one column per class."""
        with torch.inference_mode():
            probabilities = self.model(self.preprocess(photographs)).softmax(dim=1)  # (N, 3, S, S) -> (N, K)
        return pd.DataFrame(probabilities.numpy(), columns=list(self.classes))


def write_run(
    folder: Path,
    config: Config,
    history: pd.DataFrame,
    predictions: pd.DataFrame,
    metrics: dict,
    measures: pd.DataFrame,
    environment: dict,
    agreement: pd.DataFrame | None = None,
) -> None:
    """Writes a run's files, each whole or not at all; where one cannot be written, an older run stays as it was.

    agreement: `heatmaps.gate_agreement` of the test photographs, for networks with several gates a stage.
    """
    texts = {
        "config.yaml": as_yaml(config.model_dump()),
        "history.csv": history.to_csv(index=False),
        "predictions.csv": predictions.to_csv(index=False),
        "measures.csv": measures.to_csv(index=False),
        "metrics.json": json.dumps(metrics, indent=1),
    }
    if agreement is not None:
        texts["gates.csv"] = agreement.to_csv(index=False)
    texts["environment.json"] = json.dumps(environment, indent=1)  # last, as its key stands for the others
    with ExitStack() as files:  # none replaces an older one until there was room for all
        for name, text in reversed(texts.items()):  # the stack moves what it was given last into place first
            files.enter_context(atomic_write(folder / name)).write_text(text, encoding="utf-8")
        (folder / "done").unlink(missing_ok=True)  # it vouched for the older ones


def as_yaml(values: dict) -> str:
    """Plain YAML in the order of the keys."""
    text = StringIO()
    YAML().dump(values, text)
    return text.getvalue()


def load_run(folder: str | Path, finished: bool = True) -> Run:
    """Opens a run: `load_run("results/cpu/stage/fold0")`, seen from the project's folder or the working directory.

    Args:
        finished: insist on the `done` record; the notebook that makes the run reads it before that is written.

    Raises:
        ReproError: no such run, an unfinished one, or weights that are missing or damaged.
    """
    folder = Path(folder)
    if not folder.is_absolute() and not folder.exists():
        folder = project_root() / folder
    missing = [
        name
        for name in ("config.yaml", "metrics.json", *(["done"] if finished else []))
        if not (folder / name).exists()
    ]
    if missing:
        raise ReproError(
            f"{folder} is no finished run ({missing[0]} is missing): make it with `make reproduce`, or run "
            "notebook 02 (arm none, plain CNNs) or 03 (attention arms) from top to bottom"
        )
    config = load_profile(folder / "config.yaml")
    metrics = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
    details = json.loads((folder / "environment.json").read_text(encoding="utf-8"))
    weights = cache_dir("weights") / details["weights"]
    if not weights.is_file() or not is_intact(weights):
        raise ReproError(
            f"the weights of {folder} are {'damaged' if weights.is_file() else 'not on this machine'} ({weights}): "
            "train them again with `make reproduce` (delete the run's `done` first)"
        )
    classes = tuple(metrics["per_class"])
    model = build_model(details["arm"], config.backbone, len(classes), config.reduction)
    model.load_state_dict(read_state(weights))
    return Run(
        folder=folder,
        config=config,
        arm=details["arm"],
        fold=details["fold"],
        classes=classes,
        model=model.eval().to(memory_format=torch.channels_last),
        history=pd.read_csv(folder / "history.csv"),
        predictions=evaluate.read_predictions(folder / "predictions.csv"),
        measures=pd.read_csv(folder / "measures.csv", keep_default_na=False, na_values=[""]),
        metrics=metrics,
        environment=details,
    )


def complete(folder: str | Path) -> None:
    """The completion record, called by every notebook's last code cell.

    Under `paper_repro.workflow.execute` it goes to `$PAPER_REPRO_RECORD`, and the executor writes `done` once it has
    seen every cell run; in JupyterLab a run's folder gets its `done` here.
    """
    record = os.environ.get("PAPER_REPRO_RECORD")
    folder = Path(folder)
    text = json.dumps(
        {"folder": str(folder.resolve()), "finished": time.strftime("%Y-%m-%dT%H:%M:%S%z"), "python": sys.executable}
    )
    path = Path(record) if record else folder / "done" if (folder / "metrics.json").exists() else None
    if path is not None:
        with atomic_write(path) as temporary:
            temporary.write_text(text, encoding="utf-8")
