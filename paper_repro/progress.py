"""A progress bar where a person watches, one line elsewhere."""

import os
import sys

from tqdm.auto import tqdm


def watched() -> bool:
    """A terminal or an open notebook, as against a batch job or a notebook that `execute.py` runs."""
    return not os.environ.get("PAPER_REPRO_RECORD") and ("ipykernel" in sys.modules or sys.stderr.isatty())


def progress(total: int, what: str, unit: str) -> tqdm:
    """A bar to `update`, used as a context manager."""
    if not watched():
        print(f"{what} ({total:,} {unit})", file=sys.stderr, flush=True)
    return tqdm(total=total, desc=what, unit=unit, unit_scale=unit == "B", leave=False, disable=not watched())
