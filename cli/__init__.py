"""Commands of vjepa-fer, installed as vjepa_fer.cli."""
