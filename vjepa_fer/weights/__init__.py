"""Files that ``torch.save`` wrote come in; plain values and tensors mapped from the file go out, and nothing in the file is run.

In reading order: `dress` (a path becomes one file or several) · `pickles` (the opcodes, read and not obeyed) · `torch_file` (the archive around
them, with torch).
"""
