"""One page a file: the steps of the wizard, in the order of ``steps.STEPS``."""
