"""A hook of mkdocs, for what its Markdown means otherwise than that of places where repositories are looked at."""

import re
from typing import Any

CODE = re.compile(r"`[^`\n]+`")


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Bars in code in tables, which must be escaped there, and would be shown with the escape here."""
    return "\n".join(
        CODE.sub(lambda code: code[0].replace(r"\|", "|"), line) if line.lstrip().startswith("|") else line
        for line in markdown.split("\n")
    )
