"""Weights files on this machine go in; where they lie, whose they are and whether they are what they were comes out.

In reading order: `home` · `hashes` · `whose` · `records`. Needs no torch.
"""
