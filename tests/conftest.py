"""Put tests/ on the path, so that tests import their slow twins as `from reference.x import y`."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
