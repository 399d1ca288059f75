"""From images and a recipe to weights, in memory."""
