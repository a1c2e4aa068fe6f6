// Command local is what the Go SDK has for programs behind a peer that speaks
// Redis: with --serve its router, without it its client, which makes the calls
// that standard input asks for.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"

	"github.com/threefoldtech/tfgrid-sdk-go/rmb-sdk-go"

	"gridnode.example/interop/rmb-go/internal/orders"
)

func main() {
	if err := run(context.Background()); err != nil {
		fmt.Fprintln(os.Stderr, "local:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	address := flag.String("redis", rmb.DefaultAddress, "tcp://HOST:PORT or unix:///PATH")
	serving := flag.Bool("serve", false, "serve local.* instead of calling")
	flag.Parse()
	if *serving {
		return serve(ctx, *address)
	}
	client, err := rmb.NewRMBClient(*address)
	if err != nil {
		return err
	}
	if err := orders.Ready(nil); err != nil {
		return err
	}
	return orders.Follow(ctx, os.Stdin, func(ctx context.Context, order orders.Order) (json.RawMessage, error) {
		var result json.RawMessage
		err := client.Call(ctx, order.Twin, order.Command, order.Data(), &result)
		var remote rmb.RemoteError
		if errors.As(err, &remote) {
			return nil, fmt.Errorf("%d %s", remote.Code, remote.Message)
		}
		return result, err
	})
}

func serve(ctx context.Context, address string) error {
	router, err := rmb.NewRouter(address)
	if err != nil {
		return err
	}
	local := router.Subroute("local")
	local.WithHandler("echo", func(ctx context.Context, payload []byte) (any, error) {
		return map[string]any{"twin": rmb.GetTwinID(ctx), "got": json.RawMessage(payload)}, nil
	})
	local.WithHandler("fail", func(context.Context, []byte) (any, error) { return nil, errors.New("this one always fails") })
	local.WithHandler("panic", func(context.Context, []byte) (any, error) { panic("out of cheese") })
	ctx, cancel := context.WithCancel(ctx)
	go func() {
		defer cancel()
		_, _ = io.Copy(io.Discard, os.Stdin)
	}()
	if err := orders.Ready(nil); err != nil {
		return err
	}
	if err := router.Run(ctx); !errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}
