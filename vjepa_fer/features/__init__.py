"""Cached levels in; matrices, streams of tokens, windows and scaled columns out."""
