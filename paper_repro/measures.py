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
from paper_repro.cause import measure_cause
from paper_repro.config import ARMS
from paper_repro.data import Dataset
from paper_repro.files import ReproError, csv_bytes, sha256_file
from paper_repro.gates import static_gates
from paper_repro.keys import measuring_code
from paper_repro.photographs.folds import load_folds, split
from paper_repro.runs import Run, write_files
from paper_repro.stickers import StickerRule


def measure_run(run: Run, dataset: Dataset, faithfulness_images: int) -> pd.DataFrame:
    """What `heatmaps.measure` says of the run's Grad-CAM on its test photographs; read where it is there already.

    Writes `measures.csv.gz` (five significant digits) and `measures.json` into the run's folder and, for a network with
    SE modules, `static_gates.csv` (`gates.static_gates`), with several gates a stage `gates.csv`
    (`heatmaps.gate_agreement`). These see the photographs without stickers.

    For an arm with stickers it also writes `cause.csv.gz` (`cause.measure_cause`), for planted and untied arms with the
    same stickers, those of a planted arm's test view, so that the two are compared photograph by photograph. The
    predictions with the sticker are then those of a planted run's `predictions.csv` and `metrics.json`; an untied run's
    have stickers of any kind there, of its photograph's class too.

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
    regions += [] if boxes is None else [json.dumps([box.tolist() for box in boxes]).encode()]
    details = {
        "images": len(rows),
        "faithfulness_images": faithfulness_images,
        "regions": [hashlib.sha256(region).hexdigest() for region in regions],
        "weights": run.environment["weights"],
        "data": dataset.fingerprint,
        "code": measuring_code(),
    }
    details["key"] = hashlib.sha256(json.dumps(details).encode()).hexdigest()[:12]
    if _are_there(run, details):
        return run.measures
    size = run.config.image_size
    torch.set_num_threads(run.config.threads)
    device = Fabric(accelerator=run.config.accelerator, devices=1).device
    model = run.model.to(device)
    try:
        views = whole(to_float(dataset.images[rows]), size)  # (N, 3, S, S) in [0, 1]
        inputs, pictures = normalise(views), (views * 255).round().byte().permute(0, 2, 3, 1).numpy()  # (N, S, S, 3)
        if masks is not None:
            masks = whole(torch.from_numpy(masks)[:, None].float(), size)[:, 0].numpy() > 0.5
        layers, table, seed = stage_layers(model), dataset.table.iloc[rows], run.environment["seed"]
        found = heatmaps.measure(model, layers, inputs, pictures, table, faithfulness_images, masks, boxes, seed)
        content = csv_bytes(found, "%.5g")
        files = {"measures.csv.gz": gzip.compress(content, mtime=0)}  # the bytes depend on the content alone
        if ARMS[run.arm].gate_per_block:
            with torch.inference_mode():
                parts = [model(batch.to(device), return_gates=True)[1] for batch in inputs.split(128)]
            gates = {stage: torch.cat([part[stage].cpu() for part in parts], dim=1) for stage in parts[0]}  # (G, N, C)
            agreement = heatmaps.gate_agreement(gates)
            agreement["image"] = table["image"].to_numpy()[agreement.pop("position")]
            files["gates.csv"] = csv_bytes(agreement)
        if ARMS[run.arm].gated:
            folds = load_folds(dataset, run.config, run.environment.get("repeat", 0))
            training = split(folds, run.fold).train
            batches = (training[start : start + 128] for start in range(0, len(training), 128))
            seen = (to_input(dataset.images[batch], size) for batch in batches)
            answers = static_gates(model, seen, inputs, table["truth"].to_numpy())
            answers.insert(0, "image", table["image"].to_numpy())
            files["static_gates.csv"] = csv_bytes(answers)
        if ARMS[run.arm].stickers != "none":
            rule, truth = StickerRule("planted", len(dataset.classes), seed), table["truth"].to_numpy()
            stickers = rule.draw(truth, rows, testing=True)
            cause = csv_bytes(measure_cause(model, layers, views, stickers, table, seed), "%.5g")
            files["cause.csv.gz"] = gzip.compress(cause, mtime=0)
    finally:
        model.cpu()  # where `run.predict` expects it
    details["sha256"] = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
    files["measures.json"] = json.dumps(details, indent=1).encode()  # last: its key stands for the others
    write_files(run.folder, files, outdated=["measures.json"])
    return run.measures


def _are_there(run: Run, details: dict) -> bool:
    """Whether the run's folder holds whole measures of this key."""
    try:
        found = json.loads((run.folder / "measures.json").read_text(encoding="utf-8"))
        whole = all(sha256_file(run.folder / name) == value for name, value in found["sha256"].items())
        return whole and found["key"] == details["key"]
    except (OSError, ValueError, KeyError):
        return False
