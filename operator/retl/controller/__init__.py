"""The operator's controller: it turns ticks into SyncRuns, SyncRuns into Jobs, and their results into status.

events -> cache -> queue -> gather -> decide (pure) -> act -> API server
"""

from retl.controller.settings import ControllerSettings, LeaseSettings, RetryPolicy, RunnerSettings
from retl.controller.shell import run_controller

__all__ = ["ControllerSettings", "LeaseSettings", "RetryPolicy", "RunnerSettings", "run_controller"]
