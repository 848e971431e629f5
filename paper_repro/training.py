"""Training one arm on one fold, and its predictions on the test fold.

The loop runs on Lightning Fabric: one device, its precision picked by itself. The best epoch is chosen on the
validation part; the test fold is read once, after training.
"""

import hashlib
import math
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from filelock import FileLock, Timeout
from lightning_fabric import Fabric
from safetensors.torch import save as to_safetensors
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from torch.utils.data import DataLoader
from tqdm.auto import tqdm

from paper_repro import checkpoint, evaluate, heatmaps, runs
from paper_repro.arms import build_model, stage_layers
from paper_repro.augment import TrainingEpoch, normalise, to_float, to_input, whole
from paper_repro.config import ARMS, Config
from paper_repro.data import Dataset, load_dataset
from paper_repro.files import ReproError, cache_dir, check_writable, watched
from paper_repro.keys import learning_rate, run_key
from paper_repro.photographs.folds import Split, load_folds, split


def train(config: Config, arm: str, fold: int, out: str | Path) -> runs.Run:
    """Trains or loads: a finished run of the same key is opened, a begun one is resumed, else it starts.

    Writes the run's folder `out/ARM/foldK/` (see `runs.write_run`); weights and checkpoints lie in the cache folder.
    Fold k is trained with seed k.

    Raises:
        ReproError: data, folder or configuration that cannot work, before training starts; another process that trains
            the same run; a loss that is no longer finite.
    """
    folder = Path(out) / arm / f"fold{fold}"
    dataset, parts, key = _open(config, arm, fold)
    trained = _trained(folder, key)
    if trained is not None:
        return trained
    check_writable(folder)
    with _locked(arm, fold, key) as scratch:
        trainer = _Trainer(config, arm, fold, dataset, parts, scratch)
        history = trainer.fit()
        _write(folder, key, trainer, history)
        for file in scratch.glob("epoch*.pt"):
            file.unlink()
    return runs.load_run(folder, finished=False)


def fit(config: Config, arm: str, fold: int) -> pd.DataFrame:
    """The history of a training that never opens its test fold, for choosing a recipe by its validation part.

    It resumes as `train` does and keeps its checkpoint, so that a second call only reads the history.
    """
    dataset, parts, key = _open(config, arm, fold)
    with _locked(arm, fold, key) as scratch:
        return _Trainer(config, arm, fold, dataset, parts, scratch).fit()


def _open(config: Config, arm: str, fold: int) -> tuple[Dataset, Split, str]:
    """The data, their parts and the run's key."""
    dataset = load_dataset(config.data, config.prepared_size, boxes=config.boxes)
    folds = load_folds(dataset, config)
    parts = split(folds, fold)
    if config.batch_size > len(parts.train):
        raise ReproError(
            f"batch_size: {config.batch_size} is more than the {len(parts.train)} training images: make it smaller"
        )
    return dataset, parts, run_key(config, arm, fold, identity(dataset, folds))


@contextmanager
def _locked(arm: str, fold: int, key: str) -> Iterator[Path]:
    """The run's folder for checkpoints, held by this process alone."""
    scratch = cache_dir("checkpoints", key)
    lock = FileLock(scratch / "lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise ReproError(
            f"another process trains {arm}, fold {fold} already (lock {lock.lock_file}): wait for it or stop it"
        ) from None
    try:
        yield scratch
    finally:
        lock.release()


def _write(folder: Path, key: str, trainer: "_Trainer", history: pd.DataFrame) -> None:
    """The run's folder, and the weights in the cache, from a trainer that has finished."""
    config, dataset, parts, fold = trainer.config, trainer.dataset, trainer.parts, trainer.seed
    table = dataset.table.iloc[parts.test]
    predictions = evaluate.predictions_frame(
        table["image"].to_numpy(), fold, table["truth"].to_numpy(), trainer.probabilities(parts.test), dataset.classes
    )
    groups = pd.Series(table["group"].to_numpy(), index=table["image"])
    metrics = evaluate.metrics(predictions, dataset.classes, groups=groups, seed=fold)
    content = to_safetensors(trainer.best_state())
    weights = checkpoint.save_hashed(cache_dir("weights"), key, ".safetensors", content)
    details = runs.environment(config) | {
        "arm": trainer.arm,
        "fold": fold,
        "seed": fold,
        "key": key,
        "weights": weights.name,
        "data": dataset.fingerprint,
        "device": str(trainer.fabric.device),
        "precision": trainer.precision,
        "continued": trainer.continued,
        "images": {name: len(getattr(parts, name)) for name in ("train", "validation", "test")},
        "parameters": sum(parameter.numel() for parameter in trainer.raw.parameters()),
        "hours": round(float(history[["seconds", "validation_seconds"]].to_numpy().sum()) / 3600, 4),
    }
    measures, agreement = trainer.measures(parts.test), trainer.gate_agreement(parts.test)
    runs.write_run(folder, config, history, predictions, metrics, measures, details, agreement)


