"""Report: figures and one page of HTML, drawn from the snapshots alone; no model and no MLX is needed.

    $ assay report                                        # snapshots/ -> report/index.html, report/figures/*.svg and *.pdf
    $ assay report --snapshots DIR --out DIR --tier full

What a snapshot wants drawn is said by the names of its metrics; `assay.report.kinds` is the table.
"""
