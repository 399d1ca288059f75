"""The map of the judged images, and the training images nearest to the worst mistakes: ``report RUN --map``."""
