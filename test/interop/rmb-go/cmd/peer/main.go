// Command peer is a node made of the Go SDK's peer and router: it answers some
// commands of a node, and a few that a test asks for. It writes
// {"msg":"ready","twin":ID} once a message of its own came back through the
// relay, and ends with the process's standard input or at SIGTERM.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"strings"
	"syscall"
	"time"

	"github.com/threefoldtech/tfgrid-sdk-go/rmb-sdk-go/peer"
	"github.com/threefoldtech/tfgrid-sdk-go/rmb-sdk-go/peer/types"

	"gridnode.example/interop/rmb-go/internal/orders"
	"gridnode.example/interop/rmb-go/internal/setup"
)

const (
	startDeadline = 60 * time.Second
	probePause    = 50 * time.Millisecond
	probe         = "peer-is-connected"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	if err := run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "peer:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	version := flag.String("node-version", "0.1.0", "what zos.system.version tells")
	start, err := setup.Parse()
	if err != nil {
		return err
	}
	router := routes(*version)
	connected := make(chan uint32, 1)
	handler := func(ctx context.Context, p *peer.Peer, env *types.Envelope, err error) {
		if env.Uid != probe {
			router.Serve(ctx, p, env, err)
			return
		}
		select {
		case connected <- env.GetDestination().GetTwin():
		default:
		}
	}
	node, err := peer.NewPeer(ctx, start.Secret, start.Manager, handler, start.Options...)
	if err != nil {
		return err
	}
	twin, err := untilConnected(ctx, start, node, connected)
	if err != nil {
		return err
	}
	if err := orders.Ready(map[string]any{"twin": twin, "sdk": sdkVersion()}); err != nil {
		return err
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_, _ = io.Copy(io.Discard, os.Stdin)
	}()
	select {
	case <-ctx.Done():
	case <-ended:
	}
	return nil
}

// untilConnected sends a message to the peer's own twin until one arrives: the
// library does not tell when a relay is connected.
func untilConnected(ctx context.Context, start setup.Setup, node *peer.Peer, connected <-chan uint32) (uint32, error) {
	twin, session, err := start.Self()
	if err != nil {
		return 0, err
	}
	ctx, cancel := context.WithTimeout(ctx, startDeadline)
	defer cancel()
	last := errors.New("nothing was sent")
	for {
		if err := node.SendResponse(ctx, probe, twin, session, nil, nil); err != nil {
			last = err
		}
		select {
		case id := <-connected:
			return id, nil
		case <-ctx.Done():
			return 0, fmt.Errorf("the relay was not reached in %s: %w", startDeadline, last)
		case <-time.After(probePause):
		}
	}
}

func routes(version string) *peer.Router {
	router := peer.NewRouter()
	zos := router.SubRoute("zos")
	zos.SubRoute("system").WithHandler("version", func(context.Context, []byte) (any, error) {
		return map[string]string{"zos": version, "zinit": "v" + version}, nil
	})
	zos.SubRoute("storage").WithHandler("pools", func(context.Context, []byte) (any, error) {
		return []map[string]any{{"name": "pool", "type": "ssd", "size": 1 << 40, "used": 1 << 30}}, nil
	})

	test := router.SubRoute("test")
	test.WithHandler("echo", func(_ context.Context, payload []byte) (any, error) {
		return json.RawMessage(payload), nil
	})
	test.WithHandler("caller", func(ctx context.Context, _ []byte) (any, error) {
		env := peer.GetEnvelope(ctx)
		return map[string]any{
			"twin": peer.GetTwinID(ctx), "session": env.GetSource().Connection, "lifetime": env.GetExpiration(),
		}, nil
	})
	test.WithHandler("repeat", func(_ context.Context, payload []byte) (any, error) {
		var times int
		if err := json.Unmarshal(payload, &times); err != nil || times < 0 || times > 8<<20 {
			return nil, errors.New("a number of letters up to 8 Mi is wanted")
		}
		return strings.Repeat("x", times), nil
	})
	test.WithHandler("nothing", func(context.Context, []byte) (any, error) { return nil, nil })
	test.WithHandler("fail", func(context.Context, []byte) (any, error) { return nil, errors.New("this one always fails") })
	test.WithHandler("panic", func(context.Context, []byte) (any, error) { panic("out of cheese") })
	test.WithHandler("wait", func(ctx context.Context, payload []byte) (any, error) {
		var milliseconds int64
		if err := json.Unmarshal(payload, &milliseconds); err != nil {
			return nil, err
		}
		select {
		case <-time.After(time.Duration(milliseconds) * time.Millisecond):
			return milliseconds, nil
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	})

	closed := router.SubRoute("closed")
	closed.Use(func(ctx context.Context, _ []byte) (context.Context, error) {
		return ctx, fmt.Errorf("twin %d may not come in", peer.GetTwinID(ctx))
	})
	closed.WithHandler("room", func(context.Context, []byte) (any, error) { return "inside", nil })
	return router
}

func sdkVersion() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	for _, module := range info.Deps {
		if strings.HasSuffix(module.Path, "/rmb-sdk-go") {
			return module.Version
		}
	}
	return "unknown"
}
