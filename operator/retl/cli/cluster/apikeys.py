"""`retl apikey`: makes, shows and revokes keys of the REST API, with the rights of whoever calls it.

Who may write Secrets where the keys are kept gives their bearers the rights of any ServiceAccount that the API pod may
speak for; so that is for those who run the operator.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from http import HTTPStatus
from typing import Any

import typer

from retl.apiserver.endpoints import ACCOUNT, ROLE_BINDING, SECRET
from retl.cli.cluster.access import Reach, ask
from retl.cli.cluster.client import Cluster, ClusterError
from retl.cli.cluster.text import exact, now, say
from retl.cli.text import plain, table
from retl.errors import InvalidInput
from retl.resources.fields import parse_duration
from retl.resources.kinds import Manifest
from retl.resources.marks import API_KEY
from retl.rest.callers import keys

_LONGEST = timedelta(days=366)


@dataclass(frozen=True, slots=True)
class Wish:
    """What a key is to be.

    Attributes:
        role: the ClusterRole, and the name of the ServiceAccount that is made for it if need be; None where `account`
            names one that is there.
        expires: after how long.
    """

    role: str | None
    account: str | None
    expires: str
    description: str


def create(reach: Reach, keys_namespace: str, wish: Wish, *, as_json: bool) -> None:
    """Make a key and print its text on stdout, all else on stderr.

    Raises:
        InvalidInput: the wish is wrong, or names a ServiceAccount that is not there.
        ClusterError: it does not answer, or refuses.
    """
    if (wish.role is None) == (wish.account is None):
        raise InvalidInput("apikey create: give --role, or --service-account with the name of one that has rights")
    if len(wish.description) > keys.DESCRIPTION_MAX:
        raise InvalidInput(f"--description: at most {keys.DESCRIPTION_MAX} characters")
    expires = now() + _life(wish.expires)
    account = ask(reach, lambda cluster: _account(cluster, wish))
    identity, text = keys.generate()
    key = keys.Key(identity, account, expires, keys.digest(text), wish.description)
    ask(_at(reach, keys_namespace), lambda cluster: cluster.create(SECRET, key.secret))
    if as_json:
        typer.echo(json.dumps({"key": text} | _object(key)))
        return
    say(f"key {identity} speaks for ServiceAccount {account} until {exact(expires)}; it is not shown again:", err=True)
    typer.echo(text)
    if wish.role is None:
        say(f"the API pod must have the right to impersonate serviceaccounts {account.name}", err=True)


def show(reach: Reach, keys_namespace: str, *, as_json: bool) -> None:
    """Print the keys of the namespace that is named, or all, as a table or as JSON, one a line; never their hashes."""

    async def listed(cluster: Cluster) -> list[dict[str, Any]]:
        keys = [_described(secret, now()) for secret in await cluster.list(SECRET, fields=f"type={API_KEY}")]
        chosen = [key for key in keys if reach.namespace in (None, key["namespace"])]
        accounts = await _accounts(cluster, {key["namespace"] for key in chosen if key["state"] == "valid"})
        for key in chosen:
            there = accounts.get(key["namespace"])
            if key["state"] == "valid" and there is not None and key["service_account"] not in there:
                key["state"] = "its ServiceAccount is gone"
        return chosen

    chosen = ask(_at(reach, keys_namespace), listed)
    if as_json:
        for each in chosen:
            typer.echo(json.dumps(each))
    elif chosen:
        columns = ("id", "service_account", "expires_at", "state", "description")
        say(table([column.replace("_", " ") for column in columns], [[each[c] for c in columns] for each in chosen]))
    else:
        say("no keys")


async def _accounts(cluster: Cluster, namespaces: Iterable[str]) -> dict[str, set[str]]:
    """Names of the ServiceAccounts of each namespace in which the person may see them."""
    found: dict[str, set[str]] = {}
    for namespace in namespaces:
        try:
            accounts = await cluster.list(ACCOUNT, namespace=namespace)
        except ClusterError as error:
            if error.status != HTTPStatus.FORBIDDEN:
                raise
        else:
            found[namespace] = {each["metadata"]["name"] for each in accounts}
    return found


def revoke(reach: Reach, keys_namespace: str, identity: str) -> None:
    """Delete the Secret of a key (raises InvalidInput: there is no such key)."""
    if not keys.is_id(identity):
        raise InvalidInput(f"{plain(identity)}: no id of a key; retl apikey list shows them")

    async def deleted(cluster: Cluster) -> None:
        name = keys.secret_name(identity)
        if await cluster.find(SECRET, name) is None:
            raise InvalidInput(f"{identity}: there is no such key in namespace {keys_namespace}")
        await cluster.delete(SECRET, name)

    ask(_at(reach, keys_namespace), deleted)
    say(f"key {identity} is revoked")


def _at(reach: Reach, namespace: str) -> Reach:
    return replace(reach, namespace=namespace)


def _life(text: str) -> timedelta:
    try:
        life = parse_duration(text)
    except ValueError as error:
        raise InvalidInput(f"--expires: {error}") from None
    if not timedelta(0) < life <= _LONGEST:
        raise InvalidInput(f"--expires: {text}: longer than nothing, and at most {_LONGEST.days}d")
    return life


async def _account(cluster: Cluster, wish: Wish) -> keys.Account:
    """The ServiceAccount that the key is to speak for; one of a role is made if it is not there."""
    name = str(wish.account or wish.role)
    there = await cluster.find(ACCOUNT, name)
    if wish.role is not None:
        await _bind(cluster, name)
        if there is None:
            await cluster.create(ACCOUNT, _service_account(name))
    elif there is None:
        raise InvalidInput(f"--service-account: there is no ServiceAccount {plain(name)} in {cluster.namespace}")
    return keys.Account(cluster.namespace, name)


async def _bind(cluster: Cluster, name: str) -> None:
    wanted = _role_binding(name, cluster.namespace)
    there = await cluster.find(ROLE_BINDING, name)
    if there is None:
        await cluster.create(ROLE_BINDING, wanted)
    elif any(there.get(part) != wanted[part] for part in ("roleRef", "subjects")):
        raise InvalidInput(
            f"RoleBinding {name} in {cluster.namespace} is there and says something else; "
            f"bind a role yourself, and name its ServiceAccount with --service-account"
        )


def _service_account(name: str) -> Manifest:
    return {
        "apiVersion": "v1",
        "kind": ACCOUNT,
        "metadata": {"name": name},
        "automountServiceAccountToken": False,
    }


def _role_binding(name: str, namespace: str) -> Manifest:
    group = "rbac.authorization.k8s.io"
    return {
        "apiVersion": f"{group}/v1",
        "kind": ROLE_BINDING,
        "metadata": {"name": name},
        "roleRef": {"apiGroup": group, "kind": "ClusterRole", "name": name},
        "subjects": [{"kind": ACCOUNT, "name": name, "namespace": namespace}],
    }


def _object(key: keys.Key) -> dict[str, Any]:
    return {
        "id": key.id,
        "namespace": key.account.namespace,
        "service_account": key.account.name,
        "expires_at": exact(key.expires),
        "description": key.description,
    }


def _described(secret: Manifest, at: datetime) -> dict[str, Any]:
    """A key as it is shown; one whose Secret is damaged is shown too, since it is to be made whole or deleted."""
    key = keys.read(secret)
    if isinstance(key, str):
        name = str(secret["metadata"]["name"])
        nothing = dict.fromkeys(("namespace", "service_account", "expires_at"))
        return {"id": name.removeprefix(keys.secret_name(""))} | nothing | {"description": "", "state": key}
    return _object(key) | {"state": "expired" if key.expires <= at else "valid"}
