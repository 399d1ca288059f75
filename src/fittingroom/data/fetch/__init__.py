"""Known data sets: where they are had from, and how they are checked."""
