"""What a recipe is, beside the recipes of the package."""
