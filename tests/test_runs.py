"""A run's folder: whole wherever it is, measured anew without training, told apart by repeat."""

import io
import json
import shutil

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from paper_repro import evaluate, heatmaps, keys, runs
from paper_repro.config import load_profile
from paper_repro.data import load_dataset
from paper_repro.files import ReproError, cache_dir, project_root
from paper_repro.keys import find_runs, run_folder
from paper_repro.measures import measure_run
from paper_repro.photographs.folds import committed_folds, make_folds
from paper_repro.training import Trainer, data_key, train


@pytest.fixture
def dataset(config):
    return load_dataset(config.data, config.prepared_size)


@pytest.fixture
def run(config, tmp_path):
    """A finished run of `none`, test fold 0."""
    made = train(config, "none", 0, tmp_path)
    runs.record_completion(made.folder)
    return made


def test_a_moved_folder_opens_with_an_empty_cache(run, tmp_path, monkeypatch):
    """Copied to another machine, a run predicts as before; its `done` vouches for the weights."""
    moved = tmp_path / "elsewhere" / "a run"
    shutil.move(run.folder, moved)
    monkeypatch.setenv("PAPER_REPRO_CACHE", str(tmp_path / "empty"))
    again = runs.load_run(moved)
    photograph = f"{run.config.data}/{run.predictions['image'][0]}"
    pd.testing.assert_frame_equal(again.predict(photograph), run.predict(photograph))
    assert "weights.safetensors" in json.loads((moved / "done").read_text())["sha256"]


def test_a_run_of_the_first_edition_is_completed(config, run, tmp_path, monkeypatch):
    """Its weights lay in the cache folder, and its key holds an earlier hash of the code: it is opened, not trained,
    and its weights move into its folder."""
    details = json.loads((run.folder / "environment.json").read_text())
    weights = run.folder / "weights.safetensors"
    details["weights"] = f"{details['key']}-{details['weights'][:16]}.safetensors"
    monkeypatch.setattr(keys, "_SAME_NUMBERS", [keys.code_hash()])
    monkeypatch.setattr(keys, "code_hash", lambda: "another")
    (run.folder / "environment.json").write_text(json.dumps(details))
    weights.rename(cache_dir("weights") / details["weights"])
    monkeypatch.setattr(Trainer, "fit", lambda self: pytest.fail("trained again"))
    again = train(config, "none", 0, tmp_path)
    assert weights.exists() and not any(cache_dir("weights").iterdir())
    pd.testing.assert_frame_equal(again.predictions, run.predictions)


def test_measured_anew_without_training(config, run, dataset, monkeypatch):
    """More images, other regions or other code make the measures again; nothing else does, and nothing is trained."""
    calls, measure = [], heatmaps.measure
    monkeypatch.setattr(heatmaps, "measure", lambda *a, **k: calls.append(1) or measure(*a, **k))
    monkeypatch.setattr(Trainer, "fit", lambda self: pytest.fail("trained again"))

    def measured(images=1, data=dataset):
        again = train(config, "none", 0, run.folder.parents[1])
        table = measure_run(again, data, images)
        done = json.loads((run.folder / "done").read_text())["sha256"]
        assert not [name for name in done if name in keys.MEASURES]
        return table["insertion_blur"].notna().groupby([table["layer"], table["map"]]).sum().max(), len(calls)

    assert measured() == (1, 1) and measured() == (1, 1)
    assert measured(images=3) == (3, 2) and measured(images=3) == (3, 2)
    boxes = [np.array([[0.1, 0.1, 0.4, 0.4]])] * len(dataset.table)
    with_boxes = load_dataset(config.data, config.prepared_size).__class__(**vars(dataset) | {"boxes": boxes})
    assert measured(images=3, data=with_boxes) == (3, 3)
    assert {"box_area", "box_gain"} <= set(run.measures)
    monkeypatch.setattr("paper_repro.measures.measuring_code", lambda: "another")
    assert measured(images=3, data=with_boxes) == (3, 4)


@pytest.mark.parametrize("name", ["measures.csv.gz", "measures.json"])
def test_damaged_measures_are_made_again(run, dataset, name):
    """A file of the measures that is missing, or is not the one its key was written for, is no measure."""
    measure_run(run, dataset, 1)
    before = {path.name: path.read_bytes() for path in run.folder.glob("measures.*")}
    assert not [*run.folder.glob("cause*")]  # of arms with stickers alone
    (run.folder / name).unlink()
    measure_run(run, dataset, 1)
    (run.folder / name).write_bytes(b"{}")
    measure_run(run, dataset, 1)
    assert before == {path.name: path.read_bytes() for path in run.folder.glob("measures.*")}


