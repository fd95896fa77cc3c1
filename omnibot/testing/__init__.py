"""What tests of a bot, of a skill and of an adapter are written with."""
