"""Documents for people, in both languages: model cards and evaluations, as Markdown or as one HTML page with plots."""
