"""Problems as documents."""

from retl.resources.problems import Location
from retl.rest.problems import FieldError, Problem


def to_pointer(location: Location) -> str | None:
    return "/" + "/".join(map(str, location[1:])) if location[:2] == ("spec", "mappings") else None


def test_each_field_that_is_wrong_is_named_as_the_request_names_it() -> None:
    wrong = Problem(
        422,
        "invalid-input",
        "two fields are wrong",
        errors=[
            FieldError("must be text", location=("spec", "mappings", 3, "cast")),
            FieldError("is shown nowhere in this dialect", location=("spec", "runner", "timeout")),
            FieldError("stands twice", pointer="/name"),
            FieldError("must be at most 200", parameter="limit"),
            FieldError("is of another workspace", header="X-Workspace-ID"),
        ],
    )
    assert wrong.document(to_pointer) == {
        "type": "https://reverseetl.io/problems/invalid-input",
        "title": "Invalid input",
        "status": 422,
        "detail": "two fields are wrong",
        "errors": [
            {"detail": "must be text", "pointer": "/mappings/3/cast"},
            {"detail": "is shown nowhere in this dialect"},
            {"detail": "stands twice", "pointer": "/name"},
            {"detail": "must be at most 200", "parameter": "limit"},
            {"detail": "is of another workspace", "header": "X-Workspace-ID"},
        ],
    }


def test_what_belongs_to_a_type_of_problem_stands_beside_the_rest() -> None:
    kept = Problem(409, "managed-by-gitops", "change it in Git", further={"patch": "spec: {}\n"})
    assert kept.document()["patch"] == "spec: {}\n"
    assert "errors" not in kept.document()
