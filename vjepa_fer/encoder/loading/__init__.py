"""A name and a weights file go in; an encoder that carries exactly its tensors comes out.

In reading order: `registry` (a name becomes an architecture and a file) · `opened` (one file and its tensors) · `hub_layout` (Hugging Face's
names) · `checkpoint` (files become an encoder's tensors) · `recognise` (a file without a name) · `load` (all of it) · `verdict` (what it would
say) · `slim` (one encoder's tensors, in a small file).
"""
