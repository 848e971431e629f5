"""A notebook counts as done only when it is, and its page cannot act."""

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from base64 import b64decode
from collections import Counter
from hashlib import sha256
from pathlib import Path
from unittest import mock

import nbformat
import pandas as pd
import pytest
from bs4 import BeautifulSoup

from paper_repro.files import SOCKET_ROOM, ReproError, sockets_fit
from paper_repro.workflow.execute import execute, with_drawings
from paper_repro.workflow.page import to_html
from paper_repro.workflow.parameters import check, declared, parse_json

PARAMETERS = 'folder = ""\nepochs = 2\nrate = 0.1\ndata = None'
START = (
    "import os, time\nfrom pathlib import Path\nfolder = Path(folder)\n"
    "(folder / 'kernel').write_text(str(os.getpid()))\nprint('started', flush=True)"
)
# What paper_repro.runs.record_completion does under the executor, without its import of torch.
COMPLETE = (
    "import json\nrecord = json.dumps({'folder': str(folder)})\n"
    "_ = Path(os.environ['PAPER_REPRO_RECORD']).write_text(record)"
)


@pytest.fixture
def start(tmp_path, write_notebook):
    """start(*cells, options=()) -> the process that executes these cells into tmp_path/out, which already holds the
    finished notebook of an earlier run."""
    processes = []
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "lesson.ipynb").write_text("finished earlier")

    def launch(*cells, options=(), parameters=None):
        notebook = write_notebook(tmp_path / "lesson.ipynb", PARAMETERS, START, *cells)
        given = json.dumps({"folder": str(tmp_path / "out")} | (parameters or {}))
        command = [
            sys.executable,
            "-m",
            "paper_repro.workflow.execute",
            str(notebook),
            "--parameters",
            given,
            "--output",
            str(tmp_path / "out" / "lesson.ipynb"),
            *options,
        ]
        processes.append(subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True))
        return processes[-1]

    yield launch
    for process in processes:
        process.kill()
        process.communicate()


def wait_for_start(process):
    """Returns when the notebook's first cell has run."""
    assert any(line == "started\n" for line in process.stdout)


def assert_kernel_gone(folder, seconds=5):
    """The kernel that wrote its id to `folder` ends within `seconds`."""
    kernel = Path("/proc") / (folder / "kernel").read_text()
    deadline = time.monotonic() + seconds
    while kernel.exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not kernel.exists()


def assert_unfinished(folder, error):
    """Nothing counts as done, the earlier notebook is untouched, and what ran is kept where the message says."""
    assert (folder / "lesson.ipynb").read_text() == "finished earlier"
    assert not (folder / "done").exists()
    kept = Path(re.search(r"The unfinished notebook is kept: (.*)", error)[1])
    assert kept.parent == folder / "logs"
    cells = nbformat.read(kept, as_version=4).cells
    assert any("started" in output.get("text", "") for cell in cells for output in cell.get("outputs", []))
    assert_kernel_gone(folder)


def test_done(start, tmp_path):
    """A notebook that reaches its end replaces the earlier one; its page and, last, the run's done lie beside."""
    process = start(
        "_ = (folder / 'metrics.json').write_text('{}')",
        COMPLETE,
        parameters={"epochs": 3},
        options=["--html", tmp_path / "page.html", "--done", tmp_path / "mark"],
    )
    output, error = process.communicate()
    assert process.returncode == 0, error
    assert "\nstarted\n" in output
    executed = nbformat.read(tmp_path / "out" / "lesson.ipynb", as_version=4)
    assert [cell.execution_count for cell in executed.cells] == [1, 2, 3, 4, 5]
    assert "epochs = 3" in executed.cells[1].source
    done = json.loads((tmp_path / "out" / "done").read_text())["sha256"]
    assert {"kernel", "lesson.ipynb", "metrics.json"} == set(done)
    assert (tmp_path / "mark").read_bytes() == (tmp_path / "out" / "done").read_bytes()
    assert done["metrics.json"] == sha256(b"{}").hexdigest()
    assert "<title>lesson</title>" in (tmp_path / "page.html").read_text()
    assert not list((tmp_path / "out" / "logs").glob("*.ipynb"))


