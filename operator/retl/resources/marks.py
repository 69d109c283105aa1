"""The labels and annotations that this program reads and writes, each in one place: they are part of the contract."""

from retl.resources.meta import GROUP

SYNC_LABEL = f"{GROUP}/sync"
RUN_LABEL = f"{GROUP}/run"
MANAGED_BY_LABEL = "app.kubernetes.io/managed-by"
MANAGED_BY = "reverse-etl-operator"
OURS = f"{MANAGED_BY_LABEL}={MANAGED_BY}"
"""Label selector of the Jobs and pods that the controller made."""
CHECK_LABEL = f"{GROUP}/check"
"""On the Job of a check and on its pod: the uid of the SyncSource or SyncDestination."""
PINNED_LABEL = f"{GROUP}/pinned"
"""On a SyncRun that history limits leave alone, with the value `true`."""
CHECK_REQUESTED = f"{GROUP}/check-requested-at"
"""Annotation on a connection: any new value asks for a check."""
KUEUE_LABELS = ("kueue.x-k8s.io/queue-name", "kueue.x-k8s.io/priority-class")
"""Labels that a Job takes over from its SyncRun, else from its sync; the only ones."""
UNTRACKED = {"argocd.argoproj.io/ignore-resource-updates": "true"}
"""Annotation of everything that is made for runs: it spares Argo CD a refresh for each of their changes."""
