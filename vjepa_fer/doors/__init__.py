"""What other people's files say goes in; bounded bytes, values of the type that was expected, and text that is safe to show come out.

In reading order: `bounded` (bytes of a file, packed or not, up to a limit), `tables` (CSV, row by row, up to limits), `numbers` (in the cells of these), `objects` (JSON, value by value), `shown` (text for a
terminal or a page), `sheets` (CSV, in which no cell is a formula), `forms` (tables to
paste, and for pandas), `cards` (for notebooks), `bars` (progress on a terminal), `choices` (a name out of a closed list, refused with the nearest that there is),
`plugins` (names that installed packages add to such a list).
"""

from vjepa_fer.doors.bars import Bar, beside_bars, progress_bar
from vjepa_fer.doors.bounded import TooLargeError, read_bytes, unpacked
from vjepa_fer.doors.cards import card
from vjepa_fer.doors.choices import nearest, nearest_of, not_one_of
from vjepa_fer.doors.forms import Column, Form, Sheet, frame_of, span, spread
from vjepa_fer.doors.numbers import Pointed, as_number
from vjepa_fer.doors.objects import Given, canonical_json, parse_object, read_object, read_text
from vjepa_fer.doors.plugins import PLUGIN_GROUPS, Plugin, PluginGroup, Plugins, find_plugins
from vjepa_fer.doors.sheets import csv_text, for_spreadsheet, from_spreadsheet
from vjepa_fer.doors.shown import printable, printable_json, without_unseen
from vjepa_fer.doors.tables import TABLE, TableLimits, parse_rows, read_rows

__all__ = [
    "PLUGIN_GROUPS",
    "TABLE",
    "Bar",
    "Column",
    "Form",
    "Given",
    "Plugin",
    "PluginGroup",
    "Plugins",
    "Pointed",
    "Sheet",
    "TableLimits",
    "TooLargeError",
    "as_number",
    "beside_bars",
    "canonical_json",
    "card",
    "csv_text",
    "find_plugins",
    "for_spreadsheet",
    "frame_of",
    "from_spreadsheet",
    "nearest",
    "nearest_of",
    "not_one_of",
    "parse_object",
    "parse_rows",
    "printable",
    "printable_json",
    "progress_bar",
    "read_bytes",
    "read_object",
    "read_rows",
    "read_text",
    "span",
    "spread",
    "unpacked",
    "without_unseen",
]
