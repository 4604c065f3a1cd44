"""Put tests/ on the path, so that tests import their slow twins as `from reference.x import y`."""

import os
import sys
from pathlib import Path

# Tests run side by side: with two threads each they would wait for each other at every layer.
os.environ.setdefault("OMP_NUM_THREADS", "1")

sys.path.insert(0, str(Path(__file__).parent))
