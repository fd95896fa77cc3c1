"""How ``omnibot check`` knows that it is this very process which answers at an address.

Whoever asks makes up a nonce, asks for its proof at the address and on the control socket, and compares.
The key is made with the process, is in no file, and is used for nothing else: a proof tells nobody anything.
"""

import hashlib
import secrets


class Probe:
    """One process's proofs."""

    def __init__(self) -> None:
        """Make the key."""
        self._key = secrets.token_bytes(32)

    def proof(self, nonce: str) -> str:
        """Return what only this process says of *nonce*."""
        return hashlib.blake2b(nonce.encode(), key=self._key, digest_size=16).hexdigest()

    def answer(self, nonce: str) -> str:
        """Return the proof with something behind it that is another each time: what comes twice, a cache gave."""
        return f"{self.proof(nonce)}.{secrets.token_hex(8)}"
