"""The measures of a run's heat maps and gates: a step of its own with a key of its own.

It is made again, without training, when what decides it changes: the weights, the photographs, their masks or boxes,
the number of images or the code.
"""

import gzip
import hashlib
import json

import numpy as np
import pandas as pd
import torch
from lightning_fabric import Fabric

from paper_repro import heatmaps
from paper_repro.arms import stage_layers
from paper_repro.augment import normalise, to_float, to_input, whole
from paper_repro.data import Dataset
from paper_repro.files import ReproError
from paper_repro.keys import measuring_code
from paper_repro.runs import Run, write_files


def measure_run(run: Run, dataset: Dataset, faithfulness_images: int) -> pd.DataFrame:
    """What `heatmaps.measure` says of the run's Grad-CAM on its test photographs; read where it is there already.

    Writes `measures.csv.gz` (five significant digits) and `measures.json` into the run's folder and, for a network with
    several gates a stage, `gates.csv` (`heatmaps.gate_agreement`).

    Args:
        dataset: the data set that the run was trained on, prepared at `run.config.prepared_size`.
        faithfulness_images: faithfulness takes many passes; it is measured on so many images.

    Raises:
        ReproError: the run was trained on other data.
    """
    if run.environment["data"] != dataset.fingerprint:
        raise ReproError(f"{run.folder} was trained on other data than {dataset.name}: give the data of the run")
    rows = pd.Index(dataset.table["image"]).get_indexer(run.predictions["image"])
    masks = None if dataset.masks is None else dataset.masks[rows]
    boxes = None if dataset.boxes is None else [dataset.boxes[row] for row in rows]
    details = {
        "images": len(rows),
        "faithfulness_images": faithfulness_images,
        "regions": hashlib.sha256(b"" if masks is None else np.packbits(masks)).hexdigest()
        + hashlib.sha256(b"" if boxes is None else np.concatenate(boxes)).hexdigest(),
        "weights": run.environment["weights"],
        "data": dataset.fingerprint,
        "code": measuring_code(),
    }
    text = json.dumps(details | {"key": hashlib.sha256(json.dumps(details).encode()).hexdigest()[:12]}, indent=1)
    file = run.folder / "measures.json"
    if not (file.exists() and file.read_text(encoding="utf-8") == text):
        torch.set_num_threads(run.config.threads)
        model = run.model.to(Fabric(accelerator=run.config.accelerator, devices=1).device)
        views = whole(to_float(dataset.images[rows]), run.config.image_size)  # (N, 3, S, S) in [0, 1]
        if masks is not None:
            masks = whole(torch.from_numpy(masks)[:, None].float(), run.config.image_size)[:, 0].numpy() > 0.5
        table = heatmaps.measure(
            model,
            stage_layers(model),
            normalise(views),
            (views * 255).round().byte().permute(0, 2, 3, 1).numpy(),  # (N, S, S, 3)
            dataset.table["truth"].to_numpy(np.int64)[rows],
            dataset.table["image"].to_numpy()[rows],
            masks,
            boxes,
            faithfulness_images=faithfulness_images,
            seed=run.environment["seed"],
        )
        content = table.to_csv(index=False, float_format="%.5g").encode()
        files = {"measures.csv.gz": gzip.compress(content, mtime=0)}  # the bytes depend on the content alone
        if (agreement := _gate_agreement(model, run, dataset, rows)) is not None:
            files["gates.csv"] = agreement.to_csv(index=False).encode()
        write_files(run.folder, files | {file.name: text.encode()})  # the key last, as it stands for the others
        run.model.cpu()
    return run.measures


@torch.inference_mode()
def _gate_agreement(model: torch.nn.Module, run: Run, dataset: Dataset, rows: np.ndarray) -> pd.DataFrame | None:
    """`heatmaps.gate_agreement` on the photographs `rows`, where a stage computes several gates; else None."""
    if run.arm.partition("-")[0] not in ("block", "stage_recompute"):
        return None
    device, found = next(model.parameters()).device, []
    for start in range(0, len(rows), 128):
        images = to_input(dataset.images[rows[start : start + 128]], run.config.image_size)
        found.append(model(images.to(device), return_gates=True)[1])
    gates = {stage: torch.cat([part[stage].cpu() for part in found], dim=1) for stage in found[0]}  # (G, N, C)
    table = heatmaps.gate_agreement(gates)
    return table.assign(image=run.predictions["image"].to_numpy()[table.pop("position")])
