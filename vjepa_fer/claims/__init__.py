"""A name goes in; whether this process is to do what it stands for comes out, agreed with all others that work on the same folder.

Stage 1 claims clips of a cache by it, stage 2 the fits of a sweep.
"""

from vjepa_fer.claims.taking import CLAIMS, MOST_DEATHS, Claims

__all__ = ["CLAIMS", "MOST_DEATHS", "Claims"]
