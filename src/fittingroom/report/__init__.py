"""What a finished run says of itself: the page, the diagnosis, the curves and the model card."""
