"""The report: one self-contained offline HTML page, made from records and figures; one of certificates."""

from kdtheory.report.build import report
from kdtheory.report.certificates import certificates_page

__all__ = ["certificates_page", "report"]
