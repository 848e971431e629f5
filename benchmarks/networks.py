"""Rows about the networks: the epoch, stage-SE ResNet50 and Grad-CAM beside their peers, what was tried, the floor."""

from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import captum.attr
import numpy as np
import pytorch_grad_cam
import timm
import torch
import torch.nn.functional as F
from measure import Row, bandwidth, cost, figure, in_turn, matmul_peak, speed
from torch import Tensor, nn
from torchvision import models
from torchvision.transforms import v2
from tqdm import tqdm

from paper_repro import checkpoint
from paper_repro.augment import MEAN, STD, augment
from paper_repro.config import Config, load_profile
from paper_repro.data import Dataset, load_dataset
from paper_repro.gradcam import GradCAM
from paper_repro.model import STAGES, resnet50
from paper_repro.photographs.folds import load_folds, split
from paper_repro.training import Trainer, pick_precision

SHORT = {"32-true": "float32", "bf16-mixed": "bfloat16"}
EPOCH_BATCHES = 8


@dataclass(frozen=True)
class Bench:
    """What every row needs: how often, where, on which photographs (None: the embedded ones)."""

    rounds: int
    device: torch.device
    threads: int
    data: Path | None
    scratch: Path

    @property
    def config(self) -> Config:
        # Every epoch at full size: its first one would be on small views.
        return load_profile("cpu", threads=self.threads, accelerator=self.device.type, small_epochs=0)

    @property
    def precisions(self) -> list[str]:
        """Single precision, and what training picks by itself where that is another."""
        return sorted({"32-true", pick_precision(self.config)})

    def batch(self, size: int, count: int) -> tuple[Tensor, Tensor]:
        """Images (count, 3, size, size), channels last, and their classes (count,), in the device's memory."""
        images = torch.randn(count, 3, size, size, device=self.device).to(memory_format=torch.channels_last)
        return images, torch.randint(6, (count,), device=self.device)


def trainer(config: Config, dataset: Dataset, batches: int, scratch: Path) -> Trainer:
    """paper_repro's own training (its loop, no copy of it) of the stage arm, with an epoch of `batches` batches."""
    parts = split(load_folds(dataset, config), 0)
    parts = replace(parts, train=np.resize(parts.train, batches * config.batch_size))
    return Trainer(config, "stage", dataset, parts, 0, scratch, "stage")


class BareLoop:
    """Forward, backward, step on one batch kept in memory: all that a training cannot do without."""

    def __init__(
        self,
        bench: Bench,
        network: nn.Module,
        batch: tuple[Tensor, Tensor],
        precision: str,
        memory_format=torch.channels_last,
    ):
        self.network = network.to(bench.device, memory_format=memory_format).train()
        self.images, self.targets = batch[0].to(memory_format=memory_format), batch[1]
        self.optimizer = torch.optim.SGD(network.parameters(), lr=0.01, momentum=0.9, weight_decay=5e-4, nesterov=True)
        bfloat16 = precision == "bf16-mixed"
        self.autocast = partial(torch.autocast, bench.device.type, torch.bfloat16) if bfloat16 else nullcontext

    def train(self, steps: int = 1) -> None:
        for _ in range(steps):
            with self.autocast():
                logits = self.network(self.images)
            loss = F.cross_entropy(logits.float(), self.targets)
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()

    def infer(self, steps: int = 1) -> None:
        if self.network.training:
            self.network.eval()
        for _ in range(steps):
            with torch.inference_mode(), self.autocast():
                self.network(self.images)


# ---- the epoch ----------------------------------------------------------------------------------------------------


def epoch(bench: Bench) -> Iterator[Row]:
    """The training part of an epoch, data and augmentation included, beside the bare loop."""
    config = bench.config
    dataset = load_dataset(str(bench.data or "rendered"), config.prepared_size)
    for precision in bench.precisions:
        ours = trainer(config.model_copy(update={"precision": precision}), dataset, EPOCH_BATCHES, bench.scratch)
        bare = BareLoop(bench, resnet50("stage"), bench.batch(config.image_size, config.batch_size), precision)
        taken = in_turn(
            {
                "ours": lambda ours=ours: ours.train_epoch(1)["seconds"],
                "bare": lambda bare=bare: bare.train(EPOCH_BATCHES),
            },
            bench.rounds,
        )
        images = EPOCH_BATCHES * config.batch_size
        yield speed(
            f"training part of a cpu epoch, {SHORT[precision]}",
            "bare loop on one batch in memory",
            taken["ours"],
            taken["bare"],
            at_least=0.95,
            note=f"{images / np.median(taken['ours']):.0f} images/s, stage, {config.image_size} px",
        )
    ours.history, ours.best = [], {"state": ours.raw.state_dict()}
    taken = in_turn(
        {
            "validation": lambda: ours.validate()["validation_seconds"],
            "checkpoint": lambda: checkpoint.save(bench.scratch, 1, ours.state()),
        },
        bench.rounds,
    )
    yield figure(f"validation after an epoch, {len(ours.parts.validation)} images", taken["validation"], "s")
    yield figure("checkpoint after an epoch", taken["checkpoint"], "s")


