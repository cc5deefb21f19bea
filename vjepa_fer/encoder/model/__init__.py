"""Names go in; architectures and models come out: V-JEPA, V-JEPA 2 and V-JEPA 2.1.

In reading order: `vit` (the model, with torch) · `pixels` (none: mean colours) · `zoo` (the official ones as data) · `known` (one that can be loaded, as a value).
"""
