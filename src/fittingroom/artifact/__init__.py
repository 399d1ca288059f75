"""What is shipped: a model's weights and description, in every form, and what reads them back."""
