package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"slices"
	"strconv"

	"github.com/threefoldtech/tfgrid-sdk-go/grid-client/deployer"
	"github.com/threefoldtech/tfgrid-sdk-go/grid-client/workloads"
)

// What the client gave and wants to have again: networks and deployments by their names.
type session struct {
	client      *deployer.TFPluginClient
	opened      bool
	networks    map[string]*workloads.ZNet
	deployments map[string]*workloads.Deployment
}

func newSession() *session {
	return &session{networks: map[string]*workloads.ZNet{}, deployments: map[string]*workloads.Deployment{}}
}

type networkWish struct {
	Name    string   `json:"name"`
	Range   string   `json:"range"`
	Nodes   []uint32 `json:"nodes"`
	Project string   `json:"project"`
	Access  bool     `json:"access"`
	// Without it the network has no mycelium.
	Mycelium bool `json:"mycelium"`
}

func (wish networkWish) network() (*workloads.ZNet, error) {
	_, ipRange, err := net.ParseCIDR(wish.Range)
	if err != nil {
		return nil, err
	}
	keys := map[uint32][]byte{}
	for _, node := range wish.Nodes {
		if !wish.Mycelium {
			break
		}
		if keys[node], err = workloads.RandomMyceliumKey(); err != nil {
			return nil, err
		}
	}
	return &workloads.ZNet{
		Name:         wish.Name,
		Nodes:        wish.Nodes,
		IPRange:      workloads.NewIPRange(*ipRange),
		AddWGAccess:  wish.Access,
		MyceliumKeys: keys,
		SolutionType: wish.Project,
	}, nil
}

type machineWish struct {
	Name     string            `json:"name"`
	Flist    string            `json:"flist"`
	Command  string            `json:"command"`
	MemoryMB uint64            `json:"memoryMB"`
	RootMB   uint64            `json:"rootMB"`
	Env      map[string]string `json:"env"`
	Mounts   map[string]string `json:"mounts"`
	Mycelium bool              `json:"mycelium"`
}

type deploymentWish struct {
	Name     string            `json:"name"`
	Node     uint32            `json:"node"`
	Project  string            `json:"project"`
	Network  string            `json:"network"`
	DisksGB  map[string]uint64 `json:"disksGB"`
	Machines []machineWish     `json:"machines"`
}

