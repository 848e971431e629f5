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
from paper_repro.augment import normalise, to_float, whole
from paper_repro.config import ARMS
from paper_repro.data import Dataset
from paper_repro.files import ReproError
from paper_repro.keys import measuring_code
from paper_repro.runs import Run, write_files


def measure_run(run: Run, dataset: Dataset, faithfulness_images: int) -> pd.DataFrame:
    """What `heatmaps.measure` says of the run's Grad-CAM on its test photographs; read where it is there already.

    Writes `measures.csv.gz` (five significant digits) and `measures.json` into the run's folder and, for a network with
    several gates a stage, `gates.csv` (`heatmaps.gate_agreement`).

    Args:
        dataset: what the run was trained on, prepared at `run.config.prepared_size`.
        faithfulness_images: the number of photographs whose faithfulness is measured.

    Raises:
        ReproError: the run was trained on other data.
    """
    if run.environment["data"] != dataset.fingerprint:
        raise ReproError(f"{run.folder} was trained on other data than {dataset.name}: give the data of the run")
    rows = pd.Index(dataset.table["image"]).get_indexer(run.predictions["image"])
    masks = None if dataset.masks is None else dataset.masks[rows]
    boxes = None if dataset.boxes is None else [dataset.boxes[row] for row in rows]
    regions = [] if masks is None else [np.packbits(masks).tobytes()]
    regions += [] if boxes is None else [np.concatenate(boxes).tobytes()]
    details = {
        "images": len(rows),
        "faithfulness_images": faithfulness_images,
        "regions": [hashlib.sha256(region).hexdigest() for region in regions],
        "weights": run.environment["weights"],
        "data": dataset.fingerprint,
        "code": measuring_code(),
    }
    text = json.dumps(details | {"key": hashlib.sha256(json.dumps(details).encode()).hexdigest()[:12]}, indent=1)
    file, size = run.folder / "measures.json", run.config.image_size
    if file.exists() and file.read_text(encoding="utf-8") == text:
        return run.measures
    torch.set_num_threads(run.config.threads)
    device = Fabric(accelerator=run.config.accelerator, devices=1).device
    model = run.model.to(device)
    views = whole(to_float(dataset.images[rows]), size)  # (N, 3, S, S) in [0, 1]
    inputs, pictures = normalise(views), (views * 255).round().byte().permute(0, 2, 3, 1).numpy()  # (N, S, S, 3)
    if masks is not None:
        masks = whole(torch.from_numpy(masks)[:, None].float(), size)[:, 0].numpy() > 0.5
    layers, table, seed = stage_layers(model), dataset.table.iloc[rows], run.environment["seed"]
    found = heatmaps.measure(model, layers, inputs, pictures, table, faithfulness_images, masks, boxes, seed)
    content = found.to_csv(index=False, float_format="%.5g").encode()
    files = {"measures.csv.gz": gzip.compress(content, mtime=0)}  # the bytes depend on the content alone
    if ARMS[run.arm].network in ("block", "stage_recompute"):  # several gates a stage
        with torch.inference_mode():
            parts = [model(batch.to(device), return_gates=True)[1] for batch in inputs.split(128)]
        gates = {stage: torch.cat([part[stage].cpu() for part in parts], dim=1) for stage in parts[0]}  # (G, N, C)
        agreement = heatmaps.gate_agreement(gates)
        agreement["image"] = table["image"].to_numpy()[agreement.pop("position")]
        files["gates.csv"] = agreement.to_csv(index=False).encode()
    write_files(run.folder, files | {file.name: text.encode()})  # the key last, as it stands for the others
    model.cpu()
    return run.measures
