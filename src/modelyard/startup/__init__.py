"""Start-up: what a process loads, and what it leaves out."""
