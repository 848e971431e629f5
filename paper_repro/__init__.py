"""Reference reproduction of Bai and Joe, "Deep Learning Methods With the Improved Attention for Explainable
Image Recognition", IEEE Access 12, 2024, doi 10.1109/ACCESS.2024.3397323.

The names below are all that a newcomer needs; each is loaded when it is first used.
"""

from importlib import import_module

_MODULES = {
    "load_profile": "config",
    "load_dataset": "data",
    "read_photograph": "data",
    "resnet50": "model",
    "build_model": "arms",
    "train": "training",
    "load_run": "runs",
    "measure_run": "measures",
    "GradCAM": "gradcam",
    "heatmap": "gradcam",
}
__all__ = list(_MODULES)


def __getattr__(name: str):
    if name not in _MODULES:
        raise AttributeError(f"paper_repro has no {name}: it has {', '.join(__all__)}")
    return getattr(import_module(f"paper_repro.{_MODULES[name]}"), name)
