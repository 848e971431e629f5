"""Execute one notebook through papermill, and count it as done only when it is.

    python -m paper_repro.workflow.execute NOTEBOOK --output PATH [--parameters JSON] [--html PATH] [--done PATH]

papermill alone exits 0 after `sys.exit(0)` in a cell, marks the cells after a dead kernel as completed and only warns
of an unknown parameter. Here a notebook is done when every code cell ran without an error and the completion record
(`paper_repro.runs.record_completion`) was written. Until then it lies in `logs` beside its output, and an earlier
finished output is not touched.
"""

import argparse
import base64
import copy
import errno
import json
import os
import re
import signal
import sys
import tempfile
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from textwrap import shorten

import nbformat
import papermill
from jupyter_client import AsyncKernelManager
from jupyter_client.utils import run_sync
from nbclient.exceptions import CellTimeoutError, DeadKernelError
from nbconvert.filters import strip_ansi
from nbformat import NotebookNode
from papermill.exceptions import PapermillExecutionError

from paper_repro.files import SOCKET_ROOM, ReproError, atomic_write, sockets_fit
from paper_repro.keys import vouch
from paper_repro.workflow.page import to_html
from paper_repro.workflow.parameters import check, declared, parse_json
from paper_repro.workflow.processes import follow_parent, hold_lock, on_stop

RECORD = "record.json"
KERNEL = "python3"
# For glibc in the kernel: freed memory is kept, in huge pages, so that a training step has no page faults.
MALLOC = (
    "glibc.malloc.hugetlb=1:glibc.malloc.mmap_threshold=4294967296:glibc.malloc.trim_threshold=17179869184:"
    "glibc.malloc.top_pad=67108864"
)
REMEDIES = dict.fromkeys((errno.ENOSPC, errno.EDQUOT), "free some space") | {errno.ENAMETOOLONG: "give a shorter name"}


class Unfinished(Exception):
    """The notebook stopped before its end; the message says where and why."""


def execute(
    notebook: Path, output: Path, parameters: dict, html: Path | None, done: Path | None, cell_timeout: int | None
) -> None:
    """Executes `notebook` in its own folder and moves it to `output` when it is done.

    Args:
        parameters: replace values of the notebook's `parameters` cell.
        html: where the page of the executed notebook is written.
        done: a file written last of all, with the same content as `done` in a run's folder.
        cell_timeout: seconds that one cell may take.

    Raises:
        ReproError: the notebook or a parameter is wrong, or `output` is in use or cannot be written.
        Unfinished: the notebook did not reach its end.
        SystemExit: 128 + signal, when SIGINT, SIGTERM or SIGHUP stopped it.
    """
    notebook, output = notebook.absolute(), output.absolute()
    try:
        node = nbformat.read(notebook, as_version=4)
    except (OSError, ValueError, nbformat.ValidationError) as error:
        raise ReproError(f"cannot read the notebook {notebook} ({error}): give the path of an .ipynb file") from error
    check(parameters, declared(node))
    logs = output.parent / "logs"
    unfinished = logs / f"{output.stem}-{datetime.now():%Y%m%dT%H%M%S}-{os.getpid()}.ipynb"
    lock = hold_lock(logs / f"{output.stem}.lock", str(output))
    with lock, _scratch_folder() as scratch:
        try:
            executed = _run(node, unfinished, parameters, Path(scratch), notebook.parent, cell_timeout)
            folder = _completed_folder(executed, Path(scratch) / RECORD)
        except Exception as error:
            if isinstance(error, OSError) and (remedy := REMEDIES.get(error.errno or 0)):
                raise ReproError(f"cannot write {unfinished} ({error.strerror}): {remedy}") from None
            reason = _reason(error, unfinished, cell_timeout)
            raise Unfinished(f"{reason}\nThe unfinished notebook is kept: {unfinished}") from None
        _publish(executed, notebook.parent, folder, output, html, done)
        unfinished.unlink()


