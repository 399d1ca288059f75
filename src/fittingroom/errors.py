"""What goes wrong by the user's hand: one message that says where, expected, found, and what to do.

The command prints the message without a traceback and exits with 2. Anything else that escapes is our fault (exit 1).
"""


class FittingRoomError(Exception):
    """Base of every error that this package raises on purpose."""


class DataError(FittingRoomError):
    """A data set, or one of its files, is missing, damaged, or not what the caller takes it for."""


class RecipeError(FittingRoomError):
    """A recipe is wrong. The message has one line for each problem."""


class ArtifactError(FittingRoomError):
    """A run, a checkpoint or a saved model is missing, damaged, unsafe to open, or does not fit its data."""


class TrainingDiverged(FittingRoomError):
    """The loss or a weight became infinite or not a number. The last good checkpoint is kept."""


class Interrupted(FittingRoomError):
    """Training was asked to stop, and did so after saving its state; ``resume_command`` goes on with it."""

    def __init__(self, message: str, resume_command: str = ""):
        super().__init__(message)
        self.resume_command = resume_command
