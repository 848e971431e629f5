"""One row of the table, and how its figures are taken: in turn with those they are compared with."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode


@dataclass(frozen=True)
class Row:
    """A measured figure: the median over the rounds with its quartiles, against a target where there is one.

    unit: "times as fast" (of the peer), "times the time" (the peer takes), "times the memory", or that of an absolute
    figure. ours, beside_it: medians behind the ratio, with their unit, as text.
    """

    what: str
    beside: str
    value: float
    low: float
    high: float
    unit: str
    ours: str = ""
    beside_it: str = ""
    at_least: float | None = None
    at_most: float | None = None
    note: str = ""

    @property
    def target(self) -> str:
        if self.at_least is not None:
            return f"at least {self.at_least:g}"
        return "" if self.at_most is None else f"at most {self.at_most:g}"

    @property
    def met(self) -> str:
        if math.isnan(self.value):
            return "not measured"
        if not self.target:
            return ""
        return "yes" if self.share_of_target >= 1 else "no"

    @property
    def share_of_target(self) -> float:
        """1 where the target is just met, above where it is surpassed."""
        return self.value / self.at_least if self.at_least is not None else self.at_most / self.value


def in_turn(actions: dict[str, Callable[[], object]], rounds: int, warm_up: bool = True) -> dict[str, np.ndarray]:
    """Seconds (rounds,) of each action: A B, B A, A B, ..., so that a machine that slows down slows all of them.

    An action that returns a float has measured itself; else the clock runs around it.
    """
    if warm_up:
        for action in actions.values():
            action()
    taken = {name: [] for name in actions}
    for number in range(rounds):
        for name in list(actions)[:: -1 if number % 2 else 1]:
            _synchronise()
            start = time.perf_counter()
            own = actions[name]()
            _synchronise()
            taken[name].append(own if isinstance(own, float) else time.perf_counter() - start)
    return {name: np.array(seconds) for name, seconds in taken.items()}


def speed(what: str, beside: str, ours: np.ndarray, peer: np.ndarray, at_least: float | None = None, **more) -> Row:
    """How many times as fast as the peer: the peer's seconds over ours, round by round."""
    return _ratio(what, beside, peer / ours, "times as fast", ours, peer, at_least=at_least, **more)


def duration(what: str, beside: str, ours: np.ndarray, peer: np.ndarray, at_most: float | None = None, **more) -> Row:
    """How many times the peer's time: our seconds over the peer's, round by round."""
    return _ratio(what, beside, ours / peer, "times the time", ours, peer, at_most=at_most, **more)


def figure(what: str, values, unit: str, **more) -> Row:
    """An absolute figure."""
    low, value, high = np.percentile(values, [25, 50, 75])
    return Row(what, "", float(value), float(low), float(high), unit, **more)


def not_measured(what: str, reason: str, **more) -> Row:
    return Row(what, "", math.nan, math.nan, math.nan, "", note=reason, **more)


def _ratio(what, beside, ratios, unit, ours, peer, **more) -> Row:
    low, value, high = np.percentile(ratios, [25, 50, 75])
    return Row(
        what,
        beside,
        float(value),
        float(low),
        float(high),
        unit,
        f"{np.median(ours):.3g} s",
        f"{np.median(peer):.3g} s",
        **more,
    )


def _synchronise() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()


# ---- what the machine can do at most, and what a computation needs at least ---------------------------------------


def matmul_peak(device: torch.device, dtype: torch.dtype) -> float:
    """Floating-point operations per second of a large matrix product, the best of several."""
    size = 8192 if device.type == "cuda" else 2048
    a = torch.randn(size, size, device=device).to(dtype)
    return 2 * size**3 / in_turn({"matmul": lambda: a @ a}, 7)["matmul"].min()


def bandwidth(device: torch.device) -> float:
    """Bytes per second read and written by a copy of 256 MB, the best of several."""
    source = torch.zeros(2**26, device=device)
    target = torch.empty_like(source)
    return 2 * source.nbytes / in_turn({"copy": lambda: target.copy_(source)}, 7)["copy"].min()


class _Traffic(TorchDispatchMode):
    """Adds up the bytes of every operator's inputs and outputs; a view moves nothing."""

    def __init__(self):
        super().__init__()
        self.bytes = 0

    def __torch_dispatch__(self, operator, types, args=(), kwargs=None):
        result = operator(*args, **(kwargs or {}))
        if not operator.is_view:
            self.bytes += sum(tensor.nbytes for tensor in _tensors([args, kwargs or {}, result]))
        return result


def _tensors(value):
    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, (list, tuple, dict)):
        for part in value.values() if isinstance(value, dict) else value:
            yield from _tensors(part)


def cost(action: Callable[[], None]) -> tuple[int, int]:
    """Floating-point operations (a multiply-add is two) of an action, and the bytes its operators read and write, were
    nothing kept in a cache between two of them."""
    with FlopCounterMode(display=False) as flops, _Traffic() as traffic:
        action()
    return flops.get_total_flops(), traffic.bytes
