"""``python -m pulsing`` is the ``pulsing`` command."""

from pulsing.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
