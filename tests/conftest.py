"""Fixtures that several test modules share."""

import os
import shutil
import signal
import subprocess
from contextlib import contextmanager
from pathlib import Path

import nbformat
import numpy as np
import pytest
from PIL import Image


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


@pytest.fixture(scope="session")
def trashnet_zip():
    """The real photographs; a test that asks for them has the mark trashnet."""
    path = Path(__file__).resolve().parents[2] / "shared" / "data" / "trashnet" / "dataset-resized.zip"
    if not path.exists():
        pytest.skip(f"{path} is not there")
    return path


@pytest.fixture(scope="session")
def copy_project():
    """copy_project(folder): what notebooks need of the project, so that the committed ones stay as they are."""
    root = Path(__file__).resolve().parents[1]

    def copy(folder):
        for name in (
            "notebooks",
            "profiles",
            "data/splits",
            "data/rendered",
            "data/rendered_masks",
            "results/reference",
        ):
            shutil.copytree(root / name, folder / name)
        for name in ("pyproject.toml", "conftest.py"):
            shutil.copy(root / name, folder)
        return folder

    return copy


@pytest.fixture
def write_notebook():
    """write_notebook(path, parameters cell, *code cells) -> path of a notebook with a kernel, not executed."""

    def write(path, parameters, *cells):
        notebook = nbformat.v4.new_notebook(
            metadata={"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
        )
        notebook.cells = [
            nbformat.v4.new_code_cell(parameters, metadata={"tags": ["parameters"]}),
            *map(nbformat.v4.new_code_cell, cells),
        ]
        path.parent.mkdir(parents=True, exist_ok=True)
        nbformat.write(notebook, path)
        return path

    return write


@pytest.fixture(scope="session")
def photographs(tmp_path_factory):
    """Three classes of 16 noisy pictures, told apart by their main colour."""
    folder, generator = tmp_path_factory.mktemp("photographs"), np.random.default_rng(0)
    for channel, name in enumerate(("blue sky", "green [leaf]", "rötlich")):
        (folder / name).mkdir()
        for index in range(16):
            picture = generator.integers(0, 160, (48, 40, 3), dtype=np.uint8)
            picture[..., channel] += 80
            Image.fromarray(picture).save(folder / name / f"{index}.png")
    return folder


@pytest.fixture
def config(photographs, tmp_path, monkeypatch):
    """A tiny training on them, with a cache folder of its own."""
    from trainings import TINY

    from paper_repro.config import load_profile

    monkeypatch.setenv("PAPER_REPRO_CACHE", str(tmp_path / "cache"))
    return load_profile("smoke", data=str(photographs), **TINY)


class Disk:
    """A file system of its own in memory, which can be filled up and made read-only."""

    def __init__(self, folder):
        self.folder = folder

    def limit(self, free):
        """From now on `free` bytes can be written."""
        status = os.statvfs(self.folder)
        used = (status.f_blocks - status.f_bfree) * status.f_frsize
        self._remount(f"size={used + free}")

    @contextmanager
    def read_only(self):
        self._remount("ro")
        yield
        self._remount("rw")

    def _remount(self, option):
        subprocess.run(["mount", "-o", f"remount,{option}", self.folder], check=True)


@pytest.fixture
def disk(tmp_path):
    """A `Disk`; a limit or permission that a test sets otherwise would not hold for root, or not be the kernel's."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=2g", "tmpfs", folder]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True).returncode != 0:
        pytest.skip("needs Linux and root, to mount a small file system")
    yield Disk(folder)
    subprocess.run(["umount", "--lazy", folder], check=True)
