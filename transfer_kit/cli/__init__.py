"""The command line: parse, call, print. Heavy imports stay inside the commands."""

from __future__ import annotations

import os
import sys

os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")


def main() -> None:
    """Run the command line; a user's error is one line and exit code 2, Ctrl-C is 130."""
    from transfer_kit.cli.app import app
    from transfer_kit.errors import UserError

    try:
        app(standalone_mode=True)
    except UserError as error:
        print(f"Error: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("Stopped. Nothing is lost that was finished.", file=sys.stderr)
        sys.exit(130)
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(0)