def _scratch_folder() -> tempfile.TemporaryDirectory:
    """A new private folder in `$TMPDIR`, or in /tmp where that path is too long for the kernel's sockets."""
    try:
        return tempfile.TemporaryDirectory(prefix="paper_repro-", dir=None if sockets_fit() else "/tmp")
    except OSError as error:
        problem = f"cannot create {error.filename}, for the kernel's sockets ({error.strerror})"
        remedy = f"set TMPDIR to a folder whose path has at most {SOCKET_ROOM} bytes"
        raise ReproError(f"TMPDIR: {problem}: {remedy}") from error


def _run(
    node: NotebookNode, unfinished: Path, parameters: dict, scratch: Path, cwd: Path, cell_timeout: int | None
) -> NotebookNode:
    """Executes the notebook with a kernel of its own, writes it to `unfinished` after every cell and returns it."""
    # Sockets in the scratch folder: over TCP, kernels that start at the same time can take each other's ports.
    manager = AsyncKernelManager(kernel_name=KERNEL, transport="ipc", connection_file=str(scratch / "kernel.json"))
    # The kernel inherits these: kernels cannot share IPython's profile, and a record in a new folder is not an old one.
    os.environ |= {"IPYTHONDIR": str(scratch), "PAPER_REPRO_RECORD": str(scratch / RECORD)}
    os.environ.setdefault("GLIBC_TUNABLES", MALLOC)
    if not sockets_fit():
        os.environ["TMPDIR"] = str(scratch)  # the workers of a training have sockets there, too
    stopped = []

    def stop(number):
        """Kills the kernel, so that papermill writes the notebook and ends."""
        stopped.append(number)
        if len(stopped) > 1 or not _kill(manager):
            raise SystemExit(128 + number)

    with on_stop(stop):
        try:
            executed = papermill.execute_notebook(
                node,
                str(unfinished).replace("{", "{{").replace("}", "}}"),
                parameters,
                kernel_name=KERNEL,
                km=manager,
                cwd=cwd,
                start_timeout=300,  # seconds: a cold disk, and other kernels that start at the same time
                execution_timeout=cell_timeout,
                iopub_timeout=60,
                record_timing=False,
                on_cell_executed=_refuse_exit,
                progress_bar=sys.stderr.isatty(),
                stdout_file=sys.stdout,
                stderr_file=sys.stderr,
            )
        except Exception:
            if not stopped:
                raise
        finally:
            if manager.has_kernel:
                run_sync(manager.shutdown_kernel)()
            _kill(manager)  # what is left of the processes that the kernel started
    if stopped:
        print(f"Stopped by {stopped[0].name}. The unfinished notebook is kept: {unfinished}", file=sys.stderr)
        raise SystemExit(128 + stopped[0])
    for part in (executed, *executed.cells):  # times and paths, which differ between executions
        part.metadata.pop("papermill", None)
        if part.metadata.get("tags") == []:
            del part.metadata["tags"]
    return executed


def _refuse_exit(cell: NotebookNode, cell_index: int, execute_reply: dict) -> None:
    """Stops at a cell that called `exit()`, after which a kernel runs further cells for a tenth of a second."""
    if any(payload["source"] == "ask_exit" for payload in execute_reply["content"].get("payload", [])):
        raise Unfinished(f"the cell with {cell.source!r} told the kernel to exit")


def _reason(error: Exception, unfinished: Path, cell_timeout: int | None) -> str:
    """Where the notebook stopped and why."""
    if isinstance(error, Unfinished):
        return str(error)
    if isinstance(error, PapermillExecutionError):
        # The message of a ReproError says what is wrong and what to do.
        traceback = [] if error.ename == ReproError.__name__ else ["", *error.traceback]
        return f"code cell [{error.exec_count}] raised {error.ename}: {error.evalue}" + strip_ansi("\n".join(traceback))
    if isinstance(error, CellTimeoutError | DeadKernelError):
        cells = _code_cells(nbformat.read(unfinished, as_version=4))
        last = ["before the first cell", *(name for name, cell in cells if cell.metadata.papermill.start_time)][-1]
        if isinstance(error, CellTimeoutError):
            return f"{last} took longer than {cell_timeout} s"
        return f"{last}: the kernel died; was it killed, or the memory exhausted?"
    return f"{type(error).__name__}: {error}"


