"""Hashes are those that the ad platforms' own documentation gives for its examples."""

import hashlib

import duckdb
import pytest

from retl.engine.hashing import hashed, normalized
from retl.engine.values import literal
from retl.resources.sync import Hash, Normalization


def value(sql: str) -> str | None:
    with duckdb.connect(config={"threads": 1}) as database:
        (found,) = database.sql(f"SELECT {sql}").fetchall()[0]
        assert found is None or isinstance(found, str)
        return found


@pytest.mark.parametrize(
    ("text", "how", "digest"),
    [  # Meta, Conversions API, Customer Information Parameters
        ("John_Smith@gmail.com", "Email", "62a14e44f765419d10fea99367361a727c12365e2520f32218d505ed9aa0f62f"),
        ("1(650)555-1212", "Digits", "e323ec626319ca94ee8bff2e4c87cf613be6ea19919ed1364124e16807ab3176"),
        ("Mary", "Lowercase", "6915771be1c5aa0c886870b6951b03d7eafc121fea0e80a5ea83beb7c449f4ec"),
        ("정", "Lowercase", "8fa8cd9c440be61d0151429310034083132b35975c4bea67fdd74158eb51db14"),
        ("Valéry", "Lowercase", "08e1996b5dd49e62a4b4c010d44e4345592a863bb9f8e3976219bac29417149c"),
    ],
)
def test_the_hash_is_the_one_that_the_platform_documents(text: str, how: Normalization, digest: str) -> None:
    assert value(hashed(literal(text), Hash(normalize=how))) == digest


@pytest.mark.parametrize(
    ("text", "how", "normal"),
    [
        (" A b ", "None", " A b "),
        ("\t A b \u00a0\n", "Trim", "A b"),
        (" ÄB ", "Lowercase", "äb"),
        ("  Jo.Doe+x@Example.COM\u3000", "Email", "jo.doe+x@example.com"),
        ("+1 (212) 565-0000", "Phone", "+12125650000"),  # Google Ads: E.164, such as +12125650000
        ("0044 20 7031 3000", "Phone", "+442070313000"),
        ("442070313000", "Phone", "+442070313000"),
        ("ext.", "Phone", None),
        ("AT-U 12 34", "Digits", "1234"),
        ("00 44 (0) 20", "Digits", "44020"),
    ],
)
def test_values_are_normalised_before_they_are_hashed(text: str, how: Normalization, normal: str | None) -> None:
    assert value(normalized(literal(text), how)) == normal
    digest = None if normal is None else hashlib.sha256(normal.encode()).hexdigest()
    assert value(hashed(literal(text), Hash(normalize=how))) == digest


@pytest.mark.parametrize(
    ("text", "how"), [("", "None"), ("  ", "Trim"), (" ", "Email"), ("-", "Phone"), ("x", "Digits"), ("00", "Digits")]
)
def test_where_nothing_is_left_there_is_no_hash(text: str, how: Normalization) -> None:
    assert value(hashed(literal(text), Hash(normalize=how))) is None


def test_no_value_has_no_hash() -> None:
    assert value(hashed("CAST(NULL AS VARCHAR)", Hash())) is None
