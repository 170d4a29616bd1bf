"""Records of work that was paid for, in a file of JSON lines that outlives the process.

`line` seals a record with a checksum and reads it back; `record_file` keeps the records of a file, appends to
it and holds its lock. Neither knows what a record is about: an application gives the type, a
`msgspec.Struct`, and the key that its records are found by.
"""

from trio_beam.records.line import from_line, to_line
from trio_beam.records.record_file import RecordFile, RecordsInUse, RecordsUnusable, read_records

__all__ = [
    "RecordFile",
    "RecordsInUse",
    "RecordsUnusable",
    "from_line",
    "read_records",
    "to_line",
]
