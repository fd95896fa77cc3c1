"""What `omnibot demo` runs: a whole OAuth provider on loopback, with nothing to sign up for."""
