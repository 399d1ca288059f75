"""The formats that data sets come in: a file for each, what they share, and the table with a row for each."""
