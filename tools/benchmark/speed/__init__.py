"""Speed and memory: one page from cases that run in processes of their own."""
