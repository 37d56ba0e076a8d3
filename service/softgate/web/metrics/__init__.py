"""
Counts → Prometheus: the workers' rows are added up when somebody scrapes.

Label values come only from loaded models and from lists that the code knows; nothing a client sends becomes one.
"""
