// Command client is the Go SDK's RPC client. It writes {"msg":"ready"} once
// its relay has brought it a message, then makes the calls that standard input
// asks for.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/threefoldtech/tfgrid-sdk-go/rmb-sdk-go/peer"

	"gridnode.example/interop/rmb-go/internal/orders"
	"gridnode.example/interop/rmb-go/internal/setup"
)

const (
	startDeadline = 60 * time.Second
	probeDeadline = 2 * time.Second
)

func main() {
	if err := run(context.Background()); err != nil {
		fmt.Fprintln(os.Stderr, "client:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	start, err := setup.Parse()
	if err != nil {
		return err
	}
	client, err := peer.NewRpcClient(ctx, start.Secret, start.Manager, start.Options...)
	if err != nil {
		return err
	}
	if err := untilConnected(ctx, start, client); err != nil {
		return err
	}
	if err := orders.Ready(nil); err != nil {
		return err
	}
	return orders.Follow(ctx, os.Stdin, func(ctx context.Context, order orders.Order) (json.RawMessage, error) {
		var result json.RawMessage
		err := client.CallWithSession(ctx, order.Twin, order.Session, order.Command, order.Data(), &result)
		return result, err
	})
}

// untilConnected calls the client's own twin: the request comes back to the
// client, which says that this is no response. Only then is a relay connected.
func untilConnected(ctx context.Context, start setup.Setup, client *peer.RpcClient) error {
	twin, session, err := start.Self()
	if err != nil {
		return err
	}
	ends := time.Now().Add(startDeadline)
	for {
		attempt, cancel := context.WithTimeout(ctx, probeDeadline)
		err := client.CallWithSession(attempt, twin, session, "client.is.connected", nil, nil)
		cancel()
		if err == nil {
			return errors.New("the own twin answered a request that nobody serves")
		}
		if err.Error() == "received a non response envelope" {
			return nil
		}
		if time.Now().After(ends) {
			return fmt.Errorf("the relay was not reached in %s: %w", startDeadline, err)
		}
	}
}
