"""Measures speed and memory, each figure in turn with the peer it is compared with.

    python benchmarks/run.py [--only ROW ...] [--rounds N] [--data PATH] [--out FOLDER]

Writes table.csv, table.md, plot.png, plot.svg and machine.json. About twenty minutes on two cores that do nothing else.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import networks
import numpy as np
import pandas as pd
import seaborn as sns
import system
import torch
import tutorial
from measure import Row, not_measured
from tqdm import tqdm

from paper_repro import runs
from paper_repro.files import ReproError, atomic_write

ROWS = {
    "script": tutorial.script,
    "first_batch": tutorial.first_batch,
    "epoch": networks.epoch,
    "training": networks.training,
    "inference": networks.inference,
    "gradcam": networks.gradcam,
    "memory": system.memory,
    "scaling": system.scaling,
    "two_runs": system.two_runs,
    "malloc": system.malloc,
    "import": system.importing,
    "tried": networks.tried,
    "floor": networks.floor,
    "reproduce": system.reproduce,
}
RIGHT_END = 3  # of the plot: a target met many times over would squeeze all others
PHOTOGRAPHS = Path(__file__).resolve().parents[2] / "shared" / "data" / "trashnet" / "dataset-resized.zip"


def measure(names: list[str], bench: networks.Bench) -> list[Row]:
    """The rows of the groups `names`; a group that is left out or impossible here says so."""
    rows = []
    for name in tqdm(names, "benchmarks", unit="row"):
        group = ROWS[name]
        tqdm.write(f"{name}: {group.__doc__.splitlines()[0]}")
        try:
            for row in group(bench):
                rows.append(row)
                tqdm.write(f"    {_line(row)}")
        except (ReproError, OSError, RuntimeError, subprocess.SubprocessError) as error:
            rows.append(not_measured(name, f"{type(error).__name__}: {error}"))
            tqdm.write(f"    {rows[-1].note}")
        torch.set_num_threads(bench.threads)
    return rows + [not_measured(name, "left out with --only") for name in ROWS if name not in names]


def _line(row: Row) -> str:
    return " | ".join(part for part in (row.what, row.beside, _value(row), row.target, row.met, row.note) if part)


def _value(row: Row) -> str:
    if row.value != row.value:
        return ""
    spread = "" if row.low == row.high else f" ({row.low:.3g}–{row.high:.3g})"
    return f"{row.value:.3g}{spread} {row.unit}"


def table(rows: list[Row]) -> pd.DataFrame:
    return pd.DataFrame([vars(row) | {"target": row.target, "met": row.met} for row in rows])


def markdown(rows: list[Row]) -> str:
    lines = ["| What | Beside | Median (quartiles) | Target | Met | Ours | Beside it | Note |", "|---" * 8 + "|"]
    for row in rows:
        cells = (row.what, row.beside, _value(row), row.target, row.met, row.ours, row.beside_it, row.note)
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def plot(rows: list[Row]) -> plt.Figure:
    """Every row with a target, on one scale: 1 is the target, to the right is better."""
    rows = [row for row in rows if row.met in ("yes", "no")][::-1]
    colours = dict(zip(("yes", "no"), sns.color_palette("colorblind")[:2], strict=True))
    figure, axes = plt.subplots(figsize=(10, 1.5 + 0.33 * len(rows)), layout="constrained")
    for height, row in enumerate(rows):
        scale = row.share_of_target / row.value if row.at_least is not None else row.share_of_target * row.value
        ends = [row.low * scale, row.high * scale] if row.at_least is not None else [scale / row.high, scale / row.low]
        axes.plot(np.minimum(ends, RIGHT_END), [height, height], color=colours[row.met], linewidth=3, alpha=0.5)
        marker = ">" if row.share_of_target > RIGHT_END else {"yes": "o", "no": "X"}[row.met]
        axes.plot(min(row.share_of_target, RIGHT_END), height, marker, color=colours[row.met], markersize=8)
        axes.annotate(
            f"{row.value:.3g} {row.unit} ({row.target})",
            (1.01, height),
            va="center",
            fontsize=8,
            xycoords=("axes fraction", "data"),
        )
    axes.axvline(1, color="0.3", linewidth=1)
    axes.set_xscale("log")
    low, high = axes.get_xlim()
    ticks = [tick for tick in (0.2, 0.5, 0.8, 0.9, 1, 1.2, 1.5, 2, 3) if low <= tick <= high]
    axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.minorticks_off()
    axes.set_yticks(
        range(len(rows)), [f"{row.what}\nbeside {row.beside}" if row.beside else row.what for row in rows], fontsize=8
    )
    axes.set_ylim(-0.7, len(rows) - 0.3)
    axes.set_xlabel(
        "share of the target reached (1: just met; dots: median, bars: quartiles; cross: missed; triangle: beyond)",
        loc="right",
    )
    axes.grid(axis="x", alpha=0.3)
    return figure


def machine(bench: networks.Bench) -> dict:
    peers = {name: version(name) for name in ("timm", "grad-cam", "captum", "snakemake")}
    facts = runs.environment(bench.config)
    return facts | {
        "packages": facts["packages"] | peers,
        "cores": os.cpu_count(),
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9, 1),
        "device": torch.cuda.get_device_name() if bench.device.type == "cuda" else "cpu",
        "photographs": bench.data.name if bench.data else "rendered",
        "rounds": bench.rounds,
        "load_at_start": round(os.getloadavg()[0], 2),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", choices=ROWS, metavar="ROW", help=f"some of: {', '.join(ROWS)}")
    parser.add_argument("--rounds", type=int, default=7, help="how often each pair is measured; default: 7")
    parser.add_argument("--data", type=Path, help="photographs, folder or zip; default: TrashNet where it lies")
    parser.add_argument("--out", type=Path, default=Path(__file__).with_name("results"))
    args = parser.parse_args()
    data = args.data or (PHOTOGRAPHS if PHOTOGRAPHS.exists() else None)
    if args.rounds < 1 or (data and not data.exists()):
        parser.error(f"--rounds must be at least 1 and --data exist: {args.rounds}, {data}")
    with tempfile.TemporaryDirectory() as scratch:
        os.environ["PAPER_REPRO_CACHE"] = str(Path(scratch, "cache"))
        device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        bench = networks.Bench(args.rounds, device, torch.get_num_threads(), data, Path(scratch))
        facts = machine(bench)
        rows = measure(args.only or list(ROWS), bench)
    args.out.mkdir(parents=True, exist_ok=True)
    texts = {
        "table.csv": table(rows).to_csv(index=False),
        "table.md": markdown(rows),
        "machine.json": json.dumps(facts, indent=1) + "\n",
    }
    for name, text in texts.items():
        with atomic_write(args.out / name) as path:
            path.write_text(text, encoding="utf-8")
    drawn = plot(rows)
    for suffix in (".png", ".svg"):
        drawn.savefig(args.out / f"plot{suffix}", dpi=150)
    print(markdown(rows))
    missed = [row.what for row in rows if row.met == "no"]
    print(f"{sum(row.met == 'yes' for row in rows)} targets met, {len(missed)} missed, in {args.out}", file=sys.stderr)


if __name__ == "__main__":
    main()
