"""Training one arm on one fold, and its predictions on the test fold.

The loop runs on Lightning Fabric: one device, its precision picked by itself. The best epoch is chosen on the
validation part; the test fold is read once, after training.
"""

import hashlib
import json
import math
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from filelock import FileLock, Timeout
from lightning_fabric import Fabric
from safetensors.torch import save as to_safetensors
from torch import Tensor
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from torch.utils.data import DataLoader
from tqdm.auto import tqdm

from paper_repro import checkpoint, evaluate, runs
from paper_repro.arms import build_model
from paper_repro.augment import TrainingEpoch, to_input
from paper_repro.config import ARMS, Config
from paper_repro.data import Dataset, load_dataset
from paper_repro.files import ReproError, cache_dir, check_writable, sockets_fit, watched
from paper_repro.keys import kept_keys, learning_rate, run_folder
from paper_repro.photographs.folds import Split, load_folds, split
from paper_repro.stickers import StickerRule


def train(config: Config, arm: str, fold: int, out: str | Path, repeat: int = 0) -> runs.Run:
    """Trains or loads: a finished run of the same key is opened, a begun one is resumed, else it starts.

    Writes the run's folder (`keys.run_folder`; its files: `runs.write_run`). Checkpoints lie in the cache folder until
    the run is finished.

    Args:
        config: the recipe, the data and the machine.
        arm: one of `config.ARMS`.
        fold: the test fold; with `repeat` it decides the seed (`training_seed`).
        out: folder of the runs.
        repeat: number of the repeat; it is the seed of the split into folds.

    Raises:
        ReproError: data, folder or configuration that cannot work, before training starts; another process that trains
            the same run; a loss that is no longer finite.
    """
    folder = run_folder(out, arm, fold, repeat)
    dataset, parts, keys = _open(config, arm, fold, repeat)
    try:
        run = runs.load_run(folder, finished=False)
        if run.environment["key"] in keys:
            metrics = _metrics(run.predictions, dataset, run.environment["seed"])
            if metrics != run.metrics:  # the code of `evaluate` has changed
                runs.write_files(folder, {"metrics.json": json.dumps(metrics, indent=1).encode()}, outdated=["done"])
            return replace(run, metrics=metrics)
    except (ReproError, KeyError) as error:
        if (folder / "done").exists():  # a finished run that cannot be opened
            warnings.warn(f"{error}; it is trained again", stacklevel=2)
    check_writable(folder)
    name = f"{arm}, fold {fold}" + (f", repeat {repeat}" if repeat else "")
    with _locked(name, keys[0]) as scratch:
        trainer = Trainer(config, arm, dataset, parts, training_seed(config, fold, repeat), scratch, name)
        history = trainer.fit()
        _write(folder, trainer, history, {"arm": arm, "fold": fold, "repeat": repeat, "key": keys[0]})
        for file in scratch.glob("epoch*.pt"):
            file.unlink()
    return runs.load_run(folder, finished=False)


def fit(config: Config, arm: str, fold: int) -> pd.DataFrame:
    """The history of a training that never opens its test fold; its checkpoint stays, so another call only reads it."""
    dataset, parts, keys = _open(config, arm, fold, repeat=0)
    name = f"{arm}, fold {fold}"
    with _locked(name, keys[0]) as scratch:
        return Trainer(config, arm, dataset, parts, training_seed(config, fold), scratch, name).fit()


def check_config(config: Config, parts: Split) -> None:
    """Raises a ReproError for what would fail in the first epoch: a batch larger than the training part, or workers
    whose sockets do not fit into `$TMPDIR`."""
    if config.batch_size > (count := len(parts.train)):
        raise ReproError(f"batch_size: {config.batch_size} is more than the {count} training images: make it smaller")
    if config.workers and not sockets_fit():
        raise ReproError("TMPDIR: its path is too long for the sockets of workers: set TMPDIR=/tmp, or workers to 0")


def training_seed(config: Config, fold: int, repeat: int = 0) -> int:
    """Seed of one training; each pair of repeat and fold has its own: 5r + fold for five folds."""
    return config.num_folds * repeat + fold


