"""Features and labels in; multinomial logistic regression, a whole path of C at once, out.

In reading order: `linear` (the probe) · `path` (a grid of C on one training part) · `curve` (where each C begins) · `spaces`, `bases`
(the smaller space that the rows span) · `newton`, `descent` (two solvers) · `dense` (small problems, proven) · `search` (their steps).
"""
