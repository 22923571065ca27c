"""What is said to a request that fits the schema but that no theory answers."""


class Refused(ValueError):
    """The request does not meet the theory's assumptions.

    Attributes:
        pointer: JSON pointer to the part of the request at fault.
        detail: the value, the rule and the way out.
        code: of the problem that tells the client.
    """

    code = "inadmissible_problem"

    def __init__(self, pointer: str, detail: str) -> None:
        super().__init__(f"{pointer}: {detail}")
        self.pointer = pointer
        self.detail = detail


class Unsupported(Refused):
    """Features, learner and regime are each known but have no theory together; the detail lists what does."""

    code = "unsupported_combination"


class OutsideVocabulary(Refused):
    """A number that is to take the place of another is none that the field admits."""

    code = "validation_error"


class UnstableStep(Refused):
    """A learner's steps are so long that its error grows without bound."""


class TooLarge(Refused):
    """What is asked for exceeds the limits on its size."""

    code = "too_large"


class UnknownDataset(Refused):
    """The data set that is named is not stored, or not any more."""

    code = "unknown_dataset"


class DatasetNotReady(Refused):
    """The data set that is named is still being read in."""

    code = "dataset_not_ready"
