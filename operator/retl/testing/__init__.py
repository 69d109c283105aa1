"""What a connector is tested with, ours or a stranger's: every mode through the whole engine, against a real receiver.

    from retl.testing import Conformance, ConnectorCase

    class Shelf(ConnectorCase): ...        # how to start the receiver, and how to look into it

    class TestShelf(Conformance):
        case = Shelf

Needs pytest and pytest-asyncio: install reverse-etl-operator[testing].
"""

from retl.testing.case import ConnectorCase as ConnectorCase
from retl.testing.case import NotPossible as NotPossible
from retl.testing.case import Row as Row
from retl.testing.conformance import Conformance as Conformance
from retl.testing.stage import Stage as Stage
