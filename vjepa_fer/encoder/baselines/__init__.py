"""``hf:FOLDER_OR_REPO`` comes in; an encoder that the library transformers computes goes out, with the pixels that its processor makes.

In reading order: `source` (where it lies), `processor` (its numbers, for our own resizing), `kinds` (the architectures that are known, and how each
lays out its tokens), `known` (what a recipe says of it), `model` (its tokens on our grid), `loaded` (with its weights).
"""
