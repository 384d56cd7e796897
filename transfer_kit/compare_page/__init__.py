"""One self-contained page that shows trainings beside each other."""
