"""Sphinx configuration."""

project = "Computation through dynamics"
author = "The CTD developers"
extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.viewcode"]
myst_enable_extensions = ["colon_fence", "deflist", "dollarmath"]
nb_execution_mode = "cache"
nb_execution_raise_on_error = True
nb_execution_timeout = 120
exclude_patterns = ["_build", "jupyter_execute"]
html_theme = "alabaster"
autodoc_typehints = "description"
autodoc_member_order = "bysource"
napoleon_use_ivar = True  # a NamedTuple describes its fields itself; a second description would be a warning
html_show_copyright = False