def _kill(manager: AsyncKernelManager) -> bool:
    """Kills the kernel's process group; False when no kernel was started."""
    group = getattr(manager.provisioner, "pgid", None)
    if group:
        with suppress(ProcessLookupError):
            os.killpg(group, signal.SIGKILL)
    return bool(group)


def _code_cells(notebook: NotebookNode) -> list[tuple[str, NotebookNode]]:
    """Every code cell after its name in messages: its number and its first words."""
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    return [(f"code cell {n} ({shorten(cell.source, 60)})", cell) for n, cell in enumerate(cells, 1)]


def _completed_folder(executed: NotebookNode, record: Path) -> Path:
    """The folder that the completion record names; Unfinished if a cell failed or did not run, or without a record."""
    for name, cell in _code_cells(executed):
        for output in cell.outputs:
            if output.output_type == "error":
                raise Unfinished(f"{name} raised {output.ename}: {output.evalue}")
        if cell.source.strip() and cell.execution_count is None:
            raise Unfinished(f"{name} did not run")
    try:
        return Path(json.loads(record.read_text(encoding="utf-8"))["folder"])
    except (OSError, ValueError, KeyError):
        remedy = "the last cell must call paper_repro.runs.record_completion(folder)"
        raise Unfinished(f"no completion record: {remedy}") from None


def with_drawings(node: NotebookNode, source: Path) -> NotebookNode:
    """A copy that can be moved: it holds the SVG files that its Markdown shows by a path from the folder `source`."""
    node = copy.deepcopy(node)
    for cell in node.cells:
        for shown in re.findall(r"\]\(([\w./-]+\.svg)\)", cell.source) if cell.cell_type == "markdown" else ():
            if (drawing := source / shown).is_file():
                content = base64.b64encode(drawing.read_bytes()).decode()
                cell.setdefault("attachments", {})[drawing.name] = {"image/svg+xml": content}
                cell.source = cell.source.replace(f"]({shown})", f"](attachment:{drawing.name})")
    return node


def _publish(
    executed: NotebookNode, source: Path, folder: Path, output: Path, html: Path | None, done: Path | None
) -> None:
    """Writes the notebook, its page and, last of all, `done` and the `done` of a run's folder (see `keys.vouch`)."""
    carrying = with_drawings(executed, source)
    page = {html: to_html(carrying, output.stem)} if html else {}
    run_mark = folder / "done" if (folder / "metrics.json").exists() else None
    marks = [mark for mark in (run_mark, done) if mark]
    for mark in marks:  # a mark never stands beside files that it was not written for
        mark.unlink(missing_ok=True)
    with atomic_write(output) as path:
        nbformat.write(executed if output.parent == source else carrying, path)
    for file, text in (page | dict.fromkeys(marks, vouch(folder, output))).items():
        with atomic_write(file) as path:
            path.write_text(text, encoding="utf-8")


def main() -> int:
    """Executes what the command line names; 1: unfinished, 2: the user's mistake."""
    follow_parent()
    parser = argparse.ArgumentParser(prog="paper_repro.workflow.execute", description=__doc__.splitlines()[0])
    parser.add_argument("notebook", type=Path)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--parameters", action="append", default=[], metavar="JSON", help="an object; may be repeated")
    parser.add_argument("--html", type=Path, help="also write the notebook as an HTML page")
    parser.add_argument("--done", type=Path, help="a file that is written last of all")
    parser.add_argument("--cell-timeout", type=int, help="seconds that one cell may take; default: no limit")
    args = parser.parse_args()
    try:
        given = {}
        for text in args.parameters:
            given |= parse_json(text, "--parameters")
        print(f"{datetime.now():%H:%M:%S} executing {args.notebook.name} -> {args.output}", flush=True)
        execute(args.notebook, args.output, given, args.html, args.done, args.cell_timeout)
        print(f"{datetime.now():%H:%M:%S} finished {args.output}", flush=True)
    except (ReproError, Unfinished) as error:
        print(f"error: {args.notebook.name}: {error}", file=sys.stderr)
        return 2 if isinstance(error, ReproError) else 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
