"""Tokens and labels in; V-JEPA's attentive classifier out.

In reading order: `probe` · `model` (the module, with torch) · `training` (its schedule) · `files` (official classifiers' weights).
"""