def identity(dataset: Dataset, folds: pd.DataFrame) -> str:
    """What a run learns from: the pictures, and which of them stand in which part."""
    return hashlib.sha256((dataset.fingerprint + folds.to_csv(index=False)).encode()).hexdigest()


def _shuffled(truth: np.ndarray, parts, seed: int) -> np.ndarray:
    """The classes (N,) with those of the training and of the validation part permuted: labels that mean nothing, for
    the data randomisation test of Adebayo et al. ("Sanity Checks for Saliency Maps", NeurIPS 2018, section 4.2)."""
    labels, generator = truth.copy(), np.random.default_rng([seed, 2])
    for part in (parts.train, parts.validation):
        labels[part] = generator.permutation(truth[part])
    return labels


def _trained(folder: Path, key: str) -> runs.Run | None:
    """The run in `folder`, if it is whole and has this key."""
    try:
        run = runs.load_run(folder, finished=False)
        return run if run.environment["key"] == key else None
    except (ReproError, KeyError):
        return None


def pick_precision(config: Config) -> str:
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


class _Trainer:
    """The state of one training: network, optimizer, moving average, history and the best epoch so far."""

    def __init__(self, config: Config, arm: str, fold: int, dataset, parts, scratch: Path):
        self.config, self.arm, self.seed = config, arm, fold
        self.dataset, self.parts, self.scratch = dataset, parts, scratch
        self.num_classes = len(dataset.classes)
        self.truth = dataset.table["truth"].to_numpy(np.int64)
        self.labels = _shuffled(self.truth, parts, self.seed) if ARMS[arm].labels == "shuffled" else self.truth
        torch.set_num_threads(config.threads)
        torch.manual_seed(self.seed)
        self.precision = pick_precision(config)
        try:
            self.fabric = Fabric(accelerator=config.accelerator, devices=1, precision=self.precision)
        except Exception as error:
            raise ReproError(
                f"accelerator: '{config.accelerator}' is not to be had here ({error}): use auto or cpu"
            ) from error
        self.raw = build_model(arm, config.backbone, self.num_classes, config.reduction, config.weights)
        self.raw = self.raw.to(memory_format=torch.channels_last)
        optimizer = torch.optim.SGD(
            self.raw.parameters(),
            lr=config.learning_rate,
            momentum=config.momentum,
            weight_decay=config.weight_decay,
            nesterov=config.momentum > 0,
        )
        self.model, self.optimizer = self.fabric.setup(self.raw, optimizer)
        self.averaged = (
            AveragedModel(self.raw, multi_avg_fn=get_ema_multi_avg_fn(config.ema_decay), use_buffers=True)
            if config.ema_decay
            else None
        )
        self.history: list[dict] = []
        self.best: dict | None = None
        self.continued: list[str] = []
        # What must be as it was for a resumed run to equal an uninterrupted one bit for bit.
        self.circumstances = {
            name: str(value) for name, value in runs.environment(config).items() if name != "git_commit"
        } | {"device": str(self.fabric.device), "precision": self.precision}

    def fit(self) -> pd.DataFrame:
        """Trains the missing epochs and returns the history; the network then holds the best epoch's weights."""
        self._resume()
        epochs = range(len(self.history) + 1, self.config.epochs + 1)
        bar = tqdm(
            epochs,
            desc=f"{self.arm}, fold {self.seed}",
            unit="epoch",
            initial=len(self.history),
            total=self.config.epochs,
            disable=not watched(),
        )
        for epoch in bar:
            row = self._train_epoch(epoch)
            row |= self._validate()
            for name in ("train_loss", "validation_loss"):
                if not math.isfinite(row[name]):
                    raise ReproError(
                        f"{name} of {self.arm}, fold {self.seed}, is {row[name]} in epoch {epoch}: "
                        "use a smaller learning_rate or more warmup_epochs"
                    )
            best = self.best is None or (row["validation_accuracy"], -row["validation_loss"]) > self.best["score"]
            if best:
                state = {name: value.detach().cpu().clone() for name, value in self._evaluated().state_dict().items()}
                self.best = {"score": (row["validation_accuracy"], -row["validation_loss"]), "state": state}
            self.history.append({"epoch": epoch, **row, "best": best})
            checkpoint.save(self.scratch, epoch, self._state())
            if watched():
                bar.set_postfix(loss=f"{row['train_loss']:.3f}", validation=f"{row['validation_accuracy']:.1%}")
            else:
                print(
                    f"{self.arm} fold {self.seed} epoch {epoch}/{self.config.epochs}: "
                    f"training loss {row['train_loss']:.4f}, validation loss {row['validation_loss']:.4f}, "
                    f"validation accuracy {row['validation_accuracy']:.1%}, {row['seconds']:.1f} s",
                    flush=True,
                )
        self._evaluated().load_state_dict(self.best["state"])
        return pd.DataFrame(self.history)

    def probabilities(self, indices: np.ndarray) -> np.ndarray:
        """Class probabilities (N, K) of the photographs `indices`, from the whole photograph, in single precision."""
        return torch.cat([F.softmax(logits, dim=1) for logits in self._logits(indices)]).numpy().astype(np.float64)

    def measures(self, indices: np.ndarray) -> pd.DataFrame:
        """What `heatmaps.measure` says of the network's Grad-CAM on the photographs `indices`."""
        size, dataset = self.config.image_size, self.dataset
        views = whole(to_float(dataset.images[indices]), size)  # (N, 3, S, S) in [0, 1]
        masks = boxes = None
        if dataset.masks is not None:
            masks = whole(torch.from_numpy(dataset.masks[indices])[:, None].float(), size)[:, 0].numpy() > 0.5
        if dataset.boxes is not None:
            boxes = [dataset.boxes[index] for index in indices]
        model = self._evaluated().eval()
        return heatmaps.measure(
            model,
            stage_layers(model),
            normalise(views),
            (views * 255).round().byte().permute(0, 2, 3, 1).numpy(),
            self.truth[indices],
            dataset.table["image"].to_numpy()[indices],
            masks,
            boxes,
            faithfulness_images=self.config.faithfulness_images,
            seed=self.seed,
        )

    @torch.inference_mode()
    def gate_agreement(self, indices: np.ndarray) -> pd.DataFrame | None:
        """`heatmaps.gate_agreement` on the photographs `indices`, where a stage computes several gates; else None."""
        if self.arm.split("-")[0] not in ("block", "stage_recompute"):
            return None
        model, found = self._evaluated().eval(), []
        for start in range(0, len(indices), 128):
            images = to_input(self.dataset.images[indices[start : start + 128]], self.config.image_size)
            found.append(model(self.fabric.to_device(images), return_gates=True)[1])
        gates = {stage: torch.cat([part[stage].cpu() for part in found], dim=1) for stage in found[0]}  # (G, N, C)
        table = heatmaps.gate_agreement(gates)
        names = self.dataset.table["image"].to_numpy()[indices]
        return table.assign(image=names[table.pop("position")])

    def best_state(self) -> dict[str, torch.Tensor]:
        return {name: value.contiguous() for name, value in self.best["state"].items()}

    def _train_epoch(self, epoch: int) -> dict:
        config = self.config
        torch.manual_seed(self.seed * 1_000_003 + epoch)  # dropout's stream, so that a resumed epoch draws the same
        batches = TrainingEpoch(
            self.dataset.images, self.labels, self.parts.train, self.num_classes, self.seed, epoch, config
        )
        loader = DataLoader(batches, batch_size=None, num_workers=config.workers)
        steps, warmup_steps = config.epochs * len(batches), config.warmup_epochs * len(batches)
        peak = learning_rate(config, self.arm)
        loss_sum, right = 0.0, 0
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
                self.averaged.update_parameters(self.raw)
            loss_sum += loss.detach()
            right += (logits.detach().argmax(1) == targets.argmax(1)).sum()
        seconds = time.perf_counter() - start
        train_loss = float(loss_sum) / len(batches)
        return {
            "learning_rate": rate,
            "train_loss": train_loss,
            "train_accuracy": int(right) / (len(batches) * config.batch_size),
            "seconds": seconds,
        }

    def _validate(self) -> dict:
        start = time.perf_counter()
        logits = torch.cat(list(self._logits(self.parts.validation)))
        truth = torch.from_numpy(self.labels[self.parts.validation])
        return {
            "validation_loss": float(F.cross_entropy(logits, truth)),
            "validation_accuracy": float((logits.argmax(1) == truth).float().mean()),
            "validation_seconds": time.perf_counter() - start,
        }

    def _evaluated(self) -> torch.nn.Module:
        """The network that is validated, tested and kept: the moving average where the profile uses one."""
        return self.raw if self.averaged is None else self.averaged.module

    @torch.inference_mode()
    def _logits(self, indices: np.ndarray):
        model = self._evaluated().eval()
        for start in range(0, len(indices), 128):
            images = to_input(self.dataset.images[indices[start : start + 128]], self.config.image_size)
            yield model(self.fabric.to_device(images)).float().cpu()  # (B, 3, S, S) -> (B, K)

    def _state(self) -> dict:
        return {
            "model": self.raw.state_dict(),
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
        self.raw.load_state_dict(state["model"])
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
            warnings.warn(
                f"{self.arm}, fold {self.seed}: continued, not bit-exact ({'; '.join(changed)})", stacklevel=3
            )
