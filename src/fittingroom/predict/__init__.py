"""Answers of a trained model without torch: pictures in, classes, probabilities and doubt out."""
