"""Tables are a function of records: CSV, LaTeX and text, with the paper's printed figures beside ours."""
