"""What other people's files say goes in; bounded bytes, values of the type that was expected, and text that is safe to show come out.

In reading order: `bounded` (bytes of a file, packed or not, up to a limit), `objects` (JSON, value by value), `shown` (text for a
terminal or a spreadsheet).
"""

from vjepa_fer.doors.bounded import TooLargeError, read_bytes, unpacked
from vjepa_fer.doors.objects import Given, parse_object, read_object
from vjepa_fer.doors.shown import for_spreadsheet, printable

__all__ = [
    "Given",
    "TooLargeError",
    "for_spreadsheet",
    "parse_object",
    "printable",
    "read_bytes",
    "read_object",
    "unpacked",
]
