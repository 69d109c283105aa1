"""What refusals of the API server become; the messages are those of a real one."""

from __future__ import annotations

import json
from typing import Any

import pytest

from retl.apiserver.endpoints import ENDPOINTS
from retl.apiserver.transport import Answer, Call
from retl.resources.kinds import SYNC
from retl.rest.problems import Problem
from retl.rest.service import refused

CREATE = Call("create", SYNC, ENDPOINTS[SYNC].path("growth"))


def answered(
    status: int, reason: str = "", message: str = "", headers: dict[str, str] | None = None, **details: Any
) -> Problem:
    text = json.dumps({"kind": "Status", "reason": reason, "message": message, "details": details})
    return refused.problem(CREATE, Answer(status, headers or {}, text.encode()), "growth")


POLICY = (
    "reverseetlsyncs.reverseetl.io \"a\" is forbidden: ValidatingAdmissionPolicy 'p' with binding 'p' denied request: "
)
NAME: dict[str, Any] = {"name": "a"}


@pytest.mark.parametrize(
    ("problem", "status", "slug", "words"),
    [
        (answered(401, "Unauthorized", "Unauthorized"), 401, "unauthorized", "not valid here"),
        (answered(403, "Forbidden", 'syncs is forbidden: User "u" cannot create resource "x"'), 403, "forbidden",
         "you may not create reverseetlsyncs of reverseetl.io in workspace growth"),
        (answered(403, "Forbidden", "x", kind="serviceaccounts"), 401, "unauthorized", "not valid here"),
        (answered(403, "Forbidden", "x", kind="userextras"), 401, "unauthorized", "not valid here"),
        (answered(403, "Forbidden", "x", causes=[{"reason": "NamespaceTerminating"}]), 409, "namespace-terminating",
         "workspace growth is being deleted"),
        (answered(403, "Forbidden", POLICY + "managed-by-gitops: Argo CD keeps it"), 409, "managed-by-gitops",
         "Argo CD keeps it"),
        (answered(422, "Invalid", POLICY + "only on Fridays"), 409, "refused-by-policy", "only on Fridays"),
        (answered(403, "Forbidden", 'admission webhook "w" denied the request: no'), 409, "refused-by-policy", "no"),
        (answered(403, "Forbidden", 'x is forbidden: exceeded quota: q, requested: 1'), 409, "refused-by-policy",
         "exceeded quota"),
        (answered(404, "NotFound", "x", **NAME), 404, "not-found", "ReverseETLSync"),
        (answered(404, "NotFound", "x", name="growth", kind="namespaces"), 404, "not-found", "workspace growth"),
        (answered(404, "NotFound", "the server could not find the requested resource"), 503, "kubernetes-unavailable",
         "CustomResourceDefinitions are not installed"),
        (answered(409, "AlreadyExists"), 409, "conflict", "of that name"),
        (answered(409, "Conflict"), 409, "conflict", "changed at the same time"),
        (answered(410, "Expired"), 422, "cursor-expired", "begin anew"),
        (answered(413, "RequestEntityTooLarge"), 413, "content-too-large", "too large"),
        (answered(429, "TooManyRequests", headers={"Retry-After": "7"}), 429, "too-many-requests", "too much to do"),
        (answered(500, "InternalError", "etcd at https://10.0.0.1"), 503, "kubernetes-unavailable", "answer"),
        (answered(504, "Timeout"), 503, "kubernetes-unavailable", "answer"),
        (answered(405, "MethodNotAllowed"), 409, "conflict", "refused to create"),
        (refused.problem(CREATE, Answer(502, {}, b"<html>"), "growth"), 503, "kubernetes-unavailable", "answer"),
    ],
)  # fmt: skip
def test_a_refusal_becomes_a_problem_in_our_words(problem: Problem, status: int, slug: str, words: str) -> None:
    assert (problem.status, problem.slug) == (status, slug)
    assert words in problem.detail
    assert "10.0.0.1" not in problem.detail


def test_how_long_to_wait_is_passed_on_in_whole_seconds() -> None:
    assert answered(429, headers={"Retry-After": "7"}).headers == {"Retry-After": "7"}
    assert answered(429, headers={"Retry-After": "0"}).headers == {"Retry-After": "1"}
    assert answered(503).headers == {"Retry-After": "1"}


def test_fields_are_told_and_the_object_in_the_message_is_not() -> None:
    problem = answered(
        422,
        "Invalid",
        'ReverseETLSync.reverseetl.io "a" is invalid: {"spec":{"query":{"sql":"SELECT secret"}}}',
        **NAME,
        causes=[
            {"field": "spec.mappings[0].cast", "message": 'Unsupported value: "x": supported values: "string", "json"'},
            {"field": "spec", "message": 'Invalid value: "object": set exactly one of modelRef and query'},
            {"field": "<nil>", "message": "some validation rules were not checked"},
            {"field": "metadata.name", "message": "too long"},
        ],
    )
    assert "secret" not in json.dumps(problem.document())
    assert [(error.location, error.detail) for error in problem.errors] == [
        (("spec", "mappings", 0, "cast"), 'supported values: "string", "json"'),
        (("spec",), "set exactly one of modelRef and query"),
    ]


def test_a_list_that_is_forgotten_may_go_on_all_the_same() -> None:
    said = {"reason": "Expired", "metadata": {"continue": "token"}}
    problem = refused.problem(CREATE, Answer(410, {}, json.dumps(said).encode()), "growth")
    assert isinstance(problem, refused.Expired)
    assert problem.further_on == "token"
