"""`omnibot demo`: a first link, on this machine alone, with a small service that stands in for a real one."""

from omnibot.demo.play import play

__all__ = ["play"]
