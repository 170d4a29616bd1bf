"""Records of work that was paid for, in a file of JSON lines that outlives the process.

`line` seals a record with a checksum and reads it back; `record_log` appends records to a file and holds its
lock; `record_file` keeps them in memory too, by a key. None of these knows what a record is about: an
application gives the type, a `msgspec.Struct`. `identity` describes what a record depends on, and
`search_record` has what all records of searches have.
"""

from trio_beam.records.line import from_line, to_line
from trio_beam.records.record_file import RecordFile, read_records
from trio_beam.records.record_log import RecordLog, RecordsInUse, RecordsUnusable
from trio_beam.records.search_record import SearchRecord, facts_of

__all__ = [
    "RecordFile",
    "RecordLog",
    "RecordsInUse",
    "RecordsUnusable",
    "SearchRecord",
    "facts_of",
    "from_line",
    "read_records",
    "to_line",
]
