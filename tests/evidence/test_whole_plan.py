"""Every row of the protocol's table of runs, tiny, on some of the embedded pictures, from the trainings to a ledger in
which every line has numbers."""

import shutil
from pathlib import Path

import pandas as pd
import pytest

from paper_repro import checkpoint, heatmaps, measures
from paper_repro.cause import measure_cause
from paper_repro.config import load_profile
from paper_repro.data import load_dataset
from paper_repro.evidence import ledger, pointing, reference
from paper_repro.evidence.reference import PLAN
from paper_repro.files import project_root
from paper_repro.measures import measure_run
from paper_repro.photographs.folds import load_folds
from paper_repro.runs import record_completion
from paper_repro.training import train

# Two runs an arm or more: every line gets an estimate with an interval, and none is decided.
FOLDS = {"waste8": (0,)}  # in two repeats; the other rows: folds 0 and 1
TINY = dict(
    image_size=32,
    backbone="resnet18",
    epochs=2,
    small_epochs=0,
    batch_size=8,
    warmup_epochs=1,
    learning_rate=0.03,
    learning_rates={},
    ema_decay=0.0,
    precision="32-true",
    accelerator="cpu",
    faithfulness_images=1,
)
LARGER = {"planted": {"image_size": 64}, "long": {"epochs": 12, "small_epochs": 8, "batch_size": 16}}


def take(folder, start):
    """Eleven of the embedded pictures in each of four classes, none a twin of another, with their masks."""
    source = project_root() / "data" / "rendered"
    scenes = pd.read_csv(source / "scenes.csv", keep_default_na=False)
    alone = scenes[(scenes["twin_of"] == "") & ~scenes["image"].isin({*scenes["twin_of"], *scenes["same_as"]})]
    for label in ("glass", "metal", "paper", "plastic"):
        for image in alone["image"][alone["image"].str.startswith(label)][start : start + 11]:
            mask = Path(image).with_suffix(".png")
            for name, file in ((folder.name, image), (f"{folder.name}_masks", mask)):
                place = folder.with_name(name) / file
                place.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(source.with_name(name.replace(folder.name, "rendered")) / file, place)
    return str(folder)


def train_here(profile, overrides, out, options):
    """What the notebooks 02 and 03 do for a run, without their lessons."""
    (fold,), (repeat,) = overrides["folds"], overrides["repeats"]
    config = load_profile(profile, **overrides)
    for arm in config.arms:
        run = train(config, arm, fold, out, repeat)
        measure_run(run, load_dataset(config.data, config.prepared_size), config.faithfulness_images)
        record_completion(run.folder)
    return 0


@pytest.mark.workflow
def test_every_row_of_the_plan_gives_every_line_of_the_ledger(tmp_path, monkeypatch):
    monkeypatch.setenv("PAPER_REPRO_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(reference, "reproduce", train_here)
    monkeypatch.setattr(reference, "cores", lambda: 4)
    # What decides nothing and takes long; then what such networks hardly ever do: all to be right, and to be flipped.
    monkeypatch.setattr(
        heatmaps, "faithfulness", lambda predict, maps, *rest: pd.DataFrame({"road": [0.0] * len(maps)})
    )
    monkeypatch.setattr(checkpoint, "save", lambda *details: None)
    monkeypatch.setattr(pointing, "right_in_all", lambda runs: sorted(runs[0].predictions["image"]))
    monkeypatch.setattr(measures, "measure_cause", lambda *details: measure_cause(*details).assign(flipped=True))
    paths = {data: take(tmp_path / data, start) for data, start in (("trashnet", 0), ("waste8", 11))}
    small = {step.row: TINY | LARGER.get(step.row, {}) for step in PLAN}
    folds = {step.row: FOLDS.get(step.row, (0, 1)) for step in PLAN}
    steps = [step._replace(profile="cpu", folds=folds[step.row], overrides=small[step.row]) for step in PLAN]
    reference.make(paths, steps, tmp_path / "results")
    assert [line.split(",")[0] for line in reference.look_ahead(paths, steps, tmp_path / "results")] == [
        f"{step.row}: 0 of {len(step.runs)} runs to make" for step in steps
    ]
    kept = tmp_path / "results" / "reference"
    assert not [*kept.rglob("*.safetensors")] and not [*kept.rglob("*.ipynb")]
    shutil.copy(project_root() / "results" / "reference" / "cost.csv", kept)
    config = load_profile("cpu", **TINY, data=paths["trashnet"])
    groups = {}
    for data, path in paths.items():
        dataset = load_dataset(path, config.prepared_size)
        groups[data] = load_folds(dataset, config).set_index("image")["group"]
    found = ledger.files(kept, groups)
    claims = found["ledger.csv"].set_index(["claim", "data"])
    assert len(claims) == 22 and not claims["evidence"].str.contains("not measured yet|nan").any()
    undecided = claims[~claims.index.get_level_values("claim").str.startswith("C4")]
    assert set(undecided["verdict"]) == {"not decidable here"}
    assert (found["contrasts.csv"]["runs"] >= 2).all()
    assert found["contrasts.csv"][["difference", "low", "high"]].notna().all(axis=None)
    assert len(found["convergence.csv"]) == 6 and found["hours.csv"]["made"].tolist() == [8, 16, 4, 4, 4, 6]
    assert "| waste8, 2 runs each |" in ledger.markdown(kept, groups, found["ledger.csv"])
