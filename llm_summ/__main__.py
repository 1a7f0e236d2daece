"""The console script: runs a command, and turns errors into one line and an exit code."""

from __future__ import annotations

import os
import sys
import warnings

__all__ = ["main"]


def main() -> None:
    """Run ``llm-summ``. Exit codes: 0 done, 1 the work failed, 2 the input was wrong, 130 stopped by Ctrl-C."""
    import click

    from llm_summ.cli import cli
    from llm_summ.errors import LlmSummError

    debug = "--debug" in sys.argv
    if not debug and not sys.warnoptions:
        warnings.simplefilter("ignore")  # the libraries' advice to their developers
    try:
        cli.main(standalone_mode=False)
    except click.exceptions.Abort:
        sys.exit(130)
    except KeyboardInterrupt:
        print("llm-summ: stopped", file=sys.stderr)  # noqa: T201
        sys.exit(130)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except LlmSummError as error:
        if debug:
            raise
        for line in str(error).splitlines():
            print(f"llm-summ: {line}", file=sys.stderr)  # noqa: T201
        sys.exit(error.exit_code)
    except BrokenPipeError:
        # The reader of our output went away (`| head`); Python would complain once more while it shuts down.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except OSError as error:
        if debug:
            raise
        print(f"llm-summ: {error.filename or 'file'}: {error.strerror or error}", file=sys.stderr)  # noqa: T201
        sys.exit(1)


if __name__ == "__main__":
    main()
