"""The command line, and the one place where errors become a message and an exit code.

Nothing is imported before it is needed: `retl --help` answers at once, and the operator image, which carries neither
the engine nor a driver, runs `retl controller` and `retl api` with this same program.
"""

import os
import shlex
import sys
import traceback

from retl.errors import RetlError

ENV_TRACEBACK = "RETL_TRACEBACK"


def main() -> None:
    """Run the command in `sys.argv` and exit with its code."""
    from retl.cli.app import app
    from retl.cli.options import program

    try:
        app(prog_name=program())
    except RetlError as error:
        sys.exit(_explain(error))
    except ModuleNotFoundError as error:
        sys.exit(_lacks(error))
    except Exception as error:
        sys.exit(_admit(error))


def complete() -> None:
    """What kubectl asks of a plugin: words that may follow the arguments, one a line, and that there is nothing else.

    kubectl runs `kubectl_complete-retl ARGUMENTS… INCOMPLETE`; the last line is its directive "no file names".
    """
    from retl.cli.app import app

    # fish's form is kubectl's: a word and its help a line, and nothing else
    os.environ |= {
        "_RETL_COMPLETE": "complete_fish",
        "_TYPER_COMPLETE_FISH_ACTION": "get-args",
        "_TYPER_COMPLETE_ARGS": shlex.join(["retl", *sys.argv[1:-1]]) + f" {''.join(sys.argv[1:][-1:])}",
    }
    try:
        app(prog_name="retl")
    finally:
        print(":4")


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
        "install reverse-etl-operator[runner] to run syncs, [controller] for a cluster's syncs and retl controller, "
        "[api] for retl api",
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
