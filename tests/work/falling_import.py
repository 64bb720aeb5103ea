"""A job module that ends its process until a file exists."""

import os
import sys
from pathlib import Path

if not Path(os.environ["IMPORT_GATE"]).exists():
    sys.stderr.write("no gate\n")
    os._exit(7)
