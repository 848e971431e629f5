"""What a person does, in Chromium: JupyterLab runs every notebook, the explorer answers, the site's pages open.

apt-get install chromium; make browser
"""

import os
import secrets
import shutil
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SITE = ROOT / "build" / "site"
# 02 and 03 make the runs that 04, 05, 06 and the explorer open.
LESSONS = sorted(ROOT.glob("notebooks/0*.ipynb"))
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
playwright = pytest.importorskip("playwright.sync_api", reason="the extra `browser` is not installed")
pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed: apt-get install chromium"),
]


@pytest.fixture(scope="module")
def browser():
    """Headless Chromium that calls nobody of its own accord."""
    with playwright.sync_playwright() as driver:
        chromium = driver.chromium.launch(
            executable_path=CHROMIUM,
            args=[
                "--no-sandbox",
                "--disable-gpu",
                "--no-first-run",
                "--disable-background-networking",
                "--disable-component-update",
                "--disable-sync",
                "--disable-quic",
            ],
        )
        yield chromium
        chromium.close()


@pytest.fixture
def page(browser):
    """A fresh page, and what went wrong in it: errors in the console, exceptions, files that did not come."""
    context = browser.new_context(viewport={"width": 1400, "height": 1000})
    page = context.new_page()
    page.problems = []
    page.on(
        "console",
        lambda message: message.type == "error" and page.problems.append(f"{message.text} {message.location['url']}"),
    )
    page.on("pageerror", lambda error: page.problems.append(str(error)))
    # A load that ends because the next page is opened is no failure.
    page.on(
        "requestfailed",
        lambda request: (
            request.failure != "net::ERR_ABORTED" and page.problems.append(f"{request.failure} {request.url}")
        ),
    )
    yield page
    if page.evaluate("typeof jupyterapp") == "object":  # the next notebook needs this one's memory
        page.evaluate("jupyterapp.serviceManager.sessions.shutdownAll()")
    context.close()


@pytest.fixture(scope="module")
def lab(tmp_path_factory, copy_project):
    """JupyterLab's address. It serves a copy, so that the committed notebooks stay as they are."""
    home = tmp_path_factory.mktemp("home")
    copy = copy_project(tmp_path_factory.mktemp("paper_repro"))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    token = secrets.token_hex(16)
    settings = {"JUPYTER_CONFIG_DIR": "config", "JUPYTER_DATA_DIR": "data", "IPYTHONDIR": "ipython"}
    environment = os.environ | {key: str(home / name) for key, name in settings.items()}
    with (home / "log").open("w") as log:
        server = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "jupyterlab",
                "--no-browser",
                "--allow-root",
                "--expose-app-in-browser",
                f"--ServerApp.root_dir={copy}",
                f"--ServerApp.port={port}",
                "--ServerApp.port_retries=0",
                f"--IdentityProvider.token={token}",
                "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
            ],
            env=environment,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
        try:
            for _ in range(240):
                try:
                    urllib.request.urlopen(f"http://127.0.0.1:{port}/api?token={token}").close()
                    break
                except OSError:
                    assert server.poll() is None, (home / "log").read_text()
                    time.sleep(0.5)
            yield lambda notebook: f"http://127.0.0.1:{port}/lab/tree/notebooks/{notebook}?token={token}&reset"
        finally:
            server.terminate()
            server.wait(30)


CELLS = """() => jupyterapp.shell.currentWidget.content.widgets.filter(cell => cell.model.type == 'code').map(
    cell => ({source: cell.model.sharedModel.getSource(), count: cell.model.executionCount,
              outputs: cell.model.outputs.toJSON()}))"""


