"""Measurements, run by hand: ``python -m bench [NAME…]``.

They print figures and judge nothing: a time is never a test.  Each figure is the median of
several repetitions, and where there is one, its floor is measured in turn with it: what the
same machine takes, at the same moment, for the least that could do the work.  On a noisy
machine look at the ratio.  docs/performance.md has the figures and what they led to.
"""
