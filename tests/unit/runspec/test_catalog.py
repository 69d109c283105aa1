"""What is told of a catalog that became another one."""

import pytest

from retl.runspec.catalog import CHANGES_TOLD, Catalog, CatalogField, CatalogObject, changes


def account(*fields: CatalogField, **more: object) -> Catalog:
    return Catalog(objects=[CatalogObject.model_validate({"name": "account", "fields": fields, **more})])


NAME = CatalogField(name="name", type="text")


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [
        (account(NAME), account(NAME), []),
        (account(NAME), account(), ["account.name is gone"]),
        (account(), account(NAME), ["account.name is new"]),
        (account(NAME), account(CatalogField(name="name", type="int")), ["account.name was text and is int"]),
        (
            account(NAME),
            account(NAME.model_copy(update={"read_only": True})),
            ["account.name cannot be written any more"],
        ),
        (account(NAME), account(NAME.model_copy(update={"required": True})), ["account.name is required now"]),
        (account(NAME), Catalog(), ["account is gone"]),
        (Catalog(), account(NAME), ["account is new"]),
        (account(NAME), account(problem="no right to read it"), ["account cannot be read any more"]),
        (account(problem="no right to read it"), account(NAME), ["account can be read again"]),
    ],
)
def test_what_became_different_at_the_other_end_is_told(before: Catalog, after: Catalog, told: list[str]) -> None:
    assert changes(before, after) == told


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (account(NAME, listed=False), Catalog()),
        (Catalog(), account(NAME, listed=False)),
        (account(NAME, definition="a"), account(definition="b")),
        (account(NAME), Catalog(cut=True)),
    ],
)
def test_what_the_manifests_made_different_or_did_not_fit_is_not_told(before: Catalog, after: Catalog) -> None:
    assert changes(before, after) == []


def test_many_changes_are_told_as_a_number() -> None:
    told = changes(account(), account(*(CatalogField(name=f"f{n}") for n in range(CHANGES_TOLD + 5))))
    assert len(told) == CHANGES_TOLD + 1
    assert told[-1] == "and 5 more"