def test_a_mixture_of_two_runs_is_none(config, run, tmp_path):
    """A process that is killed while it replaces a run's files, at whichever file, leaves nothing that opens as a run:
    the new run's weights come first and never fit the older record of them."""
    other = train(config.model_copy(update={"weight_decay": 0.1}), "none", 0, tmp_path / "other")
    order = ["weights.safetensors", *runs.FILES]
    for count in range(1, len(order)):
        mixed = tmp_path / f"mixed{count}"
        shutil.copytree(run.folder, mixed)
        for name in order[:count]:
            shutil.copy(other.folder / name, mixed)
        with pytest.raises(ReproError, match="weights.safetensors is damaged"):
            runs.load_run(mixed, finished=False)
        (mixed / "environment.json").unlink()
        with pytest.raises(ReproError, match="environment.json is missing"):
            runs.load_run(mixed, finished=False)


@pytest.mark.parametrize("mark", ["\r", "\r\n", "\n", '"', ","])
def test_names_with_line_breaks_survive_in_predictions(config, tmp_path, mark):
    """Of images and classes; the bytes of ordinary tables are those of pandas."""

    def write(predictions):
        runs.write_run(tmp_path, config, predictions[["fold"]], predictions, {}, {}, b"")
        return tmp_path / "predictions.csv"

    classes = [f"gl{mark}ass", f"metal{mark}"]
    images = [f"{classes[0]}/my{mark}photo.png", f"{classes[1]}/{mark}"]
    table = evaluate.predictions_frame(images, 0, [0, 1], [[0.75, 0.25], [0.5, 0.5]], classes)
    pd.testing.assert_frame_equal(evaluate.read_predictions(write(table)), table, check_dtype=False)
    plain = table.rename(columns=lambda name: name.replace(mark, "")).replace(mark, "", regex=True)
    assert write(plain).read_bytes() == plain.to_csv(index=False, lineterminator="\n").encode()


class Brightness(torch.nn.Module):
    """A network of two classes that tells pictures apart by their brightness; (N, 3, S, S) -> (N, 2)."""

    def forward(self, images):
        return torch.stack([images.mean((1, 2, 3)), -images.mean((1, 2, 3))], dim=1)


@pytest.fixture
def reader(config, tmp_path):
    """A run that needs no training."""
    return runs.Run(tmp_path, config, "none", 0, ("bright", "dark"), Brightness(), None, None, {}, {})


def test_predict_takes_photographs_in_any_form_and_number(reader, tmp_path):
    """One, or any number of them in whatever Python iterates over: a row for each, in their order."""
    arrays = [np.full((30, 40, 3), value, np.uint8) for value in (255, 0, 128)]
    paths = [tmp_path / f"{number}.png" for number in range(3)]
    for array, path in zip(arrays, paths, strict=True):
        Image.fromarray(array).save(path)
    expected = reader.predict(paths)
    assert list(expected) == ["bright", "dark"]
    assert expected["bright"].tolist() == pytest.approx([0.992, 0.018, 0.616], abs=0.001)  # of white, black and grey
    contents = [path.read_bytes() for path in paths]
    several = [
        *(arrays, tuple(arrays), np.stack(arrays), map(Image.fromarray, arrays), iter(contents)),
        *((path for path in paths), pd.Series(map(str, paths), index=[5, 6, 7]), np.array(list(map(str, paths)))),
        *({str(path): 0 for path in paths}.keys(), [io.BytesIO(content) for content in contents]),
        [str(paths[0]), Image.fromarray(arrays[1]), contents[2]],
    ]
    for photographs in several:
        pd.testing.assert_frame_equal(reader.predict(photographs), expected)
    assert len(reader.predict(tmp_path.glob("*.png"))) == 3
    for one in (paths[0], str(paths[0]), arrays[0], contents[0], Image.open(paths[0]), io.BytesIO(contents[0])):
        pd.testing.assert_frame_equal(reader.predict(one), expected[:1])


