"""A longer run of the kills: `python -m tests.crash --kills 200 --seed 7`."""

import argparse
import os
import sys
from pathlib import Path

import pytest

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    os.environ |= {"CRASH_KILLS": str(given.kills), "CRASH_SEED": str(given.seed)}
    sys.exit(pytest.main([str(Path(__file__).parent), "--import-mode=importlib"]))
