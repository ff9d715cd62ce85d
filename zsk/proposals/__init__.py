"""Step one: dynamic kernels propose class-agnostic masks (method, sections 1, 2 and 5)."""
