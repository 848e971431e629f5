"""The site: `make site` builds build/site out of the committed notebooks, Markdown pages and docstrings.

The source folder is the project's root, so that a link that holds in the repository holds on the site. Nothing is
executed and nothing is loaded from the network, neither at the build nor by a reader's browser.
"""

import re
import textwrap
import tomllib
from pathlib import Path

from docutils import nodes
from docutils.utils.math import latex2mathml
from sphinx import addnodes
from sphinx.transforms.post_transforms import SphinxPostTransform

ROOT = Path(__file__).resolve().parents[1]
METADATA = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]

project = METADATA["name"]
release = METADATA["version"]
author = copyright = METADATA["authors"][0]["name"]

extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.viewcode"]
root_doc = "README"
include_patterns = [
    "README.md",
    "CONTRIBUTING.md",
    "CHANGELOG.md",
    "data/README.md",
    "data/scenes/README.md",
    "benchmarks/README.md",
    "benchmarks/results/table.md",
    "docs/*.md",
    "docs/api/*.md",
    "notebooks/*.ipynb",
]  # but not their solutions
suppress_warnings = ["myst.header"]  # a notebook's cell may begin at any level

nb_execution_mode = "off"
nb_ipywidgets_js = {}  # widgets need a kernel, and their script another server
nb_code_prompt_show, nb_code_prompt_hide = "Set-up: show the code", "Set-up: hide the code"
nb_mime_priority_overrides = [("html", "application/vnd.jupyter.widget-view+json", None)]
myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 4

default_role = "code"
autodoc_member_order = "bysource"
autodoc_inherit_docstrings = False
autodoc_typehints = "none"  # the signature shows them
viewcode_line_numbers = True

html_theme = "furo"
html_title = f"{project} {release}"
html_favicon = "icon.svg"
html_static_path = ["site.css"]
html_css_files = ["site.css"]
html_copy_source = False
html_domain_indices = False
html_show_sphinx = False
html_math_renderer = "mathml"
pygments_style = "tango"


def visit_math(self, node):
    """LaTeX as MathML, which browsers set by themselves: no script and no font to load."""
    block = isinstance(node, nodes.math_block)
    mathml = latex2mathml.tex2mathml(node.astext(), as_block=block)
    # An underbrace's text is no index of what stands above the brace.
    mathml = re.sub(r"<msub>(\s*<munder>.*?⏟.*?)</msub>", r"<munder>\1</munder>", mathml, flags=re.DOTALL)
    self.body.append(self.starttag(node, "div" if block else "span", "", CLASS="math"))
    self.body.append(mathml + ("</div>" if block else "</span>"))
    raise nodes.SkipNode


class DescribeFigures(SphinxPostTransform):
    """A text for those who cannot see a notebook's figure: its section, and the prose that leads up to it."""

    default_priority = 500  # after MyST-NB has chosen among an output's formats

    def run(self, **kwargs):
        heading, prose, number = "", "", 0
        for node in self.document.findall():
            if isinstance(node, nodes.title):
                heading, prose, number = node.astext(), "", 0
            elif isinstance(node, (nodes.paragraph, nodes.list_item)):
                prose = node.astext()
            elif isinstance(node, nodes.image) and not node.get("alt"):
                number += 1
                node["alt"] = textwrap.shorten(f"Figure {number} in “{heading}”. {prose}", 400, placeholder=" …")


class ShowModules(SphinxPostTransform):
    """A link to a module of the package opens the page that shows it, instead of downloading the file."""

    default_priority = 500

    def run(self, **kwargs):
        for node in list(self.document.findall(addnodes.download_reference)):
            if module := re.search(r"(?:^|/)(paper_repro/[\w/]+)\.py$", node["reftarget"]):
                uri = self.app.builder.get_relative_uri(self.env.docname, f"_modules/{module[1]}")
                node.replace_self(nodes.reference("", "", *node.children, refuri=uri, internal=True))


def mark_examples(app, what, name, obj, options, lines):
    """An indented block of a docstring's text is an example, as in Markdown; reStructuredText wants it marked."""
    for i in range(len(lines) - 1, 0, -1):
        after_text = not lines[i - 1].strip() and not lines[i - 2].startswith(" ") and lines[i - 2].strip()
        if after_text and lines[i].startswith("    "):
            lines[i:i] = ["::", ""]


class ColourVerdicts(SphinxPostTransform):
    """A verdict, bold with a mark before it, has the colour of its mark."""

    default_priority = 500
    names = {"✔": "supported", "✘": "refuted", "?": "open", "–": "unmeasured"}

    def run(self, **kwargs):
        for node in self.document.findall(nodes.strong):
            if name := self.names.get(node.astext().partition(" ")[0]):
                node["classes"].append(name)


def complete(app, docname, source):
    """The front page: README with the lessons as cards and the site's contents. The measurements get a title."""
    if docname == "README":
        cards, contents = (ROOT / "docs" / "front.txt").read_text(encoding="utf-8").split("<!-- contents -->\n")
        before, rest = source[0].split("<!-- lessons -->")
        source[0] = f"{before}{cards}{rest.split('<!-- end of lessons -->')[1]}\n{contents}"
    elif docname == "benchmarks/results/table":
        source[0] = "# Measured speed\n\n" + source[0]


def write_front_door(app, exception):
    """The site's own address leads to the front page."""
    if exception is None:
        Path(app.outdir, "index.html").write_text(
            f'<!DOCTYPE html><html lang="en"><meta charset="utf-8"><title>{project}</title>'
            f'<link rel="icon" href="_static/icon.svg">'
            f'<meta http-equiv="refresh" content="0; url=README.html">'
            f'<a href="README.html">{project}</a></html>\n'
        )


def setup(app):
    app.add_html_math_renderer("mathml", (visit_math, None), (visit_math, None))
    app.add_post_transform(DescribeFigures)
    app.add_post_transform(ShowModules)
    app.add_post_transform(ColourVerdicts)
    app.connect("source-read", complete)
    app.connect("autodoc-process-docstring", mark_examples, priority=400)  # before napoleon
    app.connect("build-finished", write_front_door)
