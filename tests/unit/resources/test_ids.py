"""Public ids: the uid in another writing, and back."""

from __future__ import annotations

from typing import get_args
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retl.errors import InvalidInput
from retl.resources.ids import Prefix, type_id, uid_of

PREFIXES: tuple[Prefix, ...] = get_args(Prefix)
UID = UUID("e6457446-a7b4-4edf-8626-e1b9a78b0bc3")


@given(uid=st.uuids(allow_nil=True), prefix=st.sampled_from(PREFIXES))
def test_an_id_turns_back_into_its_uid(uid: UUID, prefix: Prefix) -> None:
    text = type_id(prefix, uid)
    assert uid_of(text, prefix) == uid
    assert type_id(prefix, str(uid)) == text


def test_an_id_is_what_other_implementations_of_typeid_write() -> None:
    # from the specification's valid.json, "valid-uuidv7"
    assert str(uid_of("conn_01h455vb4pex5vsknk084sn02q", "conn")) == "01890a5d-ac96-774b-bcce-b302099a8057"
    assert type_id("retl_sync", UID) == "retl_sync_768nt4d9xm9vfrc9q1q6krp2y3"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "conn",
        "conn_",
        "conn_sf_prod",
        "conn_01h455vb4pex5vsknk084sn02",
        "conn_01h455vb4pex5vsknk084sn02qq",
        "conn_81h455vb4pex5vsknk084sn02q",  # more than 128 bits
        "conn_01h455vb4pex5vsknk084sn02u",  # u is not of the alphabet
        "conn_01H455VB4PEX5VSKNK084SN02Q",
        "CONN_01h455vb4pex5vsknk084sn02q",
        "_01h455vb4pex5vsknk084sn02q",
        str(UID),
    ],
)
def test_a_malformed_id_is_refused_with_the_form_it_should_have(text: str) -> None:
    with pytest.raises(InvalidInput, match=r"is not an id; expected conn_ and 26 letters and digits"):
        uid_of(text, "conn")


def test_an_id_of_another_kind_is_refused() -> None:
    with pytest.raises(InvalidInput, match="expected one that begins with retl_run_"):
        uid_of(type_id("retl_sync", UID), "retl_run")


def test_a_uid_that_is_no_uuid_is_refused() -> None:
    with pytest.raises(InvalidInput, match="'accounts' is not a UUID"):
        type_id("conn", "accounts")


@given(st.text(max_size=40))
def test_no_text_makes_it_stumble(text: str) -> None:
    try:
        uid = uid_of(text, "conn")
    except InvalidInput:
        return
    assert type_id("conn", uid) == text
