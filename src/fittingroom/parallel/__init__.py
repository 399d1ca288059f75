"""More than one process: process groups, jobs, Ray."""
