"""An executed notebook as an HTML page whose outputs cannot act.

Outputs can hold text from strangers (class names, file names, EXIF). The page has only harmless kinds of output, tags
and attributes; its scripts are those of an empty notebook's page. nbconvert's own cleaning shows headings as text.
"""

import copy
import html
import re

import bleach
import nbformat
from bs4 import BeautifulSoup
from nbconvert import HTMLExporter

MIMETYPES = ("text/plain", "text/html", "text/markdown", "text/latex", "image/png", "image/jpeg", "image/svg+xml")
TAGS = """
    h1 h2 h3 h4 h5 h6 p pre blockquote div span br hr details summary ul ol li dl dt dd img figure figcaption
    a abbr b code del em i kbd s small strong sub sup u table caption colgroup col thead tbody tfoot tr th td
"""
ATTRIBUTES = {"class", "id", "title", "alt", "align", "colspan", "rowspan", "scope", "start", "open", "width", "height"}
PICTURES = tuple(f"data:image/{kind};" for kind in ("png", "jpeg", "gif", "svg+xml"))
REMOVED = ("script", "style", "iframe", "object", "embed", "template", "noscript", "svg", "math")


def to_html(notebook: nbformat.NotebookNode, title: str) -> str:
    """The page as text. Widgets, JavaScript and unknown kinds of output are left out, SVG is shown as an image."""
    notebook = copy.deepcopy(notebook)
    notebook.metadata = {"title": title, "language_info": {"name": "python", "pygments_lexer": "ipython3"}}
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            if "data" in output:
                output.metadata = {}
                kept = {kind: content for kind, content in output.data.items() if kind in MIMETYPES}
                output.data = kept or {"text/plain": ""}
    exporter = HTMLExporter(sanitize_html=True)
    exporter.register_filter("clean_html", clean)
    return exporter.from_notebook_node(notebook, {"metadata": {"name": title}})[0]


def clean(markup: str | bytes) -> str:
    """HTML with allowed tags and attributes only; what is not allowed is dropped or shown as text."""
    soup = BeautifulSoup(markup, "html.parser")
    for element in soup(REMOVED):
        element.decompose()
    return bleach.clean(
        str(soup), tags=set(TAGS.split()), attributes=_allowed, protocols={"http", "https", "mailto", "data"}
    )


def _allowed(tag: str, name: str, value: str) -> bool:
    """Whether a tag may keep an attribute: nothing that loads or runs anything but a picture."""
    if name in ("href", "src"):
        address = re.sub(r"[\x00-\x20]", "", html.unescape(value)).lower()
        picture = tag == "img" and address.startswith(PICTURES)  # a picture's scripts do not run, an SVG's either
        relative = ":" not in re.split("[/?#]", address)[0]
        return picture or relative or address.startswith(("http:", "https:", "mailto:"))
    return name in ATTRIBUTES
