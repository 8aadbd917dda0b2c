"""Run the command line: ``python -m gpu_bringup``."""

from gpu_bringup.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
