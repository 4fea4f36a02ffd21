"""What the site changes in pages: docstrings name other parts as Sphinx does, and mkdocstrings shows that as it is."""

import re
from typing import Any

ROLE = re.compile(r":(?:class|func|meth|mod|data|attr):(?=<code>)")


def on_page_content(html: str, **_: Any) -> str:
    """Take the roles of names out."""
    return ROLE.sub("", html)
