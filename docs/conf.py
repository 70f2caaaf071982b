"""How the documentation is built: `make docs`, strictly, from Markdown and from the code itself."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import kdtheory

project = "kdtheory"
author = "The kdtheory authors"
copyright = "the kdtheory authors"
version = release = kdtheory.__version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "generate.formula",
    "generate.docstrings",
    "generate.sidebar",
    "generate",
]
exclude_patterns = ["generate"]
myst_enable_extensions = ["dollarmath", "colon_fence", "deflist", "attrs_inline"]
myst_heading_anchors = 3
default_role = "code"
highlight_language = "python"

autodoc_typehints = "signature"
autodoc_typehints_format = "short"
autodoc_member_order = "bysource"
autodoc_class_signature = "mixed"
python_use_unqualified_type_names = True
add_module_names = False
napoleon_numpy_docstring = False
napoleon_custom_sections = ["Returns"]  # types are in the annotations: what stands before a colon is none
toc_object_entries_show_parents = "hide"

html_theme = "pydata_sphinx_theme"
html_title = "kdtheory"
html_static_path = ["static"]
html_css_files = ["site.css"]
html_math_renderer = "mathml"
html_copy_source = html_show_sourcelink = False
html_show_sphinx = False
html_show_search_summary = False  # it fetches pages, which a browser refuses among files
html_theme_options = {
    "navbar_start": ["navbar-logo"],
    "navbar_persistent": ["search-button"],
    "navbar_end": ["theme-switcher"],
    "secondary_sidebar_items": ["page-toc"],
    "header_links_before_dropdown": 5,
    "footer_start": ["copyright"],
    "footer_end": [],
    "show_nav_level": 1,
    "navigation_depth": 3,
    "pygments_light_style": "a11y-high-contrast-light",
    "pygments_dark_style": "a11y-high-contrast-dark",
    "back_to_top_button": False,
    "logo": {"text": "kdtheory"},
}
