"""The version: a module of its own, so that whoever prints it imports nothing else."""

__version__ = "0.2.0.dev0"
