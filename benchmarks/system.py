"""Rows about everything around the network: preparing, memory, growth with the data, whole runs, importing.

`python benchmarks/system.py memory|epochs NUMBER` is what some of them start as a process of its own.
"""

import os
import subprocess
import sys
import tempfile
import threading
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pandas as pd
import torch
from measure import Row, duration, figure, in_turn, not_measured, speed
from networks import EPOCH_BATCHES, SHORT, Bench, trainer
from PIL import Image
from tqdm import tqdm

from paper_repro.config import load_profile
from paper_repro.data import Dataset, load_dataset
from paper_repro.evaluate import metrics, predictions_frame
from paper_repro.photographs.folds import Split, make_folds, near_duplicate_groups
from paper_repro.training import Trainer
from paper_repro.workflow.execute import MALLOC

ROOT = Path(__file__).resolve().parents[1]
CLASSES = ("cardboard", "glass", "metal", "paper", "plastic", "trash")
FEW, MANY = 2_500, 25_000


@contextmanager
def new_cache(folder: Path) -> Iterator[Path]:
    """An empty cache folder, so that everything is prepared anew."""
    with tempfile.TemporaryDirectory(dir=folder) as cache, patch.dict(os.environ, PAPER_REPRO_CACHE=cache):
        yield Path(cache)


def write_photographs(folder: Path, count: int, size: tuple[int, int]) -> None:
    """`count` different JPEG files of soft random shapes, in six class folders."""
    rng = np.random.default_rng(0)
    for number in tqdm(range(count), f"writing {count:,} photographs", leave=False):
        file = folder / CLASSES[number % 6] / f"{number:05}.jpg"
        file.parent.mkdir(parents=True, exist_ok=True)
        shapes = Image.fromarray(rng.integers(0, 256, (9, 12, 3), dtype=np.uint8))
        shapes.resize(size, Image.Resampling.BICUBIC).save(file, quality=90)


# ---- photographs --------------------------------------------------------------------------------------------------


def photographs(bench: Bench) -> Path:
    """The folder of class folders that photographs are read from: those of the bench, else drawn ones."""
    if bench.data and bench.data.is_dir():
        return bench.data
    folder = bench.scratch / "photographs"
    if not folder.exists():
        if bench.data:
            with zipfile.ZipFile(bench.data) as archive:
                archive.extractall(folder)
        else:
            write_photographs(folder, 2_527, (512, 384))
    return next(path for path in (folder, *folder.iterdir()) if len(list(path.glob("[!_.]*/"))) > 1)


def _preparation(bench: Bench, folder: Path) -> float:
    """Seconds to prepare a folder from nothing."""
    with new_cache(bench.scratch):
        start = time.perf_counter()
        load_dataset(str(folder), bench.config.prepared_size)
        return time.perf_counter() - start


# ---- memory and growth --------------------------------------------------------------------------------------------


