"""python deploy.py CLIENT.json [poll]: deploys a machine on a node, waits until it runs, shows it, cancels it.
python deploy.py check VECTORS: holds hashes and signatures against schemas/vectors, offline."""
import json
import os
import sys
import time
from base64 import b64encode

from substrateinterface import Keypair, KeypairType, SubstrateInterface

import grid
from challenge import KINDS, challenge, contract_hash, message
from rmb import Rmb


def machine(twin, wireguard_key):
    network = grid.Network(ip_range="10.20.0.0/16", subnet="10.20.2.0/24", peers=[],
                           wireguard_private_key=wireguard_key, wireguard_listen_port=4242)
    vm = grid.ZMachine(
        flist="https://hub.grid.tf/tf-official-apps/base:latest.flist", entrypoint="/sbin/zinit init",
        network=grid.MachineNetwork(interfaces=[grid.MachineInterface(network="net", ip="10.20.2.5")]),
        compute_capacity=grid.MachineCapacity(cpu=1, memory=2**30), env={"SSH_KEY": "ssh-ed25519 AAAA me"},
        mounts=[grid.MachineMount(name="disk", mountpoint="/data")])
    parts = ("net", "network", network), ("disk", "zmount", grid.ZMount(size=10 * 2**30)), ("vm", "zmachine", vm)
    workloads = [grid.Workload(version=0, name=name, type=kind, data=data.model_dump()) for name, kind, data in parts]
    signers = grid.SignatureRequirement(requests=[grid.SignatureRequest(twin_id=twin, weight=1)], weight_required=1)
    return grid.Deployment(version=0, twin_id=twin, contract_id=0, workloads=workloads, signature_requirement=signers)


def settled(ask, contract, poll):
    """Waits until nothing is left to do; how the workloads are then."""
    until = time.monotonic() + 300
    while time.monotonic() < until:
        report = None if poll else ask("wait", {"contract_id": contract, "version": 0})
        if report is None:  # a node of other make: a workload is as its last entry says
            time.sleep(1)
            last = {entry["name"]: entry["result"] for entry in ask("changes", {"contract_id": contract}) or []}
            done = last and all(result["state"] != "init" for result in last.values())
            report = {"settled": done, "workloads": [{"name": name, **result} for name, result in last.items()]}
        if report["settled"]:
            return {w["name"]: f"{w['state']} {w['message']}".strip() for w in report["workloads"]}
    raise TimeoutError(f"contract {contract} has not settled in 300 s")


def deploy(facts, poll):
    who, node = facts["tenants"][0], facts["node"]
    key = Keypair.create_from_mnemonic(who["mnemonic"], crypto_type=getattr(KeypairType, who["key_type"].upper()))
    chain = SubstrateInterface(url=facts["chain"])
    rmb = Rmb(facts["relay"], who["twin"], key, chain.query("TfgridModule", "Twins", [node["twin"]]).value)
    ask = lambda command, payload: rmb.call(f"zos.deployment.{command}", payload)

    def transact(call, **arguments):
        extrinsic = chain.create_signed_extrinsic(chain.compose_call("SmartContractModule", call, arguments), key)
        done = chain.submit_extrinsic(extrinsic, wait_for_inclusion=True)
        if not done.is_success:
            raise RuntimeError(f"{call}: {done.error_message}")
        return {event.value["event_id"]: event.value["attributes"] for event in done.triggered_events}

    deployment = machine(who["twin"], os.environ.get("WIREGUARD_KEY") or b64encode(os.urandom(32)).decode())
    proof = {"signature_type": who["key_type"], "signature": key.sign(message(deployment)).hex()}
    deployment.signature_requirement.signatures = [grid.Signature(twin_id=who["twin"], **proof)]
    plan = None if poll else ask("plan", deployment.model_dump())
    if plan is not None and not grid.Plan.model_validate(plan).fits:
        raise RuntimeError("; ".join(reason["message"] for reason in plan["reasons"]))
    digits = contract_hash(deployment)
    created = transact("create_node_contract", node_id=node["id"], deployment_hash=f"0x{digits.encode().hex()}",
                       deployment_data="", public_ips=0, solution_provider_id=None)
    contract = deployment.contract_id = created["ContractCreated"]["contract_id"]
    try:
        ask("deploy", deployment.model_dump())
        print(json.dumps({"hash": digits, "contract": contract, "workloads": settled(ask, contract, poll)}))
    finally:
        transact("cancel_contract", contract_id=contract)
        # Names, addresses and ports are free for the next client when the node has it no more.
        until = time.monotonic() + 60
        while time.monotonic() < until and any(one["contract_id"] == contract for one in ask("list", None) or []):
            time.sleep(0.25)


def check(vectors):
    golden = json.load(open(f"{vectors}/challenge.json"))
    key = Keypair.create_from_mnemonic(golden["keys"][0]["mnemonic"], crypto_type=KeypairType.ED25519)
    for case in golden["cases"]:
        deployment = grid.Deployment.model_validate(case["deployment"])
        ours = [challenge(deployment), contract_hash(deployment), key.sign(message(deployment)).hex()]
        assert ours == [case["challenge"], case["hash"], case["signatures"][0]["signature"]], case["name"]
    for case in json.load(open(f"{vectors}/normalisation.json"))["cases"]:
        if case["kind"] in KINDS and case["hashed"] is not None:
            assert str(KINDS[case["kind"]](case["given"])) == case["hashed"], case["given"]
    print(json.dumps({"checked": len(golden["cases"])}))


first, *rest = sys.argv[1:]
check(rest[0]) if first == "check" else deploy(json.load(open(first)), rest == ["poll"])
