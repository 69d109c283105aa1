"""The contract between the controller, which builds the runner's pod, and the runner inside it.

Names and places only: both sides import them from here, so they cannot drift apart.
"""

# Environment variables of the runner's container.
ENV_RUN_SPEC = "RETL_RUN_SPEC"
ENV_CHECK_SPEC = "RETL_CHECK_SPEC"  # in the place of a run spec: the connection is checked, nothing is run
ENV_SECRETS_DIR = "RETL_SECRETS_DIR"
ENV_STATE_URL = "RETL_STATE_URL"
ENV_STATE_CA = "RETL_STATE_CA"  # certificates in PEM; unset means: those that the image trusts
ENV_STATE_TOKEN_FILE = "RETL_STATE_TOKEN_FILE"  # noqa: S105 - a path, not a token
ENV_STAGING_DIR = "RETL_STAGING_DIR"
ENV_TERMINATION_LOG = "RETL_TERMINATION_LOG"
ENV_PRIVATE_NETWORKS = "RETL_ALLOWED_PRIVATE_NETWORKS"  # with commas; unset means: all but link-local ones
ENV_MEMORY_LIMIT = "RETL_MEMORY_LIMIT"  # bytes, from limits.memory; unset means: ask the cgroup

# Of people's command line and the controller's: a file with those certificates.
ENV_STATE_CA_FILE = "RETL_STATE_CA_FILE"

# Where the pod mounts what they point at.
RUN_SPEC_PATH = "/etc/retl/run.json"
CHECK_SPEC_PATH = "/etc/retl/check.json"
SECRETS_DIR = "/etc/retl/secrets"  # one directory a Secret, one file a key
STATE_TOKEN_PATH = "/var/run/secrets/reverseetl.io/token"  # noqa: S105 - a path
STAGING_DIR = "/var/lib/retl"
TERMINATION_LOG = "/dev/termination-log"

RUN_SPEC_ANNOTATION = "reverseetl.io/run-spec"
CHECK_SPEC_ANNOTATION = "reverseetl.io/check-spec"
SECRETS_ANNOTATION = "reverseetl.io/secrets"  # names of the Secrets that it is given; the policy on runners reads them
STATE_AUDIENCE = "reverse-etl-state"

# Exit codes of `retl run` and `retl execute`.
EXIT_SUCCEEDED = 0
EXIT_FAILED = 1
EXIT_INVALID = 2
EXIT_DEAD_LETTERS = 3
EXIT_AWAITING_APPROVAL = 4
