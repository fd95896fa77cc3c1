"""What omnibot can be asked to do; one module a skill, imported only where configured."""
