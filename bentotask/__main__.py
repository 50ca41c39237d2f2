"""``python -m bentotask`` is ``bentotask``."""

from __future__ import annotations

from bentotask.cli import main

if __name__ == "__main__":
    main()
