"""The command line, and the one place where errors become a message and an exit code.

Nothing is imported before it is needed: `retl --help` answers at once, and the operator image, which carries neither
the engine nor a driver, runs `retl controller` and `retl api` with this same program.
"""

import os
import sys
import traceback

from retl.errors import RetlError

ENV_TRACEBACK = "RETL_TRACEBACK"


def main() -> None:
    """Run the command in `sys.argv` and exit with its code."""
    from retl.cli.app import app

    try:
        app(prog_name="retl")
    except RetlError as error:
        sys.exit(_explain(error))
    except ModuleNotFoundError as error:
        sys.exit(_lacks(error))
    except Exception as error:
        sys.exit(_admit(error))


def _explain(error: RetlError) -> int:
    from retl.cli.exits import code_of

    print(f"retl: {error}", file=sys.stderr)
    return code_of(error)


def _lacks(error: ModuleNotFoundError) -> int:
    """A package of an extra is not installed: the core alone validates nothing and runs nothing."""
    from retl.runspec.pod import EXIT_INVALID

    if (error.name or "retl").startswith("retl"):
        return _admit(error)
    print(
        f"retl: this command needs the Python package {error.name!r}; "
        "install reverse-etl-operator[runner] to run syncs, [controller] for retl controller, [api] for retl api",
        file=sys.stderr,
    )
    return EXIT_INVALID


def _admit(error: Exception) -> int:
    """An error that nobody foresaw: its text may hold a row's value, so only its kind and place are shown."""
    from retl.runspec.pod import EXIT_FAILED

    if os.environ.get(ENV_TRACEBACK):
        traceback.print_exception(error)
    else:
        place = traceback.extract_tb(error.__traceback__)[-1]
        print(
            f"retl: internal error: {type(error).__name__} in {place.name} ({place.filename}:{place.lineno}). "
            f"This is a fault in retl; run again with {ENV_TRACEBACK}=1 for the whole story.",
            file=sys.stderr,
        )
    return EXIT_FAILED
