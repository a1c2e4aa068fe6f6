// Package objects implements every interface with prepared answers.
package objects

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/vmihailenco/msgpack"
)

//go:generate sh -c "go run ../../cmd/objects > generated.go.new && mv generated.go.new generated.go"

// Outcome is what one call gives: its results in the library's encoding, or an error.
type Outcome struct {
	Results []string `json:"results"`
	Error   string   `json:"error,omitempty"`
	// DelayMs is how long the method runs.
	DelayMs int `json:"delayMs,omitempty"`
}

// Prepared gives a method its outcomes one after the other, the last one for ever.
type Prepared struct{ state *state }

type state struct {
	mutex    sync.Mutex
	outcomes map[string][]Outcome
	record   func(method string, args []string)
}

type values = []interface{}

const pause = 20 * time.Millisecond

// Prepare keeps outcomes; record is told of each call.
func Prepare(outcomes map[string][]Outcome, record func(method string, args []string)) Prepared {
	return Prepared{&state{outcomes: outcomes, record: record}}
}

func (p Prepared) next(method string) (Outcome, error) {
	p.state.mutex.Lock()
	defer p.state.mutex.Unlock()
	left := p.state.outcomes[method]
	if len(left) == 0 {
		return Outcome{}, fmt.Errorf("nothing is prepared for %s", method)
	}
	if len(left) > 1 {
		p.state.outcomes[method] = left[1:]
	}
	return left[0], nil
}

func (p Prepared) answer(method string, args values, targets values) error {
	encoded := make([]string, len(args))
	for i, each := range args {
		data, err := msgpack.Marshal(each)
		if err != nil {
			return err
		}
		encoded[i] = hex.EncodeToString(data)
	}
	p.state.record(method, encoded)
	outcome, err := p.next(method)
	if err != nil {
		return err
	}
	time.Sleep(time.Duration(outcome.DelayMs) * time.Millisecond)
	if outcome.Error != "" {
		return errors.New(outcome.Error)
	}
	if len(outcome.Results) != len(targets) {
		return fmt.Errorf("%d results are prepared for %s, which has %d", len(outcome.Results), method, len(targets))
	}
	for i, target := range targets {
		if err := Decode(outcome.Results[i], target); err != nil {
			return fmt.Errorf("result %d of %s: %w", i, method, err)
		}
	}
	return nil
}

// Decode reads a value in the library's encoding.
func Decode(text string, target interface{}) error {
	data, err := hex.DecodeString(text)
	if err != nil {
		return err
	}
	return msgpack.Unmarshal(data, target)
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}

func spread[T any](of []T) values {
	all := make(values, len(of))
	for i, each := range of {
		all[i] = each
	}
	return all
}

// feed sends one event again and again: nobody knows when a listener comes.
func feed[T any](ctx context.Context, prepared Prepared, method string) <-chan T {
	events := make(chan T)
	go func() {
		defer close(events)
		outcome, err := prepared.next(method)
		if err != nil {
			return
		}
		var event T
		must(Decode(outcome.Results[0], &event))
		for {
			select {
			case events <- event:
			case <-ctx.Done():
				return
			}
			select {
			case <-time.After(pause):
			case <-ctx.Done():
				return
			}
		}
	}()
	return events
}
