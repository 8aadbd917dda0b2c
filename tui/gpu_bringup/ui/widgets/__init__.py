"""One widget a file: each draws one thing and knows nothing of the others."""