def data_key(dataset: Dataset, folds: pd.DataFrame) -> str:
    """What a run learns from: the pictures, and which of them stand in which part; a sha256."""
    return hashlib.sha256((dataset.fingerprint + folds.to_csv(index=False, lineterminator="\n")).encode()).hexdigest()


def _open(config: Config, arm: str, fold: int, repeat: int) -> tuple[Dataset, Split, list[str]]:
    """The data, their parts and the keys under which the run may be known; the first is today's."""
    dataset = load_dataset(config.data, config.prepared_size, boxes=config.boxes)
    folds = load_folds(dataset, config, repeat)
    parts = split(folds, fold)
    check_config(config, parts)
    return dataset, parts, kept_keys(config, arm, fold, data_key(dataset, folds), repeat)


@contextmanager
def _locked(name: str, key: str) -> Iterator[Path]:
    """The run's folder for checkpoints, held by this process alone."""
    scratch = cache_dir("checkpoints", key)
    try:
        with FileLock(scratch / "lock", timeout=0):
            yield scratch
    except Timeout as error:
        raise ReproError(f"another process trains {name} already (lock {error.lock_file}): wait for it") from None


def _write(folder: Path, trainer: "Trainer", history: pd.DataFrame, names: dict) -> None:
    """The run's folder, from a trainer that has finished."""
    dataset, test = trainer.dataset, trainer.parts.test
    images, truth = (dataset.table[column].to_numpy()[test] for column in ("image", "truth"))
    probabilities = trainer.probabilities(test)
    predictions = evaluate.predictions_frame(images, names["fold"], truth, probabilities, dataset.classes)
    weights = to_safetensors({name: value.contiguous() for name, value in trainer.best["state"].items()})
    seconds = history[["seconds", "validation_seconds"]].to_numpy().sum()
    details = runs.environment(trainer.config) | names
    details |= {
        "seed": trainer.seed,
        "weights": hashlib.sha256(weights).hexdigest(),
        "data": dataset.fingerprint,
        "device": str(trainer.fabric.device),
        "precision": trainer.precision,
        "continued": trainer.continued,
        "images": {name: len(rows) for name, rows in vars(trainer.parts).items()},
        "parameters": sum(parameter.numel() for parameter in trainer.network.parameters()),
        "hours": round(float(seconds) / 3600, 4),
    }
    metrics = _metrics(predictions, dataset, trainer.seed)
    runs.write_run(folder, trainer.config, history, predictions, metrics, details, weights)


def _metrics(predictions: pd.DataFrame, dataset: Dataset, seed: int) -> dict:
    groups = dataset.table.set_index("image")["group"]
    return evaluate.metrics(predictions, dataset.classes, groups=groups, seed=seed)


def shuffled_labels(truth: np.ndarray, parts: Split, seed: int) -> np.ndarray:
    """The classes (N,) with those of the training and of the validation part permuted: labels that mean nothing, for
    the data randomisation test of Adebayo et al. ("Sanity Checks for Saliency Maps", NeurIPS 2018, section 4.2)."""
    labels, generator = truth.copy(), np.random.default_rng([seed, 2])
    for part in (parts.train, parts.validation):
        labels[part] = generator.permutation(truth[part])
    return labels


def pick_precision(config: Config) -> Literal["32-true", "bf16-mixed"]:
    """bfloat16 where the processor or GPU has arithmetic for it, else single precision; weights are kept in single."""
    if config.precision != "auto":
        return config.precision
    if torch.cuda.is_available() and config.accelerator in ("auto", "cuda"):
        return "bf16-mixed" if torch.cuda.is_bf16_supported(including_emulation=False) else "32-true"
    on_cpu = config.accelerator == "cpu" or (config.accelerator == "auto" and not torch.backends.mps.is_available())
    return "bf16-mixed" if on_cpu and torch.cpu.get_capabilities().get("avx512_bf16") else "32-true"


def rate_at(step: int, steps: int, warmup_steps: int, peak: float) -> float:
    """Learning rate of a step: linear warm-up to `peak`, then half a cosine to 0 (Loshchilov and Hutter, ICLR 2017)."""
    if step < warmup_steps:
        return peak * (step + 1) / warmup_steps
    return peak * (1 + math.cos(math.pi * (step - warmup_steps) / (steps - warmup_steps))) / 2


