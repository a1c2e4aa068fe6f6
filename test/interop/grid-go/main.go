// The official Go grid client as its users use it: one step a line of JSON on standard input, one answer a line on
// standard output. The client itself writes what it does to standard error.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/threefoldtech/tfgrid-sdk-go/grid-client/deployer"
)

const stepDeadline = 2 * time.Minute

// A step finds what earlier ones have left in the session; what it gives back is the answer.
type step func(ctx context.Context, session *session, with json.RawMessage) (any, error)

var steps = map[string]step{
	"open":      open,
	"proxy":     askProxy,
	"filter":    filterNodes,
	"node":      askNode,
	"network":   deployNetwork,
	"deploy":    deploy,
	"adopt":     adopt,
	"load":      load,
	"sync":      syncDeployment,
	"contracts": contracts,
	"cancel":    cancel,
	"batch":     batch,
	"project":   cancelProject,
}

type answer struct {
	Value   any    `json:"value,omitempty"`
	Failure string `json:"failure,omitempty"`
}

func main() {
	session := newSession()
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, 1<<20)
	out := json.NewEncoder(os.Stdout)
	for lines.Scan() {
		value, err := take(session, lines.Bytes())
		said := answer{Value: value}
		if err != nil {
			said = answer{Failure: err.Error()}
		}
		if err := out.Encode(said); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	if session.opened {
		session.client.Close()
	}
}

func take(session *session, line []byte) (any, error) {
	var order struct {
		Do   string          `json:"do"`
		With json.RawMessage `json:"with"`
	}
	if err := json.Unmarshal(line, &order); err != nil {
		return nil, err
	}
	do, known := steps[order.Do]
	if !known {
		return nil, fmt.Errorf("no step %q", order.Do)
	}
	if !session.opened && order.Do != "open" {
		return nil, errors.New("open comes first")
	}
	ctx, done := context.WithTimeout(context.Background(), stepDeadline)
	defer done()
	return do(ctx, session, order.With)
}

func open(_ context.Context, session *session, with json.RawMessage) (any, error) {
	var to struct{ Chain, Relay, Proxy, GraphQL, Secret, KeyType string }
	if err := json.Unmarshal(with, &to); err != nil {
		return nil, err
	}
	client, err := deployer.NewTFPluginClient(
		to.Secret,
		deployer.WithNetwork(deployer.DevNetwork),
		deployer.WithSubstrateURL(to.Chain),
		deployer.WithRelayURL(to.Relay),
		deployer.WithProxyURL(to.Proxy),
		deployer.WithGraphQlURL(to.GraphQL),
		deployer.WithKeyType(to.KeyType),
		deployer.WithRMBTimeout(30),
	)
	if err != nil {
		return nil, err
	}
	session.client, session.opened = &client, true
	return map[string]any{"twin": client.TwinID}, nil
}
