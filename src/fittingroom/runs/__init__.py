"""A run's folder: begun, agreed with, logged, judged."""
