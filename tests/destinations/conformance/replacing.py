"""What holds, beyond the kit, of connectors with a mode `replace`."""

from typing import ClassVar

from retl.testing import Conformance, Stage
from retl.testing.conformance import begin, expect


class Replacing(Conformance):
    """Whoever is not sent is gone when a run ends, and only then."""

    adds_before: ClassVar[bool] = True
    """Whether those who were sent are there although the replacement did not come to its end."""

    async def test_a_replacement_leaves_nobody_who_was_not_sent(self, stage: Stage) -> None:
        """Whoever wrote them; every run sends all, and then drops the rest."""
        rows = await begin(stage, "mirror")
        stage.mode = "replace"
        await stage.case.seed([stage.case.row(9_999)])
        assert (await stage.run()).status == "Succeeded"
        await expect(stage, rows)
        stage.rows(rows[:-2])
        result = await stage.run()
        assert (result.status, result.counts.deleted, result.counts.updated) == ("Succeeded", 2, len(rows) - 2)
        await expect(stage, rows[:-2])

    async def test_nothing_is_dropped_while_a_record_is_refused(self, stage: Stage) -> None:
        """A replacement that is not whole drops nobody."""
        rows = await begin(stage, "mirror")
        stage.mode = "replace"
        stranger = stage.case.row(9_999)
        await stage.case.seed([stranger])
        stage.rows([*rows[:-1], stage.case.refused(len(rows) - 1)])
        assert (await stage.run()).counts.rejected == 1
        sent = [row.key for row in rows[:-1]] if self.adds_before else []
        assert set(await stage.case.records()) == {stranger.key, *sent}
