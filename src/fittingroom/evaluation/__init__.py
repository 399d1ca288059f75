"""Pure functions of probabilities and labels."""
