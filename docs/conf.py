"""How Sphinx builds these pages: Markdown by MyST, the Python reference from numpydoc docstrings, nothing from the network.

sphinx-build -W -b html docs docs/_build      then open docs/_build/index.html
"""

from __future__ import annotations

from vjepa_fer import __version__

project = "vjepa-fer"
author = "the vjepa-fer authors"
project_copyright = "the vjepa-fer authors, Apache-2.0"
version = release = __version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["_build"]
myst_heading_anchors = 3
nitpicky = False

autodoc_mock_imports = ["torch", "av"]  # a laptop builds these pages without stage 1
python_maximum_signature_line_length = 90
python_use_unqualified_type_names = True
autodoc_member_order = "bysource"
napoleon_google_docstring = False
napoleon_use_rtype = False
napoleon_use_ivar = True  # attributes are no targets: "path" alone would name four of them
add_module_names = False

html_theme = "furo"
html_title = f"vjepa-fer {__version__}"
html_copy_source = False
html_show_sourcelink = False
html_show_search_summary = False  # a page opened from disk may not fetch another


def setup(app):
    """Captions of lists of pages are headings without a level, which a screen reader cannot place: give them one."""
    app.connect("html-page-context", _with_levels, priority=900)


def _with_levels(app, page, template, context, doctree):
    for part in ("body", "furo_navigation_tree"):
        if context.get(part):
            context[part] = context[part].replace('role="heading">', 'role="heading" aria-level="2">')
