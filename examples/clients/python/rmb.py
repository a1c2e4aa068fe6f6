"""Signed and encrypted requests to a node through a relay."""
import json
import os
import time
from base64 import urlsafe_b64encode
from hashlib import md5, sha256
from uuid import uuid4

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from substrateinterface import Keypair
from websocket import create_connection

import envelope_pb2 as pb

TYPE_BYTES = b"es"  # ed25519 is type 0 of the library, sr25519 type 1


def digest(e):
    """What an envelope's sender signs: every field, with nothing between them."""
    kind = f"{e.error.code}{e.error.message}" if e.HasField("error") else e.request.command
    ends = "".join(f"{end.twin}{end.connection}" for end in (e.source, e.destination))
    head = f"{e.uid}{e.tags}{e.timestamp}{e.expiration}{ends}{kind}{e.schema}{e.federation}"
    return md5(head.encode() + (e.plain or e.cipher) + "".join(e.relays).encode()).digest()


class Rmb:
    """Calls of one twin to one node; `node` is its twin on the chain, which has a key for encryption as nodes do."""

    def __init__(self, relay, twin, key, node):
        self.twin, self.key, self.node, self.session = twin, key, node, f"python-{uuid4().hex}"
        secret = ec.derive_private_key(int(key.seed_hex.hex(), 16), ec.SECP256K1())
        point = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256K1(), bytes.fromhex(node["pk"][2:]))
        self.cipher = AESGCM(sha256(secret.exchange(ec.ECDH(), point)).digest())
        now = int(time.time())
        parts = ({"alg": "RS512", "typ": "JWT"}, {"sub": twin, "sid": self.session, "iat": now, "exp": now + 60})
        token = b".".join(urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=") for part in parts)
        token += b"." + urlsafe_b64encode(self.sign(token)).rstrip(b"=")
        self.socket = create_connection(f"{relay}/?{token.decode()}", timeout=60)

    def sign(self, data):
        return TYPE_BYTES[self.key.crypto_type :][:1] + self.key.sign(data)

    def call(self, command, payload):
        """The answer, or None where the node does not know the command."""
        e = pb.Envelope(uid=f"{uuid4()}z", timestamp=int(time.time()), expiration=60, schema="application/json")
        e.source.twin, e.source.connection, e.destination.twin = self.twin, self.session, self.node["id"]
        nonce = os.urandom(12)
        e.request.command, e.cipher = command, nonce + self.cipher.encrypt(nonce, json.dumps(payload).encode(), None)
        e.signature = self.sign(digest(e))
        self.socket.send_binary(e.SerializeToString())
        while (answer := pb.Envelope.FromString(self.socket.recv())).uid != e.uid:
            pass  # of an earlier call that was given up
        if not answer.HasField("source"):  # not signed: it ends the call and means nothing else
            raise RuntimeError(f"the relay says: {answer.error.message}")
        key = Keypair(ss58_address=self.node["account_id"], crypto_type=TYPE_BYTES.index(answer.signature[:1]))
        if answer.source.twin != self.node["id"] or not key.verify(digest(answer), answer.signature[1:]):
            raise RuntimeError("the answer is not signed by the node")
        if answer.HasField("error") and answer.error.message != "function is not found":
            raise RuntimeError(answer.error.message)
        nonce, sealed = answer.cipher[:12], answer.cipher[12:]
        return None if answer.HasField("error") else json.loads(self.cipher.decrypt(nonce, sealed, None))
