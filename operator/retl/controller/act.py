"""Carries decisions out. No policy here: what a decision asks for is done, in its order, status first.

The status is written first because it holds the reservation and the attempt: what follows may be repeated by anyone who
reads it, and nothing may happen that it does not announce.
"""

from collections.abc import Callable
from http import HTTPStatus

from pydantic import ValidationError

from retl.apiserver.endpoints import JOB
from retl.controller.apiserver.kube import AlreadyExists, Conflict, KubeError, NamespaceTerminating
from retl.controller.decision import Action, Create, Decision, Delete
from retl.controller.facts import controller_uid
from retl.controller.kinds import Key
from retl.controller.world import World
from retl.resources.fields import StatusModel
from retl.resources.kinds import Manifest


class Refused(KubeError):
    """Kubernetes does not take an object that was to be created; the message is its own."""

    @property
    def final(self) -> bool:
        """Whether it never will: the object is invalid. Else a quota, a policy or a missing right stands in the way."""
        return self.status == HTTPStatus.UNPROCESSABLE_ENTITY


async def act(world: World, key: Key, observed: Manifest, decision: Decision, written: Callable[[], None]) -> bool:
    """Carry a decision out; whether there is something new that the next decision may build on.

    Args:
        observed: the version of the object that was decided upon; a newer one makes the write fail.
        written: called once if the status is written, before the actions, which may fail.
    Raises:
        Conflict: the object has changed meanwhile; nothing was done.
        Refused: an action asked for an object that is invalid, or forbidden.
        KubeError: a request failed; what came before it stands.
    """
    news = await _publish(world, key, observed, decision.status)
    if news:
        written()
    for action in decision.actions:
        news |= await _carry_out(world, action)
    return news


async def _publish(world: World, key: Key, observed: Manifest, status: StatusModel | None) -> bool:
    if status is None or _says(observed, status):
        return False
    text = status.model_dump(mode="json", by_alias=True, exclude_none=True)
    try:
        world.cache.put(key.kind, await world.kube.put_status(key, observed, text))
    except KubeError as error:
        if error.status == HTTPStatus.NOT_FOUND:
            raise Conflict(str(error), status=error.status) from error  # deleted meanwhile: a change like any other
        raise
    return True


def _says(observed: Manifest, status: StatusModel) -> bool:
    """Whether an object has this status already; one that somebody made invalid is written anew."""
    try:
        return type(status).model_validate(observed["status"]) == status
    except ValidationError:
        return False


async def _carry_out(world: World, action: Action) -> bool:
    if isinstance(action, Delete):
        await world.kube.delete(action.key, action.uid, action.propagation)
        return False  # an event tells when it is gone
    try:
        world.cache.put(action.kind, await world.kube.create(action.kind, action.manifest))
    except AlreadyExists as error:
        if action.kind == JOB and not await _is_ours(world, action):
            raise Refused(str(error), status=error.status, kube_reason=error.kube_reason) from error
        return True  # the next gather looks at what has the name
    except NamespaceTerminating:
        return False
    except KubeError as error:
        if error.status in (HTTPStatus.UNPROCESSABLE_ENTITY, HTTPStatus.FORBIDDEN):
            raise Refused(str(error), status=error.status, kube_reason=error.kube_reason) from error
        if error.status == HTTPStatus.NOT_FOUND:
            return False  # its namespace is gone, and all that was in it
        raise
    return True


async def _is_ours(world: World, wanted: Create) -> bool:
    """Whether the Job that has the name belongs to whom it was to be made for; then the cache learns of it.

    One of somebody else stays out: only our own are watched, so its end would never be heard of.
    """
    found = await world.kube.get(Key.of(wanted.kind, wanted.manifest))
    if found is None or controller_uid(found) != controller_uid(wanted.manifest):
        return found is None
    world.cache.put(wanted.kind, found)
    return True
