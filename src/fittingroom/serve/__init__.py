"""``fittingroom serve``: models over HTTP, for programs (Open Inference Protocol v2) and for people (a page)."""
