"""Features and labels in; gradient-boosted trees of LightGBM out, kept as our own arrays.

In reading order: `probe` · `trees` (answers from arrays) · `text` (a model that LightGBM wrote, read line by line).
"""
