"""report.html of a finished run."""
