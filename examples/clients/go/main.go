// Command go CLIENT.json [poll] deploys a machine on a node, waits until it runs, shows it, cancels it.
// Command go check VECTORS holds hashes and signatures against schemas/vectors, offline.
package main

import (
	"cmp"
	"context"
	"crypto/ecdh"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/gorilla/websocket"
	substrate "github.com/threefoldtech/tfchain/clients/tfchain-client-go"
	"github.com/threefoldtech/tfgrid-sdk-go/rmb-sdk-go/peer"

	"gridnode.example/clients/go/grid"
)

// facts is what gridnode up --simulate --json tells.
type facts struct {
	Chain, Relay string
	Node         struct{ Id, Twin uint32 }
	Tenants      []tenant
}

type tenant struct {
	Twin     uint32
	Mnemonic string
}

func read[T any](file string) (value T) {
	must(0, json.Unmarshal(must(os.ReadFile(file)), &value))
	return value
}

func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}

func pointer[T any](value T) *T { return &value }

func machine(twin uint32, wireguardKey string) grid.Deployment {
	signers := grid.SignatureRequirement{WeightRequired: pointer[uint64](1), Requests: []grid.SignatureRequest{{TwinId: twin, Weight: pointer[uint64](1)}}}
	network := grid.Network{IpRange: "10.20.0.0/16", Subnet: "10.20.2.0/24", WireguardPrivateKey: wireguardKey, WireguardListenPort: pointer[uint16](4242)}
	vm := grid.ZMachine{ComputeCapacity: grid.MachineCapacity{Cpu: 1, Memory: 1 << 30}, Env: &map[string]string{"SSH_KEY": "ssh-ed25519 AAAA me"}, Mounts: []grid.MachineMount{{Name: "disk", Mountpoint: "/data"}}}
	vm.Flist, vm.Entrypoint, vm.Network.Interfaces = pointer("https://hub.grid.tf/tf-official-apps/base:latest.flist"), pointer("/sbin/zinit init"), []grid.MachineInterface{{Network: "net", Ip: "10.20.2.5"}}
	net, disk, machine := generic(network), generic(grid.ZMount{Size: 10 << 30}), generic(vm)
	return grid.Deployment{TwinId: twin, SignatureRequirement: signers, Workloads: []grid.Workload{
		{Name: "net", Type: "network", Data: &net}, {Name: "disk", Type: "zmount", Data: &disk}, {Name: "vm", Type: "zmachine", Data: &machine}}}
}

// settled waits until nothing is left to do, and tells how the workloads are then.
func settled(ask func(string, any, any) error, contract grid.Uint64, poll bool) map[string]string {
	about := map[string]any{"contract_id": contract, "version": 0}
	for report := (grid.WaitReport{}); !poll && !report.Settled; {
		must(0, ask("wait", about, &report))
	}
	for ; ; time.Sleep(time.Second) {
		var entries []grid.Workload // a workload is as its last entry says
		must(0, ask("changes", about, &entries))
		states := map[string]string{}
		for _, entry := range entries {
			states[entry.Name] = *entry.Result.State
		}
		if len(states) > 0 && !slices.Contains(slices.Collect(maps.Values(states)), "init") {
			return states
		}
	}
}

func deploy(of facts, poll bool) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	who, manager, plan := of.Tenants[0], substrate.NewManager(of.Chain), grid.Plan{}
	chain, identity := must(manager.Substrate()), must(substrate.NewIdentityFromSr25519Phrase(who.Mnemonic))
	// The library has the relay's host on the chain, where no port may stand: it is given at dialing.
	relay := must(url.Parse(of.Relay))
	websocket.DefaultDialer.NetDial = func(network, _ string) (net.Conn, error) { return net.Dial(network, relay.Host) }
	client := must(peer.NewRpcClient(ctx, who.Mnemonic, manager, peer.WithRelay("ws://"+relay.Hostname()), peer.WithSession("go")))
	ask := func(command string, payload, result any) error {
		return client.Call(ctx, of.Node.Twin, "zos.deployment."+command, payload, result)
	}
	d := machine(who.Twin, cmp.Or(os.Getenv("WIREGUARD_KEY"), base64.StdEncoding.EncodeToString(must(ecdh.X25519().GenerateKey(rand.Reader)).Bytes())))
	_, hash, message := challenge(d)
	signature := hex.EncodeToString(must(identity.Sign(message)))
	d.SignatureRequirement.Signatures = []grid.Signature{{TwinId: who.Twin, SignatureType: pointer("sr25519"), Signature: signature}}
	if poll = poll || ask("plan", d, &plan) != nil; !poll && !plan.Fits { // other nodes know no plan and no wait
		panic(plan.Reasons[0].Message)
	}
	d.ContractId = grid.Uint64(must(chain.CreateNodeContract(identity, of.Node.Id, "", hash, 0, nil)))
	defer func() {
		must(0, chain.CancelContract(identity, uint64(d.ContractId)))
		// Names, addresses and ports are free for the next client when the node has it no more.
		isThis := func(one grid.Deployment) bool { return one.ContractId == d.ContractId }
		for all := []grid.Deployment{d}; slices.ContainsFunc(all, isThis); time.Sleep(time.Second / 4) {
			must(0, ask("list", nil, &all))
		}
	}()
	must(0, ask("deploy", d, nil))
	states := must(json.Marshal(settled(ask, d.ContractId, poll)))
	fmt.Printf("{\"hash\": %q, \"contract\": %d, \"workloads\": %s}\n", hash, d.ContractId, states)
}

type vectors struct {
	Keys  []tenant
	Cases []struct {
		Name, Challenge, Hash string
		Deployment            grid.Deployment
	}
}

func check(golden vectors) {
	identity := must(substrate.NewIdentityFromEd25519Phrase(golden.Keys[0].Mnemonic))
	for _, c := range golden.Cases {
		text, hash, message := challenge(c.Deployment)
		signature := hex.EncodeToString(must(identity.Sign(message)))
		if text != c.Challenge || hash != c.Hash || signature != c.Deployment.SignatureRequirement.Signatures[0].Signature {
			panic(c.Name + ": " + text)
		}
	}
	fmt.Printf("{\"checked\": %d}\n", len(golden.Cases))
}

func main() {
	if os.Args[1] == "check" {
		check(read[vectors](filepath.Join(os.Args[2], "challenge.json")))
	} else {
		deploy(read[facts](os.Args[1]), slices.Contains(os.Args, "poll"))
	}
}
