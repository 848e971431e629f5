"""Networks that come with the project: small files that answer as before, and a mark that was set on held-out folds."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest
import torch
from packages import OF_A_FOLD, make_packages
from trainings import TINY

from paper_repro import keys, runs, trust
from paper_repro.augment import to_input
from paper_repro.config import load_profile
from paper_repro.data import load_dataset
from paper_repro.evidence import elsewhere, packaged
from paper_repro.files import ReproError
from paper_repro.photographs.folds import load_folds, split
from paper_repro.runs import load_run

PROJECT = runs.PACKAGED  # which the fixture replaces
NAMES = [name.removeprefix(runs.PACKAGE) for name in runs.packages()]
MEGABYTES = {"efficientnet_lite0": 12, "resnet18": 24}


@pytest.mark.parametrize("name", NAMES)
def test_the_projects_networks(name):
    """Each is of the plan, opens, is small, answers as before it was rounded, and holds no path of a machine."""
    run = load_run(PROJECT / name)
    assert name.split("/")[0] in packaged.PLAN and run.config.data == name.split("/")[0]
    size = sum(path.stat().st_size for path in run.folder.glob("*.safetensors"))
    assert size < MEGABYTES[run.config.backbone] * 1e6
    rounding, familiar = run.environment["float16"], trust.load_familiar(run)
    assert rounding["changed"] <= packaged.CHANGED * rounding["of"]
    assert familiar.features.norm(dim=1).numpy() == pytest.approx(1, abs=0.01) and 0 < familiar.threshold < 2
    assert "/work" not in (run.folder / "config.yaml").read_text()


@pytest.fixture(scope="module")
def made(photographs, tmp_path_factory):
    """The runs of tiny networks, and the folder of the trainings behind them."""
    scratch = tmp_path_factory.mktemp("runs")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(runs, "PACKAGED", tmp_path_factory.mktemp("networks"))
        yield make_packages(photographs, scratch), scratch / "made"


def test_a_network_is_small_and_answers_as_before(made, photographs):
    """Matrices are float16, BatchNorm's vectors are not; on the held-out fold the answers are as before."""
    packages, trained = made
    run, before = packages["folds/none"], load_run(trained / "none" / "fold0", finished=False)
    state = runs.read_state(run.folder / "weights.safetensors")
    kinds = {(value.dim() > 1, value.dtype) for value in state.values() if value.is_floating_point()}
    assert kinds == {(True, torch.float16), (False, torch.float32)}
    size, full = ((folder / "weights.safetensors").stat().st_size for folder in (run.folder, before.folder))
    assert size < 0.51 * full
    images = [photographs / name for name in before.predictions["image"]]
    after, earlier = run.predict(images), before.predict(images)
    assert np.allclose(after, earlier, atol=0.05)
    assert run.environment["float16"] == {"changed": int((after.idxmax(1) != earlier.idxmax(1)).sum()), "of": 16}


def test_opens_like_any_run(made, photographs):
    """By name, with the recipe, the classes, the accuracy of photographs it has not seen, and what it learnt from; the
    network of all photographs has no test part."""
    packages, _ = made
    whole = load_run("package:made/stage")
    assert whole.config.data == "made" and whole.classes == packages["folds/none"].classes
    assert whole.fold == -1 and whole.environment["images"] == {"train": 48, "validation": 0, "test": 0}
    assert len(whole.history) == whole.config.epochs and whole.environment["trained_on"] == "48 noisy pictures"
    right = whole.predictions.filter(regex="^p_").idxmax(axis=1).str[2:] == whole.predictions["truth"]
    assert whole.metrics["accuracy"] == pytest.approx(right.mean())
    hashes = json.loads((whole.folder / "done").read_text())["sha256"]
    assert {"weights.safetensors", trust.FILE, "metrics.json"} <= set(hashes)
    assert set(keys.MEASURES).isdisjoint(hashes)


def test_the_mark_is_set_on_held_out_photographs(made, photographs):
    """Of the fold that the network has not seen, 5 % are marked; noise of other colours is."""
    packages, _ = made
    run = packages["folds/none"]
    dataset = load_dataset(str(photographs), run.config.prepared_size)
    parts, familiar = split(load_folds(dataset, run.config), 0), trust.load_familiar(run)
    assert len(familiar.features) == len(parts.train)

    def far(images):
        inputs = to_input(images, run.config.image_size)
        return trust.distances(trust.answer(run.model, inputs)[1], familiar.features)

    marked = far(dataset.images[parts.test]) > familiar.threshold
    assert int(marked.sum()) == 1 and len(marked) == 16
    assert float(far(dataset.images[parts.train]).min()) < familiar.threshold


