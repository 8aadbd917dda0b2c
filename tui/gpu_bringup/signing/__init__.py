"""Module signing: where an enrolment stands, what proves it, and the screens that it takes."""
