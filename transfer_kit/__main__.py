"""`python -m transfer_kit`: the command line, where `transfer-kit` is not on the path."""

from __future__ import annotations

from transfer_kit.cli import main

if __name__ == "__main__":
    main()
