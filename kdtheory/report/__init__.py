"""The report: one self-contained offline HTML page, made from records and figures; one of certificates."""

from typing import TYPE_CHECKING

from kdtheory._lazy import lazily

if TYPE_CHECKING:
    from kdtheory.report.build import report
    from kdtheory.report.certificates import certificates_page

__all__ = ["certificates_page", "report"]
lazily(__name__)
