// Package orders lets another program make calls through this one, a line of JSON each.
package orders

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"sync"
	"time"
)

const longestLine = 16 << 20

// Order is one call that is asked for.
type Order struct {
	ID         int             `json:"id"`
	Twin       uint32          `json:"twin"`
	Session    *string         `json:"session"`
	Command    string          `json:"command"`
	Payload    json.RawMessage `json:"payload"`
	DeadlineMs int64           `json:"deadlineMs"`
}

// Data is the call's argument, nil without one.
func (o Order) Data() any {
	if len(o.Payload) == 0 {
		return nil
	}
	return o.Payload
}

type outcome struct {
	ID     int             `json:"id"`
	Result json.RawMessage `json:"result,omitempty"`
	Error  string          `json:"error,omitempty"`
}

// Call makes one call; the context ends with the order's deadline.
type Call func(ctx context.Context, order Order) (json.RawMessage, error)

// Ready writes the line that says so, with what else there is to tell.
func Ready(more map[string]any) error {
	line := map[string]any{"msg": "ready"}
	for key, value := range more {
		line[key] = value
	}
	return json.NewEncoder(os.Stdout).Encode(line)
}

// Follow makes the calls that come from input, any number at once, and writes
// {"id","result"} or {"id","error"} for each. It returns when input ends.
func Follow(ctx context.Context, input io.Reader, call Call) error {
	var writing sync.Mutex
	answers := json.NewEncoder(os.Stdout)
	lines := bufio.NewScanner(input)
	lines.Buffer(nil, longestLine)
	for lines.Scan() {
		var order Order
		if err := json.Unmarshal(lines.Bytes(), &order); err != nil {
			return err
		}
		go func() {
			ctx, cancel := context.WithTimeout(ctx, time.Duration(order.DeadlineMs)*time.Millisecond)
			defer cancel()
			told := outcome{ID: order.ID}
			result, err := call(ctx, order)
			if err != nil {
				told.Error = err.Error()
			} else {
				told.Result = result
			}
			writing.Lock()
			defer writing.Unlock()
			if err := answers.Encode(told); err != nil {
				fmt.Fprintln(os.Stderr, err)
			}
		}()
	}
	return lines.Err()
}
