"""Step 0 with the tiny net of small_training: torchrun starts it in test_torchrun.py."""

import runpy
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(Path(__file__).parent)]

from small_training import PROFILE  # noqa: E402

from utils import constants  # noqa: E402

if __name__ == "__main__":
    constants.PROFILES["digits"] = PROFILE
    sys.argv[0] = str(ROOT / "exp-fl-5-0.py")
    runpy.run_path(sys.argv[0], run_name="__main__")