ENDINGS = {
    "an exception": ("1 / 0", "ZeroDivisionError"),
    "sys.exit(0)": ("import sys\nsys.exit(0)", "SystemExit: 0"),
    "exit()": ("exit()", "told the kernel to exit"),
    "os._exit(0)": ("os._exit(0)", "the kernel died"),
    "the kernel killed": ("os.kill(os.getpid(), 9)", "the kernel died"),
    "a cell's time-out": ("time.sleep(60)", "took longer than 3 s"),
    "no completion record": ("pass", "no completion record"),
}


@pytest.mark.parametrize("name", ENDINGS)
def test_never_done_by_mistake(start, tmp_path, name):
    """No other ending of a notebook counts as done."""
    cell, message = ENDINGS[name]
    last = "pass" if name == "no completion record" else COMPLETE
    process = start(cell, last, options=["--cell-timeout", "3"])
    _, error = process.communicate()
    assert process.returncode == 1
    assert message in error
    assert_unfinished(tmp_path / "out", error)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_stopped_by_a_signal(start, tmp_path, number):
    """A signal to the executor ends the kernel too, and says so in the exit status."""
    process = start("time.sleep(60)", COMPLETE)
    wait_for_start(process)
    process.send_signal(number)
    _, error = process.communicate()
    assert process.returncode == 128 + number
    assert_unfinished(tmp_path / "out", error)


def test_executor_killed(start, tmp_path):
    """Killed outright, the executor leaves neither a kernel nor anything that counts as done."""
    process = start("time.sleep(60)", COMPLETE)
    wait_for_start(process)
    process.kill()
    assert_kernel_gone(tmp_path / "out")
    assert (tmp_path / "out" / "lesson.ipynb").read_text() == "finished earlier"


def test_follows_its_parent(start, tmp_path, monkeypatch):
    """The executor stops when the process that it follows is not its parent, or no longer."""
    monkeypatch.setenv("PAPER_REPRO_PARENT", "1")  # not the process that starts it
    process = start("time.sleep(60)", COMPLETE)
    process.communicate()
    assert process.returncode in (128 + signal.SIGTERM, -signal.SIGTERM)
    assert (tmp_path / "out" / "lesson.ipynb").read_text() == "finished earlier"


def test_one_at_a_time(start, tmp_path):
    """Two executions into one file do not mix: the second is refused."""
    first = start("time.sleep(60)", COMPLETE)
    wait_for_start(first)
    second = start("pass", COMPLETE)
    _, error = second.communicate()
    assert second.returncode == 2
    assert "another process is working on" in error


def test_braces_in_the_path(tmp_path, write_notebook):
    """papermill takes {name} in a path for a template; here it is part of the name."""
    notebook = write_notebook(tmp_path / "lesson {x}.ipynb", PARAMETERS, START, COMPLETE)
    folder = tmp_path / "a {folder} [b] ü"
    folder.mkdir()
    subprocess.run(
        [
            sys.executable,
            "-m",
            "paper_repro.workflow.execute",
            notebook,
            "--output",
            folder / "lesson.ipynb",
            "--parameters",
            json.dumps({"folder": str(folder)}),
        ],
        check=True,
    )
    assert (folder / "lesson.ipynb").exists()


@pytest.mark.parametrize(
    "name", ["x" * 80, "x" * 240, "ü" * 40, "a b " * 30 + "c"], ids=["80", "240", "two bytes a letter", "spaces"]
)
def test_long_folder_for_temporary_files(start, tmp_path, monkeypatch, name):
    """Where TMPDIR leaves no room for sockets, those of the kernel and of its children lie in a short folder, which
    nobody else may enter and which is gone at the end."""
    long = tmp_path / name
    long.mkdir()
    monkeypatch.setenv("TMPDIR", str(long))
    look = (
        "import socket, tempfile\nplace = Path(os.environ['IPYTHONDIR'])"
        "\nsocket.socket(socket.AF_UNIX).bind(tempfile.mktemp(prefix='pymp-12345678-listener-'))"
        "\n(folder / 'place').write_text(f'{place}:{place.stat().st_mode & 0o777:o}')"
    )
    process = start(look, COMPLETE)
    _, error = process.communicate()
    assert process.returncode == 0, error
    place, mode = (tmp_path / "out" / "place").read_text().split(":")
    assert mode == "700" and not Path(place).exists() and not list(long.iterdir())
    assert Path(place).parent == Path("/tmp")


