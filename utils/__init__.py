"""What the numbered scripts call; README.md says which room holds what."""

import sys
import traceback
from pathlib import Path

try:
    from utils.constants import PROFILES as PROFILES
except Exception as error:  # a user edits that file: a slip there is a mistake, not a defect
    frames = [f for f in traceback.extract_tb(error.__traceback__) if f.filename != __file__]
    line = getattr(error, "lineno", None) or (frames[-1].lineno if frames else None)
    where = f"utils/constants.py{f', line {line}' if line else ''}"
    reason = " ".join(str(getattr(error, "msg", None) or error).split())
    print(
        f"{Path(sys.argv[0]).name}: {where} is not readable ({type(error).__name__}: {reason}); "
        "mend it",
        file=sys.stderr,
    )
    raise SystemExit(2) from None
