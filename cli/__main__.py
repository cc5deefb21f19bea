"""``python -m vjepa_fer.cli``."""

from .main import main

main()
