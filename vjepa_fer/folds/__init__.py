"""Clips and their subjects in; who is tested on whom, as data, and what leaks out."""