@pytest.mark.parametrize("room", [SOCKET_ROOM, SOCKET_ROOM + 1])
def test_room_for_sockets(monkeypatch, room):
    """Bytes count, not letters; the longest socket of a kernel fits where any are said to fit."""
    monkeypatch.setattr(tempfile, "tempdir", "/" + "ü" * ((room - 1) // 2) + "x" * ((room - 1) % 2))
    assert sockets_fit() == (room == SOCKET_ROOM)
    assert SOCKET_ROOM + len("/paper_repro-12345678/kernel-ipc-5") <= 103


def test_no_place_for_sockets(tmp_path, monkeypatch, write_notebook):
    """A folder for temporary files that cannot be used is named, with the remedy, before a kernel starts."""
    monkeypatch.setattr(tempfile, "tempdir", "/nowhere")
    notebook = write_notebook(tmp_path / "lesson.ipynb", PARAMETERS)
    with pytest.raises(ReproError, match="TMPDIR: cannot create /nowhere/.*: set TMPDIR to a folder whose path has at"):
        execute(notebook, tmp_path / "out.ipynb", {}, None, None, None)


def test_name_without_room_for_a_suffix(tmp_path, write_notebook):
    """An output whose unfinished copy would have too long a name is refused before a kernel starts."""
    notebook = write_notebook(tmp_path / "lesson.ipynb", PARAMETERS)
    refused = pytest.raises(ReproError, match=r"cannot write .* \(File name too long\): give a shorter name")
    with mock.patch.dict(os.environ), refused:  # what a kernel would inherit is for this one alone
        execute(notebook, tmp_path / f"{'n' * 240}.ipynb", {}, None, None, None)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"epoch": 2}, "no parameter 'epoch' (did you mean 'epochs'?); the parameters are: folder, epochs, rate, data"),
        ({"epochs": "2"}, "parameter 'epochs' is '2' (str), but must be int"),
        ({"epochs": True}, "must be int"),
        ({"epochs": 2.0}, "must be int"),
        ({"rate": "1e-4"}, "must be float"),
        ({"folder": None}, "must be str"),
        ({"__import__('os').system('x')": 1}, "no parameter"),
    ],
)
def test_wrong_parameter(given, message, write_notebook, tmp_path):
    """A parameter the notebook does not know, or of another type, is an error before a kernel starts."""
    notebook = nbformat.read(write_notebook(tmp_path / "lesson.ipynb", PARAMETERS), as_version=4)
    with pytest.raises(ReproError, match=re.escape(message)):
        check(given, declared(notebook))
    check({"epochs": 3, "rate": 1, "data": ["any", "type"]}, declared(notebook))


def test_derived_parameter(write_notebook, tmp_path):
    """A value derived in the parameters cell would not follow an injected one, so it may not stand there."""
    notebook = nbformat.read(write_notebook(tmp_path / "lesson.ipynb", "a = 1\nb = a + 1"), as_version=4)
    with pytest.raises(ReproError, match="name = literal only"):
        declared(notebook)


@pytest.mark.parametrize("text", ["", "[1]", '{"a": NaN}', '{"a": 1, "a": 2}', "{'a': 1}"])
def test_wrong_json(text):
    """What is no plain JSON object is refused by name."""
    with pytest.raises(ReproError, match="SET: .* is no JSON object"):
        parse_json(text, "SET")


def test_refused_before_the_kernel(start, tmp_path):
    """The command line ends with one line and status 2 when a parameter is wrong."""
    process = start(COMPLETE, parameters={"epoch": 1})
    _, error = process.communicate()
    assert process.returncode == 2
    assert error.startswith("error: lesson.ipynb: no parameter 'epoch'") and error.count("\n") == 1
    assert not (tmp_path / "out" / "kernel").exists()


HOSTILE = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    '<a href="javascript:alert(1)">x</a>',
    '<a href="jav&#x09;ascript:alert(1)">x</a>',
    '<a href="data:text/html;base64;PHNjcmlwdD4=">x</a>',
    "<svg onload=alert(1)><script>1</script></svg>",
    '<iframe src="javascript:1"></iframe>',
    '"><script>1</script>',
    "<math><mtext></table><mglyph><style><img src onerror=alert(1)>",
    "</pre></div><script>1</script>",
    '<noscript><p title="</noscript><img src=x onerror=alert(1)>">',
    '<base href="//evil">',
    "<style>*{}</style>",
    '<meta http-equiv=refresh content="0;url=x">',
    "<form><input autofocus onfocus=alert(1)></form>",
    "[x](javascript:alert(1))",
    "```mermaid\n<img src=x onerror=alert(1)>\n```",
    "\x1b[31m<script>1</script>\x1b[0m",
]
KINDS = [
    "text/html",
    "text/markdown",
    "text/latex",
    "text/plain",
    "image/svg+xml",
    "image/png",
    "image/jpeg",
    "application/javascript",
    "text/vnd.mermaid",
    "application/vnd.jupyter.widget-view+json",
]


