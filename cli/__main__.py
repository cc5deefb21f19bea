"""``python -m vjepa_fer.cli``."""

import os
import sys

if not sys.flags.safe_path and sys.path[:1] == [os.getcwd()]:
    del sys.path[0]  # which `-m` put there: a folder that somebody sent may hold a pickle.py

from .main import main

main()
