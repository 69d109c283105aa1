"""Which route a path is of: metrics must not grow with every id, and a refusal says all methods that a path takes."""

import re
from dataclasses import dataclass

from fastapi import FastAPI
from fastapi.routing import APIRoute, iter_route_contexts

UNMATCHED = "unmatched"


@dataclass(frozen=True, slots=True)
class _Route:
    pattern: re.Pattern[str]
    template: str
    methods: frozenset[str]


class Paths:
    """The routes of an app that is complete."""

    def __init__(self, app: FastAPI) -> None:
        self._routes = [
            _Route(each.path_regex, str(each.path_format), frozenset(each.methods or ()))
            for each in iter_route_contexts(app.routes)
            if isinstance(each.original_route, APIRoute)
        ]

    def template(self, path: str) -> str:
        """The path with names in the place of ids, as it is declared; UNMATCHED if there is none."""
        return next((route.template for route in self._routes if route.pattern.match(path)), UNMATCHED)

    def methods(self, path: str) -> list[str]:
        """What may be asked of a path."""
        return sorted({method for route in self._routes if route.pattern.match(path) for method in route.methods})
