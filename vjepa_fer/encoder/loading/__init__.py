"""A name and a weights file go in; an encoder that carries exactly its tensors comes out.

In reading order: `registry` (a name becomes an architecture and a file) · `checkpoint` (a file becomes tensors) · `hub_layout` (Hugging Face's
names) · `recognise` (a file without a name) · `load` (all of it) · `slim` (one encoder's tensors, in a small file).
"""
