"""Any error text in, ranked causes out: with the lines that speak for them and what to do next."""
