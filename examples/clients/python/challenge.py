"""The hash of a deployment, by the list of what is hashed that all languages share."""
import hashlib
import json
from ipaddress import ip_address, ip_interface
from pathlib import Path

HASHED = json.loads((Path(__file__).parents[3] / "schemas" / "hashed.json").read_text())


def address(text):
    parsed = ip_address(text) if text else "<nil>"
    return getattr(parsed, "ipv4_mapped", None) or parsed


KINDS = {
    "text": lambda value: value or "",
    "integer": lambda value: value or 0,
    "boolean": lambda value: "true" if value else "false",
    "hex": lambda value: (value or "").lower(),
    "address": address,
    "prefix": lambda value: ip_interface(value).with_prefixlen if value else "<nil>",
    "env": lambda value: "".join(f"{key}={value[key]}" for key in sorted(value or {}, key=str.encode)),
}


def written(value, how):
    """A value as text; `how` is its kind or, of an object, the pairs of its keys."""
    if isinstance(value, list):
        return "".join(written(one, how) for one in value)
    if isinstance(how, str):
        return str(KINDS[how](value))
    text = ""
    for name, inner in how if value is not None else []:
        text += written(value.get(name), HASHED[value["type"]] if inner == "data" else inner)
    return text


def challenge(deployment):
    return written(deployment.model_dump(), HASHED["deployment"])


def contract_hash(deployment):
    """32 hexadecimal digits: what the contract on the chain holds."""
    return hashlib.md5(challenge(deployment).encode()).hexdigest()


def message(deployment):
    """The bytes that signers sign."""
    digits = contract_hash(deployment)
    wallet = deployment.signature_requirement.signature_style == "polka-wallet"
    return f"<Bytes>{digits}</Bytes>".encode() if wallet else bytes.fromhex(digits)
