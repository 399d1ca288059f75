"""What every page and every contact sheet is drawn with."""
