"""Which options the engine has, by docs/options.md, which a test of the engine keeps true.

What wants an option that is still to come is left out by this until it is there.
"""

import re
from pathlib import Path

PAGE = Path(__file__).resolve().parent.parent / "docs/options.md"


def has_option(name: str) -> bool:
    return re.search(rf"^\| `{name}` \|", PAGE.read_text(), re.MULTILINE) is not None
