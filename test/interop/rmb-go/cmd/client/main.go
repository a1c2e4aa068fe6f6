// Command client is the Go SDK's RPC client, driven by lines of JSON. It writes
// {"msg":"ready"} once its relay has brought it a message, then takes
// {"id","twin","session","command","payload","deadlineMs"} from standard input,
// any number at once, and answers each with {"id","result"} or {"id","error"}.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/threefoldtech/tfgrid-sdk-go/rmb-sdk-go/peer"

	"gridnode.example/interop/rmb-go/internal/setup"
)

const (
	startDeadline = 60 * time.Second
	probeDeadline = 2 * time.Second
	longestLine   = 16 << 20
)

type order struct {
	ID         int             `json:"id"`
	Twin       uint32          `json:"twin"`
	Session    *string         `json:"session"`
	Command    string          `json:"command"`
	Payload    json.RawMessage `json:"payload"`
	DeadlineMs int64           `json:"deadlineMs"`
}

type outcome struct {
	ID     int             `json:"id"`
	Result json.RawMessage `json:"result,omitempty"`
	Error  string          `json:"error,omitempty"`
}

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
	var writing sync.Mutex
	answers := json.NewEncoder(os.Stdout)
	tell := func(what any) {
		writing.Lock()
		defer writing.Unlock()
		if err := answers.Encode(what); err != nil {
			fmt.Fprintln(os.Stderr, "client:", err)
		}
	}
	tell(map[string]string{"msg": "ready"})

	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, longestLine)
	for lines.Scan() {
		var one order
		if err := json.Unmarshal(lines.Bytes(), &one); err != nil {
			return err
		}
		go func() { tell(call(ctx, client, one)) }()
	}
	return lines.Err()
}

func call(ctx context.Context, client *peer.RpcClient, one order) outcome {
	ctx, cancel := context.WithTimeout(ctx, time.Duration(one.DeadlineMs)*time.Millisecond)
	defer cancel()
	var payload any
	if len(one.Payload) > 0 {
		payload = one.Payload
	}
	var result json.RawMessage
	if err := client.CallWithSession(ctx, one.Twin, one.Session, one.Command, payload, &result); err != nil {
		return outcome{ID: one.ID, Error: err.Error()}
	}
	return outcome{ID: one.ID, Result: result}
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