class Trainer:
    """The state of one training: network, optimizer, moving average, history and the best epoch so far.

    Args:
        parts: row numbers of the data set; the test part is read by `probabilities` alone.
        seed: of the weights, the order, the augmentation and the mixing.
        scratch: folder of the checkpoints, from which `fit` resumes.
        name: what messages call this training.

    Raises:
        ReproError: the accelerator is not available on this machine; stickers for more classes than there are kinds.
    """

    def __init__(self, config: Config, arm: str, dataset: Dataset, parts: Split, seed: int, scratch: Path, name: str):
        self.config, self.arm, self.seed, self.name = config, arm, seed, name
        self.dataset, self.parts, self.scratch = dataset, parts, scratch
        self.labels = dataset.table["truth"].to_numpy(np.int64)
        if ARMS[arm].labels == "shuffled":
            self.labels = shuffled_labels(self.labels, parts, seed)
        rule = ARMS[arm].stickers
        self.rule = None if rule == "none" else StickerRule(rule, len(dataset.classes), seed)
        torch.set_num_threads(config.threads)
        torch.manual_seed(seed)
        self.precision = pick_precision(config)
        try:
            self.fabric = Fabric(accelerator=config.accelerator, devices=1, precision=self.precision)
        except Exception as error:
            message = f"accelerator: '{config.accelerator}' is not available on this machine ({error})"
            raise ReproError(f"{message}: use auto or cpu") from error
        network = build_model(arm, config.backbone, len(dataset.classes), config.reduction, config.weights)
        self.network = network.to(memory_format=torch.channels_last)
        optimizer = torch.optim.SGD(
            self.network.parameters(),
            lr=config.learning_rate,
            momentum=config.momentum,
            weight_decay=config.weight_decay,
            nesterov=config.momentum > 0,
        )
        self.model, self.optimizer = self.fabric.setup(self.network, optimizer)
        self.averaged = None
        if config.ema_decay:
            average = get_ema_multi_avg_fn(config.ema_decay)
            self.averaged = AveragedModel(self.network, multi_avg_fn=average, use_buffers=True)
        self.history: list[dict] = []
        self.best: dict = {}  # score and state of the best epoch so far
        self.continued: list[str] = []
        # What must be as it was for a resumed run to equal an uninterrupted one bit for bit.
        self.circumstances = {
            name: str(value) for name, value in runs.environment(config).items() if name != "git_commit"
        } | {"device": str(self.fabric.device), "precision": self.precision}

    def fit(self) -> pd.DataFrame:
        """Trains the missing epochs and returns the history; the network then holds the best epoch's weights."""
        self._resume()
        done, epochs = len(self.history), self.config.epochs
        bar = tqdm(total=epochs, initial=done, desc=self.name, unit="epoch", disable=not watched())
        for epoch in range(done + 1, epochs + 1):
            row = self.train_epoch(epoch) | self.validate()
            for name in ("train_loss", "validation_loss"):
                if not math.isfinite(row[name]):
                    raise ReproError(
                        f"{name} of {self.name}, is {row[name]} in epoch {epoch}: "
                        "use a smaller learning_rate or more warmup_epochs"
                    )
            score = row["validation_accuracy"], -row["validation_loss"]
            is_best = not self.best or score > self.best["score"]
            if is_best:
                state = {name: value.detach().cpu().clone() for name, value in self.evaluated.state_dict().items()}
                self.best = {"score": score, "state": state}
            self.history.append({"epoch": epoch, **row, "best": is_best})
            checkpoint.save(self.scratch, epoch, self.state())
            text = f"loss {row['train_loss']:.4f}, in validation {row['validation_loss']:.4f}, "
            text += f"validation accuracy {row['validation_accuracy']:.1%}, {row['seconds']:.1f} s"
            bar.set_postfix_str(text)
            bar.update()
            if bar.disable:
                print(f"{self.name}, epoch {epoch}/{epochs}: {text}", flush=True)
        bar.close()
        self.evaluated.load_state_dict(self.best["state"])
        return pd.DataFrame(self.history)

    @property
    def evaluated(self) -> torch.nn.Module:
        """The network that is validated, tested and kept: the moving average where the profile uses one."""
        return self.network if self.averaged is None else self.averaged.module

    def probabilities(self, indices: np.ndarray) -> np.ndarray:
        """Class probabilities (N, K) of the test photographs `indices`, from the whole photograph, in single precision.
        In an arm with stickers each photograph carries that of its test view."""
        return self._logits(indices, testing=True).softmax(dim=1).numpy().astype(np.float64)

    def train_epoch(self, epoch: int) -> dict:
        """Trains one epoch, counted from 1; returns its learning rate, loss, accuracy and seconds."""
        config = self.config
        torch.manual_seed(self.seed * 1_000_003 + epoch)  # dropout's stream, so that a resumed epoch draws the same
        dataset, train = self.dataset, self.parts.train
        batches = TrainingEpoch(
            dataset.images, self.labels, train, len(dataset.classes), self.seed, epoch, config, self.rule
        )
        loader = DataLoader(batches, batch_size=None, num_workers=config.workers)
        steps, warmup_steps = config.epochs * len(batches), config.warmup_epochs * len(batches)
        peak = learning_rate(config, self.arm)
        loss_sum: float | Tensor = 0.0
        correct: int | Tensor = 0
        self.model.train()
        start = time.perf_counter()
        for batch, (images, targets) in enumerate(loader):
            rate = rate_at((epoch - 1) * len(batches) + batch, steps, warmup_steps, peak)
            for group in self.optimizer.param_groups:
                group["lr"] = rate
            images, targets = self.fabric.to_device((images, targets))
            logits = self.model(images)  # (B, 3, S, S) -> (B, K)
            loss = F.cross_entropy(logits.float(), targets, label_smoothing=config.label_smoothing)
            self.optimizer.zero_grad()
            self.fabric.backward(loss)
            self.optimizer.step()
            if self.averaged is not None:
                self.averaged.update_parameters(self.network)
            loss_sum += loss.detach()
            correct += (logits.detach().argmax(1) == targets.argmax(1)).sum()
        return {
            "learning_rate": rate,
            "train_loss": float(loss_sum) / len(batches),
            "train_accuracy": int(correct) / (len(batches) * config.batch_size),
            "seconds": time.perf_counter() - start,
        }

    def validate(self) -> dict:
        """Loss, accuracy and seconds on the validation part."""
        start = time.perf_counter()
        part = self.parts.validation
        logits, truth = self._logits(part, testing=False), torch.from_numpy(self.labels[part])
        return {
            "validation_loss": float(F.cross_entropy(logits, truth)),
            "validation_accuracy": float((logits.argmax(1) == truth).float().mean()),
            "validation_seconds": time.perf_counter() - start,
        }

    @torch.inference_mode()
    def _logits(self, indices: np.ndarray, testing: bool) -> Tensor:
        """Logits (N, K) of the photographs `indices`, on the processor."""
        model, found = self.evaluated.eval(), []
        for start in range(0, len(indices), 128):
            rows = indices[start : start + 128]
            stickers = None if self.rule is None else self.rule.draw(self.labels[rows], rows, testing=testing)
            images = to_input(self.dataset.images[rows], self.config.image_size, stickers)
            found.append(model(self.fabric.to_device(images)).float().cpu())  # (B, 3, S, S) -> (B, K)
        return torch.cat(found)

    def state(self) -> dict:
        """What a checkpoint holds."""
        return {
            "model": self.network.state_dict(),
            "averaged": self.averaged and self.averaged.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "history": self.history,
            "best": self.best,
            "circumstances": self.circumstances,
            "continued": self.continued,
        }

    def _resume(self) -> None:
        state = checkpoint.load_newest(self.scratch)
        if state is None:
            return
        self.network.load_state_dict(state["model"])
        if self.averaged is not None:
            self.averaged.load_state_dict(state["averaged"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.history, self.best = state["history"], state["best"]
        changed = [
            f"{name}: {then} -> {self.circumstances[name]}"
            for name, then in state["circumstances"].items()
            if self.circumstances[name] != then
        ]
        self.continued = [*state["continued"], *changed]
        if changed:
            warnings.warn(f"{self.name}: continued, not bit-exact ({'; '.join(changed)})", stacklevel=3)
