"""Linking an account: from the first private link to the command that runs with the person's own token.

Read in this order: `flows` (what is known of one link under way), `beginning` (the link goes
out), `browser` (look, authorise, come back, see the code), `proving` (sign in before that, where the
network has a login) and `finishing` (what then needs no code), `confirming` (the code or the
pasted address comes in), `desk` (what the person sees of it in chat); then how it ends
otherwise: `endings`, `revoking`, `upkeep`.
"""
