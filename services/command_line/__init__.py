"""The operator's command line: one module per verb."""
