"""A page on this machine to look at slides and to label them."""
