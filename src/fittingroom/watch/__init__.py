"""The page on a training that is going on: a process of its own, which reads the run's folder and writes nothing."""
