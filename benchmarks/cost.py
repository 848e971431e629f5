"""What every arm costs (claim C4): parameters, multiply-adds, images per second in training and in inference.

    python benchmarks/cost.py results/reference/cost.csv [--rounds N]

All arms of one size and action are timed in turn, so that a machine that slows down does not change the ratios. timm's
seresnet50 is the outside reference of `block`. It takes about fifteen minutes on two idle cores.
"""

import argparse
import tempfile
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import timm
import torch
from measure import in_turn
from networks import SHORT, BareLoop, Bench
from scipy.stats import quantile_test
from torch.utils.flop_counter import FlopCounterMode

from paper_repro.arms import build_model
from paper_repro.config import ATTENTION, PLAIN_CNNS
from paper_repro.files import atomic_write
from paper_repro.training import pick_precision

SETTINGS = [(64, 32), (224, 8)]  # pixels, batch


def networks() -> dict[str, torch.nn.Module]:
    """Every arm's ResNet50 or plain CNN with six classes, by its name."""
    arms = {arm: build_model(arm, "resnet50", 6) for arm in (*ATTENTION, *PLAIN_CNNS)}
    return arms | {"timm seresnet50": timm.create_model("seresnet50", num_classes=6)}


def multiply_adds(network: torch.nn.Module, size: int) -> int:
    """Multiply-adds of one image's forward pass; `size` is the image's side in pixels."""
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        network.eval()(torch.zeros(1, 3, size, size))
    return counter.get_total_flops() // 2


def measure(bench: Bench) -> pd.DataFrame:
    """The cost of every arm at each of `SETTINGS`, in training and in inference.

    Returns:
        A row per arm, size and action. stage_ratio says how many times as fast `stage` is: the median over the rounds
        with its exact 95 % interval (NaN below six rounds).
    """
    rows, precision = [], pick_precision(bench.config)
    for size, count in SETTINGS:
        batch = bench.batch(size, count)
        for what, action in (("training", BareLoop.train), ("inference", BareLoop.infer)):
            loops = {arm: BareLoop(bench, network, batch, precision) for arm, network in networks().items()}
            taken = in_turn({arm: partial(action, loop) for arm, loop in loops.items()}, bench.rounds)
            for arm, seconds in taken.items():
                ratio = seconds / taken["stage"]
                low, high = quantile_test(ratio).confidence_interval(0.95)
                network = loops[arm].network
                rows.append(
                    {
                        "arm": arm,
                        "what": what,
                        "image_size": size,
                        "batch": count,
                        "precision": SHORT[precision],
                        "threads": bench.threads,
                        "parameters": sum(p.numel() for p in network.parameters()),
                        "multiply_adds": multiply_adds(network, size),
                        "images_per_second": count / np.median(seconds),
                        "stage_ratio": np.median(ratio),
                        "stage_ratio_low": low,
                        "stage_ratio_high": high,
                    }
                )
            print(f"{what}, {size} px", flush=True)
    return pd.DataFrame(rows)


def main() -> None:
    """Measures and writes the table to the file that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--rounds", type=int, default=15)
    args = parser.parse_args()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    with tempfile.TemporaryDirectory() as scratch:
        table = measure(Bench(args.rounds, device, torch.get_num_threads(), None, Path(scratch)))
    with atomic_write(args.out) as path:
        table.to_csv(path, index=False, float_format="%.5g")
    print(table.to_string(index=False))


if __name__ == "__main__":
    main()
