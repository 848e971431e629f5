"""Loading weights: torchvision's by name, or a local file that may come from a stranger."""

from collections.abc import Callable
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torchvision import models

from paper_repro.files import ReproError, sha256_file


def pretrained_file(name: str, weights: str | Path) -> Path:
    """The file behind `weights`; torchvision's are downloaded once and checked against their hash on every call."""
    if str(weights) not in ("IMAGENET1K_V1", "IMAGENET1K_V2"):
        path = Path(weights)
        if not path.is_file():
            raise ReproError(f"weights: no file {path}: give IMAGENET1K_V1, IMAGENET1K_V2 or the path of a file")
        return path
    url = models.get_model_weights(name)[str(weights)].url
    path = Path(torch.hub.get_dir()) / "checkpoints" / Path(url).name
    prefix = path.stem.rpartition("-")[2]  # torchvision names each file by the first digits of its sha256
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            torch.hub.download_url_to_file(url, str(path), hash_prefix=prefix)
        except (OSError, RuntimeError) as error:
            raise ReproError(f"weights: cannot download {url} ({error}): put it at {path} by hand") from error
    if not sha256_file(path).startswith(prefix):
        raise ReproError(f"weights: {path} does not have the sha256 {prefix}… of its name: delete it and try again")
    return path


def read_state(path: Path) -> dict[str, Tensor]:
    """The tensors of a `.safetensors` or torch file, never executing what the file holds.

    Raises:
        ReproError: not such a file, or a tensor that is not finite.
    """
    try:
        if path.suffix == ".safetensors":
            state = load_file(path)
        else:
            state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # both readers raise whatever the damage leads them to
        raise ReproError(
            f"weights: {path} cannot be read as tensors alone ({type(error).__name__}): it is damaged or "
            "holds code; save a state_dict with safetensors or torch.save"
        ) from error
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise ReproError(f"weights: {path} holds no plain state_dict: save model.state_dict()")
    for key, value in state.items():
        if value.is_floating_point() and not torch.isfinite(value).all():
            raise ReproError(f"weights: '{key}' in {path} holds NaN or infinity: use a file from a run that converged")
    return state


def load_pretrained(model: nn.Module, path: Path, rename: Callable[[str], str] = str) -> None:
    """Loads a plain or a same-arm network's weights; a head `fc` of another width is left as initialised.

    Args:
        rename: the model's name for a tensor of the file, where the two differ.

    Raises:
        ReproError: the missing keys are not exactly the attention's (and `fc`'s, where the number of classes differs).
    """
    state = {rename(key): value for key, value in read_state(path).items()}
    if state and all(key.startswith("module.") for key in state):
        raise ReproError(f"weights: the keys of {path} begin with 'module.': save model.module.state_dict()")
    own = model.state_dict()
    if "fc.weight" in state and len(state["fc.weight"]) != len(own["fc.weight"]):
        state = {key: value for key, value in state.items() if not key.startswith("fc.")}
    attention = {key for key in own if ".se." in key}
    optional = {"fc.weight", "fc.bias"} | (attention if attention.isdisjoint(state) else set())
    ours, theirs = ({key: str(tuple(value.shape)) for key, value in tensors.items()} for tensors in (own, state))
    for key in sorted(({*ours} - optional) | {*theirs}):
        here, there = ours.get(key, "missing"), theirs.get(key, "missing")
        if here != there:
            raise ReproError(
                f"weights: '{key}' is {there} in {path}, {here} in this network (attention='{model.attention}'): "
                "the file belongs to another architecture, arm, gate_init or reduction"
            )
    model.load_state_dict(state, strict=False)
