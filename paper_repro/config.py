"""The arms, and the typed configuration of a profile: an unknown key or an impossible value is an error."""

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from ruamel.yaml import YAML, YAMLError

from paper_repro.files import ReproError, project_root

ATTENTION = ("none", "block", "stage", "stage_recompute", "stage_output", "half")
GATED = ATTENTION[1:5]  # those with squeeze-and-excitation modules
GATE_INIT = ("default", "identity", "double")
PLAIN_CNNS = ("alexnet", "vgg11_bn", "densenet121", "mobilenet_v3_large")  # of claim C2


@dataclass(frozen=True)
class Arm:
    """What the name of an arm stands for, such as `stage-identity`, `none-shuffled` or `stage-planted`.

    network: one of `ATTENTION`, in the backbone of the profile, or one of `PLAIN_CNNS`.
    gate_init: where the gates start (see `model.SqueezeExcitation`).
    last_norm: "default", or "zero": the last BatchNorm of every block starts at 0 (torchvision's `zero_init_residual`;
    Goyal et al., "Accurate, Large Minibatch SGD", 2017, section 5.1).
    labels: "true", or "shuffled": training and validation labels are permuted and mean nothing.
    stickers: "none", "planted" or "untied" (see `stickers.StickerRule`).
    """

    network: str
    gate_init: str = "default"
    last_norm: str = "default"
    labels: str = "true"
    stickers: str = "none"

    @property
    def name(self) -> str:
        """The network, then what differs from the default, joined by hyphens."""
        variants = (self.gate_init, self.last_norm, self.labels, self.stickers)
        return "-".join([self.network, *(value for value in variants if value not in ("default", "true", "none"))])

    @property
    def gated(self) -> bool:
        """Whether the network computes gates; notebook 03 trains these arms, notebook 02 the others."""
        return self.network in GATED

    @property
    def gate_per_block(self) -> bool:
        """Whether each block computes a gate of its own."""
        return self.network in ("block", "stage_recompute")

    @property
    def comparable(self) -> bool:
        """Whether the arm answers a claim about attention, and is neither a control nor a plain CNN."""
        return (self.gated and self.stickers == "none") or self == Arm("none")

    @property
    def misled(self) -> bool:
        """Whether the arm learns what is wrong in testing, so that its test accuracy says nothing of its network."""
        return self.labels == "shuffled" or self.stickers == "planted"


_GATED_ARMS = [Arm(network, gate_init) for gate_init in GATE_INIT for network in GATED]
_STICKERLESS = [Arm("none"), *_GATED_ARMS, Arm("half"), Arm("none", last_norm="zero")]
_STICKERED = [replace(arm, stickers=rule) for rule in ("planted", "untied") for arm in _STICKERLESS]
_OTHERS = [Arm("none", labels="shuffled"), *map(Arm, PLAIN_CNNS)]
ARMS = {arm.name: arm for arm in [*_STICKERLESS, *_OTHERS, *_STICKERED]}
RENAMED = {"faithful": "faithfulness_images", "averaging": "ema_decay"}  # keys of Config in earlier runs


class Config(BaseModel):
    """What to run and how; one flat level, read from `profiles/NAME.yaml`.

    The numbers of a run depend on every key but `arms`, `folds`, `repeats`, `boxes`, `faithfulness_images`, `workers`.
    """

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)

    # Data
    data: str = Field(min_length=1, description="rendered, trashnet, or the path of a folder, zip or CSV")
    boxes: str | None = Field(None, description="download, or the path of a zip of Pascal VOC boxes")
    image_size: int = Field(ge=32, le=1024, description="side of the network's square input, pixels")
    num_folds: int = Field(5, ge=2, le=20)
    grouped: bool = Field(True, description="near-identical photographs in one part; false only to measure leakage")

    # What is trained
    backbone: Literal["resnet18", "resnet50", "efficientnet_lite0"] = "resnet50"
    arms: list[str] = Field(min_length=1)
    folds: list[int] = Field(min_length=1)
    repeats: list[int] = Field([0], min_length=1, description="r: split seed r, training seeds num_folds * r + fold")
    reduction: int = Field(16, ge=1, description="r of the squeeze-and-excitation module")
    weights: str | None = Field(None, description="IMAGENET1K_V1, IMAGENET1K_V2 or a local file")

    # The recipe
    epochs: int = Field(ge=1, le=10_000)
    small_epochs: int = Field(0, ge=0, description="the first ones, with training views of two thirds of image_size")
    batch_size: int = Field(ge=2, le=65_536)
    learning_rate: float = Field(gt=0, le=100, description="at the end of the warm-up")
    learning_rates: dict[str, float] = Field({}, description="for single arms, chosen on validation data")
    warmup_epochs: int = Field(ge=0)
    momentum: float = Field(0.9, ge=0, lt=1)
    weight_decay: float = Field(ge=0, le=1)
    label_smoothing: float = Field(ge=0, lt=1)
    crop_area: float = Field(gt=0, le=1, description="smallest share of the photograph a training crop shows")
    rotate: bool = Field(description="random right angles")
    jitter: float = Field(ge=0, lt=1, description="largest change of brightness, contrast and saturation")
    mixup: float = Field(ge=0, le=10, description="alpha of the Beta distribution; 0: off")
    ema_decay: float = Field(ge=0, lt=1, description="decay of the weights' moving average per step; 0: off")

    # What is measured afterwards; the training does not depend on it
    faithfulness_images: int = Field(24, ge=1, description="test images with insertion, deletion and ROAD curves")

    # The machine
    precision: Literal["auto", "32-true", "bf16-mixed"] = "auto"
    accelerator: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    threads: int = Field(ge=1, le=256, description="of one run; the numbers depend on it")
    workers: int = Field(0, ge=0, le=64, description="processes that augment ahead; the numbers do not depend on it")

    @property
    def prepared_size(self) -> int:
        """Side of the stored photographs, above `image_size`, so that a training crop is not blurred."""
        return self.image_size * 4 // 3

    @model_validator(mode="after")
    def _possible(self):
        if self.data == "synthetic":
            raise ValueError("data: 'synthetic', the drawn pictures, is gone: use 'rendered', the path-traced ones")
        for arm in [*self.arms, *self.learning_rates]:
            if arm not in ARMS:
                short = ", ".join(name for name, known in ARMS.items() if known.stickers == "none")
                more = "all but the shuffled one and the plain CNNs also with -planted or -untied at the end"
                raise ValueError(f"arms: '{arm}' is no arm{_closest(arm, ARMS)}; the arms are {short}; {more}")
        for name, values in (("arms", self.arms), ("folds", self.folds), ("repeats", self.repeats)):
            if len(set(values)) < len(values):
                raise ValueError(f"{name}: {values} names one twice: name each once")
        for name, values, end in (("folds", self.folds, self.num_folds), ("repeats", self.repeats, 10_000)):
            for value in values:
                if not 0 <= value < end:
                    raise ValueError(f"{name}: {value} is outside 0 to {end - 1}: choose numbers in this range")
        for arm, rate in self.learning_rates.items():
            if rate <= 0:
                raise ValueError(f"learning_rates: {rate} for '{arm}' is not above 0: give a positive number")
        for name, first in (("warmup_epochs", self.warmup_epochs), ("small_epochs", self.small_epochs)):
            if first >= self.epochs:
                raise ValueError(f"{name}: {first} leaves nothing of {self.epochs} epochs: make it smaller than epochs")
        if self.backbone == "resnet18" and self.weights == "IMAGENET1K_V2":
            raise ValueError("weights: torchvision has no IMAGENET1K_V2 for resnet18: use IMAGENET1K_V1")
        return self


