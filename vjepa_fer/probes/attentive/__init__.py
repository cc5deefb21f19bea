"""Tokens and labels in; classifiers that choose among the tokens out: V-JEPA's attentive one, and efficient probing.

In reading order: `token_probe` (what the two share) · `probe` and `model` (the attentive one, the latter with torch) · `efficient` and
`efficient_model` · `training` (their schedule) · `files`, `hub_names` and `hub` (official classifiers' weights, and Hugging Face's).
"""
