"""Writing entries to files: the native format, CSV, and a page for reviewers."""

from disease_kb.exporters.csv_table import csv_table
from disease_kb.exporters.page import review_page

__all__ = ["csv_table", "review_page"]
