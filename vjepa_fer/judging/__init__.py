"""Predictions in; figures and their uncertainty out."""
