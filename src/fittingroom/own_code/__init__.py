"""Code of the user's own: how a recipe names it, what is kept of it, and how what was kept is executed."""
