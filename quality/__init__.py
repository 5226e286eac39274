"""What may be believed: gates, expectations, explanations of failures, their clusters, Pass^k, plots and the report.

Import the modules, there are no re-exports: each has its own cost, and `pass_hat_k` is a module and a function.
Great Expectations, scikit-learn and matplotlib are loaded when a function needs them, never by an import of this room.
"""
