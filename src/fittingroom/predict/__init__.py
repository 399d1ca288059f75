"""Answers of a trained model without torch: pictures in, classes, probabilities and out-of-distribution scores out."""