@pytest.mark.parametrize("nothing", [[], (), iter([]), np.zeros((0, 30, 40, 3), np.uint8), pd.Series(dtype=str)])
def test_no_photographs_give_an_empty_table(reader, nothing):
    """With the classes' columns."""
    table = reader.predict(nothing)
    assert table.shape == (0, 2) and list(table) == ["bright", "dark"] and (table.dtypes == np.float32).all()
    assert reader.preprocess([]).shape == (0, 3, 32, 32)


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        (None, "given as NoneType"),
        (3.5, "given as float"),
        ({"a.jpg": 1}, "given as dict"),
        (pd.DataFrame({"path": ["a.jpg"]}), "given as DataFrame"),
        (torch.zeros(3, 30, 40), "given as Tensor"),
        (np.zeros((8, 300, 400, 3)), "float64 of shape .300, 400, 3."),
        (np.zeros((2, 3, 30, 40), np.uint8), "uint8 of shape .3, 30, 40."),
        (np.arange(10), "given as int64"),
        ([np.zeros((300, 400), np.uint8).tolist()], "given as list"),
        ([b"no picture" * 10_000], "given as bytes"),
        (["gone.jpg"], "gone.jpg .No such file"),
    ],
)
def test_predict_refuses_other_types_in_a_short_line(reader, given, reason):
    """A line that a person can read, whatever the size of the object."""
    with pytest.raises(ReproError, match=reason) as caught:
        reader.predict(given)
    assert len(str(caught.value)) < 300 and "\n" not in str(caught.value)


@pytest.mark.parametrize("folder", [None, 3, ["results"], b"results", "x" * 100_000, "results\0"])
def test_a_run_that_cannot_be_named_so_is_refused_in_a_short_line(folder):
    """By the type, or as no finished run."""
    with pytest.raises(ReproError, match="must be text or a Path, not of type|is no finished run") as caught:
        runs.load_run(folder)
    assert len(str(caught.value)) < 500 and "\n" not in str(caught.value)


def test_measures_of_other_data_are_refused(run, dataset):
    """A run's measures never come from photographs that it was not trained on."""
    with pytest.raises(ReproError, match="was trained on other data than .*: give the data of the run"):
        measure_run(run, type(dataset)(**vars(dataset) | {"fingerprint": "another"}), 1)


def test_metrics_follow_their_code(config, run, tmp_path, monkeypatch):
    """A change of what is computed from the predictions reaches metrics.json without training again, and the `done`
    that vouched for the old file goes."""
    metrics = evaluate.metrics
    monkeypatch.setattr(Trainer, "fit", lambda self: pytest.fail("trained again"))
    monkeypatch.setattr(evaluate, "metrics", lambda *a, **k: metrics(*a, **k) | {"new": 1})
    assert train(config, "none", 0, tmp_path).metrics["new"] == 1
    assert json.loads((run.folder / "metrics.json").read_text())["new"] == 1
    assert not (run.folder / "done").exists()


def test_repeats(config, run, tmp_path):
    """Repeat 1 has a folder, a split and a seed of its own; repeat 0 keeps its folder and seeds."""
    again = train(config, "none", 0, tmp_path, repeat=1)
    assert again.folder == tmp_path / "none" / "repeat1" / "fold0" and run.folder == tmp_path / "none" / "fold0"
    assert (run.environment["seed"], again.environment["seed"]) == (0, config.num_folds)
    assert set(again.predictions["image"]) != set(run.predictions["image"])
    assert list(again.predictions) == list(run.predictions)
    assert list(find_runs(tmp_path, "predictions.csv")) == [("none", 0, 0), ("none", 1, 0)]


def test_folders_in_order(tmp_path):
    """Runs are found whatever their repeat, in the order of arms, repeats and folds."""
    made = [("none", 0, 10), ("none", 0, 2), ("stage", 0, 0), ("none", 10, 0), ("none", 2, 1)]
    for arm, repeat, fold in made:
        folder = run_folder(tmp_path, arm, fold, repeat)
        folder.mkdir(parents=True)
        (folder / "done").touch()
    for other in ("no-arm/fold0", "none/repeats/fold0", "none/folds"):  # folders of somebody else
        (tmp_path / other).mkdir(parents=True)
        (tmp_path / other / "done").touch()
    assert list(find_runs(tmp_path)) == [
        ("none", 0, 2),
        ("none", 0, 10),
        ("none", 2, 1),
        ("none", 10, 0),
        ("stage", 0, 0),
    ]


def committed_runs():
    reference = project_root() / "results" / "reference"
    return sorted(path.parent for path in reference.glob("*/*/fold*/config.yaml"))


def test_all_54_runs_keep_their_keys():
    """Every committed run opens under today's configuration, and today's code, given their data, has their keys."""
    assert len(committed_runs()) == 54
    folds = committed_folds("trashnet")
    table = folds[["image", "group", "excluded"]].assign(label=folds["image"].str.split("/").str[0])
    for folder in committed_runs():
        details = json.loads((folder / "environment.json").read_text())
        config = load_profile(folder / "config.yaml")
        used = folds if config.grouped else make_folds(table, config.num_folds, 0, grouped=False)
        known = type("Known", (), {"fingerprint": details["data"]})
        data = data_key(known, used)
        assert details["key"] in keys.kept_keys(config, details["arm"], details["fold"], data), folder