ACTIVE = {
    "script",
    "style",
    "link",
    "meta",
    "base",
    "iframe",
    "object",
    "embed",
    "form",
    "input",
    "button",
    "svg",
    "math",
    "template",
    "video",
    "audio",
    "noscript",
}


def active_nodes(page):
    """Everything in a page that runs, loads or submits, with how often it stands there."""
    nodes = Counter()
    for element in BeautifulSoup(page, "html.parser").find_all(True):
        if element.name in ACTIVE:
            nodes[str(element)] += 1
        for name, value in element.attrs.items():
            address = re.sub(r"\s", "", str(value)).lower()
            if name.startswith("on") or address.startswith(("javascript:", "data:text")):
                nodes[f"{element.name} {name}={value}"] += 1
    return nodes


@pytest.mark.parametrize("text", HOSTILE)
def test_page_cannot_act(text):
    """A page holds no active node that the page of an empty notebook does not hold, whatever outputs and cells say."""
    v4 = nbformat.v4
    outputs = [v4.new_output("stream", name=name, text=text) for name in ("stdout", "stderr")]
    outputs += [
        v4.new_output(
            "display_data",
            {kind: text if "json" not in kind else {"model_id": text}},
            metadata={kind: {"width": "1 onerror=alert(1)"}},
        )
        for kind in KINDS
    ]
    outputs += [v4.new_output("error", ename=text, evalue=text, traceback=[text])]
    notebook = v4.new_notebook(
        metadata={"title": text, "widgets": {"application/vnd.jupyter.widget-state+json": {"state": text}}}
    )
    notebook.cells = [v4.new_code_cell(text, outputs=outputs, metadata={"tags": [text]}), v4.new_markdown_cell(text)]
    assert not active_nodes(to_html(notebook, text)) - active_nodes(to_html(v4.new_notebook(), "title"))


def test_page_shows_lessons():
    """Headings, pictures, links and tables survive the cleaning; a table's style does not turn up as text."""
    v4 = nbformat.v4
    table = pd.DataFrame({"<b>class</b>": ["metal"]})._repr_html_()
    notebook = v4.new_notebook(
        cells=[
            v4.new_markdown_cell("# Lesson\n\n![a map](data:image/png;base64,AAAA) [next](02.ipynb) $a<b$"),
            v4.new_code_cell("table", outputs=[v4.new_output("execute_result", {"text/html": table})]),
        ]
    )
    body = BeautifulSoup(to_html(notebook, "lesson"), "html.parser").main
    assert body.h1.text.startswith("Lesson")
    assert body.img["src"] == "data:image/png;base64,AAAA" and body.img["alt"] == "a map"
    assert "02.ipynb" in [link["href"] for link in body.find_all("a")]
    assert "$a<b$" in body.text
    assert [cell.text for cell in body.table.find_all(["th", "td"])] == ["", "<b>class</b>", "0", "metal"]
    assert "vertical-align" not in body.text


def test_copy_holds_its_drawings(tmp_path):
    """A notebook that is executed into another folder, and its page, show the drawings that lie beside the original."""
    (tmp_path / "drawings").mkdir()
    (tmp_path / "drawings" / "gate.svg").write_text('<svg xmlns="http://www.w3.org/2000/svg"/>')
    text = "![the gate](drawings/gate.svg) ![lost](drawings/lost.svg)"
    cells = [nbformat.v4.new_markdown_cell(text), nbformat.v4.new_code_cell("'![x](drawings/gate.svg)'")]
    notebook = nbformat.v4.new_notebook(cells=cells)
    copied = with_drawings(notebook, tmp_path)
    nbformat.validate(copied)
    assert copied.cells[0].source == "![the gate](attachment:gate.svg) ![lost](drawings/lost.svg)"
    assert copied.cells[1].source == notebook.cells[1].source and notebook.cells[0].source == text
    shown = BeautifulSoup(to_html(copied, "lesson"), "html.parser").main.img
    kind, _, content = shown["src"].partition(",")
    assert kind == "data:image/svg+xml;base64" and b64decode(content).startswith(b"<svg") and shown["alt"] == "the gate"
