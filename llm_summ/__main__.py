"""The console script: runs a command, and turns errors into one line and an exit code."""

from __future__ import annotations

import io
import sys
import traceback

__all__ = ["main"]


def main() -> None:
    """Run ``llm-summ``.

    Exit codes: 0 success; 1 the work failed, or the reader of the output closed the pipe (handled by click); 2 the
    input was wrong; 130 stopped by Ctrl-C; 143 stopped by SIGTERM.
    """
    import click

    from llm_summ.cli import cli
    from llm_summ.core.errors import LlmSummError, first_line
    from llm_summ.core.optional_packages import quiet_warnings
    from llm_summ.core.terminal import shown_on_stderr

    debug = "--debug" in sys.argv
    quiet_warnings()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a file's name may not be UTF-8: show its bytes as escapes
            stream.reconfigure(errors="backslashreplace")
    try:
        with shown_on_stderr():
            code = cli.main(standalone_mode=False)
        if isinstance(code, int):  # a status; any other type is a return value to ignore
            sys.exit(code)
    except (click.exceptions.Abort, KeyboardInterrupt) as error:
        if isinstance(error.__cause__ or error.__context__, EOFError):  # click treats it as Ctrl-D
            _report("EOFError: a file or a connection ended too soon (--debug shows where)", debug)
            sys.exit(1)
        _report("stopped", debug=False)
        sys.exit(130)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except LlmSummError as error:
        _report(str(error), debug)
        sys.exit(error.exit_code)
    except OSError as error:
        _report(f"{error.filename or 'file'}: {error.strerror or error}", debug)
        sys.exit(1)
    except Exception as error:  # noqa: BLE001  any library's error becomes one line
        _report(f"{type(error).__name__}: {first_line(error)} (--debug shows where)", debug)
        sys.exit(1)


def _report(text: str, debug: bool) -> None:
    """Print an error, one line for each finding; with ``--debug`` the traceback before it."""
    if debug:
        traceback.print_exc()
    for argument in sys.argv[1:]:
        name = argument.partition("=")[2] if argument.startswith("--") else argument
        if not name.isprintable():  # a line feed in a file's name would start another line
            text = text.replace(name, "".join(map(_escaped, name)))
    for line in text.splitlines():
        print(f"llm-summ: {line}", file=sys.stderr)  # noqa: T201


def _escaped(letter: str) -> str:
    return letter if letter.isprintable() else letter.encode("unicode_escape").decode()


if __name__ == "__main__":
    main()
