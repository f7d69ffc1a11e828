"""The tiny random models of tests/forward serve these tests too: `import tiny`."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "forward"))
