"""Print the table of messages: python -m tests.errors [PART]..."""

from __future__ import annotations

import sys

from tests.errors.check_rows import outcomes
from tests.errors.test_messages import PARTS, part

for name in sys.argv[1:] or PARTS:
    for outcome in outcomes(part(name)):
        print(f"{outcome.row}", *(f"    {line}" for line in outcome.lines), sep="\n", flush=True)
