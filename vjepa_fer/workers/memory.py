"""The system is asked, and the bytes of the machine's memory come out."""

from __future__ import annotations

import os


def total_memory() -> int:
    """Bytes of the machine's memory; 8 GB where the system does not say."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return 8 << 30
