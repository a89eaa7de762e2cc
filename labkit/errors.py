"""Errors that are meant for the user: one line with the value and the remedy, no traceback."""


class LabkitError(Exception):
    """Something failed that the message tells how to mend; the command line prints it and ends."""

    exit_status = 1


class UsageError(LabkitError):
    """What was asked for cannot be run as asked."""

    exit_status = 2
