"""Execute one notebook through papermill, and count it as done only when it is.

    python -m paper_repro.workflow.execute NOTEBOOK --output PATH [--parameters JSON] [--html PATH] [--done PATH]

papermill alone exits 0 after `sys.exit(0)` in a cell, calls the cells behind a dead kernel completed and only warns of
an unknown parameter. Here a notebook is done when every code cell ran without an error and the completion record
(`paper_repro.runs.record_completion`, its last cell) was written. Until then it lies in `logs` beside its output, and an
earlier finished output is not touched.
"""

import argparse
import errno
import json
import os
import re
import signal
import sys
import tempfile
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import nbformat
import papermill
from jupyter_client import AsyncKernelManager
from nbclient.exceptions import CellTimeoutError, DeadKernelError
from papermill.exceptions import PapermillExecutionError

from paper_repro.files import ReproError, atomic_write, sha256_file
from paper_repro.workflow.page import to_html
from paper_repro.workflow.parameters import check, declared, parse_json
from paper_repro.workflow.processes import follow_parent, hold_lock, on_stop

RECORD = "record.json"
KERNEL = "python3"
START_TIMEOUT = 300  # seconds: a cold disk, and other kernels that start at the same time


class Unfinished(Exception):
    """The notebook stopped before its end; the message says where and why."""


def execute(
    notebook: Path,
    output: Path,
    parameters: dict,
    html: Path | None = None,
    done: Path | None = None,
    cell_timeout: int | None = None,
) -> None:
    """Executes `notebook` in its own folder and moves it to `output` when it is done.

    Args:
        parameters: replace values of the notebook's `parameters` cell.
        html: where the page made from the executed notebook goes.
        done: written last of all, with the content that a run's folder gets as its `done`.
        cell_timeout: seconds that one cell may take; None: any time.

    Raises:
        ReproError: the notebook, a parameter or the output's folder is not what it should be; nothing was executed.
        Unfinished: the notebook did not reach its end; what ran is kept in `logs`.
        SystemExit: 128 + signal, when SIGINT, SIGTERM or SIGHUP stopped it; what ran is kept in `logs`.
    """
    notebook, output = notebook.absolute(), output.absolute()
    node = _read(notebook)
    try:
        check(parameters, declared(node))
    except ReproError as error:
        raise ReproError(f"{notebook.name}: {error}") from None
    logs = output.parent / "logs"
    unfinished = logs / f"{output.stem}-{datetime.now():%Y%m%dT%H%M%S}-{os.getpid()}.ipynb"
    with (
        hold_lock(logs / f"{output.stem}.lock", str(output)),
        tempfile.TemporaryDirectory(prefix="paper_repro-") as scratch,
    ):
        try:
            executed = _run(node, notebook.parent, unfinished, parameters, Path(scratch), cell_timeout)
            folder = _completed_folder(executed, Path(scratch) / RECORD)
        except Unfinished as error:
            raise Unfinished(f"{notebook.name}: {error}\nThe unfinished notebook is kept: {unfinished}") from None
        page = to_html(executed, output.stem) if html else None
        # Files that vouch for others: removed before these change, written after the last of them.
        vouchers = [folder / "done"] if (folder / "metrics.json").exists() else []
        vouchers += [done] if done else []
        for path in vouchers:
            path.unlink(missing_ok=True)
        with atomic_write(output) as path:
            nbformat.write(executed, path)
        if html:
            with atomic_write(html) as path:
                path.write_text(page, encoding="utf-8")
        text = json.dumps(_vouch(folder, output), indent=1) + "\n"
        for voucher in vouchers:
            with atomic_write(voucher) as path:
                path.write_text(text, encoding="utf-8")
        unfinished.unlink()


def _read(notebook: Path) -> nbformat.NotebookNode:
    """The notebook without outputs and counts of an earlier execution."""
    try:
        node = nbformat.read(notebook, as_version=4)
    except (OSError, ValueError, nbformat.ValidationError) as error:
        raise ReproError(f"cannot read the notebook {notebook} ({error}): give the path of an .ipynb file") from error
    for cell in node.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    return node


def _run(
    node: nbformat.NotebookNode,
    folder: Path,
    unfinished: Path,
    parameters: dict,
    scratch: Path,
    cell_timeout: int | None,
) -> nbformat.NotebookNode:
    """Executes the notebook with a kernel of its own, writing to `unfinished` after every cell, and returns it."""
    manager = None
    stopped_by = None

    class Manager(AsyncKernelManager):
        """Talks to its kernel through sockets in the scratch folder: over TCP, kernels that start at the same time can
        take each other's ports."""

        def __init__(self, **kwargs):
            nonlocal manager
            super().__init__(
                **kwargs, transport="ipc", ip=str(scratch / "kernel"), connection_file=str(scratch / "kernel.json")
            )
            manager = self

    def stop(number):
        """Kills the kernel, which brings papermill to an orderly end."""
        nonlocal stopped_by
        stopped_before, stopped_by = stopped_by, number
        if stopped_before or not _kill(manager):
            raise SystemExit(128 + number)

    # For the kernel to inherit. IPython's profile and history are no place for several kernels to write to at once;
    # no earlier execution can have left a record in a folder that is new.
    os.environ |= {"IPYTHONDIR": str(scratch), "PAPER_REPRO_RECORD": str(scratch / RECORD)}
    with on_stop(stop):
        try:
            executed = papermill.execute_notebook(
                node,
                str(unfinished).replace("{", "{{").replace("}", "}}"),
                parameters,
                kernel_name=KERNEL,
                kernel_manager_class=Manager,
                cwd=folder,
                start_timeout=START_TIMEOUT,
                execution_timeout=cell_timeout,
                iopub_timeout=60,
                record_timing=False,
                on_cell_executed=_refuse_exit,
                progress_bar=sys.stderr.isatty(),
                stdout_file=sys.stdout,
                stderr_file=sys.stderr,
            )
        except Exception as error:
            if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise ReproError(
                    f"cannot write {unfinished} ({error.strerror}): free some space or choose another "
                    "folder; files written before are untouched"
                ) from None
            if not stopped_by:
                raise Unfinished(_reason(error, unfinished, cell_timeout)) from None
        finally:
            _kill(manager)  # with the processes it started
    if stopped_by:
        print(f"Stopped by {stopped_by.name}. The unfinished notebook is kept: {unfinished}", file=sys.stderr)
        raise SystemExit(128 + stopped_by)
    for part in (executed, *executed.cells):  # times and paths, which differ from execution to execution
        part.metadata.pop("papermill", None)
        if part.metadata.get("tags") == []:
            del part.metadata["tags"]
    return executed


