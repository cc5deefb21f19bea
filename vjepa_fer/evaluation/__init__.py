"""One experiment's cells in; fitted, predicted and chosen without the test part, out."""
