"""The report: one self-contained offline HTML page, made from records and figures alone."""

from kdtheory.report.build import report

__all__ = ["report"]
