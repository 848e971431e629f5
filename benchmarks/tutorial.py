"""Rows beside a training as tutorials write it (plain_script.py), each side a process of its own on the same cores.

`python benchmarks/tutorial.py FOLDER PRECISION THREADS` is ours: a whole run of the cpu profile's stage arm, with
three epochs instead of thirty, as many of them at the smaller size.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
from measure import Row, figure, in_turn, speed
from networks import EPOCH_BATCHES, SHORT, Bench
from system import new_cache, photographs
from torch.utils.data import DataLoader
from torchvision import transforms
from torchvision.datasets import ImageFolder

from paper_repro.augment import MEAN, STD, TrainingEpoch
from paper_repro.config import load_profile
from paper_repro.data import load_dataset
from paper_repro.photographs.folds import load_folds, split
from paper_repro.training import train

EPOCHS, SMALL_EPOCHS = 3, 2  # as in the profile, two epochs of three are at two thirds of the size
AT_LEAST = {"32-true": 1.5, "bf16-mixed": 2.5}


def ours(folder: str, precision: str, threads: int) -> dict:
    """Training images per second of a run: in its last epoch, and over its whole recipe."""
    keys = {"epochs": EPOCHS, "small_epochs": SMALL_EPOCHS, "warmup_epochs": 1, "accelerator": "cpu"}
    config = load_profile("cpu", data=folder, precision=precision, threads=threads, **keys)
    with tempfile.TemporaryDirectory() as out:
        run = train(config, "stage", 0, out)
    seconds = run.history["seconds"].to_numpy()
    images = run.environment["images"]["train"] // config.batch_size * config.batch_size
    return {"full size": images / seconds[-1], "recipe": images * EPOCHS / seconds.sum()}


def _script(folder: Path, workers: int, threads: int, *more: str) -> float:
    """Training images per second of the script."""
    command = [sys.executable, Path(__file__).with_name("plain_script.py"), folder, *more]
    command += ["--workers", str(workers), "--threads", str(threads)]
    printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return float(re.search(r"images per second: ([\d.]+)", printed)[1])


def script(bench: Bench) -> Iterator[Row]:
    """The cpu profile's recipe beside a plain script, at the fastest of its numbers of workers and threads."""
    folder, half = photographs(bench), bench.scratch / "every second photograph"
    for number, photograph in enumerate(sorted(folder.glob("*/*.jpg"))):
        if number % 2:
            place = half / photograph.relative_to(folder)
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(photograph, place)
    choices = [(workers, threads) for workers in (0, 2) for threads in range(1, bench.threads + 1)]
    quick = ("--epochs", "1", "--batches", str(EPOCH_BATCHES))
    workers, threads = max(choices, key=lambda choice: _script(half, *choice, *quick))
    beside = f"plain script, {workers} workers, {threads} threads"
    rates: dict[str, list] = {"script": [], **{precision: [] for precision in bench.precisions}}

    def run_script():
        rates["script"].append(_script(half, workers, threads, "--epochs", str(EPOCHS)))

    def run_ours(precision):
        with tempfile.TemporaryDirectory(dir=bench.scratch) as cache:  # everything is prepared anew
            command = [sys.executable, __file__, half, precision, str(bench.threads)]
            environment = os.environ | {"PAPER_REPRO_CACHE": cache}
            printed = subprocess.run(command, check=True, capture_output=True, text=True, env=environment).stdout
        rates[precision].append(json.loads(printed.splitlines()[-1]))

    sides = {"script": run_script} | {precision: partial(run_ours, precision) for precision in bench.precisions}
    taken = in_turn(sides, min(bench.rounds, 3), warm_up=False)
    peer = np.array(rates["script"])
    for precision in bench.precisions:
        at_least = AT_LEAST[precision]
        for what, name in {
            "full size": f"training images per second, {bench.config.image_size} px",
            "recipe": "training images per second, the recipe of cpu (two epochs of three at 64 px)",
        }.items():
            rate = np.array([found[what] for found in rates[precision]])
            note = f"{np.median(rate):.1f} and {np.median(peer):.1f} images/s; seconds are of one image"
            yield speed(f"{name}, {SHORT[precision]}", beside, 1 / rate, 1 / peer, at_least=at_least, note=note)
        what = f"a whole run with evaluation, {SHORT[precision]}"
        note = f"a process from its start: {EPOCHS} epochs, validation, test; ours with preparation and checkpoints"
        yield speed(what, beside, taken[precision], taken["script"], at_least=at_least, note=note)


def first_batch(bench: Bench) -> Iterator[Row]:
    """The time until the first training batch, in the first and in a later call, beside a DataLoader's."""
    folder = photographs(bench)
    config = load_profile("cpu", data=str(folder))

    def our_batch():
        dataset = load_dataset(config.data, config.prepared_size)
        train_rows = split(load_folds(dataset, config), 0).train
        truth = dataset.table["truth"].to_numpy()
        return TrainingEpoch(dataset.images, truth, train_rows, len(dataset.classes), 0, config.epochs, config)[0]

    def their_batch():
        steps = [
            transforms.RandomResizedCrop(config.image_size, scale=(config.crop_area, 1)),
            transforms.RandomHorizontalFlip(),
            transforms.ColorJitter(config.jitter, config.jitter, config.jitter),
            transforms.ToTensor(),
            transforms.Normalize(MEAN, STD),
        ]
        photographs = ImageFolder(folder, transforms.Compose(steps))
        return next(iter(DataLoader(photographs, batch_size=config.batch_size, shuffle=True)))

    what = f"until the first training batch of {len(ImageFolder(folder)):,} photographs"
    with new_cache(bench.scratch):
        start = time.perf_counter()
        our_batch()
        yield figure(f"{what}, first call, which prepares them", time.perf_counter() - start, "s", at_most=5)
        taken = in_turn({"ours": our_batch, "theirs": their_batch}, bench.rounds)
    note = f"ImageFolder and DataLoader: {np.median(taken['theirs']):.2g} s, and as long for every batch"
    yield figure(f"{what}, later calls", taken["ours"], "s", at_most=0.5, note=note)


if __name__ == "__main__":
    print(json.dumps(ours(sys.argv[1], sys.argv[2], int(sys.argv[3]))))
