"""Anyone's predictions in; our figures for them out."""