def _anonymous_memory() -> float:
    """RssAnon of this process in MB: without the memory-mapped photographs, which the system can drop."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("RssAnon")).split()[1]) / 1024


def child_memory(count: int) -> float:
    """Largest RssAnon while an epoch over `count` photographs of 128 px is trained, sampled every 20 ms."""
    config = load_profile("smoke", image_size=32, batch_size=64, accelerator="cpu", threads=torch.get_num_threads())
    with tempfile.TemporaryDirectory() as scratch:
        file = Path(scratch, "images.npy")
        images = np.lib.format.open_memmap(file, "w+", np.uint8, (count, 128, 128, 3))
        images[:] = np.random.default_rng(0).integers(0, 256, images.shape[1:], np.uint8)
        truth = np.arange(count) % 6
        table = pd.DataFrame({"truth": truth})
        dataset = Dataset("noise", CLASSES, images, table, None, None, "")
        ours = Trainer(config, "stage", dataset, Split(*[np.arange(count)] * 3), 0, Path(scratch), "stage")
        done, sizes = threading.Event(), []

        def sample():
            while not done.wait(0.02):
                sizes.append(_anonymous_memory())

        thread = threading.Thread(target=sample)
        thread.start()
        ours.train_epoch(1)
        done.set()
        thread.join()
    return max(sizes)


def _child(action: str, number: int, **environment: str) -> subprocess.Popen:
    command = [sys.executable, __file__, action, str(number)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=os.environ | environment)


def _answers(*children: subprocess.Popen) -> list[float]:
    """What the children print last, once all have ended."""
    outputs = [child.communicate()[0] for child in children]
    for child in children:
        if child.returncode:
            raise subprocess.CalledProcessError(child.returncode, child.args)
    return [float(output.split()[-1]) for output in outputs]


def memory(bench: Bench) -> Iterator[Row]:
    """Anonymous memory in training with ten times the images."""
    if not Path("/proc/self/status").exists():
        yield not_measured("memory in training", "no /proc on this system", at_most=1.2)
        return
    few, many = (_answers(_child("memory", count))[0] for count in (1_000, 10_000))
    growth = many / few
    yield Row(
        "memory in training (RssAnon), 10,000 photographs",
        "1,000 photographs",
        growth,
        growth,
        growth,
        "times the memory",
        f"{many:.0f} MB",
        f"{few:.0f} MB",
        at_most=1.2,
        note="an epoch of the smoke profile at 32 px; the 10,000 stored photographs are 492 MB",
    )


def scaling(bench: Bench) -> Iterator[Row]:
    """What grows with the data: ten times the photographs."""
    actions = {}
    for count in (FEW, MANY):
        folder = bench.scratch / f"photographs{count}"
        write_photographs(folder, count, (256, 192))
        dataset = load_dataset(str(folder), bench.config.prepared_size)
        table = dataset.table
        probabilities = np.random.default_rng(0).dirichlet(np.ones(6), count)
        predictions = predictions_frame(
            table["image"].to_numpy(), 0, table["truth"].to_numpy(), probabilities, dataset.classes
        )
        groups = table.set_index("image")["group"]

        actions |= {
            ("preparation", count): partial(_preparation, bench, folder),
            ("near-duplicate search", count): partial(near_duplicate_groups, dataset.images),
            ("splits", count): partial(make_folds, table, 5, 0),
            ("evaluation", count): partial(metrics, predictions, dataset.classes, groups),
        }
    taken = in_turn(actions, min(bench.rounds, 3), warm_up=False)
    for name in dict.fromkeys(name for name, _ in actions):
        yield duration(f"{name}, {MANY:,} images", f"{FEW:,} images", taken[name, MANY], taken[name, FEW], 11)


# ---- whole runs ---------------------------------------------------------------------------------------------------


def child_epochs(threads: int) -> float:
    """Median seconds of three epochs of a run of the cpu profile, after one that warms up."""
    config = load_profile("cpu", threads=threads)
    dataset = load_dataset("rendered", config.prepared_size)
    with tempfile.TemporaryDirectory() as scratch:
        ours = trainer(config, dataset, EPOCH_BATCHES, scratch)
        return float(np.median([ours.train_epoch(epoch)["seconds"] for epoch in range(1, 5)][1:]))


def two_runs(bench: Bench) -> Iterator[Row]:
    """Two runs at once with one thread each, beside one after another with two."""
    load_dataset("rendered", bench.config.prepared_size)  # the children find it prepared
    taken = in_turn(
        {
            "at once": lambda: float(np.mean(_answers(_child("epochs", 1), _child("epochs", 1)))),
            "one": lambda: _answers(_child("epochs", 2))[0],
        },
        min(bench.rounds, 3),
        warm_up=False,
    )
    yield speed(
        "two runs at once, one thread each: runs per hour",
        "one after another, two threads",
        taken["at once"] / 2,
        taken["one"],
        at_least=1,
        note="seconds per run and epoch",
    )


def malloc(bench: Bench) -> Iterator[Row]:
    """A training whose freed memory is kept in huge pages, as the workflow's kernels do, beside one as it comes."""
    load_dataset("rendered", bench.config.prepared_size)
    taken = in_turn(
        {
            "kept": lambda: _answers(_child("epochs", 1, GLIBC_TUNABLES=MALLOC))[0],
            "freed": lambda: _answers(_child("epochs", 1, GLIBC_TUNABLES=""))[0],
        },
        min(bench.rounds, 5),
        warm_up=False,
    )
    note = f"{SHORT[bench.precisions[-1]]}, one thread"
    yield speed("freed memory kept in huge pages", "given back", taken["kept"], taken["freed"], note=note)


def importing(bench: Bench) -> Iterator[Row]:
    """Importing the model in a fresh interpreter beside importing torchvision."""
    taken = in_turn(
        {
            module: partial(subprocess.run, [sys.executable, "-c", f"import {module}"], check=True)
            for module in ("paper_repro.model", "torchvision")
        },
        2 * bench.rounds,
    )
    ours, peer = taken.values()
    yield duration("import paper_repro.model", "import torchvision", ours, peer, 1.1)


def reproduce(bench: Bench) -> Iterator[Row]:
    """`make reproduce` of the smoke profile from an empty cache, and once more with nothing left to do."""
    targets = {"make reproduce, smoke": 300, "make reproduce, nothing to do": 10}
    if not (ROOT / ".venv" / "installed").exists():
        for what, seconds in targets.items():
            yield not_measured(what, "the environment is not installed by make", at_most=seconds)
        return
    with new_cache(bench.scratch) as cache:
        for what, seconds in targets.items():
            start = time.perf_counter()
            command = ["make", "-C", ROOT, "reproduce", f"OUT={cache / 'out'}"]
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
            yield figure(what, time.perf_counter() - start, "s", at_most=seconds)


if __name__ == "__main__":
    print({"memory": child_memory, "epochs": child_epochs}[sys.argv[1]](int(sys.argv[2])))
