"""What holds for the API pod as a whole, whatever is asked."""

from tests.cluster.rest_api import Rest


async def test_it_is_ready_with_the_rights_of_its_own_account(rest: Rest) -> None:
    async with rest.as_("viewer") as client:
        answer = await client.get("/readyz")
    assert answer.status_code == 200
    assert answer.headers["x-request-id"]
