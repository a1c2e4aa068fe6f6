package main

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/threefoldtech/tfgrid-sdk-go/grid-client/deployer"
	proxy "github.com/threefoldtech/tfgrid-sdk-go/grid-proxy/pkg/types"
)

func filterNodes(ctx context.Context, session *session, with json.RawMessage) (any, error) {
	var wish struct {
		Options proxy.NodeFilter
		Disks   []uint64
		Rootfs  []uint64
	}
	if err := json.Unmarshal(with, &wish); err != nil {
		return nil, err
	}
	nodes, err := deployer.FilterNodes(ctx, *session.client, wish.Options, wish.Disks, nil, wish.Rootfs, 1)
	return nodes, err
}

type outcome struct {
	Value   any    `json:"value,omitempty"`
	Failure string `json:"failure,omitempty"`
}

func outcomeOf[T any](value T, err error) outcome {
	if err != nil {
		return outcome{Failure: err.Error()}
	}
	return outcome{Value: value}
}

// Every question that the client has for a node, with the client's own types.
func askNode(ctx context.Context, session *session, with json.RawMessage) (any, error) {
	var node uint32
	if err := json.Unmarshal(with, &node); err != nil {
		return nil, err
	}
	client, err := session.client.NcPool.GetNodeClient(session.client.SubstrateConn, node)
	if err != nil {
		return nil, err
	}
	total, used, err := client.Statistics(ctx)
	return map[string]outcome{
		"statistics":     outcomeOf(map[string]any{"total": total, "used": used}, err),
		"features":       outcomeOf(client.SystemGetNodeFeatures(ctx)),
		"deployments":    outcomeOf(client.DeploymentList(ctx)),
		"wireguardPorts": outcomeOf(client.NetworkListWGPorts(ctx)),
		"interfaces":     outcomeOf(client.NetworkListInterfaces(ctx)),
		"publicIPs":      outcomeOf(client.NetworkListIPs(ctx)),
		"publicConfig":   outcomeOf(client.NetworkGetPublicConfig(ctx)),
		"endpoint":       outcomeOf(client.GetNodeEndpoint(ctx)),
		"dmi":            outcomeOf(client.SystemDMI(ctx)),
		"hypervisor":     outcomeOf(client.SystemHypervisor(ctx)),
		"version":        outcomeOf(client.SystemVersion(ctx)),
		"measurements":   outcomeOf(client.GetPerfTestResults(ctx)),
		"pools":          outcomeOf(client.Pools(ctx)),
		"gpus":           outcomeOf(client.GPUs(ctx)),
		"hasIPv6":        outcomeOf(client.HasPublicIPv6(ctx)),
		"allInterfaces":  outcomeOf(client.NetworkListAllInterfaces(ctx)),
		"exitDevice":     outcomeOf(client.NetworkGetPublicExitDevice(ctx)),
	}, nil
}

// Every question that the client has for the grid proxy, each filter given.
func askProxy(ctx context.Context, session *session, with json.RawMessage) (any, error) {
	var asked struct {
		Node     uint32
		Nodes    proxy.NodeFilter
		Farms    proxy.FarmFilter
		Twins    proxy.TwinFilter
		Contract proxy.ContractFilter
		IPs      proxy.PublicIpFilter
		Sort     map[string]string
	}
	if err := json.Unmarshal(with, &asked); err != nil {
		return nil, err
	}
	client := session.client.GridProxyClient
	limit := func(of string) proxy.Limit {
		return proxy.Limit{
			Size: 10, Page: 1, RetCount: true,
			SortBy: proxy.SortBy(asked.Sort[of]), SortOrder: proxy.SortOrderDesc,
		}
	}
	counted := func(rows any, count int, err error) outcome {
		return outcomeOf(map[string]any{"rows": rows, "count": count}, err)
	}
	nodes, nodeCount, nodeErr := client.Nodes(ctx, asked.Nodes, limit("nodes"))
	farms, farmCount, farmErr := client.Farms(ctx, asked.Farms, limit("farms"))
	twins, twinCount, twinErr := client.Twins(ctx, asked.Twins, limit("twins"))
	contracts, contractCount, contractErr := client.Contracts(ctx, asked.Contract, limit("contracts"))
	ips, ipCount, ipErr := client.PublicIps(ctx, asked.IPs, limit("ips"))
	found := map[string]outcome{
		"ping":      outcomeOf("pong", client.Ping()),
		"nodes":     counted(nodes, nodeCount, nodeErr),
		"farms":     counted(farms, farmCount, farmErr),
		"twins":     counted(twins, twinCount, twinErr),
		"contracts": counted(contracts, contractCount, contractErr),
		"ips":       counted(ips, int(ipCount), ipErr),
		"node":      outcomeOf(client.Node(ctx, asked.Node)),
		"status":    outcomeOf(client.NodeStatus(ctx, asked.Node)),
		"stats":     outcomeOf(client.Stats(ctx, proxy.StatsFilter{Status: []string{"up"}})),
	}
	if len(contracts) > 0 {
		id := uint32(contracts[0].ContractID)
		bills, count, err := client.ContractBills(ctx, id, proxy.Limit{Size: 5, Page: 1, RetCount: true})
		found["contract"] = outcomeOf(client.Contract(ctx, id))
		found["bills"] = counted(bills, int(count), err)
	}
	return found, nil
}

func contracts(_ context.Context, session *session, with json.RawMessage) (any, error) {
	var which struct{ Project, Kind, Name string }
	if err := json.Unmarshal(with, &which); err != nil {
		return nil, err
	}
	getter := session.client.ContractsGetter
	mine, err := getter.ListContractsByTwinID([]string{"Created", "GracePeriod"})
	if err != nil {
		return nil, fmt.Errorf("by twin: %w", err)
	}
	project, err := getter.ListContractsOfProjectName(which.Project)
	if err != nil {
		return nil, fmt.Errorf("of project: %w", err)
	}
	named := outcomeOf(getter.GetNodeContractsByTypeAndName(which.Project, which.Kind, which.Name))
	return map[string]any{"mine": mine, "project": project, "named": named}, nil
}
