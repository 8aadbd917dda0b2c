"""Distribution families and package managers: two axes. All code that names one lives here."""
