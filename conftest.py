"""Settings for the notebooks as tests (pytest --nbval-lax notebooks)."""


def pytest_itemcollected(item):
    """nbval waits only 5 s for output that comes after a cell's end, too short on a busy machine."""
    if hasattr(item, "output_timeout"):
        item.output_timeout = 60
