"""Fixtures that several test modules share."""

import os
import signal

import nbformat
import pytest


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory):
    """No test reads or fills the user's cache folder."""
    earlier = os.environ.get("PAPER_REPRO_CACHE")
    os.environ["PAPER_REPRO_CACHE"] = str(tmp_path_factory.mktemp("cache"))
    yield
    if earlier is None:
        del os.environ["PAPER_REPRO_CACHE"]
    else:
        os.environ["PAPER_REPRO_CACHE"] = earlier


@pytest.fixture(scope="session", autouse=True)
def hears_interrupts():
    """Processes started by tests hear SIGINT, which a shell's background job ignores and hands on to its children."""
    earlier = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, earlier)


@pytest.fixture
def write_notebook():
    """write_notebook(path, parameters cell, *code cells) -> path of a notebook with a kernel, not executed."""

    def write(path, parameters, *cells):
        notebook = nbformat.v4.new_notebook(metadata={
            "kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}})
        notebook.cells = [nbformat.v4.new_code_cell(parameters, metadata={"tags": ["parameters"]}),
                          *map(nbformat.v4.new_code_cell, cells)]
        path.parent.mkdir(parents=True, exist_ok=True)
        nbformat.write(notebook, path)
        return path

    return write