# ---- the network --------------------------------------------------------------------------------------------------

# px, batch on a CPU, batch on a GPU, steps per measurement on a CPU, targets beside torchvision and timm
TRAINING = [(64, 32, 256, 3, 0.96, 1.05), (224, 8, 64, 1, 0.94, 1.01)]
INFERENCE = [(64, 32, 256, 6, 0.98, 1.03), (224, 8, 64, 2, 0.98, 1.03)]


def training(bench: Bench) -> Iterator[Row]:
    """A training step of stage-SE ResNet50 beside torchvision's ResNet50 and timm's seresnet50."""
    yield from _networks(bench, "training", TRAINING, BareLoop.train)


def inference(bench: Bench) -> Iterator[Row]:
    """The same, forward pass in evaluation mode."""
    yield from _networks(bench, "inference", INFERENCE, BareLoop.infer)


def _networks(bench: Bench, name: str, settings: list, action) -> Iterator[Row]:
    for size, cpu_batch, gpu_batch, steps, beside_torchvision, beside_timm in settings:
        on_gpu = bench.device.type == "cuda"
        batch = bench.batch(size, gpu_batch if on_gpu else cpu_batch)
        steps = 10 * steps if on_gpu else steps
        for precision in bench.precisions:
            networks = {
                "stage": resnet50("stage"),
                "torchvision": models.resnet50(num_classes=6),
                "timm": timm.create_model("seresnet50", num_classes=6),
            }
            loops = {key: BareLoop(bench, network, batch, precision) for key, network in networks.items()}
            taken = in_turn({key: partial(action, loop, steps) for key, loop in loops.items()}, bench.rounds)
            taken = {key: seconds / steps for key, seconds in taken.items()}
            what = f"stage-SE ResNet50, {name}, {size} px, {SHORT[precision]}"
            note = f"{len(batch[0]) / np.median(taken['stage']):.0f} images/s, batch {len(batch[0])}, channels last"
            for key, beside, at_least in (
                ("torchvision", "torchvision ResNet50", beside_torchvision),
                ("timm", "timm seresnet50", beside_timm),
            ):
                yield speed(what, beside, taken["stage"], taken[key], at_least, note=note)


def gradcam(bench: Bench) -> Iterator[Row]:
    """Grad-CAM of the predicted class: one network and batch for all, each package used as its page shows."""
    images, _ = bench.batch(224, 16)
    network = models.resnet50(num_classes=6).to(bench.device, memory_format=torch.channels_last).eval()
    layer = network.layer4[-1]
    predicted = network(images).argmax(1)
    attribution = captum.attr.LayerGradCam(network, layer)

    def ours():
        with GradCAM(network, layer) as explain:
            explain(images)

    def grad_cam():
        with pytorch_grad_cam.GradCAM(network, [layer]) as explain:
            explain(images, targets=None)

    def captum_with_search():
        with torch.no_grad():
            target = network(images).argmax(1)
        attribution.attribute(images, target, relu_attributions=True)

    def bare():
        with torch.inference_mode():
            network(images)

    taken = in_turn(
        {
            "ours": ours,
            "grad-cam": grad_cam,
            "captum with its search for the class": captum_with_search,
            "captum, class given": lambda: attribution.attribute(images, predicted, relu_attributions=True),
            "a bare forward pass": bare,
        },
        bench.rounds,
    )
    note = f"{16 / np.median(taken['ours']):.1f} images/s"
    targets = {"grad-cam": 4, "captum with its search for the class": 2, "a bare forward pass": 0.9}
    for beside in list(taken)[1:]:
        yield speed(
            "Grad-CAM, ResNet50, 224 px, batch 16", beside, taken["ours"], taken[beside], targets.get(beside), note=note
        )
    yield speed(
        "a bare forward pass, without which there is no Grad-CAM",
        "grad-cam",
        taken["a bare forward pass"],
        taken["grad-cam"],
        note="how many times as fast as grad-cam any Grad-CAM could be",
    )


# ---- what was tried -----------------------------------------------------------------------------------------------


def _plain_forward(block: nn.Module, x: Tensor, excite=None) -> Tensor:
    """A block that recalibrates and adds the shortcut in two steps."""
    u = block.residual(x)
    shortcut = x if block.downsample is None else block.downsample(x)
    return block.relu(u * excite(u)[:, :, None, None].to(u.dtype) + shortcut)


