"""A job module whose import takes until a file exists."""

import os
import time
from pathlib import Path

while not Path(os.environ["IMPORT_GATE"]).exists():
    time.sleep(0.005)
