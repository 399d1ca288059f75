"""The formats that data sets come in: one reader each, and what the readers share.

To add one: write ``formats/<name>.py`` with ``read_<name>(path) -> Splits`` and add its branch to ``data/open.py``.
"""
