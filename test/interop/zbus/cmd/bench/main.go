// Command bench is the library's side of the benchmark.
//
//	bench serve BROKER WORKERS   serves `calculator@1.0` of module `go`
//	bench call BROKER            makes calls as lines `{"callers":N,"ms":N}` on standard input say
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strconv"
	"sync"
	"time"

	"github.com/rs/zerolog"
	"github.com/rs/zerolog/log"
	"github.com/threefoldtech/zbus"
)

type calculator struct{}

func (calculator) Add(a, b float64) float64 { return a + b }

type order struct {
	Module  string `json:"module"`
	Callers int    `json:"callers"`
	Ms      int    `json:"ms"`
}

type run struct {
	Seconds float64 `json:"seconds"`
	// Latencies are microseconds.
	Latencies []int `json:"latencies"`
}

var id = zbus.ObjectID{Name: "calculator", Version: "1.0"}

func main() {
	log.Logger = zerolog.New(os.Stderr)
	if err := act(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func act(args []string) error {
	switch {
	case len(args) == 3 && args[0] == "serve":
		workers, err := strconv.ParseUint(args[2], 10, 16)
		if err != nil {
			return err
		}
		server, err := zbus.NewRedisServer("go", args[1], uint(workers))
		if err != nil {
			return err
		}
		if err := server.Register(id, calculator{}); err != nil {
			return err
		}
		fmt.Println(`{"msg":"ready"}`)
		return server.Run(context.Background())
	case len(args) == 2 && args[0] == "call":
		client, err := zbus.NewRedisClient(args[1])
		if err != nil {
			return err
		}
		fmt.Println(`{"msg":"ready"}`)
		lines := bufio.NewScanner(os.Stdin)
		for lines.Scan() {
			var each order
			if err := json.Unmarshal(lines.Bytes(), &each); err != nil {
				return err
			}
			made, err := calls(client, each)
			if err != nil {
				return err
			}
			text, err := json.Marshal(made)
			if err != nil {
				return err
			}
			fmt.Println(string(text))
		}
		return lines.Err()
	default:
		return fmt.Errorf("bench serve BROKER WORKERS | bench call BROKER")
	}
}

func calls(client zbus.Client, o order) (run, error) {
	var made run
	var mutex sync.Mutex
	var group sync.WaitGroup
	var failed error
	started := time.Now()
	until := started.Add(time.Duration(o.Ms) * time.Millisecond)
	for caller := 0; caller < o.Callers; caller++ {
		group.Add(1)
		go func() {
			defer group.Done()
			var latencies []int
			for count := 0; time.Now().Before(until); count++ {
				before := time.Now()
				if err := add(client, o.Module, float64(count)); err != nil {
					mutex.Lock()
					failed = err
					mutex.Unlock()
					return
				}
				latencies = append(latencies, int(time.Since(before).Microseconds()))
			}
			mutex.Lock()
			made.Latencies = append(made.Latencies, latencies...)
			mutex.Unlock()
		}()
	}
	group.Wait()
	made.Seconds = time.Since(started).Seconds()
	return made, failed
}

// add does what a generated stub does.
func add(client zbus.Client, module string, count float64) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	response, err := client.RequestContext(ctx, module, id, "Add", count, float64(1))
	if err != nil {
		return err
	}
	if response == nil {
		return fmt.Errorf("no response")
	}
	var sum float64
	loader := zbus.Loader{&sum}
	if err := response.Unmarshal(&loader); err != nil {
		return err
	}
	if sum != count+1 {
		return fmt.Errorf("a call answered %v for %v + 1", sum, count)
	}
	return nil
}
