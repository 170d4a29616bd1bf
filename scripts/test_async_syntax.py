#!/usr/bin/env python
"""The original's test of its interface, under its name and with its output. Calls no model.

uv run --python 3.12 python test_async_syntax.py
"""

from __future__ import annotations

import sys

from test_syntax import strategy

#: In the order of its output.
METHODS = ("_sample_continuation_multiple_async", "_expand_beams_parallel", "_generate_async")


def main() -> int:
    """Check the interface; exit code 1 if something is wrong."""
    print("Testing async beam search implementation...")
    faults = list(strategy())
    for fault in faults:
        print(f"❌ Error: {fault}", file=sys.stderr)
    if faults:
        print("\n❌ Tests failed")
        return 1
    print("✅ All async methods defined correctly!\n✅ Method signatures validated!")
    print("\n📊 Async methods:")
    for name in METHODS:
        print(f"  - {name} (async)")
    print("  - generate (sync wrapper using asyncio.run)")  # word for word: here it is trio.run
    print("\n✅ Async implementation syntax is CORRECT!\n🚀 Ready for testing with real API calls")
    return 0


if __name__ == "__main__":
    sys.exit(main())
