"""Many cells in; run folders, the figures on another corpus and the refitted probe out."""
