"""How a list goes on where it comes in pages: the URL of the next one. Pure.

The next page is asked for with the same login, so it must be of the same server: a reply that names another one is
refused.
"""

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import urljoin, urlsplit

from retl.destinations.http.calls import with_query
from retl.destinations.http.paths import json_path
from retl.destinations.http.reading import HttpPages
from retl.destinations.http.templates import plain
from retl.errors import DestinationError

LINK = re.compile(r'<(?P<target>[^<>]*)>(?P<parameters>(?:\s*;\s*[^\s=;,]+(?:\s*=\s*(?:"[^"]*"|[^\s;,]+))?)*)')
RELATION = re.compile(r';\s*rel\s*=\s*"?([^";]*)"?', re.IGNORECASE)


def first_page(pages: HttpPages | None, url: str) -> str:
    """The URL of the first page."""
    if pages is not None and pages.by == "page" and pages.parameter:
        return with_query(url, {pages.parameter: str(pages.first)})
    return url


def next_page(
    pages: HttpPages, url: str, headers: Mapping[str, str], body: Any, *, read: int, items: int, had: int
) -> str | None:
    """The URL of the page that follows one; None if it was the last.

    Args:
        url: of the page.
        headers, body: of the reply; names of headers in lower case.
        read: pages that were read, this one included.
        items: that this page had.
        had: items of all pages so far.
    Raises:
        DestinationError: a page that leads to itself, to another server, or that is one too many.
    """
    following = _following(pages, url, headers, body, read=read, items=items, had=had)
    if following is None:
        return None
    if following == url:
        raise DestinationError("a page names itself as the next one")
    if urlsplit(following)[:2] != urlsplit(url)[:2]:
        raise DestinationError("a page names one of another server as the next one, and a login is not sent there")
    if read >= pages.most:
        raise DestinationError(f"there are more than {pages.most:,} pages; raise most, or ask for larger ones")
    return following


def _following(
    pages: HttpPages, url: str, headers: Mapping[str, str], body: Any, *, read: int, items: int, had: int
) -> str | None:
    if pages.by == "link":
        return _linked(url, headers.get("link", ""))
    if pages.by in ("next", "cursor"):
        value = json_path(pages.path or "").one(body)
        if value in (None, "", False) or isinstance(value, dict | list):
            return None
        following: str = urljoin(url, plain(value))
        return following if pages.by == "next" else with_query(url, {pages.parameter or "": plain(value)})
    if items == 0:
        return None
    return with_query(url, {pages.parameter or "": str(pages.first + read if pages.by == "page" else had)})


def _linked(url: str, header: str) -> str | None:
    """The target of the link whose relation is next (RFC 8288)."""
    for link in LINK.finditer(header):
        relation = RELATION.search(link["parameters"])
        if relation and "next" in relation[1].lower().split():
            target: str = link["target"]
            return urljoin(url, target)
    return None
