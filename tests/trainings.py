"""A training of seconds, and what runs in the processes that test_interruption.py kills."""

import hashlib
import json
import os
import time
from pathlib import Path

import torch

from paper_repro import checkpoint, training

TINY = dict(
    image_size=32,
    epochs=3,
    batch_size=8,
    warmup_epochs=1,
    threads=1,
    faithfulness_images=1,
    num_folds=3,
    mixup=0.2,
    ema_decay=0.5,
    precision="32-true",
    accelerator="cpu",
)
TIMES = ["seconds", "validation_seconds"]  # columns of a history that differ from run to run


class Notes:
    """Lines `phase epoch time` in a file, one whenever the phase changes, which the killing process follows."""

    def __init__(self, path: Path):
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        self._last = None

    def __call__(self, phase: str, epoch: int) -> None:
        if (phase, epoch) != self._last:
            self._last = phase, epoch
            os.write(self._file, f"{phase},{epoch},{time.monotonic()}\n".encode())


def train_noting_phases(path: Path, cache: Path, config, out: Path) -> None:
    """`train`, which notes its phases in `path` and, at its end, what it ended with in `path`.json."""
    os.environ["PAPER_REPRO_CACHE"] = str(cache)
    note, write, rate_at, save = Notes(path), training._write, training.rate_at, checkpoint.save

    class Trainer(training.Trainer):
        def train_epoch(self, epoch):
            self.epoch = epoch
            note("between epochs", epoch)
            training.rate_at = lambda *values: note("training", epoch) or rate_at(*values)  # called once per batch
            return super().train_epoch(epoch)

        def validate(self):
            note("validation", self.epoch)
            return super().validate()

    def save_noting(folder, epoch, state):
        note("saving", epoch)
        save(folder, epoch, state)
        note("between epochs", epoch + 1)

    def write_noting(folder, trainer, history, names):
        note("writing results", 0)
        kept = ("model", "averaged", "optimizer", "best", "history", "continued")
        state = {name: digest(value) for name, value in trainer.state().items() if name in kept}
        path.with_suffix(".json").write_text(json.dumps(state))
        write(folder, trainer, history, names)

    training.Trainer, training._write, checkpoint.save = Trainer, write_noting, save_noting
    training.train(config, "stage", 0, out)
    note("end", 0)


def digest(value) -> str:
    """sha256 over every bit of nested containers of tensors and numbers, but for measured times."""
    sha = hashlib.sha256()

    def add(part):
        if isinstance(part, torch.Tensor):
            sha.update(f"{part.dtype} {tuple(part.shape)}".encode())
            sha.update(part.detach().cpu().contiguous().numpy())
        elif isinstance(part, dict):
            for key, item in part.items():
                if key not in TIMES:
                    sha.update(repr(key).encode())
                    add(item)
        elif isinstance(part, (list, tuple)):
            for item in part:
                add(item)
        else:
            sha.update(repr(part).encode())

    add(value)
    return sha.hexdigest()


def state_of(epoch: int) -> dict:
    """8 MB that tell their epoch."""
    return {"epoch": epoch, "weights": torch.full((2_000_000,), float(epoch))}


def save_for_ever(path: Path, folder: Path) -> None:
    """Saves one checkpoint after the other, noting in `path` those that are complete."""
    note, epoch = Notes(path), 0
    while True:
        epoch += 1
        checkpoint.save(folder, epoch, state_of(epoch))
        note("saved", epoch)