def run_all(page, address, timeout):
    """Opens a notebook in JupyterLab, clears it, runs it by the menu, and waits until every cell ran, in order."""
    page.goto(address)
    page.wait_for_selector(".jp-NotebookPanel .jp-Notebook-ExecutionIndicator[data-status=idle]", timeout=120_000)
    page.wait_for_function("jupyterapp.shell.currentWidget?.context?.isReady")
    # The indicator says idle before there is a kernel, too, and a run without a kernel is dropped without a word.
    page.wait_for_function("jupyterapp.shell.currentWidget.sessionContext.session?.kernel?.info", timeout=120_000)
    page.evaluate("jupyterapp.commands.execute('notebook:clear-all-cell-outputs')")
    page.evaluate(
        "jupyterapp.shell.currentWidget.content.widgets.forEach("
        "cell => { if (cell.model.type == 'code') cell.model.executionCount = null })"
    )
    page.get_by_role("menuitem", name="Run", exact=True).click()
    page.get_by_role("menuitem", name="Run All Cells", exact=True).click()
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        cells = page.evaluate(CELLS)
        failed = [output for cell in cells for output in cell["outputs"] if output["output_type"] == "error"]
        assert not failed, failed[0]["evalue"]
        if all(cell["count"] for cell in cells):
            break
        page.wait_for_timeout(1000)
    else:
        pytest.fail(f"not done after {timeout} s: {next(c['source'] for c in cells if not c['count'])}")
    assert [cell["count"] for cell in cells] == list(range(1, len(cells) + 1))


@pytest.mark.parametrize("notebook", LESSONS, ids=lambda path: path.stem)
def test_notebook_runs_in_jupyterlab(lab, page, notebook):
    """Run > Run All Cells, top to bottom, without an error."""
    run_all(page, lab(notebook.name), timeout=900)


def test_explorer_answers(lab, page):
    """The explorer runs too, and another photograph, class, stage or network shows another map."""
    run_all(page, lab("explorer.ipynb"), timeout=900)
    controls = page.locator(".jp-OutputArea-output:has(select)")
    controls.scroll_into_view_if_needed()
    picture = controls.locator("img")
    photograph, target_class = controls.locator("select").all()
    stages, networks = controls.locator(".widget-toggle-buttons").all()

    def change(act):
        before = picture.get_attribute("src")
        act()
        playwright.expect(picture).not_to_have_attribute("src", before, timeout=60_000)
        return picture.get_attribute("src")

    shown = [
        picture.get_attribute("src"),
        change(lambda: photograph.select_option(index=1)),
        change(lambda: target_class.select_option("trash")),
        change(lambda: stages.get_by_role("button", name="layer3").click()),
        change(lambda: networks.get_by_role("button", name="none").click()),
    ]
    assert len(set(shown)) == len(shown)
    assert "error" not in [output["output_type"] for cell in page.evaluate(CELLS) for output in cell["outputs"]]


@pytest.fixture(scope="module")
def site():
    """The address of the built site."""
    if not (SITE / "index.html").is_file():
        pytest.skip("build/site is missing: make site")

    class Silent(SimpleHTTPRequestHandler):
        def log_message(self, *arguments):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Silent, directory=SITE))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()


def test_every_page_of_the_site_opens(site, page):
    """No error in the console, nothing that fails to load; the address alone leads to the front page."""
    for path in sorted({*SITE.rglob("*.html")} - {SITE / "index.html"}):
        page.goto(site + path.relative_to(SITE).as_posix())
    page.goto(site)
    page.wait_for_url("**/README.html")
    assert not page.problems


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_site_follows_the_reader(site, browser, scheme):
    """Light or dark as the system is set, and a switch that overrules it."""
    page = browser.new_page(color_scheme=scheme)
    page.goto(site + "README.html")

    def lightness():
        return sum(page.evaluate("getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number)")[:3])

    start = lightness()
    assert (start > 380) == (scheme == "light")
    while (lightness() > 380) == (start > 380):  # automatic, light, dark in turn
        page.locator(".theme-toggle:visible").click()
    page.close()


def test_search_finds_gate(site, page):
    """The search field leads to pages that speak of gates."""
    page.goto(site + "README.html")
    page.get_by_role("textbox", name="Search").fill("gate")
    page.keyboard.press("Enter")
    results = page.locator("#search-results li a")
    results.first.wait_for()
    playwright.expect(page.locator("#search-results")).to_contain_text("found", timeout=30_000)
    assert results.count() >= 5
    results.first.click()
    playwright.expect(page.locator("article")).to_contain_text("gate")
    assert not page.problems


def test_equations_are_visible(site, page):
    """An equation takes up room: the browser sets it."""
    page.goto(site + "notebooks/03_stage_se_training.html")
    boxes = [equation.bounding_box() for equation in page.locator("math").all()]
    assert boxes and all(box["width"] > 3 and box["height"] > 3 for box in boxes)
