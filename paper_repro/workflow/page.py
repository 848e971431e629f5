"""An executed notebook as an HTML page whose outputs cannot act.

nbconvert's HTML is not sanitised by default, and its `sanitize_html` shows headings and images as escaped text. Outputs
can hold what strangers wrote (class names, file names, EXIF), so that only harmless kinds of output, tags and
attributes go into the page; its scripts are those that the page of an empty notebook has.
"""

import copy
import html
import re

import bleach
import nbformat
from bs4 import BeautifulSoup
from nbconvert import HTMLExporter

MIMETYPES = ("text/plain", "text/html", "text/markdown", "text/latex", "image/png", "image/jpeg", "image/svg+xml")
TAGS = {
    "a",
    "abbr",
    "b",
    "blockquote",
    "br",
    "caption",
    "code",
    "col",
    "colgroup",
    "dd",
    "del",
    "details",
    "div",
    "dl",
    "dt",
    "em",
    "figcaption",
    "figure",
    "h1",
    "h2",
    "h3",
    "h4",
    "h5",
    "h6",
    "hr",
    "i",
    "img",
    "kbd",
    "li",
    "ol",
    "p",
    "pre",
    "s",
    "small",
    "span",
    "strong",
    "sub",
    "summary",
    "sup",
    "table",
    "tbody",
    "td",
    "tfoot",
    "th",
    "thead",
    "tr",
    "u",
    "ul",
}
REMOVED = ("script", "style", "iframe", "object", "embed", "template", "noscript", "svg", "math")


def to_html(notebook: nbformat.NotebookNode, title: str) -> str:
    """The page as text. Widgets, JavaScript and unknown kinds of output are left out, SVG is shown as an image."""
    notebook = copy.deepcopy(notebook)
    notebook.metadata = {"title": title, "language_info": {"name": "python", "pygments_lexer": "ipython3"}}
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            if "data" in output:
                output.metadata = {}
                output.data = {kind: content for kind, content in output.data.items() if kind in MIMETYPES}
        if "outputs" in cell:
            cell.outputs = [output for output in cell.outputs if output.get("data", True)]
    exporter = HTMLExporter(sanitize_html=True)
    exporter.register_filter("clean_html", clean)
    page, _ = exporter.from_notebook_node(notebook, {"metadata": {"name": title}})
    return page


def clean(markup: str | bytes) -> str:
    """HTML with allowed tags and attributes only; what is not allowed is dropped or shown as text."""
    soup = BeautifulSoup(markup, "html.parser")
    for element in soup(REMOVED):
        element.decompose()
    return bleach.clean(str(soup), tags=TAGS, attributes=_allowed, protocols={"http", "https", "mailto", "data"})


def _allowed(tag: str, name: str, value: str) -> bool:
    """Whether a tag may keep an attribute: nothing that loads or runs anything but a picture."""
    if name in ("href", "src"):
        address = re.sub(r"[\x00-\x20]", "", html.unescape(value)).lower()
        picture = tag == "img" and address.startswith(("data:image/png;", "data:image/jpeg;", "data:image/gif;"))
        relative = ":" not in re.split("[/?#]", address)[0]
        return picture or relative or address.startswith(("http:", "https:", "mailto:"))
    return name in (
        "class",
        "id",
        "title",
        "alt",
        "align",
        "colspan",
        "rowspan",
        "scope",
        "start",
        "open",
        "width",
        "height",
    )
