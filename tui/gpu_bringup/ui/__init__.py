"""The wizard's screens: the only place that draws. They show and ask, and decide nothing."""