def _refuse_exit(cell: nbformat.NotebookNode, cell_index: int, execute_reply: dict) -> None:
    """After `exit()` a kernel still runs the cells it gets in its last tenth of a second."""
    if any(payload["source"] == "ask_exit" for payload in execute_reply["content"].get("payload", [])):
        raise Unfinished(f"the cell with {cell.source!r} told the kernel to exit")


def _reason(error: Exception, unfinished: Path, cell_timeout: int | None) -> str:
    """Where papermill stopped and why."""
    if isinstance(error, Unfinished):
        return str(error)
    if isinstance(error, PapermillExecutionError):
        text = f"code cell [{error.exec_count}] raised {error.ename}: {error.evalue}"
        if error.ename != ReproError.__name__:  # whose message says all there is to say
            text += "\n" + re.sub(r"\x1b\[[0-9;]*m", "", "\n".join(error.traceback))
        return text
    if isinstance(error, CellTimeoutError):
        return f"{_last_cell(unfinished)} took longer than {cell_timeout} s"
    if isinstance(error, DeadKernelError):
        return f"{_last_cell(unfinished)}: the kernel died; was it killed, or the memory exhausted?"
    return f"{type(error).__name__}: {error}"


def _kill(manager: AsyncKernelManager | None) -> bool:
    """Kills the kernel's process group; False when there is none."""
    group = manager and manager.provisioner and manager.provisioner.pgid
    if not group:
        return False
    with suppress(ProcessLookupError):
        os.killpg(group, signal.SIGKILL)
    return True


def _last_cell(unfinished: Path) -> str:
    """Names the cell that was started last, by its number among the code cells and its first line."""
    cells = [cell for cell in nbformat.read(unfinished, as_version=4).cells if cell.cell_type == "code"]
    started = [n for n, cell in enumerate(cells, 1) if cell.metadata.get("papermill", {}).get("start_time")]
    if not started:
        return "before the first cell"
    return f"code cell {started[-1]} ({cells[started[-1] - 1].source.strip().splitlines()[0]})"


def _completed_folder(executed: nbformat.NotebookNode, record: Path) -> Path:
    """The folder that the completion record names, once every code cell is seen to have run without an error.

    Raises:
        Unfinished: names the first cell that did not, or says that there is no record.
    """
    for number, cell in enumerate((cell for cell in executed.cells if cell.cell_type == "code"), 1):
        if not cell.source.strip():
            continue
        where = f"code cell {number} ({cell.source.strip().splitlines()[0]})"
        for output in cell.outputs:
            if output.output_type == "error":
                raise Unfinished(f"{where} raised {output.ename}: {output.evalue}")
        if cell.execution_count is None:
            raise Unfinished(f"{where} did not run")
    try:
        return Path(json.loads(record.read_text(encoding="utf-8"))["folder"])
    except (OSError, ValueError, KeyError):
        raise Unfinished(
            "all cells ran, but there is no completion record: "
            "the last cell must call paper_repro.runs.record_completion(folder)"
        ) from None


def _vouch(folder: Path, notebook: Path) -> dict:
    """What `done` says: the time, and the sha256 of the notebook and, for a run, of every file in its folder."""
    files = {notebook}
    if (folder / "metrics.json").exists():
        files |= {path for path in folder.iterdir() if path.is_file()}
    hashes = {path.name: sha256_file(path) for path in sorted(files)}
    return {"finished": datetime.now(UTC).isoformat(), "sha256": hashes}


def main() -> int:
    follow_parent()
    parser = argparse.ArgumentParser(prog="paper_repro.workflow.execute", description=__doc__.splitlines()[0])
    parser.add_argument("notebook", type=Path)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument(
        "--parameters",
        action="append",
        default=[],
        metavar="JSON",
        help="object of parameters; given again, adds to them",
    )
    parser.add_argument("--html", type=Path, help="also write the notebook as a page")
    parser.add_argument("--done", type=Path, help="a file that is written last of all")
    parser.add_argument("--cell-timeout", type=int, help="seconds")
    args = parser.parse_args()
    try:
        given = {}
        for text in args.parameters:
            given |= parse_json(text, "--parameters")
        print(f"{datetime.now():%H:%M:%S} executing {args.notebook.name} -> {args.output}", flush=True)
        execute(args.notebook, args.output, given, args.html, args.done, args.cell_timeout)
        print(f"{datetime.now():%H:%M:%S} finished {args.output}", flush=True)
    except (ReproError, Unfinished) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2 if isinstance(error, ReproError) else 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