def load_profile(name: str | Path, **overrides) -> Config:
    """The configuration of a profile with single keys replaced.

    Args:
        name: a profile's name (`smoke`, `cpu`, ...), or the path of a YAML file, for example of a run's `config.yaml`.
        overrides: keys of `Config`; None means: as in the profile. A path in `data`, `boxes` or `weights` becomes
            absolute, seen from the working directory.

    Raises:
        ReproError: no such profile, unreadable YAML, or a value that `Config` refuses; names every such key.
    """
    path = Path(name)
    if path.suffix not in (".yaml", ".yml"):
        folder = project_root() / "profiles"
        path = folder / f"{name}.yaml"
        if not path.is_file():
            known = sorted(profile.stem for profile in folder.glob("*.yaml"))
            raise ReproError(
                f"profile: '{name}' is no profile{_closest(str(name), known)}; "
                f"there are {', '.join(known)}, or give the path of a YAML file"
            )
    try:
        values = YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ReproError(f"profile: cannot read {path} ({error.strerror}): give the path of a YAML file") from error
    except (YAMLError, UnicodeDecodeError) as error:
        raise ReproError(f"profile: {path} is not plain YAML with each key once: {error}") from error
    if not isinstance(values, dict):
        raise ReproError(f"profile: {path} holds no 'key: value' lines: copy one of the files in profiles/")
    values |= {key: value for key, value in overrides.items() if value is not None}
    values = {RENAMED.get(key, key): value for key, value in values.items()}
    if values.get("split_seed") == 0:  # of runs made before `repeats`, which took its place
        del values["split_seed"]
    for key in ("data", "boxes", "weights"):
        if isinstance(values.get(key), str) and _is_path(values[key]):
            values[key] = str(Path(values[key]).expanduser().resolve())
    try:
        return Config(**values)
    except ValidationError as error:
        raise ReproError("\n".join(_explain(problem) for problem in error.errors())) from None


def _is_path(text: str) -> bool:
    if text in ("", "rendered", "synthetic", "trashnet", "download"):
        return False
    return "/" in text or "\\" in text or Path(text).exists() or text.endswith((".zip", ".csv", ".pth", ".safetensors"))


def _explain(problem: Mapping[str, Any]) -> str:
    """One line for one of pydantic's complaints: the key, what is wrong, what to do."""
    key = ".".join(str(part) for part in problem["loc"])
    given = problem.get("input")
    fields = Config.model_fields
    if key == "split_seed":
        return "split_seed: no such key: use repeats, as repeat r has the split seed r"
    if problem["type"] == "extra_forbidden":
        return f"{key}: no such key{_closest(key, fields)}; the keys are {', '.join(fields)}"
    if problem["type"] == "missing":
        return f"{key}: missing: add it to the profile"
    if problem["type"] == "value_error":
        return str(problem["ctx"]["error"])
    note = f" ({fields[key].description})" if key in fields and fields[key].description else ""
    if isinstance(given, str) and problem["type"] in ("float_type", "int_type"):
        note += "; write the number without quotes"
    return f"{key}: {given!r} is refused: {problem['msg'][0].lower()}{problem['msg'][1:]}{note}"


def _closest(word: str, known) -> str:
    match = difflib.get_close_matches(word, list(known), 1)
    return f" (did you mean '{match[0]}'?)" if match else ""
