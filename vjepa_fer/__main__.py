"""``python -m vjepa_fer`` is ``vjepa-fer``; this is the one way by which the package leads up to its command line, and it is no import."""

from runpy import run_module

run_module("vjepa_fer.cli", run_name="__main__", alter_sys=True)
