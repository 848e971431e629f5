"""The configuration: what cannot work is refused before any work, by name and with a remedy."""

import math
from pathlib import Path

import pytest

from paper_repro.config import ARMS, Arm, Config, load_profile
from paper_repro.files import ReproError, project_root

PROFILES = sorted(path.stem for path in (project_root() / "profiles").glob("*.yaml"))

REFUSED = {
    "unknown key": (dict(epoch=3), r"epoch: no such key \(did you mean 'epochs'\?\)"),
    "a number as text": (dict(learning_rate="1e-4"), "learning_rate: '1e-4' .* without quotes"),
    "NaN": (dict(learning_rate=float("nan")), "learning_rate: nan"),
    "infinity": (dict(learning_rate=float("inf")), "learning_rate: inf"),
    "negative rate": (dict(learning_rate=-0.1), "learning_rate: -0.1 .* greater than 0"),
    "negative decay": (dict(weight_decay=-1.0), "weight_decay: -1.0"),
    "0 epochs": (dict(epochs=0), "epochs: 0 .* greater than or equal to 1"),
    "half an epoch": (dict(epochs=1.5), "epochs: 1.5"),
    "true for a number": (dict(epochs=True), "epochs: True"),
    "batch of one": (dict(batch_size=1), "batch_size: 1"),
    "warm-up longer than training": (dict(epochs=2, warmup_epochs=2), "warmup_epochs: 2"),
    "no epoch at full size": (dict(epochs=2, small_epochs=2), "small_epochs: 2"),
    "negative repeat": (dict(repeats=[-1]), "repeats: -1 is outside"),
    "repeat twice": (dict(repeats=[1, 1]), "repeats: .* names one twice"),
    "no repeats": (dict(repeats=[]), "repeats:"),
    "what repeats took the place of": (dict(split_seed=1), "split_seed: no such key: use repeats"),
    "one fold": (dict(num_folds=1), "num_folds: 1"),
    "fold outside": (dict(folds=[5]), "folds: 5 is outside 0 to 4"),
    "fold twice": (dict(folds=[0, 0]), "folds: .* names one twice"),
    "no folds": (dict(folds=[]), "folds:"),
    "misspelt arm": (dict(arms=["none", "stages"]), r"'stages' is no arm \(did you mean 'stage'\?\)"),
    "no arms": (dict(arms=[]), "arms:"),
    "rate of an unknown arm": (dict(learning_rates={"alexnett": 0.1}), "did you mean 'alexnet'"),
    "rate of an arm not positive": (dict(learning_rates={"alexnet": 0.0}), "learning_rates: 0.0 for 'alexnet'"),
    "unknown backbone": (dict(backbone="resnet51"), "backbone: 'resnet51'"),
    "unknown accelerator": (dict(accelerator="gpu0"), "accelerator: 'gpu0'"),
    "unknown precision": (dict(precision="fp8"), "precision: 'fp8'"),
    "crop of nothing": (dict(crop_area=0.0), "crop_area: 0.0"),
    "smoothing of 1": (dict(label_smoothing=1.0), "label_smoothing: 1.0"),
    "tiny images": (dict(image_size=8), "image_size: 8"),
    "no threads": (dict(threads=0), "threads: 0"),
    "empty data": (dict(data=""), "data: ''"),
    "weights that do not exist": (dict(weights="IMAGENET1K_V2", backbone="resnet18"), "weights: torchvision has no"),
}


@pytest.mark.parametrize("overrides, message", REFUSED.values(), ids=REFUSED)
def test_refused(overrides, message):
    """Each impossible value is named together with what to do about it."""
    with pytest.raises(ReproError, match=message):
        load_profile("smoke", **overrides)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("key", Config.model_fields)
def test_no_key_takes_nan_or_infinity(key, value):
    """YAML's .nan and .inf are refused in every key, alone or in a list or mapping."""
    kind = str(Config.model_fields[key].annotation)
    given = [value] if kind.startswith("list") else {"stage": value} if kind.startswith("dict") else value
    with pytest.raises(ReproError, match=f"^{key}.*: -?(nan|inf) is refused: input should be "):
        load_profile("smoke", **{key: given})


def test_every_problem_is_named_at_once():
    """Two mistakes are reported in one go, not one after the other."""
    with pytest.raises(ReproError, match="(?s)epochs.*batch_size"):
        load_profile("smoke", epochs=0, batch_size=0)


@pytest.mark.parametrize(
    "content, message",
    {
        "objects": ("data: !!python/object/apply:os.system ['touch executed']", "not plain YAML"),
        "doubled key": ("epochs: 1\nepochs: 2", 'duplicate key "epochs"'),
        "a list": ("- 1", "holds no 'key: value' lines"),
        "not text": ("\x00\x01", "not plain YAML"),
        "a missing key": ("data: rendered", "epochs: missing"),
    }.values(),
)
def test_hostile_yaml(content, message, tmp_path, monkeypatch):
    """A profile from a stranger is data: it runs nothing, and its mistakes are named."""
    monkeypatch.chdir(tmp_path)
    Path("profile.yaml").write_text(content)
    with pytest.raises(ReproError, match=message):
        load_profile("profile.yaml")
    assert not Path("executed").exists()


def test_the_drawn_pictures_are_gone():
    """A configuration of the first edition learns what took their place."""
    with pytest.raises(ReproError, match="data: 'synthetic', the drawn pictures, is gone: use 'rendered'"):
        load_profile("smoke", data="synthetic")


def test_unknown_profile():
    """A misspelt profile names the ones there are."""
    with pytest.raises(ReproError, match=r"'smok' is no profile \(did you mean 'smoke'\?\)"):
        load_profile("smok")


@pytest.mark.parametrize("name", PROFILES)
def test_shipped_profiles(name):
    """Every committed profile is valid and states its recipe in full."""
    config = load_profile(name)
    assert set(config.arms) <= set(ARMS)
    assert config.prepared_size > config.image_size


def test_paths_become_absolute(tmp_path, monkeypatch):
    """A relative DATA is seen from the caller's directory, whatever directory the notebook runs in."""
    monkeypatch.chdir(tmp_path)
    Path("photos").mkdir()
    assert load_profile("smoke", data="photos").data == str(tmp_path / "photos")
    assert load_profile("smoke").data == "rendered"


def test_arms_are_what_their_names_say():
    """A name is that of its arm alone; stickers and the other variants change neither network nor notebook."""
    assert all(arm.name == name for name, arm in ARMS.items())
    assert ARMS["none-zero"] == Arm("none", last_norm="zero")
    assert ARMS["stage-identity-planted"] == Arm("stage", "identity", stickers="planted")
    for name, arm in ARMS.items():
        if arm.stickers != "none":
            plain = ARMS[name.removesuffix(f"-{arm.stickers}")]
            assert (arm.network, arm.gate_init, arm.gated) == (plain.network, plain.gate_init, plain.gated)
            assert not arm.comparable and arm.misled == (arm.stickers == "planted")
    assert [name for name, arm in ARMS.items() if arm.misled and arm.stickers == "none"] == ["none-shuffled"]
    assert len(ARMS) == 3 * (1 + 4 * 3 + 2) + 5


def test_earlier_names_of_keys():
    """Keys that were renamed are still read, in a kept run's config.yaml and in a call."""
    config = load_profile("smoke", faithful=7, averaging=0.5, split_seed=0)
    assert (config.faithfulness_images, config.ema_decay) == (7, 0.5)