func sorted[T any](of map[string]T) []string {
	var names []string
	for name := range of {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// The wish written into a deployment, old or new, as a user changes the fields of one before deploying it.
func (wish deploymentWish) into(deployment *workloads.Deployment) error {
	deployment.Disks = nil
	for _, name := range sorted(wish.DisksGB) {
		deployment.Disks = append(deployment.Disks, workloads.Disk{Name: name, SizeGB: wish.DisksGB[name]})
	}
	var machines []workloads.VM
	for _, one := range wish.Machines {
		machine := workloads.VM{
			Name: one.Name, NodeID: wish.Node, NetworkName: wish.Network,
			Flist: one.Flist, Entrypoint: one.Command, EnvVars: one.Env,
			CPU: 1, MemoryMB: one.MemoryMB, RootfsSizeMB: one.RootMB,
		}
		for _, old := range deployment.Vms {
			if old.Name == one.Name {
				machine.IP, machine.MyceliumIPSeed = old.IP, old.MyceliumIPSeed
			}
		}
		if one.Mycelium && machine.MyceliumIPSeed == nil {
			seed, err := workloads.RandomMyceliumIPSeed()
			if err != nil {
				return err
			}
			machine.MyceliumIPSeed = seed
		}
		for _, name := range sorted(one.Mounts) {
			machine.Mounts = append(machine.Mounts, workloads.Mount{Name: name, MountPoint: one.Mounts[name]})
		}
		machines = append(machines, machine)
	}
	deployment.Vms = machines
	return nil
}

func (wish deploymentWish) deployment() (*workloads.Deployment, error) {
	made := workloads.NewDeployment(
		wish.Name, wish.Node, wish.Project, nil, wish.Network, nil, nil, nil, nil, nil, nil,
	)
	return &made, wish.into(&made)
}

type networkFacts struct {
	Contracts map[uint32]uint64 `json:"contracts"`
	Ports     map[uint32]int    `json:"ports"`
	Access    string            `json:"access"`
}

func factsOf(network *workloads.ZNet) networkFacts {
	return networkFacts{network.NodeDeploymentID, network.WGPort, network.AccessWGConfig}
}

func deployNetwork(ctx context.Context, session *session, with json.RawMessage) (any, error) {
	var wish networkWish
	if err := json.Unmarshal(with, &wish); err != nil {
		return nil, err
	}
	network, err := wish.network()
	if err != nil {
		return nil, err
	}
	session.networks[wish.Name] = network
	err = session.client.NetworkDeployer.Deploy(ctx, network)
	return factsOf(network), err
}

// Deploys; a deployment of this name that the session knows is updated.
func deploy(ctx context.Context, session *session, with json.RawMessage) (any, error) {
	var wish deploymentWish
	if err := json.Unmarshal(with, &wish); err != nil {
		return nil, err
	}
	deployment := session.deployments[wish.Name]
	var err error
	if deployment == nil {
		deployment, err = wish.deployment()
	} else {
		err = wish.into(deployment)
	}
	if err != nil {
		return nil, err
	}
	session.deployments[wish.Name] = deployment
	err = session.client.DeploymentDeployer.Deploy(ctx, deployment)
	return map[string]any{"contract": deployment.ContractID, "machines": deployment.Vms}, err
}

// A later run of a program knows numbers of contracts alone: the state is told of them, the rest comes from the node.
func adopt(ctx context.Context, session *session, with json.RawMessage) (any, error) {
	var which struct {
		Node       uint32
		Deployment string
		Network    string
	}
	if err := json.Unmarshal(with, &which); err != nil {
		return nil, err
	}
	found, err := session.client.ContractsGetter.ListContractsByTwinID([]string{"Created", "GracePeriod"})
	if err != nil {
		return nil, err
	}
	for _, contract := range found.NodeContracts {
		id, err := strconv.ParseUint(contract.ContractID, 10, 64)
		if err != nil {
			return nil, err
		}
		session.client.State.StoreContractIDs(contract.NodeID, id)
	}
	network, err := session.client.State.LoadNetworkFromGrid(ctx, which.Network)
	if err != nil {
		return nil, err
	}
	deployment, err := session.client.State.LoadDeploymentFromGrid(ctx, which.Node, which.Deployment)
	if err != nil {
		return nil, err
	}
	session.networks[which.Network], session.deployments[which.Deployment] = &network, &deployment
	return map[string]any{
		"network":  factsOf(&network),
		"contract": deployment.ContractID, "disks": deployment.Disks, "machines": deployment.Vms,
	}, nil
}

func load(ctx context.Context, session *session, with json.RawMessage) (any, error) {
	var which struct {
		Node                               uint32
		Deployment, Machine, Disk, Network string
	}
	if err := json.Unmarshal(with, &which); err != nil {
		return nil, err
	}
	state := session.client.State
	machine, err := state.LoadVMFromGrid(ctx, which.Node, which.Machine, which.Deployment)
	if err != nil {
		return nil, err
	}
	disk, err := state.LoadDiskFromGrid(ctx, which.Node, which.Disk, which.Deployment)
	if err != nil {
		return nil, err
	}
	network, err := state.LoadNetworkFromGrid(ctx, which.Network)
	if err != nil {
		return nil, err
	}
	return map[string]any{"machine": machine, "disk": disk, "network": factsOf(&network)}, nil
}

func syncDeployment(ctx context.Context, session *session, with json.RawMessage) (any, error) {
	var name string
	if err := json.Unmarshal(with, &name); err != nil {
		return nil, err
	}
	deployment := session.deployments[name]
	if deployment == nil {
		return nil, fmt.Errorf("no deployment %s", name)
	}
	err := session.client.DeploymentDeployer.Sync(ctx, deployment)
	return map[string]any{
		"contract": deployment.ContractID, "disks": deployment.Disks, "machines": deployment.Vms,
	}, err
}

func cancel(ctx context.Context, session *session, with json.RawMessage) (any, error) {
	var which struct{ Deployment, Network string }
	if err := json.Unmarshal(with, &which); err != nil {
		return nil, err
	}
	if deployment := session.deployments[which.Deployment]; deployment != nil {
		if err := session.client.DeploymentDeployer.Cancel(ctx, deployment); err != nil {
			return nil, err
		}
		delete(session.deployments, which.Deployment)
	}
	if network := session.networks[which.Network]; network != nil {
		if err := session.client.NetworkDeployer.Cancel(ctx, network); err != nil {
			return nil, err
		}
		delete(session.networks, which.Network)
	}
	return nil, nil
}

// Networks, then deployments, each kind in one batch of the chain.
func batch(ctx context.Context, session *session, with json.RawMessage) (any, error) {
	var wishes struct {
		Networks    []networkWish
		Deployments []deploymentWish
	}
	if err := json.Unmarshal(with, &wishes); err != nil {
		return nil, err
	}
	var networks []workloads.Network
	for _, wish := range wishes.Networks {
		network, err := wish.network()
		if err != nil {
			return nil, err
		}
		session.networks[wish.Name] = network
		networks = append(networks, network)
	}
	if err := session.client.NetworkDeployer.BatchDeploy(ctx, networks); err != nil {
		return nil, err
	}
	var deployments []*workloads.Deployment
	for _, wish := range wishes.Deployments {
		deployment, err := wish.deployment()
		if err != nil {
			return nil, err
		}
		session.deployments[wish.Name] = deployment
		deployments = append(deployments, deployment)
	}
	err := session.client.DeploymentDeployer.BatchDeploy(ctx, deployments)
	made := map[string]uint64{}
	for _, deployment := range deployments {
		made[deployment.Name] = deployment.ContractID
	}
	return made, err
}

func cancelProject(_ context.Context, session *session, with json.RawMessage) (any, error) {
	var name string
	if err := json.Unmarshal(with, &name); err != nil {
		return nil, err
	}
	return nil, session.client.CancelByProjectName(name)
}