def test_distances():
    """Between unit vectors, to the tenth nearest of those kept; of fewer, to the furthest."""
    angles = torch.arange(20) * 0.01
    kept = torch.stack([angles.cos(), angles.sin()], dim=1)
    here = torch.tensor([[1.0, 0.0]])
    assert trust.distances(here, kept).item() == pytest.approx(2 * np.sin(0.09 / 2), rel=1e-3)
    assert trust.distances(here, kept[:3]).item() == pytest.approx(2 * np.sin(0.02 / 2), rel=1e-2)
    assert trust.threshold(torch.arange(101.0)) == pytest.approx(95)
    assert trust.keep(torch.rand(3000, 4), seed=0).shape == (trust.KEPT, 4)


def test_a_damaged_or_unknown_network_is_refused(made):
    """By name, with those that are there; a changed byte of the weights or of the features is seen."""
    packages, _ = made
    with pytest.raises(
        ReproError, match="'?package:made/block'? is no network .* there are package:folds/none, package:made/"
    ):
        load_run("package:made/block")
    with pytest.raises(ReproError, match="is no network"):
        load_run("package:../made/none")
    folder = packages["made/none"].folder
    reads = {"weights.safetensors": load_run, trust.FILE: lambda _: trust.load_familiar(packages["made/none"])}
    for name, read in reads.items():
        content = (folder / name).read_bytes()
        (folder / name).write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
        with pytest.raises(ReproError, match=f"{name} is damaged: restore it with git checkout"):
            read("package:made/none")
        (folder / name).write_bytes(content)


def test_too_much_rounding_is_refused(made, photographs, monkeypatch):
    """A network whose answers depend on the rounded digits is not kept."""
    _, trained = made
    config = load_profile("smoke", data=str(photographs), **TINY | {"epochs": 2})

    def turned(state):
        return {name: (-value if name.startswith("fc.") else value) for name, value in state.items()}

    monkeypatch.setattr(packaged, "rounded", turned)  # the least probable class becomes the most probable one
    with pytest.raises(ReproError, match="lost/none: rounding to float16 changes 16 of 16 answers"):
        packaged.make("lost", config, "none", OF_A_FOLD, trained, None)
    assert not (runs.PACKAGED / "lost" / "none" / "done").exists()
    shutil.rmtree(runs.PACKAGED / "lost")


def test_elsewhere(made, photographs, monkeypatch):
    """Per class the share of marked photographs; the accuracy where classes correspond, either answer counting."""
    packages, _ = made
    run = packages["folds/none"]
    monkeypatch.setattr(elsewhere, "RIGHT", {"blue sky": ("blue sky",), "rötlich": ("rötlich", "green [leaf]")})
    dataset = load_dataset(str(photographs), run.config.prepared_size)
    table = elsewhere.measure(run, dataset).set_index("part")
    said = run.predict([photographs / name for name in dataset.table["image"]]).idxmax(axis=1)
    labels = dataset.table["label"]
    counts = (said == labels) | ((labels == "rötlich") & (said == "green [leaf]"))
    assert table["photographs"]["all"] == 48 and table["photographs"]["corresponding"] == 32
    assert table["accuracy"]["corresponding"] == pytest.approx(counts[labels != "green [leaf]"].mean(), abs=1 / 32)
    assert np.isnan(table["accuracy"]["green [leaf]"]) and pd.notna(table["ece"]["rötlich"])
    assert (table["marked_low"] <= table["marked"]).all() and (table["marked"] <= table["marked_high"]).all()


def test_the_plan_is_possible():
    """The profiles behind the project's networks, with the reference runs that give their accuracy."""
    for data, package in packaged.PLAN.items():
        config = load_profile(package.profile, **package.overrides, data=data)
        assert set(packaged.ARMS) <= {"none", "stage"} and set(package.folds) <= set(range(config.num_folds))
        assert package.whole or len(package.folds) == 1
