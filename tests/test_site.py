"""The built site: complete, whole and self-contained. `make site` builds it and runs these tests."""

import re
from functools import cache
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from bs4 import BeautifulSoup

ROOT = Path(__file__).resolve().parents[1]
SITE = ROOT / "build" / "site"
PAGES = sorted(SITE.rglob("*.html"))
FRONT = SITE / "README.html"
pytestmark = pytest.mark.site


@cache
def soup(page):
    return BeautifulSoup(page.read_text(), "html.parser")


@cache
def anchors(page):
    return {tag["id"] for tag in soup(page).find_all(id=True)}


def name(page):
    return str(page.relative_to(SITE))


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_no_broken_link(page):
    """Every link, picture, style and script inside the site exists, and so does the place that a link points at."""
    broken = []
    for tag, attribute in [("a", "href"), ("link", "href"), ("img", "src"), ("script", "src")]:
        for value in [found[attribute] for found in soup(page).find_all(tag, {attribute: True})]:
            parts = urlsplit(value)
            if parts.scheme or parts.netloc:
                continue
            target = (page.parent / unquote(parts.path)).resolve() if parts.path else page
            if not target.is_file() or (
                parts.fragment and target.suffix == ".html" and unquote(parts.fragment) not in anchors(target)
            ):
                broken.append(value)
    assert not broken


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_loads_nothing_from_elsewhere(page):
    """Pictures, styles and scripts come with the site."""
    loads = [
        *soup(page).find_all(["img", "script", "iframe", "source"], src=True),
        *soup(page).find_all("link", rel=["stylesheet", "icon", "preload"]),
    ]
    assert not [tag for tag in loads if re.match(r"(https?:)?//", tag.get("src") or tag.get("href"))]
    styles = [tag.text for tag in soup(page).find_all("style")] + [path.read_text() for path in SITE.rglob("*.css")]
    assert not [style for style in styles if re.search(r"url\([\"']?(https?:)?//|@import", style)]


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_figures_have_a_text(page):
    """Every picture has an alternative text, and no file name for one."""
    for picture in soup(page).find_all("img"):
        assert len(picture["alt"]) > 10 and not re.search(r"\.(png|jpe?g|svg)$", picture["alt"]), picture["src"]


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_equations_are_set(page):
    """Equations are MathML; no LaTeX is left in the text."""
    content = soup(page).find("article")
    prose = (
        [
            text
            for text in content.find_all(string=re.compile(r"\\(frac|sum|mathrm|sigma)"))
            if not text.find_parent(["pre", "code"])
        ]
        if content
        else []
    )
    assert not prose
    assert not soup(page).find_all("merror")


def test_every_page_is_there():
    """Notebooks, protocol, cards, checklists and a page for each module."""
    pages = {name(page).removesuffix(".html") for page in PAGES}
    texts = [*ROOT.glob("notebooks/*.ipynb"), *ROOT.glob("docs/*.md")]
    assert {str(path.relative_to(ROOT).with_suffix("")) for path in texts} <= pages
    paths = [path for path in (ROOT / "paper_repro").rglob("*.py") if path.stem != "__init__"]
    modules = {".".join(path.relative_to(ROOT / "paper_repro").with_suffix("").parts) for path in paths}
    documented = {
        match
        for page in SITE.glob("docs/api/*.html")
        for match in re.findall(r'id="module-paper_repro\.([\w.]+)"', page.read_text())
    }
    assert documented == modules


def test_front_page_is_readme():
    """The site's own address leads to README, whose lessons are cards: each links to its page and has a picture."""
    readme, front = (ROOT / "README.md").read_text(encoding="utf-8"), soup(FRONT)
    found = re.findall(r"\w+", readme.partition("<!-- finding: ")[2].partition("-->")[2])[:12]
    assert " ".join(found) in " ".join(re.findall(r"\w+", front.find("article").text))
    cards = front.select(".cards li")
    links = [card.find("a", href=re.compile("^notebooks/"))["href"] for card in cards]
    assert links == [f"notebooks/{path.stem}.html" for path in sorted(ROOT.glob("notebooks/*.ipynb"))]
    assert all(card.find("img") for card in cards)
    assert front.select("strong.supported, strong.refuted, strong.open, strong.unmeasured")
    assert f"url={name(FRONT)}" in (SITE / "index.html").read_text()


def test_api_leads_to_the_source_line():
    """A documented function links to its line in the code."""
    page = SITE / "docs" / "api" / "networks.html"
    link = soup(page).find(id="paper_repro.gradcam.GradCAM").find("a", class_="reference internal")["href"]
    path, _, anchor = link.partition("#")
    source = (page.parent / path).resolve()
    assert anchor == "GradCAM" and "class GradCAM" in soup(source).find(id=anchor).text.replace("\xa0", " ")