def tried(bench: Bench) -> Iterator[Row]:
    """What may pay, reported either way: training steps of stage-SE ResNet50 as in the cpu profile."""
    config, precision = bench.config, bench.precisions[-1]
    batch = bench.batch(config.image_size, config.batch_size)
    default = BareLoop(bench, resnet50("stage"), batch, precision)
    separate = resnet50("stage")
    for block in (block for name in STAGES for block in getattr(separate, name)):
        block.forward = partial(_plain_forward, block)
    double, quadruple = ((images.repeat(n, 1, 1, 1), targets.repeat(n)) for n in (2, 4) for images, targets in [batch])
    variants = {
        "channels last / contiguous": BareLoop(bench, resnet50("stage"), batch, precision, torch.contiguous_format),
        "gate and shortcut in one pass / in two": BareLoop(bench, separate, batch, precision),
        f"{SHORT[precision]} / float32": BareLoop(bench, resnet50("stage"), batch, "32-true"),
        f"batch {config.batch_size} / batch {2 * config.batch_size}, per image": BareLoop(
            bench, resnet50("stage"), double, precision
        ),
        f"batch {config.batch_size} / batch {4 * config.batch_size}, per image": BareLoop(
            bench, resnet50("stage"), quadruple, precision
        ),
    }
    for name, variant in variants.items():
        taken = in_turn({"ours": default.train, "other": variant.train}, bench.rounds)
        seconds = taken["other"] * len(batch[0]) / len(variant.images)
        yield speed(f"tried: {name.split(' / ')[0]}", name.split(" / ")[1], taken["ours"], seconds)

    def with_threads(count):
        torch.set_num_threads(count)
        default.train()
        torch.set_num_threads(bench.threads)

    taken = in_turn({"all": lambda: with_threads(bench.threads), "one": lambda: with_threads(1)}, bench.rounds)
    yield speed(f"tried: {bench.threads} threads", "1 thread", taken["all"], taken["one"])
    yield from _augmentation(bench, config)


def _augmentation(bench: Bench, config: Config) -> Iterator[Row]:
    photographs = np.random.default_rng(0).integers(
        0, 256, (config.batch_size, config.prepared_size, config.prepared_size, 3), dtype=np.uint8
    )
    transform = v2.Compose(
        [
            v2.RandomResizedCrop(config.image_size, scale=(config.crop_area, 1), antialias=False),
            v2.RandomHorizontalFlip(),
            v2.RandomChoice([partial(torch.rot90, k=k, dims=(1, 2)) for k in range(4)]),
            v2.ColorJitter(config.jitter, config.jitter, config.jitter),
            v2.ToDtype(torch.float32, scale=True),
            v2.Normalize(MEAN, STD),
        ]
    )
    taken = in_turn(
        {
            "ours": lambda: augment(photographs, np.arange(len(photographs)), 0, 1, config),
            "each": lambda: torch.stack([transform(torch.from_numpy(image).permute(2, 0, 1)) for image in photographs]),
        },
        3 * bench.rounds,
    )
    yield speed(
        "tried: augmentation of a whole batch", "torchvision's transforms image by image", taken["ours"], taken["each"]
    )
    dataset = load_dataset(str(bench.data or "rendered"), config.prepared_size)
    epochs = {
        workers: trainer(config.model_copy(update={"workers": workers}), dataset, EPOCH_BATCHES, bench.scratch)
        for workers in (0, 1)
    }
    taken = in_turn(
        {workers: lambda ours=ours: ours.train_epoch(1)["seconds"] for workers, ours in epochs.items()}, bench.rounds
    )
    yield speed("tried: augmentation in the training process", "in a process of its own", taken[0], taken[1])


# ---- the floor ----------------------------------------------------------------------------------------------------


def floor(bench: Bench) -> Iterator[Row]:
    """Operations and bytes of a step, and its speed beside the slower of the two at a matrix product's and a copy's."""
    bytes_per_second = bandwidth(bench.device)
    yield figure("peak: copy", bytes_per_second / 1e9, "GB/s")
    for precision in tqdm(bench.precisions, "floor", leave=False):
        dtype = torch.bfloat16 if precision == "bf16-mixed" else torch.float32
        peak = matmul_peak(bench.device, dtype)
        yield figure(f"peak: matrix product, {SHORT[precision]}", peak / 1e9, "GFLOP/s")
        for name, action, settings in (
            ("training", BareLoop.train, TRAINING),
            ("inference", BareLoop.infer, INFERENCE),
        ):
            for size, cpu_batch, gpu_batch, *_ in settings:
                batch = bench.batch(size, gpu_batch if bench.device.type == "cuda" else cpu_batch)
                step = partial(action, BareLoop(bench, resnet50("stage"), batch, precision))
                operations, moved = cost(step)
                _, plain = cost(partial(action, BareLoop(bench, models.resnet50(num_classes=6), batch, precision)))
                seconds = in_turn({"step": step}, bench.rounds)["step"]
                least = max(operations / peak, moved / bytes_per_second)
                yield figure(
                    f"floor: stage-SE ResNet50, {name}, {size} px, {SHORT[precision]}",
                    100 * least / seconds,
                    "% of the floor's speed",
                    ours=f"{np.median(seconds):.3g} s",
                    beside_it=f"{least:.3g} s",
                    note=f"{operations / 1e9:.0f} GFLOP ({1e3 * operations / peak:.0f} ms) and {moved / 1e9:.2f} GB "
                    f"({1e3 * moved / bytes_per_second:.0f} ms) per batch of {len(batch[0])}; "
                    f"{operations / np.median(seconds) / 1e9:.0f} GFLOP/s; "
                    f"torchvision's ResNet50 moves {plain / 1e9:.2f} GB: {moved / plain - 1:.1%} more here",
                )
