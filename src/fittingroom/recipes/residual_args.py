"""The shape of the model ``residual`` where a recipe's ``model_args`` say nothing else.

Beside the recipes, so that what only reads a trained model's weights knows its shape without loading torch.
"""

WIDTHS = (16, 32, 64)
DEPTHS = (0, 0, 1)
POOLS = (True, True, True)
BLOCK_LAYERS = 1
FIXED_STEM = False
MIRROR_AVERAGE = False
SHIFT_AVERAGE = False
