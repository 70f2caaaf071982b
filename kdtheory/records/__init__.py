"""Records of runs, and what a ledger is as a document.

A run is a directory: `run.json` (what was asked), one `claims/NAME.json` per examined claim, `ledger.json`
(the verdicts), and a lock keeps two runs out of it.
"""

from typing import TYPE_CHECKING

from kdtheory._lazy import lazily

if TYPE_CHECKING:
    from kdtheory.records.documents import as_document, read_ledger
    from kdtheory.records.runs import RunDirectory, code_of

__all__ = ["RunDirectory", "as_document", "code_of", "read_ledger"]
lazily(__name__)
