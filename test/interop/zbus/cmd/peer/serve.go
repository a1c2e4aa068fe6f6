package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"

	"github.com/threefoldtech/zbus"

	"gridnode.example/interop/zbus/internal/objects"
	"gridnode.example/interop/zbus/internal/registry"
)

type call struct {
	Object string   `json:"object"`
	Method string   `json:"method"`
	Args   []string `json:"args"`
}

func runServer(broker string, lines *bufio.Scanner) error {
	var prepared map[string]map[string][]objects.Outcome
	if !lines.Scan() {
		return errors.New("no outcomes on standard input")
	}
	if err := json.Unmarshal(lines.Bytes(), &prepared); err != nil {
		return err
	}
	servers := map[string]zbus.Server{}
	for _, object := range registry.All {
		module, id := object.Address()
		server, ok := servers[module]
		if !ok {
			var err error
			if server, err = zbus.NewRedisServer(module, broker, 1); err != nil {
				return err
			}
			servers[module] = server
		}
		name := object.Name()
		record := func(method string, args []string) { say(call{Object: name, Method: method, Args: args}) }
		outcomes := objects.Prepare(prepared[name], record)
		if err := server.Register(id, objects.Of[object.Interface.Name()](outcomes)); err != nil {
			return err
		}
	}
	for _, server := range servers {
		go server.Run(context.Background())
	}
	say(map[string]string{"msg": "ready"})
	for lines.Scan() {
	}
	return nil
}
