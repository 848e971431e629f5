"""Loading weights: torchvision's by name, or a local file that may come from a stranger."""

from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torchvision import models

from paper_repro.files import ReproError, sha256_file


def pretrained_file(name: str, weights: str | Path) -> Path:
    """The file behind `weights`; torchvision's are downloaded once and checked against their hash on every call."""
    if not isinstance(weights, str | Path):
        remedy = "give IMAGENET1K_V1, IMAGENET1K_V2 or the path of a file"
        raise ReproError(f"weights: {type(weights).__name__} is neither a name nor a path: {remedy}")
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
    if not _is_state(state):
        entries = state.items() if isinstance(state, dict) else ()
        found = " and ".join(f"'{name}'" for name, entry in entries if _is_state(entry) and entry)
        if found:
            raise ReproError(f"weights: {path} is a checkpoint whose weights lie in {found}: save that entry alone")
        raise ReproError(f"weights: {path} holds no plain state_dict: save model.state_dict()")
    for key, value in state.items():
        if value.is_floating_point() and not torch.isfinite(value).all():
            raise ReproError(f"weights: '{key}' in {path} holds NaN or infinity: use a file from a run that converged")
    return state


def _is_state(content) -> bool:
    return isinstance(content, dict) and all(
        isinstance(key, str) and isinstance(value, Tensor) for key, value in content.items()
    )


def load_pretrained(model: nn.Module, path: Path, rename: Callable[[str], str] = str) -> None:
    """Loads a plain or a same-arm network's weights; a head `fc` of another width is left as initialised.

    Args:
        rename: the model's name for a tensor of the file, where the two differ.

    Raises:
        ReproError: the missing keys are not exactly the attention's (and `fc`'s, where the number of classes differs);
            BatchNorm's `num_batches_tracked` may be missing, as in torchvision.
    """
    named, own = read_state(path), model.state_dict()
    state = {rename(key): value for key, value in named.items()}
    head = state.get("fc.weight", own["fc.weight"])
    if head.dim() and len(head) != len(own["fc.weight"]):
        state = {key: value for key, value in state.items() if not key.startswith("fc.")}
    attention = {key for key in own if ".se." in key}
    optional = {"fc.weight", "fc.bias"} | {key for key in own if key.endswith(".num_batches_tracked")}
    if attention.isdisjoint(state):
        optional |= attention
    ours, theirs = ({key: tuple(value.shape) for key, value in tensors.items()} for tensors in (own, state))
    differing = [key for key in sorted((ours.keys() - optional) | theirs.keys()) if ours.get(key) != theirs.get(key)]
    if differing:
        _refuse_prefix(path, named, rename, own)
        key, reason = _difference(ours, theirs, differing)
        here, there = (tensors.get(key, "missing") for tensors in (ours, theirs))
        raise ReproError(
            f"weights: '{key}' is {there} in {path}, {here} in this network (attention='{model.attention}'): {reason}"
        )
    model.load_state_dict(state, strict=False)


def _refuse_prefix(path: Path, keys: Iterable[str], rename: Callable[[str], str], own: dict) -> None:
    """Refuses the keys of a wrapped network (DataParallel, torch.compile, AveragedModel, a field of a class)."""
    cuts = ((key, end) for key in keys for end in [0, *(i + 1 for i, sign in enumerate(key) if sign == ".")])
    fitting = Counter(key[:end] for key, end in cuts if rename(key[end:]) in own)
    prefix = max(["", *fitting], key=lambda prefix: fitting[prefix])
    if prefix and fitting[prefix] > len(own) / 2:  # a few names fit by chance
        remedy = f"save model.get_submodule('{prefix[:-1]}').state_dict(), or cut it off every key"
        raise ReproError(f"weights: the keys of {path} begin with '{prefix}': {remedy}")


def _difference(ours: dict[str, tuple], theirs: dict[str, tuple], differing: list[str]) -> tuple[str, str]:
    """A differing key of two networks, given as the shapes of their tensors, and why it differs."""
    if outside := [key for key in differing if ".se." not in key]:
        reason = "the file belongs to another architecture"
        if all(key in ours and key in theirs for key in outside):
            reason = "the file's network has the same layers in other sizes (width, or channels of its input)"
        elif theirs.items() < ours.items():
            reason = "the file holds a part of the network: save all of model.state_dict()"
        elif not any(key in ours for key in outside):
            reason = "the file is of a larger network, or holds other tensors too: save model.state_dict() alone"
        return outside[0], reason
    modules, theirs_modules = ({key.rpartition(".se.")[0] for key in keys if ".se." in key} for keys in (ours, theirs))
    if modules != theirs_modules:
        return differing[0], "the file belongs to another arm: build the network with the attention of the file"
    made_with = []
    if scales := [key for key in differing if key.endswith(".scale")]:
        made_with.append("gate_init='identity' or 'double'" if scales[0] in theirs else "gate_init='default'")
    if widths := [key for key in differing if key.endswith(".fc1.weight") and len(theirs.get(key, ())) == 4]:
        hidden, channels = theirs[widths[0]][:2]
        made_with.append(f"reduction={channels // max(hidden, 1)}")
    if not made_with:
        return differing[0], "the file has other squeeze-and-excitation modules"
    return differing[0], f"the file was made with {' and '.join(made_with)}: build the network in the same way"
