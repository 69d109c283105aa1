"""Over which connections the API server is asked for a caller."""

from retl.apiserver.transport import Transport
from retl.rest.callers.caller import Caller


class AsCaller:
    """Two kinds of connections: those that carry this pod's login, and those that carry nobody's.

    Whoever shows a token of their own must be asked for on the latter: the API server looks at a client certificate
    first, so that a worthless token on a connection of the pod would be worth as much as the pod.
    """

    def __init__(self, own: Transport, bare: Transport) -> None:
        self._own = own
        self._bare = bare

    def of(self, caller: Caller) -> Transport:
        """The connections for the caller's requests, each of which carries the caller's headers."""
        return self._own if caller.impersonated else self._bare
