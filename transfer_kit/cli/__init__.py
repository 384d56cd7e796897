"""The command line: parse, call, print. Heavy imports stay inside the commands."""

from __future__ import annotations

import sys
from typing import NoReturn


def main() -> None:
    """Run the command line; what a user can mend is one line and exit code 2, Ctrl-C is 130."""
    from transfer_kit.cli.faults import Stopped, in_one_sentence

    try:
        from transfer_kit.cli.app import app

        app(standalone_mode=True)
    except (KeyboardInterrupt, Stopped) as stop:
        _leave(f"Stopped. {stop}".rstrip(), 130)
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(0)
    except Exception as error:
        sentence = in_one_sentence(error)
        if sentence is None:
            raise
        _leave(f"Error: {sentence}", 2)


def _leave(said: str, code: int) -> NoReturn:
    print(said, file=sys.stderr)
    sys.exit(code)
