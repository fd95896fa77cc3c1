"""The networks omnibot speaks on; one module each, imported only where configured."""
